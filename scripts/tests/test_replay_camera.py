"""The replay camera's packets and what counts the frames that were recorded from them."""

import hashlib
import struct
import types
from itertools import pairwise

from bench_tools.fmp4 import frames
from replay_camera.clip import packetize
from replay_camera.digest import NONCE, REALM, is_right
from replay_camera.stream import HZ, Stream

SPS, PPS = bytes([0x67, 0x64, 0, 0x28]), bytes([0x68, 0xEE])


def _stream(*pictures: bytes) -> bytes:
    units = []
    for picture in pictures:
        units += [b"\x09\xf0", *([SPS, PPS] if picture[0] & 0x1F == 5 else []), picture]
    return b"".join(b"\0\0\0\1" + unit for unit in units)


def _payloads(data: bytearray) -> list[tuple[int, int, bytes]]:
    """Sequence number with marker, timestamp and payload of each packet."""
    found, at = [], 0
    while at < len(data):
        length = struct.unpack(">H", data[at + 2 : at + 4])[0]
        kind, sequence, timestamp = struct.unpack(">BHI", data[at + 5 : at + 12])
        found.append((sequence | (kind & 0x80) << 16, timestamp, bytes(data[at + 16 : at + 4 + length])))
        at += 4 + length
    return found


def test_a_frame_becomes_packets_that_give_it_back():
    picture = bytes([0x65]) + bytes(range(1, 200)) * 20
    clip = packetize(_stream(picture, b"\x41\x9a\x01"), 25)
    assert [frame.key for frame in clip.frames] == [True, False]
    payloads = [payload for _, _, payload in _payloads(clip.frames[0].data)]
    assert payloads[:2] == [SPS, PPS] and len(payloads) > 4
    fragments = payloads[2:]
    assert fragments[0][1] & 0x80 and fragments[-1][1] & 0x40
    rebuilt = bytes([fragments[0][0] & 0xE0 | fragments[0][1] & 0x1F]) + b"".join(part[2:] for part in fragments)
    assert rebuilt == picture


def test_numbers_go_on_when_the_clip_begins_again():
    options = types.SimpleNamespace(times="good", reports="none", switch_after=0.0)
    stream = Stream(packetize(_stream(b"\x65\x88\x01", b"\x41\x9a\x01"), 25), 0.0, options)
    packets = [packet for _ in range(5) for packet in _payloads(stream.next()[1])]
    assert [sequence & 0xFFFF for sequence, _, _ in packets] == list(range(len(packets)))
    times = sorted({timestamp for _, timestamp, _ in packets})
    assert [later - time for time, later in pairwise(times)] == [HZ // 25] * 4


def test_digest_tells_right_from_wrong():
    def h(text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()

    response = h(f"{h(f'admin:{REALM}:secret')}:{NONCE}:{h('PLAY:rtsp://x/')}")
    header = f'Digest username="admin", realm="{REALM}", nonce="{NONCE}", uri="rtsp://x/", response="{response}"'
    assert is_right(header, "PLAY", "admin", "secret", "SHA-256")
    assert not is_right(header, "PLAY", "admin", "other", "SHA-256")
    assert not is_right(header, "PLAY", "admin", "secret", "MD5")


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def test_video_frames_are_counted_and_sound_is_not(tmp_path):
    def track(number: int, samples: int) -> bytes:
        head = _box(b"tfhd", struct.pack(">II", 0, number))
        return _box(b"traf", head + _box(b"trun", struct.pack(">II", 0, samples)))

    fragment = _box(b"moof", track(1, 50) + track(2, 80)) + _box(b"mdat", b"x" * 100)
    path = tmp_path / "a.mp4"
    path.write_bytes(_box(b"ftyp", b"iso6") + fragment + fragment + fragment[:-1])
    assert frames(path) == 100
