"""`gtv-edge read` over many images: what it found and how long each took, in the program that the box runs."""

import json
import subprocess
from pathlib import Path

from .parts import ROOT

MANIFEST = ROOT / "models/manifest.toml"
# Paths a call: far below the limit of a command line.
AT_ONCE = 1000


def read_images(
    binary: Path, images: list[Path], manifest: Path = MANIFEST, precision: str | None = None, threads: int = 1
) -> list[dict]:
    """One object an image, in order. An image that cannot be read ends the benchmark: figures would be of others."""
    options = ["--json", "--models", str(manifest), "--threads", str(threads)]
    options += ["--precision", precision] if precision else []
    rows = []
    for first in range(0, len(images), AT_ONCE):
        names = [str(image) for image in images[first : first + AT_ONCE]]
        command = [str(binary), "read", *options, *names]
        result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        rows += [json.loads(line) for line in result.stdout.splitlines()]
    return rows


def median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def figures_ms(rows: list[dict]) -> float:
    """Mean milliseconds from the decoded picture to the texts."""
    return round(sum(row["ms"] for row in rows) / max(len(rows), 1), 2)
