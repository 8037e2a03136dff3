"""Keeps the SHA-256 of a model file in manifest.toml current; everything else in the manifest is written by hand."""

from __future__ import annotations

import argparse
import hashlib
import re
from pathlib import Path


def update_hash(manifest: Path, table: str, model: Path, key: str = "sha256") -> None:
    """Set `key` of `[table]` to the SHA-256 of `model`."""
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    text = manifest.read_text()
    pattern = re.compile(rf"(^\[{re.escape(table)}\]$(?:(?!^\[).)*?^{key} = )\"[0-9a-f]*\"", re.MULTILINE | re.DOTALL)
    changed, count = pattern.subn(rf'\g<1>"{digest}"', text, count=1)
    if count != 1:
        raise SystemExit(f'{manifest}: no line `{key} = "..."` in table [{table}]; add one and run this again')
    manifest.write_text(changed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("table", choices=["detector", "reader"])
    parser.add_argument("model", type=Path)
    args = parser.parse_args()
    update_hash(args.manifest, args.table, args.model)


if __name__ == "__main__":
    main()
