"""Measures detector and reader end to end: `python models/evaluate.py --data DIR [--sets bench-br,...] [--json]`.

Per set, counted as `scripts/bench lpr --accuracy` does: found (IoU > 0.4 with the true box), strict (a found result's
text is equal; br under the Brazilian grammar), folded (equal with O as 0), false reads (found but wrong even so; in
sets without plates all that are reported). What the reader takes for no readable plate (`plate_threshold`) is not
reported. This is the reference pipeline; the bench runs the program of the box.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

from lpr_train.pipeline import Candidate, PlateDetector, PlateReader, Reading, iou, load

HIT_IOU = 0.4
SETS = ("bench-br", "bench-eu", "bench-us", "negatives")


@dataclass
class Result:
    name: str
    total: int = 0
    found: int = 0
    strict: int = 0
    folded: int = 0
    false_reads: int = 0
    mean_iou: float = 0.0
    detect_ms: float = 0.0
    read_ms: float = 0.0
    failures: list[str] = field(default_factory=list)


def fold(text: str) -> str:
    return text.replace("O", "0")


def readings(
    image: np.ndarray, found: list[Candidate], threshold: float, reader: PlateReader | None, brazilian: bool | None
) -> list[Reading]:
    """What the reader makes of the candidates, without what it takes for no plate and weak ones it is not sure of."""
    if reader is None:
        return [Reading(c, "", 0.0, "", np.empty(0)) for c in found]
    each = [reader.read(image, c, brazilian) for c in found]
    certain = reader.spec.get("weak_certain", 0.9)
    return [
        r
        for r in each
        if r.plate >= reader.spec.get("plate_threshold", 0.0)
        and (r.candidate.score >= threshold or r.confidence ** len(r.text) >= certain)
    ]


def evaluate(folder: Path, detector: PlateDetector, reader: PlateReader | None) -> Result:
    result = Result(folder.name)
    brazilian = folder.name.endswith("-br")
    overlaps: list[float] = []
    candidates = 0
    threshold = detector.spec["threshold"]
    # Without a reader nobody vouches for the weak ones.
    weakest = min(threshold, detector.spec.get("weak_threshold", threshold)) if reader else threshold
    for line in (folder / "labels.jsonl").read_text().splitlines():
        row = json.loads(line)
        image = cv2.imread(str(folder / row["file"]))
        if image is None:
            raise SystemExit(f"{folder / row['file']}: not a readable image")
        image = np.ascontiguousarray(image[:, :, ::-1])
        result.total += 1
        began = time.perf_counter()
        found = detector.detect(image, weakest)
        result.detect_ms += (time.perf_counter() - began) * 1000
        truth = np.array(row["box"], np.float64) if "box" in row else None
        began = time.perf_counter()
        read = readings(image, found, threshold, reader, brazilian if truth is not None else None)
        result.read_ms += (time.perf_counter() - began) * 1000
        candidates += len(found)
        if truth is None:
            result.false_reads += len(read)
            for r in read[:1]:
                scores = f"score {r.candidate.score:.2f}, plate {r.plate:.2f}"
                result.failures.append(f"{row['file']}: plate {r.text} where none is, {scores}")
            continue
        hits = [r for r in read if iou(r.candidate.box, truth) > HIT_IOU]
        if not hits:
            scores = ", ".join(f"{c.score:.2f} IoU {iou(c.box, truth):.2f}" for c in found[:3])
            result.failures.append(f"{row['file']}: {row['text']} not found ({scores or 'nothing'})")
            continue
        result.found += 1
        overlaps.append(max(iou(r.candidate.box, truth) for r in hits))
        if reader is None:
            continue
        texts = [r.text for r in hits]
        result.strict += row["text"] in texts
        if fold(row["text"]) in map(fold, texts):
            result.folded += 1
        else:
            result.false_reads += 1
            result.failures.append(f"{row['file']}: {row['text']} read as {texts[0]} (IoU {overlaps[-1]:.2f})")
    result.mean_iou = float(np.mean(overlaps)) if overlaps else 0.0
    result.detect_ms /= max(result.total, 1)
    result.read_ms /= max(candidates, 1)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with bench-br, bench-eu, bench-us, negatives")
    parser.add_argument("--manifest", type=Path, default=Path(__file__).resolve().parent / "manifest.toml")
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--int8", action="store_true", help="the INT8 twins where the manifest names any")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")
    args = parser.parse_args()
    detector, reader = load(args.manifest, args.int8)
    cv2.setNumThreads(1)
    results = [evaluate(args.data / name, detector, reader) for name in args.sets.split(",")]
    if args.json:
        print(json.dumps({r.name: asdict(r) for r in results}))
        return
    for r in results:
        for failure in r.failures:
            print(f"{r.name}  {failure}")
    for r in results:
        print(
            f"{r.name}: {r.total} images, found {r.found}, exact {r.strict}, exact with O=0 {r.folded}, "
            f"false reads {r.false_reads}, mean IoU {r.mean_iou:.3f}, "
            f"detect {r.detect_ms:.1f} ms, read {r.read_ms:.1f} ms"
        )


if __name__ == "__main__":
    main()
