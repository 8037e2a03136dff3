"""The street without traffic: sky, houses, sidewalks, marked asphalt. Ray-cast once a scene, for day, night or rain."""

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

from .raster import SUN, PinholeCamera, to_srgb
from .roadside import LAMP_M, LAMP_REACH_M, POLE_X_M, POLES_M, TREES, Roadside

WALK_M = 2.85
STREET_END_M = 175.0
BUMP_M = (17.2, 18.9)
CROSSING_M = (25.5, 29.0)
_OVERCAST = np.array([0.97, 1.0, 1.04], np.float32)
HAZE = np.array([0.66, 0.73, 0.82], np.float32)
_WALLS = ((0.60, 0.50, 0.36), (0.56, 0.30, 0.20), (0.62, 0.60, 0.55), (0.30, 0.42, 0.46), (0.62, 0.46, 0.18),
          (0.40, 0.47, 0.33), (0.56, 0.36, 0.33), (0.48, 0.49, 0.52))  # fmt: skip
_AWNINGS = ((0.45, 0.05, 0.04), (0.04, 0.18, 0.09), (0.05, 0.10, 0.32), (0.50, 0.30, 0.03), (0.30, 0.28, 0.26))


@dataclass(frozen=True)
class Street:
    """Half the road's width in meters, and the middles of the lanes on each side."""

    road_m: float = 3.75
    lanes_m: tuple[float, ...] = (1.8,)

    @property
    def facade_m(self) -> float:
        return self.road_m + WALK_M


NARROW = Street()


@dataclass
class _Row:
    """Houses along one side: where each begins, its height, wall, awning, and window raster."""

    start: np.ndarray
    height: np.ndarray
    wall: np.ndarray
    awning: np.ndarray
    pitch: np.ndarray


