"""One live stream that many cameras share: which frame is due, and its packets with their numbers and times."""

import struct
import time

from .clip import Clip, Frame

HZ = 90_000
#: Seconds between 1900, where NTP counts from, and 1970.
NTP_EPOCH_S = 2_208_988_800
REPORT_S = 5.0


class Stream:
    """Frames at a steady rate since `epoch` (monotonic seconds)."""

    def __init__(self, clip: Clip, epoch: float, options, following: Clip | None = None) -> None:
        self._clip, self._following, self._options = clip, following, options
        self._epoch, self._count, self._sequence = epoch, 0, 0
        self._switch_at = epoch + options.switch_after if following else None
        self._index = 0
        self._next_report = epoch
        # Close to the end of the 32 bits where that is asked for: it is passed after two seconds.
        self._base = 0xFFFF_FFFF - 2 * HZ if options.times == "wrap" else 1_000_000

    @property
    def due(self) -> float:
        """When the next frame is to be sent."""
        return self._epoch + self._count / self._clip.fps

    def next(self) -> tuple[Frame, bytearray]:
        """The frame that is due with its packets, which stay valid until the next call."""
        if self._switch_at and self.due >= self._switch_at and self._clip.frames[self._index].key:
            self._clip, self._index, self._switch_at = self._following, 0, None
        frame = self._clip.frames[self._index]
        self._index = (self._index + 1) % len(self._clip.frames)
        timestamp = self._timestamp() & 0xFFFF_FFFF
        for at in frame.packets:
            struct.pack_into(">HI", frame.data, at + 6, self._sequence, timestamp)
            self._sequence = (self._sequence + 1) & 0xFFFF
        data, due = frame.data, self.due
        self._count += 1
        if due >= self._next_report and self._options.reports != "none":
            self._next_report += REPORT_S
            data = data + self._report(timestamp)
        return frame, data

    def _timestamp(self) -> int:
        now = self._base + self._count * HZ // self._clip.fps
        after_3_s = self._count >= 3 * self._clip.fps
        match self._options.times:
            case "hours-off" if after_3_s and self._count % 50 == 7:
                return now - 5 * 3600 * HZ
            case "back" if after_3_s:
                return now - 3600 * HZ
            case "twice" if self._count % 10 == 3:
                return now - HZ // self._clip.fps
        return now

    def _report(self, timestamp: int) -> bytes:
        ntp = int((time.time() + NTP_EPOCH_S) * 2**32)
        if self._options.reports == "absurd":
            ntp, timestamp = 0xFFFF_FFFF_FFFF_FFFF, (timestamp + 0x7000_0000) & 0xFFFF_FFFF
        report = struct.pack(">BBHIQIII", 0x80, 200, 6, 0x5EED, ntp & 2**64 - 1, timestamp, 0, 0)
        return struct.pack(">BBH", 0x24, 1, len(report)) + report
