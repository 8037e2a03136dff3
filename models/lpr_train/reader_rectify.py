"""Finds the corners of a plate in a loose crop whose text is known, by registering the drawn characters to it.

The crops at hand have texts but no corners, while the reader must learn plates rectified by four corners. The
characters of the known text, drawn where the layout puts them, are aligned to the crop with ECC (Evangelidis and
Psarakis, 2008) from a few starting poses. The correlation that remains also tells a wrong label from a right one.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from render.geometry import BLANKS
from render.glyphs import glyph_mask, glyph_width

WORK_WIDTH, WORK_HEIGHT = 200, 65


@dataclass
class Registration:
    """`quad`: corners (top left, top right, bottom right, bottom left) in pixels of the crop; `score` 0..1."""

    quad: np.ndarray
    score: float


def character_map(text: str, layout: str = "br-old") -> np.ndarray:
    """White characters on black in plate coordinates, WORK_WIDTH x WORK_HEIGHT, one-row Brazilian layouts only."""
    blank = BLANKS[layout][0]
    row = blank.rows[0]
    line = f"{text[:3]}.{text[3:]}" if layout == "br-old" else text
    # The bare bar of 1 and I stands in a cell about as wide as the others.
    pad = [26.0 if glyph_width(blank.face, c) < 18 and c in "1I" else 0.0 for c in line]
    widths = [glyph_width(blank.face, c) for c in line]
    scale = row.height / 100
    total = (sum(widths) + 2 * sum(pad)) * scale + row.gap * (len(line) - 1)
    squeeze = min(1.0, (blank.right - blank.left) / total)
    x = (blank.left + blank.right - total * squeeze) / 2
    out = np.zeros((WORK_HEIGHT * 2, WORK_WIDTH * 2), np.float32)
    to_px = np.array([WORK_WIDTH * 2 / blank.width, WORK_HEIGHT * 2 / blank.height])
    for char, width, side in zip(line, widths, pad, strict=True):
        x += side * scale * squeeze
        x1, x2 = (round(v * to_px[0]) for v in (x, x + width * scale * squeeze))
        y1, y2 = (round(v * to_px[1]) for v in (row.top, row.top + row.height))
        out[y1:y2, x1:x2] = cv2.resize(glyph_mask(blank.face, char, 16), (x2 - x1, y2 - y1)) / 255.0
        x += ((width + side) * scale + row.gap) * squeeze
    return cv2.resize(out, (WORK_WIDTH, WORK_HEIGHT), interpolation=cv2.INTER_AREA)


def register(crop_rgb: np.ndarray, text: str, layout: str = "br-old") -> Registration | None:
    """The best alignment of `text` in the crop over starting poses and both polarities, or None if none converged."""
    height, width = crop_rgb.shape[:2]
    grey = cv2.cvtColor(crop_rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    scale = 220 / width
    grey = cv2.resize(grey, (220, max(24, round(height * scale))), interpolation=cv2.INTER_AREA)
    flat = _flattened(grey)
    template = character_map(text, layout)
    coarse = cv2.resize(cv2.GaussianBlur(template, (0, 0), 4), None, fx=0.5, fy=0.5)
    scene = cv2.resize(cv2.GaussianBlur(flat, (0, 0), 4), None, fx=0.5, fy=0.5)
    best = None
    for sign in (-1.0, 1.0):
        for angle in (-7.0, 0.0, 7.0):
            for fill in (0.98, 0.84):
                for drop in (-0.12, 0.0, 0.12):
                    start = _start(scene.shape, coarse.shape, angle, fill, drop)
                    found = _ecc(coarse, sign * scene, start, cv2.MOTION_AFFINE, 30)
                    if found is None or (best is not None and found[0] <= best[0]):
                        continue
                    if plausible(Registration(_corners(found[1], 0.5, scale), found[0]), crop_rgb.shape, 0.3):
                        best = (*found, sign)
    if best is None:
        return None
    _, warp, sign = best
    fine = np.vstack([warp, [0, 0, 1]]).astype(np.float32)
    fine[:2, 2] *= 2
    target = cv2.GaussianBlur(template, (0, 0), 1.5)
    smooth = cv2.GaussianBlur(flat, (0, 0), 1.5) * sign
    refined = _ecc(target, smooth, fine[:2], cv2.MOTION_AFFINE, 40)
    if refined is None:
        return None
    start = np.vstack([refined[1], [0, 0, 1]]).astype(np.float32)
    final = _ecc(target, smooth, start, cv2.MOTION_HOMOGRAPHY, 30)
    score, matrix = final if final and final[0] >= refined[0] else (refined[0], start)
    return Registration(_corners(matrix, 1.0, scale), float(score))


def _corners(matrix: np.ndarray, zoom: float, scale: float) -> np.ndarray:
    """The template's corners in crop pixels, for a matrix found at `zoom` of the working size."""
    width, height = WORK_WIDTH * zoom, WORK_HEIGHT * zoom
    full = np.vstack([matrix, [0, 0, 1]])[:3].astype(np.float32)
    corners = np.array([[[0, 0]], [[width, 0]], [[width, height]], [[0, height]]], np.float32)
    return cv2.perspectiveTransform(corners, full)[:, 0] / (scale * zoom)


