"""What the benchmarks share: the release build, demo cameras, a configured box, CPU and memory of a process."""

import json
import os
import re
import subprocess
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gtv"
TICKS = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def build() -> Path:
    """The release build of the daemon."""
    target = Path(os.environ.get("CARGO_TARGET_DIR") or CACHE / "target")
    environment = os.environ | {"CARGO_TARGET_DIR": str(target)}
    command = ["cargo", "build", "--release", "--locked", "-p", "gtv-edge"]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    return target / "release" / "gtv-edge"


@contextmanager
def demo_cameras(count: int, *options: str):
    """Demo cameras on free ports; yields what they announced."""
    command = [str(ROOT / "scripts/demo-camera"), "--count", str(count), "--no-discovery", "--rtsp-port", "0"]
    command += ["--onvif-port", "0", "--control-port", "0", "--seconds", "1800", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()


class Box:
    """A running gtv-edge whose cameras are the demo cameras."""

    def __init__(self, binary: Path, cameras: dict, sections: str = "", lpr: bool = False, stream: str = "main"):
        self.folder = tempfile.TemporaryDirectory(prefix="gtv-bench-")
        root = Path(self.folder.name)
        self.config = root / "config.toml"
        self.binary = binary
        lines = [
            f'data_dir = "{root}/data"',
            '[web]\nlisten = "127.0.0.1:0"',
            '[log]\nfilter = "warn,gtv_edge::cmd=info"\nformat = "json"',
            '[record]\nmin_free = "256 MiB"',
            f'[lpr]\nenabled = {str(lpr).lower()}\nmanifest = "{ROOT}/models/manifest.toml"',
            sections,
        ]
        for camera in cameras["cameras"]:
            lines.append(
                f'[[camera]]\nid = "camera-{camera["index"]}"\nname = "camera {camera["index"]}"\n'
                f'main_url = "{camera["main"]}"\nusername = "{cameras["user"]}"\npassword = "{cameras["password"]}"\n'
                f'lpr = "{stream if lpr else "off"}"'
            )
            # A stream that the box knows is connected, and costs what the other benchmarks must not pay.
            if stream == "sub":
                lines.append(f'sub_url = "{camera["sub"]}"')
        self.config.write_text("\n".join(lines) + "\n")
        self.process = None
        self.started = 0.0

    def start(self) -> None:
        self.log = open(Path(self.folder.name) / "log", "w+")  # noqa: SIM115 - lives as long as the box
        self.started = time.time()
        command = [str(self.binary), "--config", str(self.config), "run"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log, text=True)
        self.page = self._page()

    def _page(self) -> str:
        deadline = time.time() + 30
        while time.time() < deadline:
            found = re.search(r'"address":"([^"]+)"', Path(self.log.name).read_text())
            if found:
                return f"http://{found.group(1)}"
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise RuntimeError(f"gtv-edge does not serve its page:\n{Path(self.log.name).read_text()}")

    def metric(self, name: str) -> float:
        """Sum of a counter over its labels."""
        text = get_text(f"{self.page}/metrics")
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if re.match(rf"{name}[ {{]", line))

    def stop(self) -> dict:
        """Ends in order; the daemon's own summary."""
        self.process.terminate()
        output, _ = self.process.communicate(timeout=60)
        return json.loads(output.splitlines()[-1])

    def clean(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.folder.cleanup()


def get_text(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


def get_json(url: str) -> dict:
    return json.loads(get_text(url))


def post_json(url: str, body: dict) -> None:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=10).close()


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, children that have ended not counted."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES
