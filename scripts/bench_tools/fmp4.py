"""Counts the video frames of fragmented MP4 files without reading the media."""

import struct
from pathlib import Path


def frames(path: Path) -> int:
    """Samples of track 1 in all fragments that are whole."""
    total = waiting = 0
    with path.open("rb") as file:
        for kind, *fragment in _boxes(file, 0, path.stat().st_size):
            if kind == b"moof":
                parts = list(_boxes(file, *fragment))
                waiting = sum(_track_frames(file, *part) for kind, *part in parts if kind == b"traf")
            elif kind == b"mdat":
                total, waiting = total + waiting, 0
    return total


def _track_frames(file, start: int, end: int) -> int:
    track, samples = 0, 0
    for kind, content, _ in list(_boxes(file, start, end)):
        file.seek(content + 4)
        if kind == b"tfhd":
            track = struct.unpack(">I", file.read(4))[0]
        elif kind == b"trun":
            samples += struct.unpack(">I", file.read(4))[0]
    return samples if track == 1 else 0


def _boxes(file, at: int, end: int):
    """Kind, start of the content and end of each box."""
    while at + 8 <= end:
        file.seek(at)
        size, kind = struct.unpack(">I4s", file.read(8))
        header = 8
        if size == 1:
            size, header = struct.unpack(">Q", file.read(8))[0], 16
        if size < header or at + size > end:
            return
        yield kind, at + header, at + size
        at += size
