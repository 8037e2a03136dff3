"""A peer's pipeline of the same shapes, timed in the same program on the same frames, runtime and number of threads."""

import hashlib
import json
import os
import subprocess
from pathlib import Path

from .parts import CACHE, ROOT
from .stills import MANIFEST, median, read_images

REQUIREMENTS = ROOT / "scripts/requirements-bench.txt"
SOURCES = [Path(__file__).with_name(name) for name in ("peer_graph.py", "peer_models.py")]
FRAMES_MAX = 60


def models() -> Path:
    """The peer's manifest; the networks are made once."""
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in SOURCES)).hexdigest()[:16]
    folder = CACHE / "peer" / digest
    if not (folder / "manifest.toml").exists():
        command = [str(python()), "-m", "bench_tools.peer_models", str(folder)]
        subprocess.run(command, cwd=ROOT / "scripts", check=True)
    return folder / "manifest.toml"


def python() -> Path:
    """A Python with the packages of the benchmark, installed where they are missing."""
    home = CACHE / "python-bench"
    python, stamp = home / "bin/python", home / "installed"
    if not stamp.exists() or stamp.read_bytes() != REQUIREMENTS.read_bytes():
        subprocess.run(["/usr/bin/python3", "-m", "venv", str(home)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(REQUIREMENTS)]
        subprocess.run(pip, check=True)
        stamp.write_bytes(REQUIREMENTS.read_bytes())
    return python


def frames(recordings: Path, folder: Path) -> list[Path]:
    """A frame a second out of what the box has just recorded."""
    for number, segment in enumerate(sorted(recordings.rglob("*.mp4"))):
        command = ["ffmpeg", "-v", "error", "-i", str(segment), "-vf", "fps=1", "-q:v", "2"]
        subprocess.run([*command, str(folder / f"{number:04}-%03d.jpg")], check=True)
    return sorted(folder.glob("*.jpg"))


def compare(binary: Path, recordings: Path, folder: Path) -> dict:
    """Milliseconds a frame with one plate, detector and reader: ours as for still images, and the peer's."""
    manifest = models()
    pictures = frames(recordings, folder)
    ours = {row["file"]: row for row in read_images(binary, pictures)}
    with_one = [picture for picture in pictures if len(ours[str(picture)]["plates"]) == 1][:FRAMES_MAX]
    if not with_one:
        raise SystemExit(f"no frame of {recordings} shows exactly one plate")
    # Taken in turns, so that whatever else the machine does meets both.
    ours, peer = [], []
    for _ in range(2):
        ours += [row["ms"] for row in read_images(binary, with_one)]
        peer += [row["ms"] for row in read_images(binary, with_one, manifest)]
    work = json.loads((manifest.parent / "gflop.json").read_text())
    return {
        "peer_ms_per_frame_p50": round(median(peer), 2),
        "still_ms_per_frame_p50": round(median(ours), 2),
        "compared_frames": len(with_one),
        "peer_gflop": work,
        "models": os.path.relpath(MANIFEST, ROOT),
    }
