"""Trees, poles and wires beside the street, drawn over its backdrop once a scene."""

from itertools import pairwise

import cv2
import numpy as np

from .raster import PinholeCamera

#: Side, distance from the middle of a street 3.75 m wide to each side, distance along it.
TREES = ((1, 5.1, 30.0), (-1, 5.0, 34.0), (1, 5.1, 46.0), (-1, 5.1, 55.0), (1, 5.1, 64.0), (-1, 5.0, 77.0),
         (1, 5.1, 90.0), (-1, 5.1, 104.0), (1, 5.1, 124.0))  # fmt: skip
POLE_X_M = 4.25
POLES_M = (18.5, 50.0, 82.0, 114.0)
#: Where a pole carries its lamp: toward the road, and height.
LAMP_REACH_M, LAMP_M = 2.1, 7.0


class Roadside:
    """`shift` is by how much the street is wider on each side than the narrow one."""

    def __init__(self, camera: PinholeCamera, rng: np.random.Generator, shift: float) -> None:
        self._camera, self._rng, self._shift = camera, rng, shift

    def draw(self, image: np.ndarray) -> None:
        things = [(y, "tree", side * (x + self._shift)) for side, x, y in TREES]
        things += [(y, "pole", POLE_X_M + self._shift) for y in POLES_M]
        self._wires(image)
        for y, kind, x in sorted(things, reverse=True):
            if kind == "tree":
                self._tree(image, x, y)
            else:
                self._pole(image, x, y)

    def _at(self, *points) -> np.ndarray:
        return self._camera.project(np.array(points, np.float32))[0]

    def _tree(self, image: np.ndarray, x: float, y: float) -> None:
        rng = self._rng
        foot, fork = self._at((x, y, 0), (x, y, 2.7))
        scale = self._camera.focal_px / y
        _line(image, foot, fork, max(1, 0.26 * scale), (42, 54, 66))
        _line(image, foot + [0.06 * scale, 0], fork + [0.05 * scale, 0], max(1, 0.07 * scale), (60, 78, 96))
        height = rng.uniform(4.2, 5.2)
        leaves = []
        for _ in range(1500):
            r = rng.random(3) * 2 - 1
            if (r**2).sum() < 1:
                leaves.append((r[2] - 0.6 * r[0], x + r[0] * 1.75, y, height + r[2] * 1.55, rng.random()))
        for light, px, py, pz, tint in sorted(leaves):
            center = self._at((px, py, pz))[0]
            glow = np.clip(0.55 + 0.34 * light + 0.15 * tint, 0.15, 1.25)
            color = [int(v * glow) for v in (40 + 18 * tint, 104 + 30 * tint, 70 + 40 * tint)]
            radius = int(max(1.2, rng.uniform(0.07, 0.19) * scale) * 16)
            cv2.circle(image, _fixed(center), radius, color, -1, cv2.LINE_AA, 4)

    def _pole(self, image: np.ndarray, x: float, y: float) -> None:
        scale = self._camera.focal_px / y
        foot, top, neck, lamp = self._at((x, y, 0), (x, y, 8.2), (x, y, 6.9), (x - 1.9, y, 7.0))
        arm_a, arm_b = self._at((x - 0.9, y, 7.5), (x + 0.9, y, 7.5))
        _line(image, foot, top, max(1, 0.24 * scale), (112, 122, 128))
        _line(image, foot + [0.07 * scale, 0], top + [0.05 * scale, 0], max(1, 0.08 * scale), (150, 158, 162))
        _line(image, arm_a, arm_b, max(1, 0.10 * scale), (70, 84, 96))
        _line(image, neck, lamp, max(1, 0.06 * scale), (120, 126, 130))
        _line(image, lamp, lamp + [-0.4 * scale, 0.03 * scale], max(1, 0.14 * scale), (140, 146, 150))

    def _wires(self, image: np.ndarray) -> None:
        poles = [-13.5, 18.5, 50.0, 82.0, 114.0, 146.0]
        for offset, height in ((-0.8, 7.6), (-0.3, 7.6), (0.8, 7.6), (0.0, 6.3), (0.05, 5.9)):
            for a, b in pairwise(poles):
                t = np.linspace(0, 1, 24)
                y = a + (b - a) * t
                points = np.stack(
                    [np.full_like(t, POLE_X_M + self._shift + offset), y, height - 2.2 * t * (1 - t)], axis=1
                )[y > 3]
                pixels, _ = self._camera.project(points)
                cv2.polylines(image, [np.round(pixels * 16).astype(np.int32)], False, (52, 50, 48), 1, cv2.LINE_AA, 4)


def _fixed(point: np.ndarray) -> tuple[int, int]:
    return round(float(point[0]) * 16), round(float(point[1]) * 16)


def _line(image: np.ndarray, a: np.ndarray, b: np.ndarray, thickness: float, color: tuple) -> None:
    cv2.line(image, _fixed(a), _fixed(b), color, round(thickness), cv2.LINE_AA, 4)
