"""Passages of a demo scene against the truth: exactly one right detection each, and nothing else.

A passage is right when one row with its text was stored while it was in view. More rows with its text are duplicates, a
row with another text is wrong where a vehicle was in view that has no right row, false otherwise; a passage without any
row is missed."""

import argparse
import sqlite3
import time
from pathlib import Path

from .parts import Box, build, demo_cameras, get_json
from .verdict import passages_between, sum_up, verdict

SCENES = ("day", "night", "rain", "dense")
EMPTY = "empty"
# The tracker's first and last sight may lie a little outside the truth's idea of "in view".
EDGE_S = 2.0
SETTLE_S = 6.0
# A passage is told at most this long after its plate was seen last.
TOLD_S = 3.0


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--scene", default="day", help=f"{', '.join(SCENES)} or all (default day)")
    parser.add_argument("--seeds", default="7", metavar="N,N", help="street days, each rendered once (default 7)")
    parser.add_argument("--scene-seconds", type=int, metavar="N", help="length of a loop (default: the scene's own)")
    parser.add_argument("--loops", type=float, default=1.0, help="how often the scene is played (default once)")
    parser.add_argument("--stream", choices=("main", "sub"), default="main", help="stream that is watched for plates")
    parser.add_argument("--empty", action="store_true", help="10 minutes of a street without vehicles instead")
    parser.add_argument("--minutes", type=float, default=10.0, help="length of --empty (default 10)")


def run(args: argparse.Namespace) -> dict:
    binary = build()
    if args.empty:
        return empty_street(binary, args)
    scenes = SCENES if args.scene == "all" else (args.scene,)
    results = {}
    for scene in scenes:
        played = [play(binary, scene, seed, args) for seed in args.seeds.split(",")]
        results[scene] = sum_up(played)
    return {"scenes": results, "all": sum_up(list(results.values()), failures=False)}


def play(binary: Path, scene: str, seed: str, args: argparse.Namespace) -> dict:
    """One scene from a seed, played by one camera."""
    with demo_cameras(1, *scene_options(scene, args), "--seed", seed) as cameras:
        box = Box(binary, cameras, lpr=True, stream=args.stream)
        try:
            box.start()
            time.sleep(SETTLE_S)
            since = time.time()
            time.sleep(args.loops * cameras["loop_s"] + 2 * EDGE_S)
            until = time.time()
            truth = get_json(f"{cameras['control']}/truth")
            time.sleep(TOLD_S)
            summary = box.stop()
            rows = stored_rows(box)
        finally:
            box.clean()
    passages = passages_between(truth, 0, since + EDGE_S, until - EDGE_S)
    within = [row for row in rows if since + EDGE_S <= row["first_s"] and row["last_s"] <= until - EDGE_S]
    result = verdict(passages, rows, within)
    result["lpr_frames_skipped"] = summary["lpr_frames_skipped"]
    for failure in result["failures"]:
        failure["seed"] = int(seed)
    return result


def empty_street(binary: Path, args: argparse.Namespace) -> dict:
    with demo_cameras(1, *scene_options(EMPTY, args)) as cameras:
        box = Box(binary, cameras, lpr=True)
        try:
            box.start()
            time.sleep(60 * args.minutes)
            summary = box.stop()
            rows = stored_rows(box)
        finally:
            box.clean()
    return {"minutes": args.minutes, "reported": [row["plate"] for row in rows], "stages_ms": summary["lpr_stages_ms"]}


def scene_options(scene: str, args: argparse.Namespace) -> list[str]:
    length = ["--scene-seconds", str(args.scene_seconds)] if args.scene_seconds else []
    return ["--scene", scene, *length]


def stored_rows(box: Box) -> list[dict]:
    """What the box kept, out of its database once it has stopped."""
    path = Path(box.folder.name, "data", "gtv.db")
    query = "SELECT plate, first_seen, last_seen, confidence, direction, reads FROM detections ORDER BY first_seen"
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
        found = database.execute(query).fetchall()
    return [
        {"plate": p, "first_s": a / 1e6, "last_s": b / 1e6, "confidence": round(c, 3), "direction": d, "reads": n}
        for p, a, b, c, d, n in found
    ]


def words(result: dict) -> str:
    if "reported" in result:
        return f"{result['minutes']:g} min without vehicles: {len(result['reported'])} reported {result['reported']}"
    lines = []
    for scene, counts in (result["scenes"] | {"all": result["all"]}).items():
        lines.append(
            f"{scene}: {counts['right']} of {counts['passages']} right ({counts['right_pct']} %), "
            f"{counts['duplicates']} duplicates, {counts['wrong']} wrong, {counts['missed']} missed, "
            f"{counts['false']} false"
        )
        lines += [f"  {failure}" for failure in counts.get("failures", [])]
    return "\n".join(lines)
