"""From the start of the process to the first recorded fragment, with cameras that stream already."""

import argparse
import time

from .parts import Box, build, demo_cameras, get_text

LIMIT_S = 60.0


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cameras", type=int, default=16)


def run(args: argparse.Namespace) -> dict:
    binary = build()
    with demo_cameras(args.cameras, "--stagger", "0.3") as cameras:
        box = Box(binary, cameras)
        try:
            box.start()
            page_ms = (time.time() - box.started) * 1000
            first_ms = all_ms = None
            while all_ms is None and time.time() - box.started < LIMIT_S:
                fragments = recorded_cameras(box)
                now_ms = (time.time() - box.started) * 1000
                if fragments and first_ms is None:
                    first_ms = now_ms
                if fragments == args.cameras:
                    all_ms = now_ms
                time.sleep(0.02)
            box.stop()
        finally:
            box.clean()
    times = {"first_fragment_ms": first_ms, "all_recording_ms": all_ms, "page_ms": page_ms}
    return {"cameras": args.cameras} | {name: value and round(value) for name, value in times.items()}


def recorded_cameras(box: Box) -> int:
    """Cameras of which at least one fragment is on disk and in the database."""
    lines = get_text(f"{box.page}/metrics").splitlines()
    return sum(1 for line in lines if line.startswith("gtv_fragments_total{"))


def words(result: dict) -> str:
    return (
        f"first fragment {result['first_fragment_ms']} ms after the start, all {result['cameras']} cameras recorded "
        f"after {result['all_recording_ms']} ms, page after {result['page_ms']} ms"
    )
