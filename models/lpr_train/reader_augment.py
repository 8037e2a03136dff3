"""Pure. One training picture for the reader from a pool picture: geometry, light, optics, sensor, compression.

A pool picture shows a rectified plate with a wide border (POOL_MARGIN_*), so that corners can miss in both
directions. `difficulty` 0..1 scales everything: the slots do not start to learn on crops that are hard from the start.
"""

import cv2
import numpy as np

from .reader_labels import INPUT_HEIGHT, INPUT_WIDTH, MARGIN_X, MARGIN_Y

POOL_WIDTH, POOL_HEIGHT = 192, 96
POOL_MARGIN_X, POOL_MARGIN_Y = 0.12, 0.24


def corners_with_margin(width: float, height: float, margin_x: float, margin_y: float) -> np.ndarray:
    """Where a plate's corners lie in a picture of this size that shows it with these margins (shares of the plate)."""
    left, top = width * margin_x / (1 + 2 * margin_x), height * margin_y / (1 + 2 * margin_y)
    right, bottom = width - left, height - top
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float32)


POOL_QUAD = corners_with_margin(POOL_WIDTH, POOL_HEIGHT, POOL_MARGIN_X, POOL_MARGIN_Y)
INPUT_QUAD = corners_with_margin(INPUT_WIDTH, INPUT_HEIGHT, MARGIN_X, MARGIN_Y)


def rectify(image: np.ndarray, quad: np.ndarray, to_pool: bool = False) -> np.ndarray:
    """The plate with the given corners as the reader sees it, or with the pool's wider border."""
    target, size = (POOL_QUAD, (POOL_WIDTH, POOL_HEIGHT)) if to_pool else (INPUT_QUAD, (INPUT_WIDTH, INPUT_HEIGHT))
    matrix = cv2.getPerspectiveTransform(np.asarray(quad, np.float32), target)
    return cv2.warpPerspective(image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def augment(pool: np.ndarray, aspect: float, difficulty: float, rng: np.random.Generator) -> tuple[np.ndarray, bool]:
    """A reader input (uint8, 64 x 128 x 3) from a pool picture of a plate whose height/width is `aspect`.

    The second value says whether its colors are still those of the plate.
    """
    picture = rectify(pool, _missed_corners(aspect, difficulty, rng)).astype(np.float32)
    picture, true_colors = _light(picture, difficulty, rng)
    picture = _optics(picture, difficulty, rng)
    return _sensor(picture, aspect, difficulty, rng), true_colors


def spoil(pool: np.ndarray, aspect: float, rng: np.random.Generator) -> np.ndarray:
    """A reader input that shows a plate but cannot be read: a few pixels, a smear, or half of it beside the frame."""
    way = rng.random()
    quad = POOL_QUAD.copy()
    if way < 0.35:
        aside = rng.uniform(0.45, 0.8) * rng.choice([-1, 1])
        quad += (quad[2] - quad[0]) * ([aside, rng.uniform(-0.1, 0.1)] if rng.random() < 0.6 else [0.0, aside])
    picture, _ = _light(rectify(pool, quad).astype(np.float32), 0.5, rng)
    if 0.35 <= way < 0.7:
        small = (int(rng.integers(5, 13)), int(rng.integers(3, 6)))
        picture = cv2.resize(cv2.resize(picture, small, interpolation=cv2.INTER_AREA), (INPUT_WIDTH, INPUT_HEIGHT))
    elif way >= 0.7:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(8, 14), sigmaY=rng.uniform(1, 8))
    return _sensor(picture, aspect, 0.3, rng)


def _missed_corners(aspect: float, difficulty: float, rng: np.random.Generator) -> np.ndarray:
    """Corners as a detector finds them: each off by some per cent of the height, at times a loose, unturned box, at
    times leaning, where a plate seen aslant has only half been put upright."""
    quad = POOL_QUAD.copy()
    center = quad.mean(axis=0)
    span = quad[2] - quad[0]
    # One unit of plate height is `aspect` plate widths, so errors of the same size in mm differ per axis.
    unit = np.array([span[0] * aspect, span[1]], np.float32)
    quad += rng.normal(0, 1, (4, 2)).astype(np.float32) * unit * difficulty * rng.uniform(0.01, 0.06)
    quad += rng.normal(0, 0.05, 2).astype(np.float32) * unit * difficulty
    if rng.random() < 0.3 * difficulty:
        grow = np.array([rng.uniform(-0.03, 0.14), rng.uniform(-0.06, 0.28)], np.float32)
        quad += np.sign(quad - center) * grow * span
        angle = np.radians(rng.normal(0, 6.0))
    else:
        angle = np.radians(rng.normal(0, 1.2) * difficulty)
    if rng.random() < 0.3 * difficulty:
        rise, slant = rng.normal(0, 0.16) * span[1], rng.normal(0, 0.14 if aspect < 0.5 else 0.2) * span[1] * aspect
        quad += np.float32([[-slant, -rise], [-slant, rise], [slant, rise], [slant, -rise]])
    real = (quad - center) / span * [1, aspect]
    c, s = np.cos(angle), np.sin(angle)
    turned = real @ np.array([[c, s], [-s, c]])
    return (turned / [1, aspect] * span + center).astype(np.float32)


