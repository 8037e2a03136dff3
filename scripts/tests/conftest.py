"""Starts demo cameras for the tests: a short, small scene and free ports."""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(SCRIPTS))
SYSTEM_PYTHON = "/usr/bin/python3"
FREE_PORTS = ["--rtsp-port", "0", "--onvif-port", "0", "--control-port", "0"]
SMALL = ["--scene-seconds", "4", "--size", "640x360"]


class DemoCamera:
    """A running demo camera and its first line."""

    def __init__(self, *arguments: str) -> None:
        command = [SYSTEM_PYTHON, str(SCRIPTS / "demo-camera"), *FREE_PORTS, *SMALL, "--seconds", "120", *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        self.info = json.loads(line)
        self.cameras = self.info["cameras"]

    def get(self, path: str) -> dict:
        with urllib.request.urlopen(self.info["control"] + path, timeout=5) as answer:
            return json.load(answer)

    def stats(self, index: int = 0) -> dict:
        return self.get("/stats")["cameras"][index]

    def fault(self, text: str, camera: int | None = None) -> dict:
        body = json.dumps({"fault": text, "camera": camera}).encode()
        request = urllib.request.Request(self.info["control"] + "/fault", data=body, method="POST")
        with urllib.request.urlopen(request, timeout=8) as answer:
            return json.load(answer)

    def rtsp(self, stream: str = "main", index: int = 0, password: str | None = None) -> str:
        user, secret = self.info["user"], password or self.info["password"]
        return self.cameras[index][stream].replace("rtsp://", f"rtsp://{user}:{secret}@")

    def stop(self) -> int:
        self.process.terminate()
        try:
            return self.process.wait(30)
        finally:
            self.process.kill()
            self.process.stdout.close()
            self.process.stderr.close()


@pytest.fixture(scope="module")
def start_camera():
    """A function that starts a camera with further arguments; all are stopped at the end of the module."""
    running = []

    def start(*arguments: str) -> DemoCamera:
        running.append(DemoCamera(*arguments))
        return running[-1]

    yield start
    for camera in running:
        if camera.process.poll() is None:
            camera.stop()
