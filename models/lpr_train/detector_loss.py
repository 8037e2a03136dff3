"""Which cells answer for which plate, and what each answer costs.

Plates with exact corners are supervised by the corners; plates of which only a box is known are supervised by the
bounding box of the predicted corners, which leaves the network free to tilt them as the exact ones taught it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from .detector_net import STRIDES, decode

# Long side in pixels that each stride answers for; the overlap lets the better of the two levels win.
LEVEL_RANGE = {8: (0.0, 128.0), 16: (64.0, 1e6)}
POSITIVES_PER_PLATE = 8
# Drawn boxes lie up to a tenth of the plate off, frames and shadows included: they say where, not how tight.
BOX_WEIGHT = 0.03


@dataclass
class Targets:
    """Plates of a batch, flat: `image` [G], `quads` [G,4,2], `exact` [G] bool, `rows` [G] (0 one, 1 two, -1 unknown),
    and regions without a verdict: `ignore_image` [I], `ignore` [I,4] boxes."""

    image: Tensor
    quads: Tensor
    exact: Tensor
    rows: Tensor
    ignore_image: Tensor
    ignore: Tensor


def envelope(quads: Tensor) -> Tensor:
    """Bounding boxes [...,4] of corners [...,8]."""
    points = quads.reshape(*quads.shape[:-1], 4, 2)
    return torch.cat([points.amin(-2), points.amax(-2)], dim=-1)


def box_iou(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and generalized IoU of broadcastable boxes [...,4]."""
    top_left = torch.maximum(a[..., :2], b[..., :2])
    bottom_right = torch.minimum(a[..., 2:], b[..., 2:])
    inter = (bottom_right - top_left).clamp(min=0).prod(-1)
    area_a = (a[..., 2:] - a[..., :2]).clamp(min=0).prod(-1)
    area_b = (b[..., 2:] - b[..., :2]).clamp(min=0).prod(-1)
    union = area_a + area_b - inter + 1e-6
    hull = (torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])).clamp(min=0).prod(-1) + 1e-6
    iou = inter / union
    return iou, iou - (hull - union) / hull


@torch.no_grad()
def assign(score: Tensor, corners: Tensor, cells: Tensor, targets: Targets) -> tuple[Tensor, Tensor, Tensor]:
    """Task-aligned assignment. Gives for each positive cell its image [P], its cell [P] and its plate [P]."""
    boxes = envelope(targets.quads.flatten(1))
    center, size = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    stride = cells[:, 2]
    reach = torch.maximum(1.5 * stride[None, :, None], 0.2 * size[:, None])
    candidate = ((cells[None, :, :2] - center[:, None]).abs() < reach).all(-1)
    long_side = size.amax(1)[:, None]
    for level in STRIDES:
        low, high = LEVEL_RANGE[level]
        candidate &= (stride[None] != level) | ((long_side >= low) & (long_side < high))
    iou, _ = box_iou(envelope(corners[targets.image]), boxes[:, None])
    nearness = torch.exp(-((cells[None, :, :2] - center[:, None]).abs() / reach).sum(-1))
    metric = (score[targets.image].clamp(min=1e-4).sqrt() * iou.pow(3) + 1e-3 * nearness) * candidate
    top = metric.topk(POSITIVES_PER_PLATE, dim=1)
    chosen = torch.zeros_like(candidate).scatter_(1, top.indices, top.values > 0)
    # A cell that two plates of one image want goes to the one it fits better.
    plate, cell = chosen.nonzero(as_tuple=True)
    image = targets.image[plate]
    key = image * cells.shape[0] + cell
    order = torch.argsort(iou[plate, cell], descending=True, stable=True)
    order = order[torch.argsort(key[order], stable=True)]
    first = torch.ones_like(order, dtype=torch.bool)
    first[1:] = key[order][1:] != key[order][:-1]
    keep = order[first]
    return image[keep], cell[keep], plate[keep]


def detector_loss(maps: list[Tensor], targets: Targets, weights: dict[str, float]) -> tuple[Tensor, dict[str, float]]:
    """The sum to minimize and its parts for the log."""
    logits, corners, cells = decode([m.float() for m in maps])
    score_logit, rows_logit = logits[..., 0], logits[..., 1]
    quality = torch.zeros_like(score_logit)
    parts: dict[str, Tensor] = {}
    if len(targets.image):
        image, cell, plate = assign(score_logit.sigmoid(), corners, cells, targets)
        got, want = corners[image, cell], targets.quads[plate].flatten(1)
        iou, giou = box_iou(envelope(got), envelope(want))
        exact = targets.exact[plate].float()
        # The score learns how tight the corners are, so that NMS keeps the tightest answer.
        tight = torch.where(targets.exact[plate], iou, iou.clamp(min=0).sqrt()).detach()
        quality[image, cell] = tight.clamp(0.05, 1.0)
        weight = quality[image, cell] * (exact + (1 - exact) * BOX_WEIGHT)
        total = weight.sum().clamp(min=1.0)
        # Errors count relative to the plate's height: what the reader tolerates is 6 to 8 % of it.
        sides = (want.reshape(-1, 4, 2) - want.reshape(-1, 4, 2).roll(1, 1)).norm(dim=-1)
        height = ((sides[:, 0] + sides[:, 2]) / 2).clamp(min=2.0)[:, None]
        corner = torch.log1p((got - want).abs() / (0.1 * height)).mean(1)
        side = torch.log1p((envelope(got) - envelope(want)).abs() / (0.1 * height)).mean(1)
        parts["corner"] = (weight * (exact * corner + (1 - exact) * side)).sum() / total
        parts["giou"] = (weight * (1 - giou)).sum() / total
        rows = targets.rows[plate]
        known = rows >= 0
        rows_bce = F.binary_cross_entropy_with_logits(
            rows_logit[image, cell], rows.clamp(min=0).float(), reduction="none"
        )
        sure = quality[image, cell]
        parts["rows"] = (sure * known * rows_bce).sum() / sure.sum().clamp(min=1.0)
    score = score_logit.sigmoid().detach()
    # Background counts by its score, not the usual square: else lettering and windows stay hot in a short training.
    focal = torch.where(quality > 0, quality, score)
    if len(targets.ignore_image):
        inside = (cells[None, :, :2] > targets.ignore[:, None, :2]) & (cells[None, :, :2] < targets.ignore[:, None, 2:])
        hit = torch.zeros_like(score).index_add_(0, targets.ignore_image, inside.all(-1).float())
        focal = torch.where((hit > 0) & (quality == 0), torch.zeros_like(focal), focal)
    bce = F.binary_cross_entropy_with_logits(score_logit, quality, reduction="none")
    parts["score"] = (focal * bce).sum() / quality.sum().clamp(min=4.0)
    loss = sum(weights[name] * value for name, value in parts.items())
    return loss, {name: float(value.detach()) for name, value in parts.items()}
