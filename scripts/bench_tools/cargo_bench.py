"""Runs one of the benchmarks written in Rust, a program that prints one JSON object on its last line."""

import json
import os
import subprocess

from .parts import CACHE, ROOT


def build(package: str) -> None:
    """The release program, which some benchmarks start."""
    environment = os.environ | {"CARGO_TARGET_DIR": _target()}
    subprocess.run(["cargo", "build", "--release", "--locked", "-p", package], cwd=ROOT, env=environment, check=True)


def _target() -> str:
    return os.environ.get("CARGO_TARGET_DIR") or str(CACHE / "target")


def run(name: str, *options: str, package: str = "gtv-edge") -> dict:
    command = ["cargo", "bench", "--locked", "-p", package, "--bench", name, "--", *options]
    environment = os.environ | {"CARGO_TARGET_DIR": _target()}
    output = subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(output.splitlines()[-1])
