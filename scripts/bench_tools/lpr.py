"""Plate reading on the demo street: milliseconds a stage and a frame, and from frame to stored row."""

import argparse
import time

from .parts import Box, build, demo_cameras


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cameras", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=70.0, help="a whole loop of the street is 64 s")


def run(args: argparse.Namespace) -> dict:
    binary = build()
    with demo_cameras(args.cameras) as cameras:
        box = Box(binary, cameras, lpr=True)
        try:
            box.start()
            time.sleep(args.seconds)
            summary = box.stop()
        finally:
            box.clean()
    stages = {stage.pop("stage"): stage for stage in summary["lpr_stages_ms"] if stage["count"]}
    return {
        "cameras": args.cameras,
        "ms_per_frame_p50": figure(stages, "frame", "p50_ms"),
        "ms_quiet_frame_p50": figure(stages, "quiet_frame", "p50_ms"),
        "frame_to_row_ms_p95": figure(stages, "frame_to_row", "p95_ms"),
        "stages_ms": stages,
        "passages": summary["passages"],
        "plates": summary["plates"],
        "lpr_frames_skipped": summary["lpr_frames_skipped"],
    }


def figure(stages: dict, stage: str, name: str) -> float | None:
    value = stages.get(stage, {}).get(name)
    return value if value is None else round(value, 2)


def words(result: dict) -> str:
    return (
        f"{result['cameras']} camera(s): {result['ms_per_frame_p50']} ms a frame, "
        f"{result['ms_quiet_frame_p50']} ms a quiet frame, "
        f"frame to row p95 {result['frame_to_row_ms_p95']} ms, {result['passages']} passages"
    )
