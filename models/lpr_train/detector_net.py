"""The plate detector: an anchor-free, fully convolutional network that predicts four corners per plate.

Contract `gtv-quad`: `images` float32 [N,3,H,W] RGB 0..1, H and W multiples of 32, gives `quads` float32 [N,A,10]:
score, p(two rows), then x,y of the top-left, top-right, bottom-right and bottom-left corner in input pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STRIDES = (8, 16)
# One unit of a corner output is this many strides: keeps the outputs of ordinary plates within about +-2.
CORNER_UNIT = 4.0
INPUT_MULTIPLE = 32
# A prior of 1 % plates per cell, so that the first steps are not spent on unlearning random positives.
SCORE_PRIOR_LOGIT = -4.6


class ConvBn(nn.Sequential):
    """Convolution, batch norm, ReLU: the three fold into one operator in ONNX Runtime."""

    def __init__(self, c_in: int, c_out: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(c_out, momentum=0.03, eps=1e-3),
            nn.ReLU(inplace=True),
        )


class Residual(nn.Module):
    """Two 3x3 convolutions around a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(ConvBn(channels, channels), ConvBn(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class Stage(nn.Module):
    """Cross-stage-partial block: half of the channels pass through residual blocks, all are merged at the end."""

    def __init__(self, channels: int, depth: int) -> None:
        super().__init__()
        half = channels // 2
        self.split = ConvBn(channels, channels, 1)
        self.blocks = nn.ModuleList(Residual(half) for _ in range(depth))
        self.merge = ConvBn(half * (2 + depth), channels, 1)
        self.half = half

    def forward(self, x: Tensor) -> Tensor:
        parts = list(self.split(x).split(self.half, dim=1))
        for block in self.blocks:
            parts.append(block(parts[-1]))
        return self.merge(torch.cat(parts, dim=1))


class Head(nn.Module):
    """Score and rows from one branch, corners from the other."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.stem = ConvBn(channels, channels)
        self.kind = nn.Sequential(ConvBn(channels, 32, 1), nn.Conv2d(32, 2, 1))
        self.corner = nn.Sequential(ConvBn(channels, channels), nn.Conv2d(channels, 8, 1))
        nn.init.constant_(self.kind[-1].bias, SCORE_PRIOR_LOGIT)
        nn.init.normal_(self.corner[-1].weight, std=0.01)
        # A plate of about 8 x 2.5 strides is where the corners start from.
        self.corner[-1].bias.data = torch.tensor([-1.0, -0.3, 1.0, -0.3, 1.0, 0.3, -1.0, 0.3])

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return torch.cat([self.kind(x), self.corner(x)], dim=1)


class Detector(nn.Module):
    """Backbone to stride 32, top-down features at strides 16 and 8, one head each."""

    def __init__(self, widths: tuple[int, int, int, int, int] = (16, 32, 64, 96, 128), neck: int = 64) -> None:
        super().__init__()
        c1, c2, c3, c4, c5 = widths
        self.to_p3 = nn.Sequential(
            ConvBn(3, c1, 3, 2), ConvBn(c1, c2, 3, 2), Stage(c2, 1), ConvBn(c2, c3, 3, 2), Stage(c3, 2)
        )
        self.to_p4 = nn.Sequential(ConvBn(c3, c4, 3, 2), Stage(c4, 2))
        self.to_p5 = nn.Sequential(ConvBn(c4, c5, 3, 2), Stage(c5, 1))
        self.lateral3 = ConvBn(c3, neck, 1)
        self.lateral4 = ConvBn(c4, neck, 1)
        self.lateral5 = ConvBn(c5, neck, 1)
        self.neck4 = Stage(neck, 1)
        self.neck3 = Stage(neck, 1)
        self.heads = nn.ModuleList(Head(neck) for _ in STRIDES)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Raw maps [N,10,H/s,W/s] a stride: score logit, rows logit, corners in units of `CORNER_UNIT` strides."""
        p3 = self.to_p3(images)
        p4 = self.to_p4(p3)
        p5 = self.to_p5(p4)
        n4 = self.neck4(self.lateral4(p4) + F.interpolate(self.lateral5(p5), scale_factor=2.0, mode="nearest"))
        n3 = self.neck3(self.lateral3(p3) + F.interpolate(n4, scale_factor=2.0, mode="nearest"))
        return [head(x) for head, x in zip(self.heads, (n3, n4), strict=True)]


def decode(maps: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Logits [N,A,2], corners [N,A,8] in input pixels, and the cells [A,3] as x, y, stride."""
    logits, corners, cells = [], [], []
    for raw, stride in zip(maps, STRIDES, strict=True):
        h, w = raw.shape[2:]
        ys = (torch.arange(h, device=raw.device, dtype=raw.dtype) + 0.5) * stride
        xs = (torch.arange(w, device=raw.device, dtype=raw.dtype) + 0.5) * stride
        grid = torch.stack([xs[None, :].expand(h, w), ys[:, None].expand(h, w)], dim=-1).reshape(h * w, 2)
        flat = raw.flatten(2).transpose(1, 2)
        logits.append(flat[..., :2])
        corners.append(flat[..., 2:] * (CORNER_UNIT * stride) + grid.repeat(1, 4))
        cells.append(torch.cat([grid, torch.full_like(grid[:, :1], float(stride))], dim=1))
    return torch.cat(logits, 1), torch.cat(corners, 1), torch.cat(cells, 0)


class DetectorExport(nn.Module):
    """The network as it ships: decoded corners and probabilities, nothing left to the caller but NMS."""

    def __init__(self, net: Detector) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        logits, corners, _ = decode(self.net(images))
        return torch.cat([logits.sigmoid(), corners], dim=-1)
