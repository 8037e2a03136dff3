"""Recording alone: CPU and memory a camera, against `ffmpeg -c copy` in the same run, at several numbers of cameras.

Replay cameras (1080p, 25 frames a second, 4 Mb/s, RTSP over TCP) feed first the box, then one ffmpeg process a camera,
each for the same time; what the cameras themselves cost is accounted apart. Nothing may be lost: at the end the cameras
hold their breath, and every frame that they sent must be in the files."""

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path

from .fmp4 import frames
from .parts import Box, build, cpu_seconds, resident_bytes
from .replay import Replay, replay_cameras

#: All cameras are connected, and the first groups of pictures are stored; ffmpeg looks at each for 5 s.
SETTLE_S = 10.0
#: The last group of pictures is complete when the stream ends, and that is at most one sync away.
FLUSH_S = 3.0


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cameras", default="8,32,128", help="numbers of cameras, one run each (default 8,32,128)")
    parser.add_argument("--seconds", type=float, default=20.0, help="measured time of each of the two")
    parser.add_argument("--binary", type=Path, help="measure this gtv-edge instead of building one")


def run(args: argparse.Namespace) -> dict:
    binary = args.binary or build()
    return {"runs": [measure(binary, int(count), args.seconds) for count in args.cameras.split(",")]}


def measure(binary: Path, count: int, seconds: float) -> dict:
    idle = Box(binary, {"cameras": [], "user": "", "password": ""})
    try:
        idle.start()
        time.sleep(2)
        idle_bytes = resident_bytes(idle.process.pid)
        idle.stop()
    finally:
        idle.clean()
    with replay_cameras(count) as replay:
        result = {"cameras": count} | record_with_box(binary, replay, count, seconds, idle_bytes)
    with replay_cameras(count) as replay:
        result |= record_with_ffmpeg(replay, count, seconds)
    result["cpu_ratio"] = round(result["cpu_pct_per_camera"] / result["ffmpeg_cpu_pct_per_camera"], 3)
    return result


def record_with_box(binary: Path, replay: Replay, count: int, seconds: float, idle_bytes: int) -> dict:
    box = Box(binary, replay.cameras)
    try:
        box.start()
        time.sleep(SETTLE_S)
        before, sender, at = cpu_seconds(box.process.pid), replay.cpu_seconds(), time.monotonic()
        time.sleep(seconds)
        used, elapsed = cpu_seconds(box.process.pid) - before, time.monotonic() - at
        sender = replay.cpu_seconds() - sender
        resident = resident_bytes(box.process.pid)
        replay.order("hush")
        time.sleep(FLUSH_S)
        sent = replay.stats()
        summary = box.stop()
        warnings = [line for line in Path(box.log.name).read_text().splitlines() if '"level":"WARN"' in line]
        stored = sum(frames(path) for path in Path(box.folder.name, "data", "recordings").rglob("*.mp4"))
    finally:
        box.clean()
    return {
        "frames_sent": sent["frames_sent"],
        "frames_stored": stored,
        "frames_dropped_by_cameras": sent["frames_dropped"],
        "connections": sent["connections"],
        "drops": summary["drops"],
        "warnings": warnings[:5],
        "cpu_pct_per_camera": round(100 * used / elapsed / count, 4),
        "sender_cpu_pct_per_camera": round(100 * sender / elapsed / count, 4),
        "rss_mb_per_camera": round((resident - idle_bytes) / count / 1e6, 2),
        "rss_mb": round(resident / 1e6, 1),
        "idle_rss_mb": round(idle_bytes / 1e6, 1),
    }


def record_with_ffmpeg(replay: Replay, count: int, seconds: float) -> dict:
    with tempfile.TemporaryDirectory(prefix="gtv-bench-") as folder:
        processes = []
        for camera in replay.cameras["cameras"]:
            command = ["ffmpeg", "-nostdin", "-v", "error", "-rtsp_transport", "tcp", "-i", camera["main"]]
            command += ["-c", "copy", "-f", "mp4", "-movflags", "frag_keyframe+empty_moov"]
            processes.append(subprocess.Popen([*command, f"{folder}/{camera['index']}.mp4"]))
        try:
            time.sleep(SETTLE_S)
            before, at = sum(cpu_seconds(p.pid) for p in processes), time.monotonic()
            time.sleep(seconds)
            used, elapsed = sum(cpu_seconds(p.pid) for p in processes) - before, time.monotonic() - at
            resident = sum(resident_bytes(p.pid) for p in processes)
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait()
    return {
        "ffmpeg_cpu_pct_per_camera": round(100 * used / elapsed / count, 4),
        "ffmpeg_rss_mb_per_camera": round(resident / count / 1e6, 2),
    }


def words(result: dict) -> str:
    return "\n".join(
        f"{run['cameras']} cameras: {run['cpu_pct_per_camera']} % of a core and {run['rss_mb_per_camera']} MB each; "
        f"ffmpeg -c copy {run['ffmpeg_cpu_pct_per_camera']} % and {run['ffmpeg_rss_mb_per_camera']} MB "
        f"(ratio {run['cpu_ratio']}); {run['frames_stored']} of {run['frames_sent']} frames stored; "
        f"drops {json.dumps(run['drops'])}; the cameras took {run['sender_cpu_pct_per_camera']} % each"
        for run in result["runs"]
    )
