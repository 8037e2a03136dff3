"""Trains the reader; resumes from the last checkpoint in --out; the same code on CPU and CUDA.

`python -m lpr_train.reader_train --config models/config/reader.toml --data DIR --out DIR [--minutes M] [--restart]
[--start FILE]`
Builds the pool under OUT/pool first if it is missing. The schedule follows the clock, so that it fits the time given.
"""

import argparse
import copy
import math
import time
import tomllib
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader

from . import reader_build
from .reader_labels import PAD, UNKNOWN
from .reader_net import Reader
from .reader_pool import Pool
from .reader_sampler import Batches, load_pools, plain_inputs
from .reader_score import benchmark_score, held_out_misses


def loss_of(model: Reader, plates, labels, layouts, categories, readable, settings: dict):
    """Cross entropies of slots (padding counts less), layout, category and plate; and the share of plates read."""
    out = model(plates)
    each = F.cross_entropy(
        out.slots.flatten(0, 1), labels.flatten(), reduction="none", label_smoothing=settings["label_smoothing"]
    )
    # Pictures without a plate have no characters to learn.
    weight = torch.where(labels == PAD, settings["pad_weight"], 1.0) * readable[:, None]
    loss = (each * weight.flatten()).sum() / weight.sum()
    for logits, truth, share in (
        (out.layout, layouts, settings["layout_weight"]),
        (out.category, categories, settings["category_weight"]),
    ):
        known = F.cross_entropy(logits, truth, ignore_index=UNKNOWN, reduction="sum")
        loss = loss + share * known / (truth != UNKNOWN).sum().clamp(min=1)
    hits = out.slots.argmax(2) == labels
    # A plate of which the wear has left next to nothing teaches neither answer.
    share_read = (hits & (labels != PAD)).sum(1) / (labels != PAD).sum(1).clamp(min=1)
    clear = ((readable == 0) | (share_read >= settings["plate_minimum_read"])).float()
    plate = F.binary_cross_entropy_with_logits(out.plate[:, 0], readable, reduction="none")
    loss = loss + settings["plate_weight"] * (plate * clear).sum() / clear.sum().clamp(min=1)
    right = (hits.all(1).float() * readable).sum() / readable.sum()
    return loss, right


def reading(model: Reader, device: torch.device):
    """The model as a function from uint8 inputs to probabilities of the slots and of a readable plate."""

    def read(inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        model.eval()
        slots, plate = [], []
        with torch.inference_mode():
            for part in np.array_split(inputs, max(1, len(inputs) // 64)):
                out = model(torch.from_numpy(part).to(device))
                slots.append(out.slots.softmax(2).cpu().numpy())
                plate.append(out.plate[:, 0].sigmoid().cpu().numpy())
        return np.concatenate(slots), np.concatenate(plate)

    return read


def learning_rate(settings: dict, step: int, share: float) -> float:
    """Short warm-up by steps, then half a cosine over the time."""
    return (
        settings["learning_rate"]
        * min(1.0, (step + 1) / settings["warmup_steps"])
        * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, share))))
    )


#: Of the plates held out, the share that may fall below the threshold of `plate` in the printed score.
PLATES_LOST = 0.01


def evaluate(average: Reader, device: torch.device, measured: dict, look_alikes, data: Path, detail: bool) -> str:
    """Scores on plates held out by text, on look-alikes held out by photo, and on the benchmarks along true boxes."""
    read = reading(average, device)
    parts, plates = [], []
    for name, (inputs, texts) in measured.items():
        misses, plate = held_out_misses(read, inputs, texts, brazilian=name == "sure")
        parts.append(f"held-out {name} {len(texts) - len(misses)}/{len(texts)}")
        plates += plate
        if detail:
            print(name, misses, flush=True)
    threshold = float(np.quantile(plates, PLATES_LOST))
    passed = int((read(look_alikes)[1] >= threshold).sum())
    parts.append(f"look-alikes {passed}/{len(look_alikes)} above {threshold:.2f}")
    for name in ("br", "eu", "us"):
        right, total, wrong = benchmark_score(read, data / f"bench-{name}")
        parts.append(f"bench-{name} along true boxes {right}/{total}")
        if detail:
            print(name, wrong, flush=True)
    return ", ".join(parts)


