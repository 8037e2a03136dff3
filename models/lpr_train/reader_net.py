"""The reader `gtv-slots`: a small convolutional net and nine attention slots, for one- and two-row plates alike.

Every slot looks for its character with a query made of a learned vector and the plate's overall look, plus a position
prior. The prior is a mixture of learned maps weighed by that look, so that one net can keep one for seven characters in
a row, one for three above four, and so on. Without a prior the slots do not start to learn.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .reader_labels import ALPHABET, CATEGORIES, INPUT_HEIGHT, INPUT_WIDTH, LAYOUTS, SLOTS

#: Shades that the category is told by.
COLORS = 24
GRID_ROWS, GRID_COLUMNS = INPUT_HEIGHT // 8, INPUT_WIDTH // 4


class ConvUnit(nn.Sequential):
    def __init__(self, cin: int, cout: int, kernel=3, stride=1, groups: int = 1, act: bool = True):
        kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (kernel[0] // 2, kernel[1] // 2)
        layers = [nn.Conv2d(cin, cout, kernel, stride, padding, groups=groups, bias=False), nn.BatchNorm2d(cout)]
        super().__init__(*layers, *([nn.ReLU(inplace=True)] if act else []))


class Residual(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.body = nn.Sequential(ConvUnit(channels, channels), ConvUnit(channels, channels, act=False))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.body(x))


class Mixer(nn.Module):
    """Wide context along the row at little cost: which character of how many this is."""

    def __init__(self, channels: int):
        super().__init__()
        self.body = nn.Sequential(
            ConvUnit(channels, channels, (5, 15), groups=channels), ConvUnit(channels, channels, 1, act=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.body(x))


class Outputs(NamedTuple):
    """Logits: `slots` [N, 9, 37], `layout` [N, 8], `category` [N, 7], `plate` [N, 1]."""

    slots: Tensor
    layout: Tensor
    category: Tensor
    plate: Tensor


class Reader(nn.Module):
    """uint8 or float [N, 64, 128, 3] RGB 0..255 -> Outputs."""

    def __init__(self, channels: list[int], features: int, prior_maps: int):
        super().__init__()
        c1, c2, c3 = channels
        self.backbone = nn.Sequential(
            ConvUnit(3, c1, stride=2),
            ConvUnit(c1, c2, stride=2),
            Residual(c2),
            ConvUnit(c2, c3, stride=(2, 1)),
            Residual(c3),
            Mixer(c3),
            Residual(c3),
        )
        self.values = ConvUnit(c3, features, 1)
        self.keys = nn.Conv2d(c3, features // 2, 1)
        self.key_position = nn.Parameter(torch.randn(features // 2, GRID_ROWS, GRID_COLUMNS) * 0.02)
        self.scale = 1 / math.sqrt(features // 2)
        self.queries = nn.Parameter(torch.randn(SLOTS, features // 2) * 0.2)
        self.summary = nn.Sequential(nn.Linear(4 * 8 * 8, features), nn.ReLU(inplace=True))
        self.squeeze = ConvUnit(c3, 8, 1)
        self.query_shift = nn.Linear(features, SLOTS * (features // 2))
        self.prior_gate = nn.Linear(features, prior_maps)
        self.prior = nn.Parameter(initial_priors(prior_maps))
        self.slot_code = nn.Parameter(torch.zeros(SLOTS, features))
        self.classify = nn.Sequential(
            nn.Linear(features, features), nn.ReLU(inplace=True), nn.Linear(features, len(ALPHABET))
        )
        self.layout = nn.Linear(features, len(LAYOUTS))
        # The backbone learns to overlook colors; what a plate's colors mean is read from the picture itself.
        self.colors = nn.Sequential(
            nn.Conv2d(3, COLORS, 1), nn.ReLU(inplace=True), nn.Conv2d(COLORS, COLORS, 1), nn.ReLU(inplace=True)
        )
        self.category = nn.Sequential(
            nn.Linear(features + COLORS, features // 2),
            nn.ReLU(inplace=True),
            nn.Linear(features // 2, len(CATEGORIES)),
        )
        # Judged by the characters seen, not by the look alone: lettering, grilles and smears look like plates.
        self.plate = nn.Sequential(
            nn.Linear(3 * features, features // 2), nn.ReLU(inplace=True), nn.Linear(features // 2, 1)
        )
        nn.init.normal_(self.query_shift.weight, std=0.01)
        nn.init.zeros_(self.query_shift.bias)

    def forward(self, plates: Tensor) -> Outputs:
        x = plates.permute(0, 3, 1, 2).float() / 127.5 - 1.0
        colors = self.colors(F.avg_pool2d(x, 2)).mean(dim=(2, 3))
        x = self.backbone(x.contiguous(memory_format=torch.channels_last))
        batch = x.shape[0]
        keys = (self.keys(x) + self.key_position).flatten(2)
        values = self.values(x).flatten(2)
        look = self.summary(F.avg_pool2d(self.squeeze(x), (2, 4)).flatten(1))
        queries = self.queries + self.query_shift(look).view(batch, SLOTS, -1)
        gate = torch.softmax(self.prior_gate(look), dim=1)
        prior = (gate @ self.prior.flatten(1)).view(batch, SLOTS, -1)
        attention = torch.softmax(queries @ keys * self.scale + prior, dim=2)
        seen = attention @ values.transpose(1, 2)
        overall = torch.cat([look, seen.mean(dim=1), seen.amax(dim=1)], dim=1)
        return Outputs(
            slots=self.classify(seen + self.slot_code),
            layout=self.layout(look),
            category=self.category(torch.cat([look, colors], dim=1)),
            plate=self.plate(overall),
        )


class ExportedReader(nn.Module):
    """The contract's outputs: probabilities, those of the characters calibrated by a temperature."""

    def __init__(self, reader: Reader, temperature: float = 1.0):
        super().__init__()
        self.reader, self.temperature = reader, temperature

    def forward(self, plates: Tensor) -> Outputs:
        out = self.reader(plates)
        return Outputs(
            slots=torch.softmax(out.slots / self.temperature, dim=2),
            layout=torch.softmax(out.layout, dim=1),
            category=torch.softmax(out.category, dim=1),
            plate=torch.sigmoid(out.plate),
        )


def initial_priors(maps: int) -> Tensor:
    """Log-priors [maps, 9, rows * columns], one arrangement of characters a map: (upper row, lower row) counts."""
    arrangements = [(7, 0), (3, 4), (7, 0), (6, 0), (8, 0), (2, 4), (5, 0), (4, 3)]
    ys, xs = np.mgrid[0:GRID_ROWS, 0:GRID_COLUMNS].astype(np.float32)
    out = np.zeros((maps, SLOTS, GRID_ROWS, GRID_COLUMNS), np.float32)
    for m in range(maps):
        upper, lower = arrangements[m % len(arrangements)]
        for slot in range(SLOTS):
            in_lower = lower > 0 and slot >= upper
            count, index = (lower, slot - upper) if in_lower else (upper, slot)
            x = 1.5 + (min(index, count) + 0.5) / count * (GRID_COLUMNS - 3)
            y = (GRID_ROWS * 0.6 if lower == 0 else GRID_ROWS * (0.72 if in_lower else 0.38)) - 0.5
            out[m, slot] = -((xs - x) ** 2) / (2 * 2.5**2) - ((ys - y) ** 2) / (2 * (2.0 if lower == 0 else 1.3) ** 2)
    return torch.from_numpy(np.maximum(out, -6.0)).flatten(2)
