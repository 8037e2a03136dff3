"""Recording alone: CPU and memory a camera, against `ffmpeg -c copy` in the same run.

The same demo cameras feed first the box, then one ffmpeg process a camera, each for the same time. Nothing may be lost:
at the end the cameras hold their breath, and every frame that they sent must be in the store."""

import argparse
import subprocess
import tempfile
import time
from pathlib import Path

from .parts import Box, build, cpu_seconds, demo_cameras, get_json, post_json, resident_bytes

SETTLE_S = 8.0
# The last group of pictures is complete when the stream ends, and that is at most one sync away.
FLUSH_S = 3.0


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cameras", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=30.0, help="measured time of each of the two")


def run(args: argparse.Namespace) -> dict:
    binary = build()
    with demo_cameras(args.cameras) as cameras:
        result = record_with_box(binary, cameras, args.seconds)
        result |= record_with_ffmpeg(cameras, args.seconds)
    result["cpu_ratio"] = round(result["cpu_pct_per_camera"] / result["ffmpeg_cpu_pct_per_camera"], 3)
    return result


def frames_sent(cameras: dict) -> int:
    stats = get_json(f"{cameras['control']}/stats")
    return sum(camera["streams"]["main"]["frames_sent"] for camera in stats["cameras"])


def record_with_box(binary, cameras: dict, seconds: float) -> dict:
    count = len(cameras["cameras"])
    idle_box = Box(binary, {"cameras": [], "user": "", "password": ""})
    box = Box(binary, cameras)
    try:
        idle_box.start()
        time.sleep(2)
        idle_bytes = resident_bytes(idle_box.process.pid)
        idle_box.stop()
        box.start()
        time.sleep(SETTLE_S)
        before, at = cpu_seconds(box.process.pid), time.monotonic()
        time.sleep(seconds)
        used, elapsed = cpu_seconds(box.process.pid) - before, time.monotonic() - at
        resident = resident_bytes(box.process.pid)
        for camera in range(count):
            post_json(f"{cameras['control']}/fault", {"fault": f"stall-after=0@{camera}"})
        time.sleep(FLUSH_S)
        sent = frames_sent(cameras)
        summary = box.stop()
        stored = stored_frames(box)
    finally:
        idle_box.clean()
        box.clean()
        post_json(f"{cameras['control']}/fault", {"fault": "none"})
    return {
        "cameras": count,
        "frames_sent": sent,
        "frames_stored": stored,
        "drops": summary["drops"],
        "cpu_pct_per_camera": round(100 * used / elapsed / count, 3),
        "rss_mb_per_camera": round((resident - idle_bytes) / count / 1e6, 2),
        "rss_mb": round(resident / 1e6, 1),
        "idle_rss_mb": round(idle_bytes / 1e6, 1),
    }


def stored_frames(box: Box) -> int:
    """Counted in the files, not in the database."""
    total = 0
    for path in sorted(Path(box.folder.name, "data", "recordings").rglob("*.mp4")):
        command = ["ffprobe", "-v", "error", "-select_streams", "v", "-count_packets", "-show_entries"]
        command += ["stream=nb_read_packets", "-of", "csv=p=0", str(path)]
        total += int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip().strip(",") or 0)
    return total


def record_with_ffmpeg(cameras: dict, seconds: float) -> dict:
    with tempfile.TemporaryDirectory(prefix="gtv-bench-") as folder:
        processes = []
        for camera in cameras["cameras"]:
            url = camera["main"].replace("rtsp://", f"rtsp://{cameras['user']}:{cameras['password']}@")
            command = ["ffmpeg", "-nostdin", "-v", "error", "-rtsp_transport", "tcp", "-i", url, "-c", "copy"]
            command += ["-f", "mp4", "-movflags", "frag_keyframe+empty_moov", f"{folder}/{camera['index']}.mp4"]
            processes.append(subprocess.Popen(command))
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
    count = len(processes)
    return {
        "ffmpeg_cpu_pct_per_camera": round(100 * used / elapsed / count, 3),
        "ffmpeg_rss_mb_per_camera": round(resident / count / 1e6, 2),
    }


def words(result: dict) -> str:
    return (
        f"{result['cameras']} cameras: {result['cpu_pct_per_camera']} % of a core and "
        f"{result['rss_mb_per_camera']} MB each; "
        f"ffmpeg -c copy {result['ffmpeg_cpu_pct_per_camera']} % and {result['ffmpeg_rss_mb_per_camera']} MB "
        f"(ratio {result['cpu_ratio']}); {result['frames_stored']} of {result['frames_sent']} frames stored"
    )