def _light(picture: np.ndarray, difficulty: float, rng: np.random.Generator) -> tuple[np.ndarray, bool]:
    """Camera color, infrared, exposure, contrast, shadow and glare; and whether the colors survived."""
    mode, true_colors = rng.random(), True
    if mode < 0.3:
        picture = np.repeat(picture @ np.array([[0.3], [0.59], [0.11]], np.float32), 3, axis=2)
    elif mode < 0.4:
        picture, true_colors = picture[..., rng.permutation(3)], False
    if rng.random() < 0.03:
        picture, true_colors = 255 - picture, False
    picture = picture * (1 + difficulty * rng.uniform(-0.28, 0.28, 3).astype(np.float32))
    height, width = picture.shape[:2]
    if rng.random() < 0.3 * difficulty:
        angle = rng.uniform(0, 2 * np.pi)
        ys, xs = np.mgrid[0:height, 0:width].astype(np.float32)
        side = (xs / width - rng.uniform(0.2, 0.8)) * np.cos(angle) + (ys / height - rng.uniform(0.2, 0.8)) * np.sin(
            angle
        )
        soft = 1 / (1 + np.exp(-np.clip(side * rng.uniform(4, 60), -30, 30)))
        picture = picture * (1 - rng.uniform(0.2, 0.65) * soft)[..., None].astype(np.float32)
    if rng.random() < 0.12 * difficulty:
        center, radius = rng.uniform(0, 1, 2) * (width, height), rng.uniform(8, 40)
        ys, xs = np.mgrid[0:height, 0:width].astype(np.float32)
        glow = np.exp(-((xs - center[0]) ** 2 + (ys - center[1]) ** 2) / (2 * radius**2))
        picture = picture + rng.uniform(30, 150) * glow[..., None]
    mean = picture.mean()
    contrast = np.exp(rng.uniform(np.log(1 - 0.8 * difficulty), np.log(1.25)))
    target = mean + difficulty * (rng.uniform(35, 215) - mean)
    if rng.random() < 0.1 * difficulty:
        # Hardly lit: next to black, and gray on gray.
        target, contrast = rng.uniform(12, 45), min(contrast, rng.uniform(0.15, 0.4))
    picture = np.clip((picture - mean) * contrast + target, 0, 255)
    gamma = np.exp(rng.uniform(-0.5, 0.5) * difficulty)
    return 255 * (picture / 255) ** gamma, true_colors


def _optics(picture: np.ndarray, difficulty: float, rng: np.random.Generator) -> np.ndarray:
    if rng.random() < 0.7:
        sigma = difficulty * rng.uniform(0.1, 1.7) * (1 if rng.random() < 0.8 else 1.4)
        if sigma > 0.15:
            picture = cv2.GaussianBlur(picture, (0, 0), sigma)
    if rng.random() < 0.25 * difficulty:
        length = int(rng.integers(3, 9))
        angle = rng.normal(0, 0.35) if rng.random() < 0.7 else rng.uniform(0, np.pi)
        kernel = np.zeros((9, 9), np.float32)
        dx, dy = np.cos(angle) * length / 2, np.sin(angle) * length / 2
        cv2.line(kernel, (round(4 - dx), round(4 - dy)), (round(4 + dx), round(4 + dy)), 1.0, 1)
        picture = cv2.filter2D(picture, -1, kernel / kernel.sum())
    return picture


def _sensor(picture: np.ndarray, aspect: float, difficulty: float, rng: np.random.Generator) -> np.ndarray:
    """Few pixels, noise relative to the plate's own contrast, JPEG, and the stretch back to the input's size."""
    width = int(np.exp(rng.uniform(np.log(INPUT_WIDTH * (1 - 0.8 * difficulty)), np.log(INPUT_WIDTH * 1.1))))
    # Two-row plates carry wider characters at the same width, one-row plates need at least some 30 pixels to be read.
    width = max(width, 34 if aspect < 0.5 else 24)
    height = max(10, round(width * aspect * (1 + 2 * MARGIN_Y) / (1 + 2 * MARGIN_X)))
    if width < INPUT_WIDTH:
        picture = cv2.resize(picture, (width, min(height, INPUT_HEIGHT * 2)), interpolation=cv2.INTER_AREA)
    if rng.random() < 0.7:
        amplitude = float(picture.std()) * difficulty * rng.uniform(0.02, 0.35)
        noise = rng.normal(0, amplitude, picture.shape[:2] + ((3,) if rng.random() < 0.5 else (1,)))
        picture = picture + noise.astype(np.float32)
    if rng.random() < 0.25 * difficulty:
        # Cameras sharpen: bright and dark halos along every edge.
        soft = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.7, 1.6))
        picture = picture + rng.uniform(0.5, 2.2) * (picture - soft)
    small = np.clip(picture, 0, 255).astype(np.uint8)
    if rng.random() < 0.5 * min(1.0, 0.3 + difficulty):
        quality = int(rng.uniform(95 - 75 * difficulty, 96))
        small = cv2.imdecode(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)
    how = cv2.INTER_LINEAR if rng.random() < 0.7 else cv2.INTER_CUBIC
    return cv2.resize(small, (INPUT_WIDTH, INPUT_HEIGHT), interpolation=how)
