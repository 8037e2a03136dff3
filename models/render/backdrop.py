"""The street without traffic: sky, houses, sidewalks, asphalt with marks, trees and poles. Ray-cast once a scene."""

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

from .raster import SUN, PinholeCamera, to_srgb

ROAD_M = 3.75
FACADE_M = 6.6
STREET_END_M = 175.0
BUMP_M = (17.2, 18.9)
CROSSING_M = (25.5, 29.0)
HAZE = np.array([0.66, 0.73, 0.82], np.float32)
#: Side, distance from the middle of the road, distance along it.
TREES = ((1, 5.1, 30.0), (-1, 5.0, 34.0), (1, 5.1, 46.0), (-1, 5.1, 55.0), (1, 5.1, 64.0), (-1, 5.0, 77.0),
         (1, 5.1, 90.0), (-1, 5.1, 104.0), (1, 5.1, 124.0))  # fmt: skip
_WALLS = ((0.60, 0.50, 0.36), (0.56, 0.30, 0.20), (0.62, 0.60, 0.55), (0.30, 0.42, 0.46), (0.62, 0.46, 0.18),
          (0.40, 0.47, 0.33), (0.56, 0.36, 0.33), (0.48, 0.49, 0.52))  # fmt: skip
_AWNINGS = ((0.45, 0.05, 0.04), (0.04, 0.18, 0.09), (0.05, 0.10, 0.32), (0.50, 0.30, 0.03), (0.30, 0.28, 0.26))


@dataclass
class _Row:
    """Houses along one side: where each begins, its height, wall, awning, and window raster."""

    start: np.ndarray
    height: np.ndarray
    wall: np.ndarray
    awning: np.ndarray
    pitch: np.ndarray


