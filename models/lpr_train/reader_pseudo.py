"""Labels the crops that came without a sure text, with a trained reader, and keeps those two readings agree on.

`python -m lpr_train.reader_pseudo --config models/config/reader.toml --data DIR --out POOL --onnx FILE` writes
POOL/pool-pseudo.npz, which reader_train then draws from. A crop is read along its own frame, the characters of
that text are registered to it, and it is read again along the corners found: a wrong text rarely survives both.
"""

import argparse
import json
import tomllib
from pathlib import Path

import cv2
import numpy as np

from .reader_augment import rectify
from .reader_export import session
from .reader_labels import ALPHABET, SLOTS
from .reader_pool import collect, frame_of, old_brazilian
from .reader_rectify import plausible, register
from .reader_score import masked_text


def certainty(slots: np.ndarray, text: str) -> float:
    """The least probable character of `text` (slots [9, 37])."""
    padded = text + "_" * (SLOTS - len(text))
    return float(min(slots[i, ALPHABET.index(c)] for i, c in enumerate(padded)))


def pseudo_label(data: Path, run, minimum_score: float, minimum_certainty: float):
    """Pool entries of the crops-br pictures without a sure text."""
    crops = [json.loads(line) for line in (data / "crops-br" / "labels.jsonl").open()]
    wanted = [c["file"] for c in crops if c["label"] in ("none", "guess")]
    for file in wanted:
        image = cv2.imread(str(data / "crops-br" / file))
        if image is None:
            raise FileNotFoundError(
                f"{data / 'crops-br' / file}: unreadable picture; check the copy of the data folder"
            )
        image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        first = run.run(["slots"], {"plates": rectify(image, frame_of(image))[None]})[0][0]
        text = masked_text(first, ("LLLNNNN",))
        if certainty(first, text) < 0.1:
            continue
        found = register(image, text)
        if found is None or not plausible(found, image.shape, minimum_score):
            continue
        second = run.run(["slots"], {"plates": rectify(image, found.quad)[None]})[0][0]
        if masked_text(second, ("LLLNNNN",)) == text and certainty(second, text) >= minimum_certainty:
            yield old_brazilian(image, found.quad, text)


def main() -> None:
    parser = argparse.ArgumentParser(description="label crops with a trained reader")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder of the pools")
    parser.add_argument("--onnx", type=Path, required=True)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    with args.config.open("rb") as file:
        pools = tomllib.load(file)["pool"]
    entries = list(
        pseudo_label(args.data, session(args.onnx), pools["register_score_guess"], pools["pseudo_certainty"])
    )
    if not entries:
        raise SystemExit(
            f"{args.onnx}: labels no crop of {args.data / 'crops-br'} with certainty; train it further first"
        )
    collect(entries).save(args.out / "pool-pseudo.npz")
    print(f"{len(entries)} crops labelled")


if __name__ == "__main__":
    main()