def plausible(found: Registration, crop_shape: tuple[int, ...], minimum_score: float) -> bool:
    """Whether the corners make a plate of about the crop's size: an alignment on clutter is anything but that."""
    height, width = crop_shape[:2]
    (x1, y1), (x2, y2), (x3, y3), (x4, y4) = found.quad
    top, bottom = np.hypot(x2 - x1, y2 - y1), np.hypot(x3 - x4, y3 - y4)
    left, right = np.hypot(x4 - x1, y4 - y1), np.hypot(x3 - x2, y3 - y2)
    aspect = (top + bottom) / max(1e-6, left + right)
    inside = (found.quad > [-0.15 * width, -0.3 * height]).all() and (found.quad < [1.15 * width, 1.3 * height]).all()
    even = max(top, bottom) < 1.25 * min(top, bottom) and max(left, right) < 1.35 * min(left, right)
    upright = x2 > x1 and x3 > x4 and y4 > y1 and y3 > y2
    return found.score >= minimum_score and upright and inside and even and 1.9 < aspect < 4.6 and top > 0.5 * width


def _flattened(grey: np.ndarray) -> np.ndarray:
    """Local contrast: minus the surrounding mean, over the surrounding deviation."""
    mean = cv2.GaussianBlur(grey, (0, 0), 22)
    deviation = np.sqrt(cv2.GaussianBlur((grey - mean) ** 2, (0, 0), 22))
    return (grey - mean) / (deviation + 4.0)


def _start(scene: tuple[int, ...], template: tuple[int, ...], angle_deg: float, fill: float, drop: float) -> np.ndarray:
    """Affine from template to scene: `fill` of the scene's width, turned, `drop` of its height below the middle."""
    scale_x = scene[1] * fill / template[1]
    scale_y = min(scene[0] * fill / template[0], scale_x * 1.35)
    c, s = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
    linear = np.array([[c * scale_x, -s * scale_y], [s * scale_x, c * scale_y]])
    offset = np.array([scene[1] / 2, scene[0] * (0.5 + drop)]) - linear @ [template[1] / 2, template[0] / 2]
    return np.hstack([linear, offset[:, None]]).astype(np.float32)


def _ecc(template: np.ndarray, scene: np.ndarray, start: np.ndarray, motion: int, steps: int):
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, steps, 1e-4)
    try:
        return cv2.findTransformECC(
            template.astype(np.float32), scene.astype(np.float32), start.astype(np.float32).copy(), motion, criteria
        )
    except cv2.error:  # raised when the poses stop overlapping or the images are uncorrelated
        return None
