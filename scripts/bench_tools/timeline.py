"""The timeline of recordings in a real Chromium, over a day of sixteen cameras: milliseconds to open and to seek."""

import argparse
import json
import os
import re
import subprocess
import time
from pathlib import Path

from . import timeline_seed
from .parts import ROOT, Box, build

CODE = re.compile(r"^\s+([A-Z0-9]{4}-[A-Z0-9]{4}-[A-Z0-9]{4})\s*$", re.MULTILINE)


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cameras", type=int, default=16)
    parser.add_argument("--hours", type=int, default=24)
    parser.add_argument("--passages", type=int, default=500, help="of each camera")
    parser.add_argument("--rounds", type=int, default=25, help="of opening, and of seeking")
    parser.add_argument("--binary", type=Path, help="a gtv-edge to measure; absent: the release build, which is made")


def run(args: argparse.Namespace) -> dict:
    binary = args.binary or build()
    ids = [f"camera-{n + 1}" for n in range(args.cameras)]
    sections = "".join(
        f'[[camera]]\nid = "{name}"\nname = "{name}"\nmain_url = "rtsp://127.0.0.1:1/main"\nenabled = false\n'
        for name in ids
    )
    box = Box(binary, {"cameras": [], "user": "", "password": ""}, sections)
    try:
        # The first start makes the database.
        box.start()
        box.stop()
        now_us = int(time.time()) * 1_000_000
        rows = timeline_seed.seed(Path(box.folder.name) / "data", ids, now_us, args.hours, args.passages, 7)
        box.start()
        measured = browse(box, args.rounds)
        box.stop()
    finally:
        box.clean()
    figures = {
        f"{kind}_ms_{name}": figure for kind in ("open", "seek") for name, figure in spread(measured[kind]).items()
    }
    return figures | {
        "rows": rows,
        "passages_drawn": measured["passages"],
        "cameras": args.cameras,
        "hours": args.hours,
    }


def browse(box: Box, rounds: int) -> dict:
    folder = ROOT / "daemon/tests/e2e"
    code = CODE.search(Path(box.log.name).read_text()).group(1)
    environment = os.environ | {"GTV_PAGE": box.page, "GTV_SETUP_CODE": code, "GTV_ROUNDS": str(rounds)}
    command = ["node", str(folder / "timeline.mjs")]
    output = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(output.splitlines()[-1])


def spread(values: list) -> dict:
    """Percentiles; a seek that never showed a picture counts as the worst."""
    ordered = sorted(float("inf") if value is None else value for value in values)
    pick = {"p50": ordered[len(ordered) // 2], "p95": ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]}
    return {name: round(value) if value != float("inf") else None for name, value in pick.items()}


def words(result: dict) -> str:
    return (
        f"{result['cameras']} cameras, {result['hours']} h, {result['rows']['fragments']} fragments: opens in "
        f"{result['open_ms_p50']} ms (p50), {result['open_ms_p95']} ms (p95); seeks in {result['seek_ms_p50']} ms "
        f"(p50), {result['seek_ms_p95']} ms (p95)"
    )
