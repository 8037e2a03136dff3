"""Sends the shared access units into each open RTSP session when the wall clock says they are due."""

import heapq
import itertools
import random
import threading
import time

from .faults import JUMP_S
from .gst import Gst
from .units import NS

#: Pipeline time zero lies this far before the start of the loop, so that no timestamp is ever negative.
LEAD_NS = 10 * NS
#: A session that plays within this time of DESCRIBE gets every frame since the key frame it was primed with.
CATCH_UP_NS = 2 * NS + NS // 2


class Feed:
    """One track of one open RTSP media: what was sent, what comes next, and which fault applies."""

    def __init__(self, camera, stream, track, source) -> None:
        self.camera, self.stream, self.track, self.source = camera, stream, track, source
        self.playing_since_ns: int | None = None
        self.primed = False
        self.next_count = 0
        self.closed = False
        self.queued = False
        self._random = random.Random(camera.index)

    def prime(self, now_ns: int) -> None:
        """Pushes the newest key unit: the server needs one to describe the stream, the client to start at once."""
        count = max(0, self.track.due_before(now_ns - self.camera.epoch_ns) - 1)
        count = self.track.last_key(count)
        self._push(count, now_ns)
        self.next_count = count + 1
        self.primed = True

    def play(self, now_ns: int) -> None:
        self.playing_since_ns = now_ns
        if now_ns - self.camera.epoch_ns - self.track.dts_ns(self.next_count) > CATCH_UP_NS:
            due = self.track.due_before(now_ns - self.camera.epoch_ns)
            self.next_count = max(self.next_count, self.track.last_key(max(0, due - 1)))

    def due_ns(self) -> int:
        """Monotonic time at which the next unit leaves."""
        return self.camera.epoch_ns + self.track.dts_ns(self.next_count)

    def send_next(self, now_ns: int) -> None:
        count, self.next_count = self.next_count, self.next_count + 1
        stall = self.camera.faults.get("stall-after")
        if stall and now_ns - self.playing_since_ns >= stall.value * NS:
            self.stream.units_held_back += 1
            return
        self._push(count, now_ns)

    def _push(self, count: int, now_ns: int) -> None:
        unit = self.track.units[count % len(self.track.units)]
        buffer = self._corrupt(unit) or unit.buffer.copy_region(Gst.BufferCopyFlags.MEMORY, 0, unit.size)
        shift = LEAD_NS + self._jump_ns(now_ns)
        buffer.pts = self.track.pts_ns(count) + shift
        buffer.dts = self.track.dts_ns(count) + shift
        if not unit.key:
            buffer.set_flags(Gst.BufferFlags.DELTA_UNIT)
        if self.source.emit("push-buffer", buffer) != Gst.FlowReturn.OK:
            self.closed = True
            return
        self.stream.count(self.track, unit)

    def _jump_ns(self, now_ns: int) -> int:
        fault = self.camera.faults.get("timestamps")
        if not fault or self.playing_since_ns is None or now_ns - self.playing_since_ns < fault.value * NS:
            return 0
        seconds = JUMP_S[fault.mode]
        if seconds < 0:
            # RTP time has 32 bits: almost one turn ahead is the wanted step back, without negative time here.
            seconds += 2**32 / self.track.clock_rate
        return int(seconds * NS) + 1

    def _corrupt(self, unit):
        """A unit of random bytes: the receiver gets impossible NAL types, broken fragments and bad slices."""
        fault = self.camera.faults.get("garbage")
        if not fault or self.playing_since_ns is None or self._random.random() >= fault.value:
            return None
        self.stream.units_corrupted += 1
        noise = self._random.randbytes(unit.size)
        if self.track.codec in ("h264", "h265"):
            # Start codes stay, so that the payloader cuts the noise into NAL units of every type.
            noise = b"\0\0\0\1".join(noise[i : i + 900] for i in range(0, len(noise), 900))
            noise = b"\0\0\0\1" + noise
        elif self.track.codec == "mjpeg":
            # The payloader needs the picture's own headers: the noise replaces the entropy-coded second half.
            noise = unit.buffer.extract_dup(0, unit.size // 2) + noise[unit.size // 2 :].replace(b"\xff", b"\0")
        return Gst.Buffer.new_wrapped(noise)


class Player:
    """One thread for all cameras: sleeps until the next unit of any feed is due."""

    def __init__(self) -> None:
        self._heap: list = []
        self._order = itertools.count()
        self._wake = threading.Condition()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="player", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        with self._wake:
            self._stopped = True
            self._wake.notify()
        self._thread.join(1)

    def add(self, feed: Feed) -> None:
        with self._wake:
            if not feed.queued:
                feed.queued = True
                heapq.heappush(self._heap, (feed.due_ns(), next(self._order), feed))
                self._wake.notify()

    def _run(self) -> None:
        while True:
            with self._wake:
                if self._stopped:
                    return
                now = time.monotonic_ns()
                if not self._heap or self._heap[0][0] > now:
                    self._wake.wait((self._heap[0][0] - now) / NS if self._heap else None)
                    continue
                _, order, feed = heapq.heappop(self._heap)
                if feed.closed or feed.playing_since_ns is None:
                    feed.queued = False
                    continue
            feed.send_next(now)
            with self._wake:
                heapq.heappush(self._heap, (feed.due_ns(), order, feed))
