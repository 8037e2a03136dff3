"""Replay cameras for the benchmarks: one lean process that sends few encoded clips as many cameras."""

import json
import subprocess
from contextlib import contextmanager

from .parts import ROOT, cpu_seconds

#: Clips that differ, and moments of a group of pictures at which cameras send their key frames.
CLIPS, PHASES = 4, 16


class Replay:
    """The running process."""

    def __init__(self, process: subprocess.Popen, ready: dict, count: int) -> None:
        self._process = process
        base = ready["url"].rsplit("/", 1)[0]
        cameras = [{"index": number, "main": f"{base}/{number}", "sub": f"{base}/{number}"} for number in range(count)]
        #: As `parts.Box` takes it.
        self.cameras = {"cameras": cameras, "user": "", "password": ""}

    def order(self, text: str) -> None:
        self._process.stdin.write(text + "\n")
        self._process.stdin.flush()

    def stats(self) -> dict:
        self.order("stats")
        return json.loads(self._process.stdout.readline())

    def cpu_seconds(self) -> float:
        return cpu_seconds(self._process.pid)


@contextmanager
def replay_cameras(count: int):
    command = [str(ROOT / "scripts/replay-camera"), "--clips", str(CLIPS), "--phases", str(PHASES)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Replay(process, json.loads(process.stdout.readline()), count)
        finally:
            process.terminate()