def train(config: dict, data: Path, out: Path, restart: bool, start: Path | None) -> None:
    settings = config["train"]
    if start is not None:
        settings |= settings.get("continued", {})
    torch.manual_seed(config["seed"])
    torch.set_num_threads(settings["threads"])
    cv2.setNumThreads(1)  # its thread pool would not survive the fork of the loaders, which then wait for ever
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    reader_build.build(config, data, out / "pool")
    pools, held_out = load_pools(out / "pool", settings["sources"], settings["held_out_share"])
    print({name: sum(map(len, parts)) for name, parts in pools.items()}, flush=True)
    measured = {name: (plain_inputs(pool), pool.texts) for name, pool in held_out.items()}
    look_alikes = plain_inputs(Pool.load(out / "pool" / "pool-measured_look_alikes.npz"))
    model = Reader(**config["network"]).to(device, memory_format=torch.channels_last)
    average = copy.deepcopy(model)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings["learning_rate"], weight_decay=settings["weight_decay"]
    )
    step, done_s, path = 0, 0.0, out / "reader.pt"
    difficulty = torch.tensor(settings["ramp_start"]).share_memory_()
    if path.exists() and not restart:
        saved = torch.load(path, map_location=device, weights_only=True)
        model.load_state_dict(saved["model"])
        average.load_state_dict(saved["average"])
        optimizer.load_state_dict(saved["optimizer"])
        step, done_s = saved["step"], saved["done_s"]
        difficulty.fill_(saved["difficulty"])
    elif start is not None:
        saved = torch.load(start, map_location=device, weights_only=True)
        # Heads that the start does not have stay as initialized.
        for net in (model, average):
            unknown = net.load_state_dict(saved["average"], strict=False).unexpected_keys
            if unknown:
                raise SystemExit(f"{start}: not a checkpoint of this network ({unknown[0]}); train without --start")
        difficulty.fill_(saved["difficulty"])
    print(
        f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters on {device}, from step {step}", flush=True
    )

    def save() -> None:
        state = {"model": model.state_dict(), "average": average.state_dict(), "optimizer": optimizer.state_dict()}
        state |= {"step": step, "done_s": now_s(), "difficulty": float(difficulty), "network": config["network"]}
        torch.save(state, path.with_suffix(".tmp"))
        path.with_suffix(".tmp").replace(path)

    started = time.time()
    budget_s = 60 * settings["minutes"]

    def now_s() -> float:
        return time.time() - started + done_s

    next_score = now_s() + 60
    next_save = now_s() + 60 * settings["checkpoint_every_minutes"]
    batches = Batches(pools, settings, [config["seed"], step], difficulty)
    losses, rights, mark = [], [], (started, step)
    for batch in DataLoader(batches, batch_size=None, num_workers=settings["loaders"], prefetch_factor=8):
        share = now_s() / budget_s
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(settings, step, share)
        model.train()
        with torch.autocast(device.type, torch.bfloat16, enabled=settings["bf16"]):
            loss, right = loss_of(model, *(column.to(device) for column in batch), settings)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        step += 1
        blend = min(settings["ema"], (1 + step) / (10 + step))
        with torch.no_grad():
            for kept, new in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
                kept.lerp_(new, 1 - blend) if kept.is_floating_point() else kept.copy_(new)
        losses.append(loss.item())
        rights.append(right.item())
        # Harder only while the current difficulty is being read: on a busy machine minutes and steps mean little.
        move = settings["ramp_step"] * (1 if np.mean(rights[-30:]) > settings["ramp_target"] else -0.5)
        difficulty.fill_(min(1.0, max(settings["ramp_start"], float(difficulty) + move)))
        if step % 100 == 0:
            rate = (step - mark[1]) * settings["batch"] / (time.time() - mark[0])
            mark = (time.time(), step)
            print(
                f"{now_s() / 60:.1f} min step {step} loss {np.mean(losses[-100:]):.3f} "
                f"exact {np.mean(rights[-100:]):.3f} difficulty {float(difficulty):.2f} {rate:.0f} crops/s",
                flush=True,
            )
        if now_s() > next_score:
            print(evaluate(average, device, measured, look_alikes, data, detail=False), flush=True)
            next_score = now_s() + 60 * settings["evaluate_every_minutes"]
        if now_s() > next_save or share >= 1:
            save()
            next_save = now_s() + 60 * settings["checkpoint_every_minutes"]
        if share >= 1:
            break
    print("end:", evaluate(average, device, measured, look_alikes, data, detail=True), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="train the reader")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, help="instead of the configured training time")
    parser.add_argument("--restart", action="store_true", help="do not resume from the checkpoint in --out")
    parser.add_argument("--start", type=Path, help="checkpoint to begin from where there is none in --out")
    args = parser.parse_args()
    with args.config.open("rb") as file:
        config = tomllib.load(file)
    if args.minutes:
        config["train"]["minutes"] = args.minutes
    train(config, args.data, args.out, args.restart, args.start)


if __name__ == "__main__":
    main()
