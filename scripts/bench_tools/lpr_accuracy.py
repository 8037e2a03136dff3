"""Plates read right in labelled images, by the program that runs on the box.

A set is a folder whose `labels.jsonl` has an object an image with `file` and, where there is a plate, `box` and `text`;
`bench-br` is called `br`. Per set:

- `total`: images. `found`: the labelled plate was reported with IoU > 0.4.
- `strict`: such a report has the very text. `folded`: it has when the letter O counts as the digit 0.
- `false_reads`: labelled plates that were found but read wrong even so; in a set without labelled plates, all plates
  reported. What is reported elsewhere in an image with one labelled plate is not counted: it may be another vehicle.
"""

import json
import sys
from pathlib import Path

from .parts import ROOT
from .stills import figures_ms, read_images

HIT_IOU = 0.4
DATA = ROOT.parent / "shared/lpr"
SETS = ("bench-br", "bench-eu", "bench-us", "negatives")


def measure(binary: Path, args) -> dict:
    sets, failures = {}, []
    for name in args.sets or SETS:
        folder = Path(name) if Path(name).is_dir() else args.data / name
        if not (folder / "labels.jsonl").exists():
            raise SystemExit(f"{folder}/labels.jsonl is not there; name the folder of the sets with --data")
        key = folder.name.removeprefix("bench-")
        sets[key], missed = one_set(binary, folder, args)
        failures += [f"{key}  {line}" for line in missed]
    if args.failures:
        print("\n".join(failures), file=sys.stderr if args.json else sys.stdout)
    return {"sets": sets}


def one_set(binary: Path, folder: Path, args) -> tuple[dict, list[str]]:
    labels = [json.loads(line) for line in (folder / "labels.jsonl").read_text().splitlines()]
    labelled = [label for label in labels if "text" in label and "box" in label]
    # Sets made for training have boxes only: nothing can be said about their texts.
    labels = labelled or [label for label in labels if not label.keys() & {"box", "boxes", "quads", "text"}]
    rows = read_images(binary, [folder / label["file"] for label in labels], args.models, args.precision)
    counts = {"total": len(labels), "found": 0, "strict": 0, "folded": 0, "false_reads": 0}
    failures = []
    for label, row in zip(labels, rows, strict=True):
        score = judge(label, row["plates"])
        for name in counts.keys() - {"total"}:
            counts[name] += score[name]
        if score["failure"]:
            failures.append(f"{label['file']}: {score['failure']}")
    return counts | {"ms_per_image": figures_ms(rows)}, failures


def judge(label: dict, plates: list[dict]) -> dict:
    """What one image adds to the counts, and in words what went wrong."""
    score = {"found": 0, "strict": 0, "folded": 0, "false_reads": 0, "failure": ""}
    if "box" not in label:
        texts = ", ".join(f"{p['text']} ({p['confidence']:.2f})" for p in plates)
        return score | {"false_reads": len(plates), "failure": f"no plate is there, but {texts}" if plates else ""}
    truth = label["text"]
    hits = [p["text"] for p in plates if iou(p["box"], label["box"]) > HIT_IOU]
    if not hits:
        near = ", ".join(f"{p['text']} with IoU {iou(p['box'], label['box']):.2f}" for p in plates[:3])
        return score | {"failure": f"{truth} not found ({near or 'nothing'})"}
    strict, folded = truth in hits, fold(truth) in map(fold, hits)
    failure = "" if folded else f"{truth} read as {', '.join(hits)}"
    return {"found": 1, "strict": strict, "folded": folded, "false_reads": not folded, "failure": failure}


def fold(text: str) -> str:
    return text.replace("O", "0")


def iou(a: list[float], b: list[float]) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    common = width * height
    return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)


def words(result: dict) -> str:
    lines = [f"{'set':<12}{'images':>8}{'found':>8}{'exact':>8}{'O=0':>8}{'false':>8}{'ms':>8}"]
    for name, counts in result["sets"].items():
        figures = [counts[key] for key in ("total", "found", "strict", "folded", "false_reads", "ms_per_image")]
        lines.append(f"{name:<12}" + "".join(f"{figure:>8}" for figure in figures))
    return "\n".join(lines)
