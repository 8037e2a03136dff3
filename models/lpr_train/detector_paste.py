"""Plates pasted into scenes: exact corners, every layout, light and noise taken from the place they cover."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

TEXTURE_WIDTH_PX = 208
RENDERED_PX_PER_MM = 0.6
# A little over 45 degrees, radians: cameras hang askew and motorcycles lean.
MOST_ROLL = 0.85


def build_pool(data: Path, cache: Path, rendered: int, seed: int) -> None:
    """Write `cache/textures.npz`: RGBA plates that fill their image, from renders and from tight real crops."""
    rng = np.random.default_rng(seed)
    images: list[np.ndarray] = []
    rows: list[int] = []
    kinds: list[int] = []  # 0 rendered, 1 cut from a photo

    def add(image: np.ndarray, alpha: np.ndarray | None, two_rows: bool, kind: int) -> None:
        opaque = np.full(image.shape[:2], 255, np.uint8) if alpha is None else alpha
        image = np.dstack([image, opaque])
        scale = TEXTURE_WIDTH_PX / image.shape[1]
        if scale < 1.0:
            image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        images.append(np.ascontiguousarray(image))
        rows.append(int(two_rows))
        kinds.append(kind)

    if rendered:
        from render.plate import LAYOUTS, random_color, random_text, render_plate

        for number in range(rendered):
            layout = LAYOUTS[number % len(LAYOUTS)]
            plate = render_plate(random_text(layout, rng), layout, random_color(layout, rng), rng, RENDERED_PX_PER_MM)
            add(plate.rgb, plate.alpha, plate.rows == 2, 0)
    for folder, wanted in (("crops-br", "render"), ("crops-eu", None)):
        for line in (data / folder / "labels.jsonl").read_text().splitlines():
            row = json.loads(line)
            if wanted and row["label"] != wanted:
                continue
            image = cv2.imread(str(data / folder / row["file"]))
            if image is not None:
                add(image[:, :, ::-1], None, row.get("rows", 1) == 2, 0 if wanted else 1)
    shapes = np.array([i.shape[:2] for i in images], np.int32)
    np.savez(
        cache / "textures.npz",
        pixels=np.concatenate([i.reshape(-1) for i in images]),
        shapes=shapes,
        rows=np.array(rows, np.int8),
        kinds=np.array(kinds, np.int8),
    )


class TexturePool:
    def __init__(self, cache: Path, real_share: float) -> None:
        stored = np.load(cache / "textures.npz")
        self.pixels, self.shapes, self.rows = stored["pixels"], stored["shapes"], stored["rows"]
        sizes = self.shapes[:, 0].astype(np.int64) * self.shapes[:, 1] * 4
        self.offsets = np.concatenate([[0], np.cumsum(sizes)])
        kinds = stored["kinds"]
        self.rendered, self.real = np.flatnonzero(kinds == 0), np.flatnonzero(kinds == 1)
        self.real_share = real_share

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, int, bool]:
        """A texture RGBA uint8, its rows (0 one, 1 two), and whether its border is exactly the plate's."""
        real = rng.random() < self.real_share
        group = self.real if real else self.rendered
        number = int(group[rng.integers(len(group))])
        h, w = self.shapes[number]
        texture = self.pixels[self.offsets[number] : self.offsets[number + 1]].reshape(h, w, 4)
        return texture, int(self.rows[number]), not real


