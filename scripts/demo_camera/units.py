"""Reads an encoded file into access units that every camera shares and replays without copying."""

from dataclasses import dataclass
from pathlib import Path

from .gst import Gst

NS = 1_000_000_000


class MediaError(RuntimeError):
    """An encoded file that cannot be read; the text names it."""


@dataclass(frozen=True)
class Unit:
    """One access unit; times in nanoseconds from the start of the loop."""

    buffer: object
    pts_ns: int
    dts_ns: int
    key: bool
    size: int


@dataclass(frozen=True)
class Track:
    """A loop of access units with what is needed to send it over RTP."""

    units: list[Unit]
    loop_ns: int
    caps: str
    payloader: str
    clock_rate: int
    codec: str

    def last_key(self, count: int) -> int:
        """The newest key unit at or before absolute unit `count` (which runs on across loops)."""
        size = len(self.units)
        while not self.units[count % size].key:
            count -= 1
        return count

    def dts_ns(self, count: int) -> int:
        loop, index = divmod(count, len(self.units))
        return loop * self.loop_ns + self.units[index].dts_ns

    def pts_ns(self, count: int) -> int:
        loop, index = divmod(count, len(self.units))
        return loop * self.loop_ns + self.units[index].pts_ns

    def due_before(self, at_ns: int) -> int:
        """Number of units whose decode time is at or before `at_ns` after the epoch."""
        loop, rest = divmod(at_ns, self.loop_ns)
        low, high = 0, len(self.units)
        while low < high:
            middle = (low + high) // 2
            if self.units[middle].dts_ns <= rest:
                low = middle + 1
            else:
                high = middle
        return loop * len(self.units) + low


# codec: (chain after the demuxer, caps set on the source, payloader, RTP clock)
_PARSE = {
    "h264": (
        "h264parse config-interval=-1 ! video/x-h264,stream-format=byte-stream,alignment=au",
        "rtph264pay config-interval=-1 aggregate-mode=none",
        90000,
    ),
    "h265": (
        "h265parse config-interval=-1 ! video/x-h265,stream-format=byte-stream,alignment=au",
        "rtph265pay config-interval=-1 aggregate-mode=none",
        90000,
    ),
    "mjpeg": ("jpegparse ! image/jpeg", "rtpjpegpay", 90000),
    "aac": ("aacparse ! audio/mpeg,stream-format=raw", "rtpmp4gpay", 16000),
}


def load_video(path: Path, codec: str, fps: int) -> Track:
    """Video access units in decoding order, evenly spaced: one each 1/fps whatever the container rounds."""
    chain, payloader, rate = _PARSE[codec]
    samples, caps = _read(path, f"qtdemux ! queue ! {chain}")
    order = {index: rank for rank, index in enumerate(sorted(range(len(samples)), key=lambda i: samples[i].pts))}
    # B-frames are sent before the frames shown ahead of them: the delay keeps presentation after decoding.
    delay = max(index - rank for index, rank in order.items())
    units = []
    for index, buffer in enumerate(samples):
        key = not buffer.has_flags(Gst.BufferFlags.DELTA_UNIT)
        # Rounded up, the RTP clock of 90 kHz gets whole multiples of its frame step.
        pts, dts = -(-(order[index] + delay) * NS // fps), -(-index * NS // fps)
        units.append(Unit(buffer, pts, dts, key, buffer.get_size()))
    return Track(units, len(units) * NS // fps, caps, payloader, rate, codec)


def load_audio(path: Path, codec: str) -> Track:
    if codec == "pcmu":
        return _load_mulaw(path)
    chain, payloader, rate = _PARSE[codec]
    samples, caps = _read(path, f"qtdemux ! queue ! {chain}")
    step = 1024 * NS // rate
    units = [Unit(b, i * step, i * step, True, b.get_size()) for i, b in enumerate(samples)]
    return Track(units, len(units) * step, caps, payloader, rate, codec)


def _load_mulaw(path: Path) -> Track:
    data = path.read_bytes()
    start = data.index(b"data") + 8
    block, step = 320, 40_000_000
    units = []
    for index in range((len(data) - start) // block):
        buffer = Gst.Buffer.new_wrapped(data[start + index * block : start + (index + 1) * block])
        units.append(Unit(buffer, index * step, index * step, True, block))
    return Track(units, len(units) * step, "audio/x-mulaw,rate=8000,channels=1", "rtppcmupay", 8000, "pcmu")


def _read(path: Path, chain: str) -> tuple[list, str]:
    pipeline = Gst.parse_launch(f'filesrc location="{path}" ! {chain} ! appsink name=out sync=false max-buffers=64')
    out = pipeline.get_by_name("out")
    pipeline.set_state(Gst.State.PLAYING)
    samples, caps = [], ""
    while (sample := out.emit("pull-sample")) is not None:
        caps = caps or sample.get_caps().to_string()
        samples.append(sample.get_buffer())
    message = pipeline.get_bus().pop_filtered(Gst.MessageType.ERROR)
    pipeline.set_state(Gst.State.NULL)
    if message is not None or not samples:
        reason = message.parse_error()[0].message if message else "it holds no frames"
        raise MediaError(f"{path}: cannot be read: {reason}; delete its folder to have it rendered again")
    return samples, caps
