"""A supersampled RGB canvas addressed in millimeters."""

import cv2
import numpy as np

from .glyphs import FACES, PUNCTUATION, glyph_mask, glyph_width

SUPERSAMPLE = 2
RGB = tuple[int, int, int]


class Canvas:
    """Draws in mm; `finish` gives the picture at `px_per_mm`."""

    def __init__(self, width_mm: float, height_mm: float, px_per_mm: float, background: RGB):
        self.size = (max(8, round(width_mm * px_per_mm)), max(8, round(height_mm * px_per_mm)))
        self.scale = px_per_mm * SUPERSAMPLE
        self.image = np.empty((self.size[1] * SUPERSAMPLE, self.size[0] * SUPERSAMPLE, 3), np.uint8)
        self.image[:] = background
        self.width_mm, self.height_mm = width_mm, height_mm

    def rect(self, x: float, y: float, width: float, height: float, color: RGB) -> None:
        x1, y1, x2, y2 = (round(v * self.scale) for v in (x, y, x + width, y + height))
        self.image[max(0, y1) : max(0, y2), max(0, x1) : max(0, x2)] = color

    def polygon(self, points: list[tuple[float, float]], color: RGB) -> None:
        scaled = np.round(np.array(points) * self.scale * 16).astype(np.int32)
        cv2.fillPoly(self.image, [scaled], color, cv2.LINE_AA, 4)

    def circle(self, x: float, y: float, radius: float, color: RGB) -> None:
        center = (round(x * self.scale * 16), round(y * self.scale * 16))
        cv2.circle(self.image, center, round(radius * self.scale * 16), color, -1, cv2.LINE_AA, 4)

    def frame(self, inset: float, thickness: float, corner: float, color: RGB) -> None:
        """A rounded rectangle's outline, `inset` from the edge."""
        points = _rounded(self.width_mm, self.height_mm, inset, corner) * self.scale * 16
        width = max(1, round(thickness * self.scale))
        cv2.polylines(self.image, [np.round(points).astype(np.int32)], True, color, width, cv2.LINE_AA, 4)

    def glyph(
        self,
        face: str,
        char: str,
        stroke: int,
        box: tuple[float, float, float, float],
        color: RGB,
        roundness: int = 100,
        embossed: bool = True,
    ) -> None:
        """One glyph in `box` = x, y, width, height.

        Embossed, it has a dark edge below right and a bright one above left where pixels are fine enough.
        """
        x, y, width, height = box
        mask = self._mask(face, char, stroke, width, height, roundness)
        if self.scale >= 2 and embossed:
            for offset, edge in ((0.8, 0), (-0.6, 255)):
                self._blend(mask, x + offset, y + offset, (edge, edge, edge), 0.28)
        self._blend(mask, x, y, color, 1.0)

    def text(self, line: str, face: str, stroke: int, center: float, y: float, height: float, color: RGB) -> None:
        """Small lettering without emboss, centered on `center`; characters the face lacks become gaps."""
        known = [c if c in FACES[face] or c in PUNCTUATION else " " for c in line]
        scale, gap = height / 100, height * 0.14
        widths = [glyph_width(face, c) * scale for c in known]
        x = center - (sum(widths) + gap * (len(widths) - 1)) / 2
        for char, width in zip(known, widths, strict=True):
            if char != " ":
                self._blend(self._mask(face, char, stroke, width, height), x, y, color, 1.0)
            x += width + gap

    def finish(self) -> np.ndarray:
        return cv2.resize(self.image, self.size, interpolation=cv2.INTER_AREA)

    def corner_mask(self, corner: float) -> np.ndarray:
        """Alpha of the finished picture: 255 inside the rounded outline."""
        mask = np.zeros(self.image.shape[:2], np.uint8)
        points = np.round(_rounded(self.width_mm, self.height_mm, 0, corner) * self.scale).astype(np.int32)
        cv2.fillPoly(mask, [points], 255)
        return cv2.resize(mask, self.size, interpolation=cv2.INTER_AREA)

    def _mask(self, face: str, char: str, stroke: int, width: float, height: float, roundness: int = 100) -> np.ndarray:
        size = (max(1, round(width * self.scale)), max(1, round(height * self.scale)))
        return cv2.resize(glyph_mask(face, char, stroke, roundness), size, interpolation=cv2.INTER_AREA)

    def _blend(self, mask: np.ndarray, x: float, y: float, color: RGB, opacity: float) -> None:
        left, top = round(x * self.scale), round(y * self.scale)
        x1, y1 = max(0, left), max(0, top)
        x2 = min(self.image.shape[1], left + mask.shape[1])
        y2 = min(self.image.shape[0], top + mask.shape[0])
        if x1 >= x2 or y1 >= y2:
            return
        alpha = mask[y1 - top : y2 - top, x1 - left : x2 - left, None].astype(np.float32) * (opacity / 255)
        area = self.image[y1:y2, x1:x2]
        area[:] = (area * (1 - alpha) + np.array(color, np.float32) * alpha).astype(np.uint8)


def _rounded(width: float, height: float, inset: float, corner: float) -> np.ndarray:
    """Outline of a rounded rectangle in mm, eight points a corner."""
    radius = max(0.1, corner - inset)
    angles = np.linspace(0, np.pi / 2, 8)
    arc = np.stack([np.cos(angles), np.sin(angles)], 1) * radius
    right, bottom = width - inset - radius, height - inset - radius
    left = top = inset + radius
    return np.vstack(
        [
            arc + (right, bottom),
            arc[:, ::-1] * (-1, 1) + (left, bottom),
            arc * (-1, -1) + (left, top),
            arc[:, ::-1] * (1, -1) + (right, top),
        ]
    )