class Backdrop:
    """Deterministic for a generator; `render` gives an sRGB BGR image."""

    def __init__(self, camera: PinholeCamera, rng: np.random.Generator) -> None:
        self._camera, self._rng = camera, rng
        self._tile = rng.random((512, 512), np.float32)
        self._near = {-1: self._row(3.6, 4.6, 12.0), 1: self._row(5.5, 9.5, 12.0)}
        self._tall = {-1: self._row(11.0, 34.0, 40.0), 1: self._row(12.0, 38.0, 40.0)}

    def render(self) -> np.ndarray:
        width, height = self._camera.width, self._camera.height
        rays = self._camera.rays(2)
        image = np.empty((height, width, 3), np.uint8)
        for top in range(0, height, 60):
            strip = to_srgb(self._shade(rays[2 * top : 2 * min(height, top + 60)]))
            rows = strip.shape[0] // 2
            image[top : top + rows] = cv2.resize(strip, (width, rows), interpolation=cv2.INTER_AREA)[..., ::-1]
        self._furniture(image)
        return image

    # Houses ---------------------------------------------------------------------------------------

    def _row(self, low: float, high: float, uniform_until: float) -> _Row:
        rng, start, y = self._rng, [], -20.0
        while y < STREET_END_M:
            start.append(y)
            y += rng.uniform(6.5, 12.0)
        count = len(start)
        height = rng.uniform(low, high, count)
        far = np.array(start) > uniform_until
        height[far] += rng.uniform(0, 3.5, count)[far]
        return _Row(
            np.array(start),
            height.astype(np.float32),
            np.array(_WALLS, np.float32)[rng.integers(0, len(_WALLS), count)],
            np.array(_AWNINGS, np.float32)[rng.integers(0, len(_AWNINGS), count)],
            rng.uniform(1.9, 2.8, count).astype(np.float32),
        )

    # Ray casting ----------------------------------------------------------------------------------

    def _shade(self, rays: np.ndarray) -> np.ndarray:
        shape, d = rays.shape, rays.reshape(-1, 3)
        d = d / np.linalg.norm(d, axis=1, keepdims=True)
        color = self._sky(d)
        distance = np.full(len(d), np.inf, np.float32)
        self._skyline(d, color)
        for x_plane, rows in ((19.0, self._tall), (FACADE_M, self._near)):
            for side in (-1, 1):
                self._facades(d, color, distance, side, x_plane, rows[side])
        self._ground(d, color, distance)
        haze = (1 - np.exp(-np.where(np.isfinite(distance), distance, 0) / 430.0))[:, None]
        return (color * (1 - haze) + HAZE * haze).reshape(shape)

    def _sky(self, d: np.ndarray) -> np.ndarray:
        up = np.clip(d[:, 2:3] * 5.0, 0, 1) ** 0.7
        sky = np.array([0.78, 0.84, 0.90], np.float32) * (1 - up) + np.array([0.22, 0.45, 0.80], np.float32) * up
        rise = np.maximum(d[:, 2], 0.01)
        u, v = d[:, 0] / (rise + 0.12) * 2.0, d[:, 1] / (rise + 0.12) * 2.0
        cloud = self._noise(u * 3, v * 3) * 0.5 + self._noise(u * 7, v * 7) * 0.3 + self._noise(u * 17, v * 17) * 0.2
        return sky + (np.array([0.95, 0.96, 0.97], np.float32) - sky) * np.clip((cloud[:, None] - 0.48) * 4, 0, 0.85)

    def _skyline(self, d: np.ndarray, color: np.ndarray) -> None:
        """Far towers and a hill behind the end of the street."""
        azimuth = d[:, 0] / np.maximum(d[:, 1], 0.1)
        rise = d[:, 2] / np.maximum(d[:, 1], 0.1)
        hill = 0.020 + 0.012 * np.sin(azimuth * 7 + 1.0) + 0.006 * np.sin(azimuth * 19)
        color[rise < hill] = (0.40, 0.50, 0.56)
        block = np.floor(azimuth * 42)
        top = 0.012 + 0.075 * self._noise(block * 37.7, block * 11.3) ** 1.6
        tower = rise < top
        lights = (np.sin(azimuth * 42 * 2 * np.pi * 5) > 0.2) & (np.sin(rise * 1500) > 0)
        shade = 0.40 + 0.14 * self._noise(block * 5.1, block * 3.3)
        color[tower] = (shade * (1 - 0.13 * lights))[tower, None] * np.array([0.98, 1.06, 1.18], np.float32)

    def _facades(self, d, color, distance, side: int, x_plane: float, row: _Row) -> None:
        t = (side * x_plane - self._camera.eye[0]) / np.where(np.abs(d[:, 0]) > 1e-6, d[:, 0], 1e-6)
        y, z = self._camera.eye[1] + t * d[:, 1], self._camera.eye[2] + t * d[:, 2]
        index = np.clip(np.searchsorted(row.start, y) - 1, 0, len(row.start) - 1)
        hit = (t > 0) & (y < STREET_END_M) & (z > 0) & (z < row.height[index]) & (t < distance)
        if not hit.any():
            return
        index, y, z = index[hit], y[hit], z[hit]
        local, pitch, top = y - row.start[index], row.pitch[index], row.height[index]
        grain = 0.86 + 0.14 * self._noise(y * 9, z * 9) + 0.12 * (self._noise(y * 1.3, z * 0.5) - 0.5)
        wall = row.wall[index] * grain[:, None].astype(np.float32)
        upper, along = z - 3.2, local % pitch
        storey = upper % 2.9
        pane = (upper > 0.3) & (storey > 0.75) & (storey < 2.15) & (along > 0.45) & (along < pitch - 0.45)
        frame = (upper > 0.3) & (storey > 0.66) & (storey < 2.24) & (along > 0.36) & (along < pitch - 0.36)
        pane &= z < top - 0.6
        frame &= z < top - 0.6
        wall[frame] = wall[frame] * 0.4 + 0.36
        reflect = 0.05 + 0.16 * self._noise(np.floor(local / pitch) * 7.7 + index * 3.1, np.floor(upper / 2.9) * 5.3)
        wall[pane] = reflect[pane, None] * np.array([0.8, 0.95, 1.1], np.float32)
        wall[pane & (np.abs(along - pitch / 2) < 0.03)] = 0.45
        shop = (z < 2.55) & (along > 0.22) & (along < pitch - 0.22)
        ribs = 0.30 + 0.05 * (np.sin(z * 60) > 0)
        closed = self._noise(np.floor(local / pitch) * 3.3 + index * 9.7, index * 1.0) > 0.5
        wall[shop] = np.where(closed[shop], ribs[shop], 0.045 + 0.03 * self._noise(y * 2, z * 2)[shop])[:, None]
        awning = (z > 2.6) & (z < 3.05)
        wall[awning] = row.awning[index][awning] * (0.75 + 0.4 * (np.sin(local * 9) > 0))[awning, None]
        wall[(z > top - 0.22) | ((z > 3.05) & (z < 3.16))] *= 0.72
        wall[local < 0.10] *= 0.55
        light = 0.60 if side < 0 else 1.25
        color[hit] = wall * light * np.clip(0.75 + 0.06 * z, 0.75, 1.0)[:, None]
        distance[hit] = t[hit]

    def _ground(self, d, color, distance) -> None:
        t = -self._camera.eye[2] / np.minimum(d[:, 2], -1e-6)
        hit = (d[:, 2] < 0) & (t < distance)
        if not hit.any():
            return
        point = self._camera.eye + d[hit] * t[hit, None]
        x, y = point[:, 0], point[:, 1]
        fade = np.clip(14.0 / np.maximum(y, 1), 0, 1)
        grain = 1 + fade * 0.30 * (self._noise(x * 47, y * 47) - 0.5) + 0.22 * (self._noise(x * 2.1, y * 0.9) - 0.5)
        shade = np.repeat((0.118 * grain)[:, None], 3, axis=1) * np.array([1.0, 0.99, 0.97], np.float32)
        # Tires polish two tracks a lane; oil darkens the middle.
        lane = np.abs(np.abs(x) - 1.8)
        shade *= (1 + 0.10 * np.exp(-(((lane - 0.75) / 0.22) ** 2)) - 0.14 * np.exp(-((lane / 0.3) ** 2)))[:, None]
        patch = ((x - 1.4) / 0.9) ** 6 + ((y - 13.2) / 1.6) ** 6 < 1
        shade[patch] *= 0.78
        crack = np.abs(self._noise(x * 1.1 + 31, y * 1.1) - 0.5) < 0.006
        shade[crack & (y < 40)] *= 0.72
        self._marks(shade, x, y)
        walk = np.abs(x) > ROAD_M
        shade[walk] = self._sidewalk(np.abs(x), y, grain)[walk]
        color[hit] = shade * self._sunlight(x, y)
        distance[hit] = t[hit]

    def _marks(self, shade, x, y) -> None:
        worn = 0.68 + 0.42 * self._noise(x * 23, y * 23)
        yellow, white = np.array([0.62, 0.42, 0.05], np.float32), np.array([0.66, 0.66, 0.64], np.float32)

        def paint(where, tint) -> None:
            shade[where] = tint * worn[where, None] + shade[where] * 0.15

        plain = (y < CROSSING_M[0] - 3) | (y > CROSSING_M[1] + 3)
        paint((np.abs(np.abs(x) - 0.12) < 0.055) & plain, yellow)
        paint(np.abs(np.abs(x) - 3.38) < 0.06, white)
        inside = np.abs(x) < 3.45
        crossing = (y > CROSSING_M[0]) & (y < CROSSING_M[1])
        paint(inside & crossing & (np.sin(x * np.pi / 0.5) > 0), white)
        stop = ((y > CROSSING_M[0] - 1.9) & (y < CROSSING_M[0] - 1.5) & (x > 0.2)) | (
            (y > CROSSING_M[1] + 1.5) & (y < CROSSING_M[1] + 1.9) & (x < -0.2)
        )
        paint(inside & stop, white)
        bump = (y > BUMP_M[0]) & (y < BUMP_M[1]) & (np.abs(x) < 3.3)
        shade[bump] *= (0.8 + 0.5 * (y[bump] - BUMP_M[0]) / (BUMP_M[1] - BUMP_M[0]))[:, None]
        paint(bump & (np.sin((x + 0.6 * y) * np.pi / 0.55) > 0), yellow)
        manhole = np.hypot(x + 0.9, y - 11.0)
        shade[manhole < 0.36] = 0.075
        shade[np.abs(manhole - 0.36) < 0.03] = 0.16

    def _sidewalk(self, x, y, grain) -> np.ndarray:
        joint = (np.abs((y % 1.2) - 0.6) > 0.575) | (np.abs(((x - ROAD_M) % 0.9) - 0.45) > 0.43)
        slab = 0.27 * grain * (1 - 0.25 * joint)
        # Waves of dark stone, as sidewalks in Brazil have them.
        wave = (np.abs(np.sin(y * 1.1) * 0.30 + 5.1 - x) < 0.17) & (x > ROAD_M + 0.3)
        slab = np.where(wave, 0.085 * grain, slab)
        curb = x < ROAD_M + 0.20
        slab = np.where(curb, 0.42 * grain * np.where(y % 1.0 < 0.03, 0.6, 1.0), slab)
        slab = np.where(x < ROAD_M + 0.05, 0.16, slab)
        return np.repeat(slab[:, None], 3, axis=1).astype(np.float32) * np.array([1.0, 0.97, 0.92], np.float32)

    def _sunlight(self, x, y) -> np.ndarray:
        """RGB of the light on the ground; the houses on the left throw their shadow to the curb."""
        row = self._near[-1]
        way = (-FACADE_M - x) / SUN[0]
        at = np.clip(np.searchsorted(row.start, y + way * SUN[1]) - 1, 0, len(row.start) - 1)
        shadow = np.clip((row.height[at] - way * SUN[2]) / 0.12, 0, 1)
        for tree_x, tree_y in ((s * x0, y0) for s, x0, y0 in TREES):
            away = np.hypot(x - tree_x - 4.6 * -SUN[0] / SUN[2], (y - tree_y - 4.6 * -SUN[1] / SUN[2]) / 1.1)
            shadow = np.maximum(shadow, np.clip((1.75 + 0.9 * (self._noise(x * 3, y * 3) - 0.5) - away) / 0.25, 0, 0.9))
        sun, shade = np.array([1.36, 1.30, 1.20], np.float32), np.array([0.60, 0.65, 0.72], np.float32)
        return sun + (shade - sun) * shadow[:, None]

    def _noise(self, x, y) -> np.ndarray:
        """Smooth value noise in 0..1 with features of one unit."""
        grid_x = np.mod(x, 511).astype(np.float32)[None]
        grid_y = np.mod(y, 511).astype(np.float32)[None]
        parts = [
            cv2.remap(self._tile, grid_x[:, i : i + 32000], grid_y[:, i : i + 32000], cv2.INTER_LINEAR)
            for i in range(0, grid_x.shape[1], 32000)
        ]
        return np.concatenate(parts, axis=1)[0]

    # Trees, poles, wires --------------------------------------------------------------------------

    def _furniture(self, image: np.ndarray) -> None:
        things = [(y, "tree", side * x) for side, x, y in TREES]
        things += [(y, "pole", 4.25) for y in (18.5, 50.0, 82.0, 114.0)]
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
                points = np.stack([np.full_like(t, 4.25 + offset), y, height - 2.2 * t * (1 - t)], axis=1)[y > 3]
                pixels, _ = self._camera.project(points)
                cv2.polylines(image, [np.round(pixels * 16).astype(np.int32)], False, (52, 50, 48), 1, cv2.LINE_AA, 4)


def _fixed(point: np.ndarray) -> tuple[int, int]:
    return round(float(point[0]) * 16), round(float(point[1]) * 16)


def _line(image: np.ndarray, a: np.ndarray, b: np.ndarray, thickness: float, color: tuple) -> None:
    cv2.line(image, _fixed(a), _fixed(b), color, round(thickness), cv2.LINE_AA, 4)