def random_quad(aspect: float, width: float, center: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Corners [4,2] of a plate of that aspect seen from a random direction, about `width` pixels wide."""
    yaw = np.clip(rng.normal(0, 0.38), -1.1, 1.1)
    pitch = np.clip(rng.normal(0, 0.25), -0.7, 0.7)
    roll = np.clip(rng.normal(0, 0.1), -0.45, 0.45) if rng.random() < 0.75 else rng.uniform(-MOST_ROLL, MOST_ROLL)
    half = np.array([[-1, -1 / aspect, 0], [1, -1 / aspect, 0], [1, 1 / aspect, 0], [-1, 1 / aspect, 0]])
    cy, sy, cp, sp, cr, sr = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll)
    turn = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]]) @ np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    seen = half @ turn.T
    distance = rng.uniform(5.0, 30.0)
    flat = seen[:, :2] / (1 + seen[:, 2:] / distance)
    flat = flat @ np.array([[cr, sr], [-sr, cr]])
    flat *= width / max(np.ptp(flat[:, 0]), 1e-3)
    # Foreshortened plates would otherwise be blown up to the full width: keep their height within reason.
    flat *= min(1.0, 1.4 * width / aspect / max(np.ptp(flat[:, 1]), 1e-3) + 0.15)
    return (flat + center).astype(np.float32)


def paste(canvas: np.ndarray, texture: np.ndarray, quad: np.ndarray, rng: np.random.Generator) -> bool:
    """Blend `texture` (RGBA) into `canvas` (RGB uint8, in place) at `quad`. False where too little would be visible."""
    texture, inset = _framed(texture, rng)
    h, w = texture.shape[:2]
    left, top, right, bottom = inset
    plain = np.array([[left, top], [w - right, top], [w - right, h - bottom], [left, h - bottom]], np.float32)
    outline = np.array([[[0, 0], [w, 0], [w, h], [0, h]]], np.float32)
    outer = cv2.perspectiveTransform(outline, cv2.getPerspectiveTransform(plain, quad))[0]
    pad = 3
    x1, y1 = np.floor(outer.min(0)).astype(int) - pad
    x2, y2 = np.ceil(outer.max(0)).astype(int) + pad
    cx1, cy1, cx2, cy2 = max(x1, 0), max(y1, 0), min(x2, canvas.shape[1]), min(y2, canvas.shape[0])
    if cx2 - cx1 < 0.9 * (x2 - x1) or cy2 - cy1 < 0.9 * (y2 - y1):
        return False
    region = canvas[cy1:cy2, cx1:cx2]
    # Shrink by area first: the perspective warp samples four pixels only and would alias.
    span = max(float(np.linalg.norm(quad[1] - quad[0])), float(np.linalg.norm(quad[2] - quad[3])), 4.0)
    shrink = span / (w - left - right)
    if shrink < 0.8:
        size = (max(4, round(w * shrink * 1.15)), max(3, round(h * shrink * 1.15)))
        texture = cv2.resize(texture, size, interpolation=cv2.INTER_AREA)
    source = plain * np.float32([texture.shape[1] / w, texture.shape[0] / h]) - 0.5
    warp = cv2.getPerspectiveTransform(source, quad - np.float32([cx1, cy1]) - 0.5)
    out_size = (cx2 - cx1, cy2 - cy1)
    color, alpha = np.ascontiguousarray(texture[:, :, :3]), np.ascontiguousarray(texture[:, :, 3])
    plate = cv2.warpPerspective(color, warp, out_size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    mask = cv2.warpPerspective(alpha, warp, out_size, flags=cv2.INTER_LINEAR)
    plate = _light(plate.astype(np.float32), region, rng)
    sigma = abs(rng.normal(0, 0.5)) + rng.random() * min(1.2, span / 90)
    if sigma > 0.3:
        plate = cv2.GaussianBlur(plate, (0, 0), sigma)
        mask = cv2.GaussianBlur(mask, (0, 0), sigma)
    share = (mask.astype(np.float32) / 255.0)[:, :, None]
    blended = region * (1 - share) + plate * share
    region[:] = np.clip(blended + 0.5, 0, 255).astype(np.uint8)
    return True


def _framed(texture: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """Often a holder around the plate, with a dealer's strip or lettering; and its widths left, top, right, bottom."""
    if rng.random() > 0.6:
        return texture, (0, 0, 0, 0)
    h = texture.shape[0]
    side, top, bottom = (max(1, round(h * rng.uniform(0.02, high))) for high in (0.1, 0.14, 0.12))
    strip = rng.random() < 0.55
    if strip:
        bottom += round(h * rng.uniform(0.08, 0.22))
    tone = rng.uniform(5, 70) if rng.random() < 0.75 else rng.uniform(90, 235)
    color = np.append(np.clip(tone + rng.normal(0, 8, 3), 0, 255), 255.0)
    framed = cv2.copyMakeBorder(texture, top, bottom, side, side, cv2.BORDER_CONSTANT, value=color.tolist())
    # Rounded plate corners show the holder, not the scene.
    share = framed[:, :, 3:].astype(np.float32) / 255
    framed = (framed * share + np.float32(color) * (1 - share)).astype(np.uint8)
    if strip:
        _letter(framed, top + h, bottom, side, tone, rng)
    if top > 0.08 * h and rng.random() < 0.3:
        _letter(framed, 0, top, side, tone, rng)
    if rng.random() < 0.35:
        framed, grown = _surrounded(framed, h, rng)
        side, top, bottom = side + grown, top + grown, bottom + grown
    return framed, (side, top, side, bottom)


def _letter(framed: np.ndarray, y: int, height: int, side: int, tone: float, rng: np.random.Generator) -> None:
    """A line of lettering, at times on a ground of its own, within the `height` rows of `framed` from `y` on."""
    ink = np.clip(tone + (rng.uniform(60, 170) if tone < 100 else -120) + rng.normal(0, 15, 3), 0, 255)
    if rng.random() < 0.25:
        inset = max(1, round(height * rng.uniform(0.08, 0.25)))
        ground = np.clip(rng.uniform(20, 240) + rng.normal(0, 40, 3), 0, 255)
        framed[y + inset : y + height - inset, side : framed.shape[1] - side, :3] = ground.astype(np.uint8)
        ink = 255.0 - ground
    letters = "".join(
        rng.choice(list("ABCDEFGHIKLMNOPRSTUVWYaeinorst. -0123456789")) for _ in range(rng.integers(5, 30))
    )
    scale = height / rng.uniform(32, 60)
    at = (int(rng.uniform(side, framed.shape[1] / 3)), int(y + height * rng.uniform(0.65, 0.85)))
    cv2.putText(framed, letters, at, cv2.FONT_HERSHEY_SIMPLEX, scale, [*ink.tolist(), 255.0], 1, cv2.LINE_AA)


def _surrounded(framed: np.ndarray, height: int, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """The recess that plates lie in: a second edge around the holder, with a shadow that fades outward."""
    grown = max(2, round(height * rng.uniform(0.06, 0.25)))
    tone = np.append(np.clip(rng.uniform(10, 120) + rng.normal(0, 10, 3), 0, 255), 255.0)
    wide = cv2.copyMakeBorder(framed, grown, grown, grown, grown, cv2.BORDER_CONSTANT, value=tone.tolist())
    h, w = wide.shape[:2]
    # Distance from the outer border: opaque within, fading over the outer half.
    edge = np.minimum.outer(np.minimum(np.arange(h), np.arange(h)[::-1]), np.minimum(np.arange(w), np.arange(w)[::-1]))
    fade = np.clip((edge + 0.5) / max(1.0, grown * rng.uniform(0.1, 0.9)), 0, 1)
    wide[:, :, 3] = np.minimum(wide[:, :, 3], (255 * fade).astype(np.uint8))
    return wide, grown


def _light(plate: np.ndarray, region: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Exposure of the surroundings, glare or shade across the plate, and sensor noise."""
    bright = float(np.percentile(region[::2, ::2], 85))
    target = np.clip(rng.normal(0.6 * bright + 70, 35), 30, 250)
    gain = target / max(float(np.percentile(plate[::2, ::2], 85)), 20.0)
    contrast = rng.uniform(0.45, 1.05)
    mean = plate.mean()
    plate = (plate - mean) * (gain * contrast) + mean * gain
    h, w = plate.shape[:2]
    if rng.random() < 0.5:
        direction = rng.normal(0, 0.35, 2)
        shade = 1 + direction[0] * np.linspace(-1, 1, w)[None, :] + direction[1] * np.linspace(-1, 1, h)[:, None]
        plate = plate * np.clip(shade, 0.3, 1.6)[:, :, None].astype(np.float32)
    if rng.random() < 0.2:
        # A hard shadow edge: bumpers and spoilers throw them.
        side = (np.arange(h)[:, None] - rng.uniform(0, h)) * rng.choice([-1, 1])
        edge = side + np.arange(w)[None, :] * rng.normal(0, 0.3)
        plate = plate * np.where(edge > 0, rng.uniform(0.3, 0.8), 1.0).astype(np.float32)[:, :, None]
    plate = plate * rng.normal(1.0, 0.05, 3).astype(np.float32)
    return plate + rng.normal(0, rng.uniform(0.5, 6), plate.shape).astype(np.float32)
