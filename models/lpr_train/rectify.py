"""A plate straightened by its four corners: the reader's input, the same in training and at run time."""

from __future__ import annotations

import cv2
import numpy as np

WIDTH, HEIGHT = 128, 64
# Share of the plate's width and height kept around it in training, for corners that are a little off.
MARGIN_X, MARGIN_Y = 0.04, 0.08
# Sampled at twice the size and averaged 2x2: plates up to 512 px wide do not alias.
OVERSAMPLE = 2


def rectify(image: np.ndarray, quad: np.ndarray, margin_x: float = MARGIN_X, margin_y: float = MARGIN_Y) -> np.ndarray:
    """uint8 [64,128,3] of the plate with corners `quad` [4,2] (top-left, top-right, bottom-right, bottom-left)."""
    w, h = WIDTH * OVERSAMPLE, HEIGHT * OVERSAMPLE
    left, top = w * margin_x / (1 + 2 * margin_x), h * margin_y / (1 + 2 * margin_y)
    target = np.float32([[left, top], [w - left, top], [w - left, h - top], [left, h - top]])
    # Corners are given in edge coordinates, where pixel 0 spans 0..1; the warp counts pixel centers.
    warp = cv2.getPerspectiveTransform(np.float32(quad) - 0.5, target - 0.5)
    big = cv2.warpPerspective(image, warp, (w, h), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return cv2.resize(big, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
