"""Encoded clips, cut into RTP packets once: only sequence number and timestamp change when a frame is sent again."""

import base64
import hashlib
import os
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

MTU = 1400
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gtv" / "replay"


@dataclass(frozen=True)
class Spec:
    """What a clip shows; `seed` makes clips of one kind differ."""

    width: int = 1920
    height: int = 1080
    fps: int = 25
    seconds: int = 8
    kbps: int = 4000
    seed: int = 0


@dataclass
class Frame:
    """One picture as interleaved RTP packets."""

    data: bytearray
    #: Where each packet begins in `data`.
    packets: list[int]
    key: bool


@dataclass
class Clip:
    frames: list[Frame]
    fps: int
    #: `sprop-parameter-sets` and `profile-level-id` of the session description.
    sprop: str
    profile: str


def load(spec: Spec) -> Clip:
    """Renders the clip on first use; later from the cache."""
    return packetize(_render(spec).read_bytes(), spec.fps)


def _render(spec: Spec) -> Path:
    text = "3 " + repr(spec)
    path = CACHE / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.h264"
    if path.exists():
        return path
    CACHE.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}")
    source = f"testsrc2=size={spec.width}x{spec.height}:rate={spec.fps}:duration={spec.seconds}"
    # Noise, so that the encoder has something to spend its bits on, as with a real street.
    picture = f"noise=alls=12:allf=t:all_seed={spec.seed + 1}"
    command = ["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", source, "-vf", picture, "-pix_fmt", "yuv420p"]
    command += ["-c:v", "libx264", "-preset", "veryfast", "-tune", "zerolatency", "-b:v", f"{spec.kbps}k"]
    command += ["-maxrate", f"{spec.kbps}k", "-bufsize", f"{spec.kbps}k", "-g", str(2 * spec.fps), "-x264-params"]
    command += ["aud=1:sliced-threads=0:scenecut=0", "-f", "h264", str(part)]
    subprocess.run(command, check=True)
    part.replace(path)
    return path


def packetize(stream: bytes, fps: int) -> Clip:
    """RFC 6184, packetization mode 1. The access unit delimiters that separate the frames are left out."""
    frames: list[list[bytes]] = []
    parameters: dict[int, bytes] = {}
    for unit in _units(stream):
        kind = unit[0] & 0x1F
        if kind == 9:
            frames.append([])
            continue
        if kind in (7, 8):
            parameters.setdefault(kind, unit)
        frames[-1].append(unit)
    sets = [parameters[7], parameters[8]]
    sprop = ",".join(base64.b64encode(unit).decode() for unit in sets)
    return Clip([_frame(units) for units in frames], fps, sprop, parameters[7][1:4].hex())


def _units(stream: bytes):
    at = stream.index(b"\0\0\1")
    while at >= 0:
        following = stream.find(b"\0\0\1", at + 3)
        yield stream[at + 3 : following if following >= 0 else None].rstrip(b"\0")
        at = following


def _frame(units: list[bytes]) -> Frame:
    payloads = []
    for unit in units:
        if len(unit) <= MTU:
            payloads.append(unit)
            continue
        indicator, kind = unit[0] & 0xE0 | 28, unit[0] & 0x1F
        parts = [unit[at : at + MTU - 2] for at in range(1, len(unit), MTU - 2)]
        for number, part in enumerate(parts):
            bits = (0x80 if number == 0 else 0) | (0x40 if number == len(parts) - 1 else 0)
            payloads.append(bytes([indicator, bits | kind]) + part)
    data, packets = bytearray(), []
    for number, payload in enumerate(payloads):
        packets.append(len(data))
        marker = 0x80 if number == len(payloads) - 1 else 0
        # Interleaved on channel 0; sequence number and timestamp follow when the frame is sent.
        data += struct.pack(">BBHBBHII", 0x24, 0, 12 + len(payload), 0x80, 96 | marker, 0, 0, 0x5EED) + payload
    return Frame(data, packets, any(unit[0] & 0x1F == 5 for unit in units))