class Backdrop:
    """Deterministic for a generator; `render` gives an sRGB BGR image. `sky` is `day`, `night` or `rain`."""

    def __init__(
        self, camera: PinholeCamera, rng: np.random.Generator, street: Street = NARROW, sky: str = "day"
    ) -> None:
        self._camera, self._rng, self._street, self._kind = camera, rng, street, sky
        self._wider = street.road_m - NARROW.road_m
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
        self._roadside(image)
        return image

    def _roadside(self, image: np.ndarray) -> None:
        """Trees and poles are drawn in daylight; in other light they take their share of what there is."""
        before = image.copy()
        Roadside(self._camera, self._rng, self._wider).draw(image)
        share = {"day": 1.0, "rain": 0.72, "night": 0.16}[self._kind]
        if share < 1:
            drawn = (image != before).any(axis=2)
            image[drawn] = (image[drawn] * share).astype(np.uint8)

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
        for x_plane, rows in ((19.0 + self._wider, self._tall), (self._street.facade_m, self._near)):
            for side in (-1, 1):
                self._facades(d, color, distance, side, x_plane, rows[side])
        self._ground(d, color, distance)
        far = np.where(np.isfinite(distance), distance, 0)
        if self._kind == "night":
            return self._at_night(d, color, distance).reshape(shape)
        reach, veil = (430.0, HAZE) if self._kind == "day" else (150.0, np.array([0.50, 0.52, 0.54], np.float32))
        haze = (1 - np.exp(-far / reach))[:, None]
        return (color * (1 - haze) + veil * haze).reshape(shape)

    def _at_night(self, d: np.ndarray, color: np.ndarray, distance: np.ndarray) -> np.ndarray:
        """What the street lamps leave of the day: pools of light on road and walls, hardly any sky."""
        point = self._camera.eye + d * np.where(np.isfinite(distance), distance, 0)[:, None]
        light = np.full(len(d), 0.010, np.float32)
        for y in POLES_M:
            away = point - np.array([POLE_X_M + self._wider - LAMP_REACH_M, y, LAMP_M], np.float32)
            square = (away**2).sum(1)
            # A lamp throws its light down: the cosine at the lamp and the one on the ground.
            light += 6.5 * np.maximum(-away[:, 2], 0.4) ** 2 / (square + 1) / (square + 9)
        light[~np.isfinite(distance)] = 0.03
        return color * light[:, None] * np.array([1.05, 0.96, 0.82], np.float32)

    def _sky(self, d: np.ndarray) -> np.ndarray:
        up = np.clip(d[:, 2:3] * 5.0, 0, 1) ** 0.7
        sky = np.array([0.78, 0.84, 0.90], np.float32) * (1 - up) + np.array([0.22, 0.45, 0.80], np.float32) * up
        rise = np.maximum(d[:, 2], 0.01)
        u, v = d[:, 0] / (rise + 0.12) * 2.0, d[:, 1] / (rise + 0.12) * 2.0
        cloud = self._noise(u * 3, v * 3) * 0.5 + self._noise(u * 7, v * 7) * 0.3 + self._noise(u * 17, v * 17) * 0.2
        if self._kind == "rain":
            return np.repeat(0.50 + 0.16 * cloud[:, None], 3, axis=1).astype(np.float32) * _OVERCAST
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
        if self._kind == "night":
            # Lamps behind about every fourth window, much brighter than the wall outside.
            home = pane & (self._noise(np.floor(local / pitch) * 5.1 + index * 7.7, np.floor(upper / 2.9) * 3.1) > 0.62)
            wall[home] = np.array([4.5, 3.3, 1.7], np.float32)
        wall[pane & (np.abs(along - pitch / 2) < 0.03)] = 0.45
        shop = (z < 2.55) & (along > 0.22) & (along < pitch - 0.22)
        ribs = 0.30 + 0.05 * (np.sin(z * 60) > 0)
        closed = self._noise(np.floor(local / pitch) * 3.3 + index * 9.7, index * 1.0) > 0.5
        wall[shop] = np.where(closed[shop], ribs[shop], 0.045 + 0.03 * self._noise(y * 2, z * 2)[shop])[:, None]
        awning = (z > 2.6) & (z < 3.05)
        wall[awning] = row.awning[index][awning] * (0.75 + 0.4 * (np.sin(local * 9) > 0))[awning, None]
        wall[(z > top - 0.22) | ((z > 3.05) & (z < 3.16))] *= 0.72
        wall[local < 0.10] *= 0.55
        light = 0.7 if self._kind == "rain" else 0.60 if side < 0 else 1.25
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
        lane = np.min([np.abs(np.abs(x) - middle) for middle in self._street.lanes_m], axis=0)
        shade *= (1 + 0.10 * np.exp(-(((lane - 0.75) / 0.22) ** 2)) - 0.14 * np.exp(-((lane / 0.3) ** 2)))[:, None]
        patch = ((x - 1.4) / 0.9) ** 6 + ((y - 13.2) / 1.6) ** 6 < 1
        shade[patch] *= 0.78
        crack = np.abs(self._noise(x * 1.1 + 31, y * 1.1) - 0.5) < 0.006
        shade[crack & (y < 40)] *= 0.72
        self._marks(shade, x, y)
        walk = np.abs(x) > self._street.road_m
        shade[walk] = self._sidewalk(np.abs(x) - self._wider, y, grain)[walk]
        if self._kind == "day":
            shade *= self._sunlight(x, y)
        elif self._kind == "rain":
            shade = self._wet(shade * 0.62, d[hit], x, y)
        color[hit] = shade
        distance[hit] = t[hit]

    def _wet(self, shade, d, x, y) -> np.ndarray:
        """A film of water mirrors the sky at a flat angle, puddles mirror more of it."""
        grazing = (1 - np.abs(d[:, 2])) ** 5
        puddle = np.clip((self._noise(x * 0.7 + 9, y * 0.35) - 0.56) * 6, 0, 1)
        ripple = 0.85 + 0.3 * self._noise(x * 5, y * 1.1)
        mirror = np.clip(0.05 + (0.26 + 0.4 * puddle) * grazing * ripple, 0, 0.8)[:, None]
        return shade * (1 - mirror) + np.array([0.52, 0.54, 0.56], np.float32) * mirror

    def _marks(self, shade, x, y) -> None:
        worn = 0.68 + 0.42 * self._noise(x * 23, y * 23)
        yellow, white = np.array([0.62, 0.42, 0.05], np.float32), np.array([0.66, 0.66, 0.64], np.float32)

        def paint(where, tint) -> None:
            shade[where] = tint * worn[where, None] + shade[where] * 0.15

        plain = (y < CROSSING_M[0] - 3) | (y > CROSSING_M[1] + 3)
        paint((np.abs(np.abs(x) - 0.12) < 0.055) & plain, yellow)
        edge = self._street.road_m - 0.37
        paint(np.abs(np.abs(x) - edge) < 0.06, white)
        for inner, outer in pairwise(self._street.lanes_m):
            paint((np.abs(np.abs(x) - (inner + outer) / 2) < 0.055) & plain & (y % 6.0 < 2.6), white)
        inside = np.abs(x) < edge + 0.07
        crossing = (y > CROSSING_M[0]) & (y < CROSSING_M[1])
        paint(inside & crossing & (np.sin(x * np.pi / 0.5) > 0), white)
        stop = ((y > CROSSING_M[0] - 1.9) & (y < CROSSING_M[0] - 1.5) & (x > 0.2)) | (
            (y > CROSSING_M[1] + 1.5) & (y < CROSSING_M[1] + 1.9) & (x < -0.2)
        )
        paint(inside & stop, white)
        bump = (y > BUMP_M[0]) & (y < BUMP_M[1]) & (np.abs(x) < self._street.road_m - 0.45)
        shade[bump] *= (0.8 + 0.5 * (y[bump] - BUMP_M[0]) / (BUMP_M[1] - BUMP_M[0]))[:, None]
        paint(bump & (np.sin((x + 0.6 * y) * np.pi / 0.55) > 0), yellow)
        manhole = np.hypot(x + 0.9, y - 11.0)
        shade[manhole < 0.36] = 0.075
        shade[np.abs(manhole - 0.36) < 0.03] = 0.16

    def _sidewalk(self, x, y, grain) -> np.ndarray:
        joint = (np.abs((y % 1.2) - 0.6) > 0.575) | (np.abs(((x - NARROW.road_m) % 0.9) - 0.45) > 0.43)
        slab = 0.27 * grain * (1 - 0.25 * joint)
        # Waves of dark stone, as sidewalks in Brazil have them.
        wave = (np.abs(np.sin(y * 1.1) * 0.30 + 5.1 - x) < 0.17) & (x > NARROW.road_m + 0.3)
        slab = np.where(wave, 0.085 * grain, slab)
        curb = x < NARROW.road_m + 0.20
        slab = np.where(curb, 0.42 * grain * np.where(y % 1.0 < 0.03, 0.6, 1.0), slab)
        slab = np.where(x < NARROW.road_m + 0.05, 0.16, slab)
        return np.repeat(slab[:, None], 3, axis=1).astype(np.float32) * np.array([1.0, 0.97, 0.92], np.float32)

    def _sunlight(self, x, y) -> np.ndarray:
        """RGB of the light on the ground; the houses on the left throw their shadow to the curb."""
        row = self._near[-1]
        way = (-self._street.facade_m - x) / SUN[0]
        at = np.clip(np.searchsorted(row.start, y + way * SUN[1]) - 1, 0, len(row.start) - 1)
        shadow = np.clip((row.height[at] - way * SUN[2]) / 0.12, 0, 1)
        for tree_x, tree_y in ((s * (x0 + self._wider), y0) for s, x0, y0 in TREES):
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
