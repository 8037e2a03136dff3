"""Runs one of the benchmarks written in Rust, a program that prints one JSON object on its last line."""

import json
import os
import subprocess

from .parts import CACHE, ROOT


def run(name: str, *options: str, package: str = "gtv-edge") -> dict:
    target = os.environ.get("CARGO_TARGET_DIR") or str(CACHE / "target")
    command = ["cargo", "bench", "--locked", "-p", package, "--bench", name, "--", *options]
    environment = os.environ | {"CARGO_TARGET_DIR": target}
    output = subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(output.splitlines()[-1])
