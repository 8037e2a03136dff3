"""Moves corners from a holder's edge to the plate's: dark characters on a bright ground end where the ground does.

Drawn boxes and young detectors include holders, dealers' strips and shadows. Around a straightened plate the bright
ground is followed outward from the text to where it falls to half of its contrast, at several places along each side; a
line through these gives the side. Where that is not clear (bright letters, bright cars, glare) there is no answer.
"""

from __future__ import annotations

import itertools

import cv2
import numpy as np

# The straightened plate and what is kept around it, in pixels.
WIDTH, HEIGHT, BORDER_X, BORDER_Y = 192, 60, 18, 18
STRIPS = 6
# Shares of the plate's height: how far a side may move inward and outward, how well the strips must agree.
MOST_INWARD, MOST_OUTWARD, AGREEMENT = 0.34, 0.14, 0.035
# Gray levels between ground and characters below which nothing is certain.
LEAST_CONTRAST = 45.0
# American plates (2:1) have painted grounds and thin lettering along their edges: not for this method.
PLAUSIBLE_ASPECT = (2.7, 5.8)
LEAST_WIDTH_PX = 40.0


def tighten(image: np.ndarray, quad: np.ndarray) -> np.ndarray | None:
    """Corners [4,2] of the plate whose rough corners are `quad` in the RGB `image`, or None where it is not clear."""
    if np.ptp(quad[:, 0]) < LEAST_WIDTH_PX:
        return None
    size = (WIDTH + 2 * BORDER_X, HEIGHT + 2 * BORDER_Y)
    frame = np.float32([[0, 0], [WIDTH, 0], [WIDTH, HEIGHT], [0, HEIGHT]]) + np.float32([BORDER_X, BORDER_Y])
    warp = cv2.getPerspectiveTransform(np.float32(quad) - 0.5, frame - 0.5)
    flat = cv2.warpPerspective(image, warp, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    flat = cv2.GaussianBlur(flat, (0, 0), 0.8).astype(np.float32)
    # Green stays clear of casts and bright on yellow plates; a European band is as dark as a holder in all but blue.
    green, brightest = flat[:, :, 1], flat.max(axis=2)
    level, brightest_level = _half(green), _half(brightest)
    if level is None:
        return None
    top, bottom = (_long_side(green, level, down) for down in (False, True))
    if top is None or bottom is None:
        return None
    left, right = (_short_side(brightest, brightest_level, top, bottom, right) for right in (False, True))
    corners = [_cross(top, left), _cross(top, right), _cross(bottom, right), _cross(bottom, left)]
    found = np.float32(corners)[None]
    tight = cv2.perspectiveTransform(found, np.linalg.inv(warp))[0] + 0.5
    sides = np.linalg.norm(tight - np.roll(tight, -1, axis=0), axis=1)
    aspect = (sides[0] + sides[2]) / max(sides[1] + sides[3], 1e-3)
    return tight if PLAUSIBLE_ASPECT[0] < aspect < PLAUSIBLE_ASPECT[1] else None


def _half(light: np.ndarray) -> float | None:
    """The gray level between ground and characters, or None where these are no dark ones on a bright ground."""
    core = light[BORDER_Y + HEIGHT // 4 : -BORDER_Y - HEIGHT // 4, BORDER_X + WIDTH // 8 : -BORDER_X - WIDTH // 8]
    ground, ink = np.percentile(core, 75), np.percentile(core, 8)
    half = float((ground + ink) / 2)
    return half if ground - ink > LEAST_CONTRAST and (core > half).mean() > 0.5 else None


def _fall(profile: np.ndarray, level: float) -> float | None:
    """Where the profile, bright at first, falls below `level` for good (two samples), between samples."""
    dark = profile < level
    ends = np.flatnonzero(dark[:-1] & dark[1:])
    if not len(ends) or ends[0] == 0:
        return None
    end = int(ends[0])
    return end - 1 + float((profile[end - 1] - level) / max(profile[end - 1] - profile[end], 1e-3))


def _line(at: np.ndarray, values: list[float | None], tolerance: float) -> tuple[float, float] | None:
    """The line offset + slope * at through most of the values, or None where fewer than four agree."""
    known = np.array([(a, v) for a, v in zip(at, values, strict=True) if v is not None])
    while len(known) >= 4:
        slope, offset = np.polyfit(known[:, 0], known[:, 1], 1)
        errors = np.abs(offset + slope * known[:, 0] - known[:, 1])
        if errors.max() <= tolerance:
            return float(offset), float(slope)
        known = np.delete(known, errors.argmax(), axis=0)
    return None


def _long_side(light: np.ndarray, level: float, down: bool) -> tuple[float, float] | None:
    """The upper or lower side as y = offset + slope * x."""
    middle = light.shape[0] // 2
    # Start beyond most of the text, that gaps between characters count as little as possible.
    starts = middle + HEIGHT // 5 if down else middle - HEIGHT // 5
    width = WIDTH // STRIPS
    places, values = [], []
    for number in range(STRIPS):
        x = BORDER_X + number * width
        # The brightest fifth of a strip: between and beside the strokes.
        bright = np.percentile(light[:, x : x + width], 82, axis=1)
        end = _fall(bright[starts:] if down else bright[starts::-1], level)
        places.append(x + (width - 1) / 2)
        values.append(None if end is None else starts + end if down else starts - end)
    line = _line(np.array(places), values, AGREEMENT * HEIGHT)
    if line is None:
        return None
    edge = BORDER_Y + (HEIGHT if down else 0) - 0.5
    inward = [(edge - y if down else y - edge) / HEIGHT for y in (line[0], line[0] + line[1] * light.shape[1])]
    return line if min(inward) > -MOST_OUTWARD and max(inward) < MOST_INWARD else None


def _short_side(
    light: np.ndarray, level: float | None, top: tuple[float, float], bottom: tuple[float, float], right: bool
) -> tuple[float, float]:
    """The left or right side as x = offset + slope * y; where it is not clear, the one given."""
    given = BORDER_X + (WIDTH if right else 0) - 0.5
    if level is None:
        return float(given), 0.0
    start = int(given - WIDTH // 12) if right else int(given + WIDTH // 12)
    reach = 2 * (WIDTH // 12)
    low, high = top[0] + top[1] * start, bottom[0] + bottom[1] * start
    edges = np.linspace(low + 0.08 * (high - low), high - 0.08 * (high - low), STRIPS)
    places, values = [], []
    for y1, y2 in itertools.pairwise(edges):
        rows = light[round(y1) : max(round(y2), round(y1) + 1)]
        profile = np.percentile(rows, 70, axis=0)
        run = profile[start : start + reach] if right else profile[start : max(start - reach, 0) : -1]
        end = _fall(run, level)
        places.append((y1 + y2) / 2)
        values.append(None if end is None else (start + end if right else start - end))
    line = _line(np.array(places), values, AGREEMENT * HEIGHT)
    if line is None:
        return float(given), 0.0
    shift = abs(line[0] + line[1] * (low + high) / 2 - given)
    return line if shift < 0.06 * WIDTH and abs(line[1]) < 0.2 else (float(given), 0.0)


def _cross(across: tuple[float, float], upright: tuple[float, float]) -> tuple[float, float]:
    """Where y = a + b x meets x = c + d y."""
    (a, b), (c, d) = across, upright
    y = (a + b * c) / (1 - b * d)
    return c + d * y, y
