"""Live video: milliseconds from camera to screen in a real Chromium, by WebRTC, MSE and LL-HLS, and the drift.

A camera burns the time into each picture as it encodes it; the viewers read it back from what Chromium shows. Camera,
box and viewers share one clock and this machine's cores."""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

from .parts import ROOT, Box, build

E2E = ROOT / "daemon/tests/e2e"
USER, PASSWORD = "bench", "uma-frase-bem-longa"
WAYS = {"webrtc": "webrtc", "mse": "mse", "llhls": "hls"}
# The first and the last tenth of the long run are compared.
DRIFT_SHARE = 10


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=20.0, help="measured time of each way and number of viewers")
    parser.add_argument("--settle", type=float, default=15.0, help="time to find the edge before that")
    parser.add_argument("--viewers", type=int, nargs="*", default=[1, 8])
    parser.add_argument("--drift-seconds", type=float, default=600.0, help="0 leaves the drift out")
    parser.add_argument("--fps", type=int, default=25)
    parser.add_argument("--binary", type=Path, help="measure this gtv-edge in place of a release build")
    parser.add_argument("--ui", type=Path, help="serve the page from this folder")


def run(args: argparse.Namespace) -> dict:
    binary = args.binary or build()
    if not (E2E / "node_modules").exists():
        subprocess.run(["npm", "ci", "--silent", "--no-fund", "--no-audit"], cwd=E2E, check=True)
    result = {"fps": args.fps, "seconds": args.seconds, "cores": os.cpu_count()}
    with camera(args.fps) as url, box(binary, url, args.ui) as watch:
        for viewers in args.viewers:
            for name, transport in WAYS.items():
                late, pictures = delays(watch(transport, viewers, args.seconds, args.settle), transport)
                prefix = name if viewers == 1 else f"{name}_{viewers}"
                result[f"{prefix}_ms_p50"] = percentile(late, 50)
                result[f"{prefix}_ms_p95"] = percentile(late, 95)
                result[f"{prefix}_pictures"] = pictures
        if args.drift_seconds:
            late, _ = delays(watch("auto", 1, args.drift_seconds, args.settle), "webrtc")
            part = max(1, len(late) // DRIFT_SHARE)
            result["drift_ms"] = round(percentile(late[-part:], 50) - percentile(late[:part], 50), 1)
            result["drift_over_s"] = args.drift_seconds
    return result


def delays(seen: dict, transport: str) -> tuple[list[float], int]:
    if seen["transports"] != [transport]:
        raise RuntimeError(f"watched by {seen['transports']}, not by {transport}")
    late = [shown["late"] for shown in seen["shown"] if shown["late"] is not None]
    if len(late) < len(seen["shown"]) / 2 or not late:
        raise RuntimeError(f"only {len(late)} of {len(seen['shown'])} pictures could be read")
    return late, len(seen["shown"])


def percentile(values: list[float], percent: int) -> float:
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, len(ordered) * percent // 100)], 1)


@contextmanager
def camera(fps: int):
    """The address of a camera that burns in the time."""
    command = ["/usr/bin/python3", str(Path(__file__).with_name("stamp_camera.py")), str(fps)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()


@contextmanager
def box(binary: Path, url: str, ui: Path | None):
    """A box with that camera; yields a function that watches it."""
    page = f'\nui_dir = "{ui.resolve()}"' if ui else ""
    with tempfile.TemporaryDirectory(prefix="gtv-bench-") as folder:
        edge = Box(binary, {"cameras": [], "user": "", "password": ""})
        text = edge.config.read_text().replace('listen = "127.0.0.1:0"', f'listen = "127.0.0.1:0"{page}')
        text += "[live]\nwebrtc_port = 0\nmax_viewers = 64\n"
        text += f'[[camera]]\nid = "stamp"\nmain_url = "{url}"\nlpr = "off"\n'
        edge.config.write_text(text)
        shot = os.environ.get("GTV_SHOTS")
        try:
            edge.start()
            codes = [re.search(r"\b[A-Z0-9]{4}-[A-Z0-9]{4}-[A-Z0-9]{4}\b", Path(edge.log.name).read_text())[0]]

            def watch(transport: str, viewers: int, seconds: float, settle: float) -> dict:
                environment = os.environ | {
                    "GTV_PAGE": edge.page,
                    "GTV_E2E": str(E2E),
                    "GTV_SETUP_CODE": codes.pop() if codes else "",
                    "GTV_USER": USER,
                    "GTV_PASSWORD": PASSWORD,
                    "GTV_TRANSPORT": transport,
                    "GTV_VIEWERS": str(viewers),
                    "GTV_SECONDS": str(seconds),
                    "GTV_SETTLE": str(settle),
                    "GTV_SHOT": f"{shot}/live-{transport}-{viewers}.png" if shot else "",
                }
                output = Path(folder) / "seen"
                with output.open("w") as file:
                    script = Path(__file__).with_name("live_viewers.mjs")
                    subprocess.run(["node", str(script)], env=environment, stdout=file, stderr=sys.stderr, check=True)
                return json.loads(output.read_text().splitlines()[-1])

            yield watch
            edge.stop()
        finally:
            edge.clean()


def words(result: dict) -> str:
    ways = "; ".join(
        f"{name} p50 {result[f'{name}_ms_p50']} ms, p95 {result[f'{name}_ms_p95']} ms"
        for name in WAYS
        if f"{name}_ms_p50" in result
    )
    drift = f"; drift {result['drift_ms']} ms in {result['drift_over_s']} s" if "drift_ms" in result else ""
    return ways + drift
