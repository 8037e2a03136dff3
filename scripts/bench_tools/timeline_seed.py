"""A day of sixteen cameras, written past the recorder: one clip a minute, the same file under many names."""

import hashlib
import json
import os
import random
import sqlite3
import struct
import subprocess
import uuid
from datetime import UTC, datetime
from pathlib import Path

SECOND = 1_000_000
MINUTE = 60 * SECOND
GROUP_S = 2
REASONS = (
    "the camera did not answer; check power and network",
    "the camera sent nothing for 8 s; it may be restarting",
    "the box was switched off",
)


def clip(folder: Path) -> Path:
    """One minute of 720p with a running clock in the picture, a fragment each two seconds, as a camera's file is."""
    path = folder / "clip.mp4"
    command = ["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=15", "-t", "60"]
    command += ["-c:v", "libx264", "-preset", "veryfast", "-b:v", "1M", "-pix_fmt", "yuv420p", "-bf", "0"]
    command += ["-g", str(15 * GROUP_S), "-sc_threshold", "0", "-video_track_timescale", "90000"]
    command += ["-movflags", "frag_keyframe+empty_moov+default_base_moof+omit_tfhd_offset", str(path)]
    subprocess.run(command, check=True)
    return path


def pieces(path: Path) -> tuple[bytes, list[tuple[int, int]]]:
    """The init segment, and offset and size of each fragment."""
    data = path.read_bytes()
    head, fragments, at, begin = b"", [], 0, 0
    while at + 8 <= len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        if kind in (b"ftyp", b"moov"):
            head += data[at : at + size]
        elif kind == b"moof":
            begin = at
        elif kind == b"mdat":
            fragments.append((begin, at + size - begin))
        at += size
    return head, fragments


def seed(data_dir: Path, cameras: list[str], end_us: int, hours: int, passages: int, seed_number: int) -> dict:
    """Fills the database of a box that was started once and is stopped; how many rows of each kind."""
    chance = random.Random(seed_number)
    source = clip(data_dir)
    head, fragments = pieces(source)
    init = hashlib.sha256(head).hexdigest()
    database = sqlite3.connect(data_dir / "gtv.db")
    database.execute("PRAGMA synchronous = OFF")
    mime = 'video/mp4; codecs="avc1.64001f"'
    database.execute("INSERT OR IGNORE INTO inits VALUES (?, ?, ?, 'h264', 1280, 720)", (init, head, mime))
    start_us = end_us - hours * 60 * MINUTE
    counts = {"segments": 0, "fragments": 0, "gaps": 0, "detections": 0, "alerts": 0}
    for number, camera in enumerate(cameras):
        folder = data_dir / "recordings" / camera / "main"
        holes = sorted((start_us + chance.randrange(hours * 60) * MINUTE, chance.randint(1, 9)) for _ in range(6))
        missing = {at + n * MINUTE: REASONS[i % 3] for i, (at, long) in enumerate(holes) for n in range(long)}
        for minute in range(hours * 60):
            begin = start_us + minute * MINUTE
            if begin in missing:
                _gap(database, camera, begin, missing[begin])
                counts["gaps"] += 1
                continue
            counts["segments"] += 1
            counts["fragments"] += len(fragments)
            _segment(database, data_dir, folder, camera, begin, init, source, fragments)
        for n in range(passages):
            at = start_us + chance.randrange(hours * 3600 * SECOND) // 64 * 64 + number
            detection = _passage(database, camera, at, chance)
            counts["detections"] += 1
            if n % 40 == 0:
                _alert(database, camera, at, detection)
                counts["alerts"] += 1
    database.commit()
    database.close()
    return counts


def _segment(database, data_dir, folder, camera, begin, init, source, fragments) -> None:
    time = datetime.fromtimestamp(begin / SECOND, UTC)
    path = folder / time.strftime("%Y-%m-%d") / f"{time.strftime('%H%M%S')}-{begin % SECOND:06}.mp4"
    path.parent.mkdir(parents=True, exist_ok=True)
    os.link(source, path)
    size = source.stat().st_size
    row = database.execute(
        'INSERT INTO segments (camera, stream, path, init_id, start, "end", bytes, frames, closed, sha256)'
        " VALUES (?, 'main', ?, ?, ?, ?, ?, 900, 1, ?)",
        (camera, str(path.relative_to(data_dir)), init, begin, begin + MINUTE, size, "0" * 64),
    )
    step = GROUP_S * SECOND
    rows = [
        (row.lastrowid, at, size, begin + n * step, step, 15 * GROUP_S, 1) for n, (at, size) in enumerate(fragments)
    ]
    database.executemany("INSERT INTO fragments VALUES (?, ?, ?, ?, ?, ?, ?)", rows)


def _gap(database, camera, begin, reason) -> None:
    database.execute(
        "INSERT INTO gaps (camera, stream, start, \"end\", reason) VALUES (?, 'main', ?, ?, ?)",
        (camera, begin, begin + MINUTE, reason),
    )


def _passage(database, camera, at, chance) -> bytes:
    plate = "".join(chance.choices("ABCDEFGH", k=3)) + "".join(chance.choices("0123456789", k=4))
    number = database.execute("SELECT coalesce(max(n) + 1, ?) FROM detections WHERE n = ?", (at, at)).fetchone()[0]
    detection = uuid.UUID(int=chance.getrandbits(128), version=4).bytes
    quad = "[[1,2],[3,2],[3,4],[1,4]]"
    database.execute(
        "INSERT OR IGNORE INTO detections (n, id, camera, plate, layout, confidence, alternatives, first_seen,"
        " last_seen, best_at, quad, bbox, frame_width, frame_height, reads, single, slots, search)"
        " VALUES (?, ?, ?, ?, 'br-old', 0.97, '[]', ?, ?, ?, ?, '[1,2,3,4]', 1280, 720, 7, 0, 'null', ?)",
        (number, detection, camera, plate, at - SECOND, at + SECOND, at, quad, plate),
    )
    return detection


def _alert(database, camera, at, detection) -> None:
    detail = {"watchlist": "Stolen", "plate": "ABC1234", "matched": "ABC1234", "match": "exact", "reason": "theft"}
    database.execute(
        "INSERT INTO alerts VALUES (?, ?, 'watchlist-hit', 'critical', ?, ?, 'A listed vehicle', ?, NULL, NULL)",
        (str(uuid.uuid4()), at, camera, detection, json.dumps(detail)),
    )
