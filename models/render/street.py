"""Street scenes: deterministic video frames of vehicles with plates; `truth.py` says what is to be read in them.

A fixed camera over a street. Everything follows from (kind, seed, size, fps, seconds); the last frame of the loop shows
no moving vehicle, so the loop has no visible seam.
"""

import cv2
import numpy as np

from .backdrop import Backdrop
from .bystanders import Bystanders
from .kinds import KINDS
from .raster import SUN, PinholeCamera, draw
from .traffic import Passage
from .truth import scene_truth
from .weather import Glare, Rain, blend, lighten_road, mirror_in_road

BASE_WIDTH = 1920
EYE_M = (0.2, 0.0, 3.5)
PITCH_RAD, YAW_RAD = np.radians(8.2), np.radians(-0.4)
#: Over these last meters a vehicle fades in or out.
FADE_M = 6.0
FRAME_CODE_BITS = 16
#: A plate narrower than this (at 1920 pixels) is none that anybody reads.
MIN_WIDTH_PX = 30.0


class StreetScene:
    """`frame(i)` gives the BGR image i of the loop, `truth()` what is to be read in it."""

    def __init__(
        self,
        seed: int = 7,
        size: tuple[int, int] = (1920, 1080),
        fps: int | None = None,
        seconds: int | None = None,
        kind: str = "day",
        zoom: float = 1.0,
    ) -> None:
        self.kind, self._setup = kind, KINDS[kind]
        self.seed, self.size = seed, size
        self.fps, self.seconds = fps or self._setup.fps, seconds or self._setup.seconds
        self.frame_count = self.fps * self.seconds
        self.weather = self._setup.weather
        self.scale = size[0] / BASE_WIDTH
        self.camera = PinholeCamera(*size, self._setup.focal_px * zoom * self.scale, EYE_M, PITCH_RAD, YAW_RAD)
        self.passages = self._setup.plan(seed, self.seconds)
        self._background: np.ndarray | None = None
        self._noise: np.ndarray | None = None
        self._parked: dict[int, tuple] = {}
        self._bystanders: Bystanders | None = None

    def prepare(self) -> None:
        """Draws what all frames share; `frame` does it when nobody did. Call it before a fork to do it once."""
        if self._background is None:
            weather, sigma = self.weather, self.weather.noise_sigma
            rng = np.random.default_rng(self.seed)
            self._background = Backdrop(self.camera, rng, self._setup.street, weather.sky).render()
            rng = np.random.default_rng(self.seed + 1)
            shape = (self.size[1] + 64, self.size[0] + 64, 1)
            noise = rng.normal(128.5, sigma, shape) + rng.normal(0, sigma * 0.35, (*shape[:2], 3))
            self._noise = np.clip(noise, 0, 255).astype(np.uint8)
            self._glare = Glare(weather.sky == "night")
            self._rain = Rain(self.size, rng) if weather.sky == "rain" else None
            if self._setup.bystanders:
                self._bystanders = Bystanders(self.camera, self._setup.street, self.seconds, rng)
                self._bystanders.put_up_signs(self._background)
            for passage in (p for p in self.passages if p.parked):
                self._park(passage)

    def frame(self, index: int) -> np.ndarray:
        self.prepare()
        t = index / self.fps
        image = self._background.copy()
        present = [(p.near_end_m(t), p) for p in self.passages]
        if self._bystanders:
            self._bystanders.draw(image, t)
        for y, passage in sorted(((y, p) for y, p in present if y is not None), key=lambda one: -one[0]):
            before = passage.near_end_m(t - self.weather.exposure_s)
            self._draw_passage(image, passage, y, y if before is None else before)
        self._sensor(image, index, t)
        self._overlay(image, index, t)
        return image

    def still(self, passage: Passage, y: float, speed_mps: float, index: int) -> np.ndarray:
        """One vehicle with its near end at `y`, at the given speed, without the marks of a video; BGR."""
        self.prepare()
        image = self._background.copy()
        before = y - passage.vehicle.heading * speed_mps * self.weather.exposure_s
        self._draw_passage(image, passage, y, before)
        self._sensor(image, index, 0.0)
        return image

    def truth(self) -> dict:
        """Passages in order of time: the plate, when it is readable in the loop, and its corners over time."""
        return scene_truth(self)

    def plate_quad(self, passage: Passage, y: float) -> np.ndarray | None:
        """Plate corners in pixels where the whole plate is in the picture, clear of the frame code, and wide enough."""
        corners, depth = self.camera.project(passage.vehicle.plate_corners(passage.lane_x, y, passage.plate_size_m))
        inside = (corners > 1).all() and (corners < np.array(self.size) - 1).all() and depth.min() > 1
        wide = np.linalg.norm(corners[1] - corners[0]) >= MIN_WIDTH_PX * self.scale
        clear = not (corners.max(0) > np.array(self.code_corner())).all()
        return corners if inside and wide and clear else None

    # Drawing --------------------------------------------------------------------------------------

    def _draw_passage(self, image: np.ndarray, passage: Passage, y: float, before: float) -> None:
        """`before` is where the vehicle's near end was when the shutter opened."""
        if passage.parked:
            low, color, open_ = self._parked[id(passage)]
            window = image[low[1] : low[1] + color.shape[0], low[0] : low[0] + color.shape[1]]
            window[:] = (window * open_ + color).astype(np.uint8)
            return
        target, fade = image, float(np.clip((passage.first_m - y) / FADE_M, 0, 1))
        if fade < 1:
            target = image.copy()
        self._shadow(target, passage.vehicle, passage.lane_x, y)
        self._draw_vehicle(target, passage, y, before)
        if fade < 1:
            cv2.addWeighted(target, fade, image, 1 - fade, 0, image)

    def _draw_vehicle(self, image: np.ndarray, passage: Passage, y: float, before: float) -> None:
        vehicle, x, sky = passage.vehicle, passage.lane_x, self.weather.sky
        if sky == "night" and not passage.parked:
            lighten_road(image, self.camera, vehicle, x, y)

        def shade(pixels, view, normal):
            return vehicle.shade(pixels, view, normal, self.weather.light)

        draw(image, self.camera, vehicle.mesh, vehicle.placer(x, y), shade, draft=self.kind != "day")
        self._paste_plate(image, passage, y, before)
        if sky == "rain" and y > 1.5:
            w = vehicle.half_width
            foot, _ = self.camera.project([[x - w, y, 0], [x + w, y, 0], [x, y, vehicle.height]])
            mirror_in_road(image, foot[0, 1], foot[0, 0], foot[1, 0], foot[0, 1] - foot[2, 1])
        if sky != "day" and not passage.parked:
            self._glare.lamps(image, self.camera, vehicle, x, y)

    def _park(self, passage: Passage) -> None:
        """What stands still is drawn once: on black and on white, which also tells where it is not opaque."""
        self._shadow(self._background, passage.vehicle, passage.lane_x, passage.first_m)
        layers = []
        for tone in (0, 255):
            layer = np.full_like(self._background, tone)
            self._draw_vehicle(layer, passage, passage.first_m, passage.first_m)
            layers.append(layer.astype(np.float32))
        open_ = np.clip((layers[1] - layers[0]) / 255, 0, 1)
        rows, columns = (np.flatnonzero((open_[..., 0] < 1).any(axis=a)) for a in (1, 0))
        inside = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        self._parked[id(passage)] = ((columns[0], rows[0]), layers[0][inside], open_[inside])

    def _shadow(self, image: np.ndarray, vehicle, x: float, y: float) -> None:
        w, far = vehicle.half_width, y + vehicle.length
        footprint = np.array([[x - w, y], [x + w, y], [x + w, far], [x - w, far]])
        cast = footprint + vehicle.height * 0.82 * np.array([-SUN[0] / SUN[2], -SUN[1] / SUN[2]])
        hull = cv2.convexHull(np.concatenate([footprint, cast]).astype(np.float32))[:, 0]
        soft = self.camera.focal_px * 0.05 / max(y, 4)
        share = self.weather.shadow
        if self.weather.sky == "day":
            self._darken(image, hull, 0.50, soft)
        inner = np.array([x, (y + far) / 2]) + (footprint - [x, (y + far) / 2]) * [0.94, 1.0]
        self._darken(image, inner, 0.72 * share, soft * 1.6)

    def _darken(self, image: np.ndarray, ground: np.ndarray, strength: float, soft_px: float) -> None:
        if ground[:, 1].max() < 2:
            return
        points = np.column_stack([ground[:, 0], np.maximum(ground[:, 1], 1.5), np.zeros(len(ground))])
        pixels, _ = self.camera.project(points)
        blend(image, cv2.convexHull(pixels.astype(np.float32))[:, 0], soft_px, -strength)

    def _paste_plate(self, image: np.ndarray, passage: Passage, y: float, before: float) -> None:
        vehicle, x, size_m = passage.vehicle, passage.lane_x, passage.plate_size_m
        corners, depth = self.camera.project(vehicle.plate_corners(x, y, size_m))
        if depth.min() < 1.5 or (corners.max(0) < 2).any() or (corners.min(0) > np.array(self.size) - 2).any():
            return
        holder = corners.mean(0) + (corners - corners.mean(0)) * [1.035, 1.09]
        tone = round(26 * self.weather.plate_gain)
        cv2.fillConvexPoly(image, np.round(holder * 16).astype(np.int32), (tone,) * 3, cv2.LINE_AA, 4)
        low = np.maximum(np.floor(corners.min(0)).astype(int) - 1, 0)
        high = np.minimum(np.ceil(corners.max(0)).astype(int) + 2, self.size)
        if (high - low).min() < 2:
            return
        # Drawn larger and averaged down: thin strokes of a far plate fade instead of flickering.
        factor = 3
        source = np.dstack([passage.plate.rgb[..., ::-1], passage.plate.alpha])
        ratio = np.linalg.norm(corners[1] - corners[0]) * factor / source.shape[1]
        if ratio < 0.7:
            source = cv2.resize(source, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA)
        h, w = source.shape[:2]
        frame = np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float32) - 0.5
        to = ((corners - low) * factor - 0.5).astype(np.float32)
        size = tuple(int(v) * factor for v in high - low)
        warped = cv2.warpPerspective(source, cv2.getPerspectiveTransform(frame, to), size, flags=cv2.INTER_LINEAR)
        layer = cv2.resize(warped, tuple(int(v) for v in high - low), interpolation=cv2.INTER_AREA).astype(np.float32)
        if before != y:
            opened, _ = self.camera.project(vehicle.plate_corners(x, before, size_m))
            layer = smear(layer, (opened - corners).mean(0))
        alpha = layer[..., 3:] / 255
        window = image[low[1] : high[1], low[0] : high[0]]
        window[:] = (window * (1 - alpha) + np.minimum(layer[..., :3] * self.weather.plate_gain, 255) * alpha).astype(
            np.uint8
        )

    def _sensor(self, image: np.ndarray, index: int, t: float) -> None:
        """Rain, softness, noise, and light that drifts as thin clouds pass; all of it repeats with the loop."""
        rng = np.random.default_rng((self.seed, index))
        x, y = rng.integers(0, 64, 2)
        noise = self._noise[y : y + self.size[1], x : x + self.size[0]]
        gain, lift = 1 + 0.018 * np.sin(2 * np.pi * t / self.seconds), -128
        if self.weather.soft_px * self.scale > 0.3:
            cv2.GaussianBlur(image, (5, 5), self.weather.soft_px * self.scale, image)
        if self._rain:
            self._rain.fall(image, rng)
            self._rain.drops(image)
            # Water in the air takes contrast.
            gain, lift = 0.84 * gain, lift + 20
        cv2.addWeighted(image, gain, noise, 1, lift, image)

    def _code_cell(self) -> int:
        return max(4, int(12 * self.scale))

    def code_corner(self) -> tuple[int, int]:
        """Top left of the frame code, which reaches to the picture's lower right corner and covers what is there."""
        cell, (width, height) = self._code_cell(), self.size
        return width - cell * (FRAME_CODE_BITS + 2) - cell // 2, height - 2 * cell - cell // 2

    def _overlay(self, image: np.ndarray, index: int, t: float) -> None:
        """Loop time as text, and the frame number as 16 squares, most significant bit first.

        The text has whole seconds only: more would keep a motion gate awake and look like a plate to a reader.
        """
        s = self.scale
        height, width = image.shape[:2]
        text = f"DEMO  {int(t) // 60:02d}:{int(t) % 60:02d}"
        at = (int(24 * s), int(44 * s))
        for color, thick in (((20, 20, 20), 5), ((245, 245, 245), 2)):
            cv2.putText(image, text, at, cv2.FONT_HERSHEY_DUPLEX, 0.95 * s, color, max(1, int(thick * s)), cv2.LINE_AA)
        cell = self._code_cell()
        left, top = width - cell * (FRAME_CODE_BITS + 2), height - 2 * cell
        cv2.rectangle(image, self.code_corner(), (width - 1, height - 1), (20, 20, 20), -1)
        for bit in range(FRAME_CODE_BITS):
            if index >> (FRAME_CODE_BITS - 1 - bit) & 1:
                x = left + bit * cell
                cv2.rectangle(image, (x + 1, top), (x + cell - 2, top + cell - 1), (235, 235, 235), -1)


def smear(layer: np.ndarray, by_px: np.ndarray) -> np.ndarray:
    """Averages a picture along a short straight way, as a shutter does that stays open while things move."""
    steps = int(np.ceil(np.abs(by_px).max()))
    if steps < 1:
        return layer
    half = (steps + 2) // 2
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    way = np.clip(by_px / 2, -half, half)
    ends = [tuple(int(v) for v in np.round((half + sign * way) * 16)) for sign in (-1, 1)]
    cv2.line(kernel, *ends, 1.0, 1, cv2.LINE_8, 4)
    return cv2.filter2D(layer, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE)
