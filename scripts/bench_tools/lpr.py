"""Plate reading: milliseconds a frame on the demo street beside a peer, or with --accuracy plates read right.

The box watches the street like any camera; afterwards the frames that it recorded are read one by one with our models
and with a peer's."""

import argparse
import tempfile
import time
from pathlib import Path

from . import lpr_accuracy, lpr_peer
from .parts import Box, build, demo_cameras
from .stills import MANIFEST


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cameras", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=70.0, help="a whole loop of the street is 64 s")
    parser.add_argument("--accuracy", action="store_true", help="read labelled images instead")
    parser.add_argument("--data", type=Path, default=lpr_accuracy.DATA, help="folder with the labelled sets")
    parser.add_argument("--sets", nargs="+", metavar="FOLDER", help="other sets, in --data or anywhere")
    parser.add_argument("--failures", action="store_true", help="list each image that went wrong")
    parser.add_argument("--models", type=Path, default=MANIFEST, help="manifest for --accuracy")
    parser.add_argument("--precision", choices=("fp32", "int8"), help="for --accuracy; fp32 when not given")


def run(args: argparse.Namespace) -> dict:
    binary = build()
    if args.accuracy:
        return lpr_accuracy.measure(binary, args)
    with demo_cameras(args.cameras) as cameras:
        box = Box(binary, cameras, lpr=True)
        try:
            box.start()
            time.sleep(args.seconds)
            summary = box.stop()
            with tempfile.TemporaryDirectory(prefix="gtv-frames-") as folder:
                peer = lpr_peer.compare(binary, Path(box.folder.name) / "data", Path(folder))
        finally:
            box.clean()
    stages = {stage.pop("stage"): stage for stage in summary["lpr_stages_ms"] if stage["count"]}
    ours = figure(stages, "frame", "p50_ms")
    return {
        "cameras": args.cameras,
        "ms_per_frame_p50": ours,
        "ms_per_frame_mean": figure(stages, "frame", "mean_ms"),
        "ms_quiet_frame_p50": figure(stages, "quiet_frame", "p50_ms"),
        "frame_to_row_ms_p95": figure(stages, "frame_to_row", "p95_ms"),
        **peer,
        "ratio_to_peer": ours and round(ours / peer["peer_ms_per_frame_p50"], 3),
        "stages_ms": stages,
        "passages": summary["passages"],
        "plates": summary["plates"],
        "lpr_frames_skipped": summary["lpr_frames_skipped"],
    }


def figure(stages: dict, stage: str, name: str) -> float | None:
    value = stages.get(stage, {}).get(name)
    return value if value is None else round(value, 2)


def words(result: dict) -> str:
    if "sets" in result:
        return lpr_accuracy.words(result)
    return (
        f"{result['cameras']} camera(s): {result['ms_per_frame_p50']} ms a frame "
        f"(mean {result['ms_per_frame_mean']}), {result['ms_quiet_frame_p50']} ms a quiet frame, "
        f"frame to row p95 {result['frame_to_row_ms_p95']} ms, {result['passages']} passages; "
        f"a peer's detector and reader {result['peer_ms_per_frame_p50']} ms a frame, "
        f"ours on the same still frames {result['still_ms_per_frame_p50']} ms"
    )
