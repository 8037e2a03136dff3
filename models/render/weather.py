"""What night and rain do to the picture: light on vehicles, glare, wet mirrors, streaks, blur and noise."""

from dataclasses import dataclass

import cv2
import numpy as np

from .raster import DAYLIGHT, Light, PinholeCamera

STREAK_SHEETS = 5


@dataclass(frozen=True)
class Weather:
    """`sky` names the backdrop's light; `exposure_s` blurs what moves; `plate_gain` lights plates."""

    sky: str = "day"
    light: Light = DAYLIGHT
    exposure_s: float = 0.0
    noise_sigma: float = 1.6
    plate_gain: float = 0.96
    shadow: float = 1.0
    soft_px: float = 0.0


DAY = Weather()
NIGHT = Weather(
    sky="night",
    light=Light((0.055, 0.05, 0.042), (0.026, 0.025, 0.023), 0.012, 0.05, 0.5, 2.2),
    exposure_s=1 / 200,
    noise_sigma=5.5,
    # Plates throw the lamps' light back; cameras for plates set their exposure for that.
    plate_gain=0.62,
    shadow=0.4,
    soft_px=0.6,
)
RAIN = Weather(
    sky="rain",
    light=Light((0.10, 0.10, 0.10), (0.36, 0.37, 0.38), 0.22, 0.62, 0.2, 1.6),
    exposure_s=1 / 170,
    noise_sigma=2.6,
    plate_gain=0.70,
    shadow=0.45,
    soft_px=0.8,
)


class Glare:
    """Additive light of lamps: a core, a wide halo, and at night the streak that dirty glass draws."""

    def __init__(self, night: bool) -> None:
        at = np.linspace(-1, 1, 129, dtype=np.float32)
        x, y = np.meshgrid(at, at)
        away = np.hypot(x, y)
        core = np.exp(-((away / 0.10) ** 2)) + 0.34 * np.exp(-((away / 0.34) ** 2))
        streak = 0.35 * np.exp(-np.abs(y) / 0.02) * np.exp(-np.abs(x) / 0.4) if night else 0
        self._sprite = np.clip((core + streak) * np.clip(1.15 - away, 0, 1), 0, 1)
        self._night = night

    def add(self, image: np.ndarray, center: np.ndarray, radius: float, color_bgr: tuple) -> None:
        low = np.floor(center - radius).astype(int)
        size = max(3, round(2 * radius))
        top, left = max(0, low[1]), max(0, low[0])
        bottom, right = min(image.shape[0], low[1] + size), min(image.shape[1], low[0] + size)
        if top >= bottom or left >= right:
            return
        method = cv2.INTER_AREA if size < 129 else cv2.INTER_LINEAR
        sprite = cv2.resize(self._sprite, (size, size), interpolation=method)
        part = sprite[top - low[1] : bottom - low[1], left - low[0] : right - low[0]]
        window = image[top:bottom, left:right]
        cv2.add(window, cv2.merge([part * c for c in color_bgr]), window, dtype=cv2.CV_8U)

    def lamps(self, image: np.ndarray, camera: PinholeCamera, vehicle, x: float, y: float) -> None:
        """The lamps that look at the camera: head lamps of vehicles that come, rear lamps of those that leave."""
        front, rear = vehicle.lamps()
        coming = vehicle.heading < 0
        lamp = np.array(front if coming else rear, np.float32)
        place = vehicle.placer(x, y)
        pair = np.array([lamp, lamp * [-1, 1, 1]], np.float32)[: 1 if lamp[0] == 0 else 2]
        centers, depth = camera.project(place(pair))
        for center, far in zip(centers, depth, strict=True):
            if far < 2:
                continue
            if coming:
                size, color = 0.85 if self._night else 0.34, (235, 245, 255) if self._night else (120, 125, 130)
            else:
                size, color = 0.50 if self._night else 0.24, (26, 20, 190) if self._night else (10, 8, 70)
            self.add(image, center, max(2.5, size * camera.focal_px / far), color)


class Rain:
    """Streaks in the air: a few sheets drawn once, rolled to another place in every frame."""

    def __init__(self, size: tuple[int, int], rng: np.random.Generator) -> None:
        self._size, scale = size, size[0] / 1920
        self._margin = max(8, round(300 * scale))
        width, height = size[0] + self._margin, size[1] + self._margin
        self._sheets = []
        for _ in range(STREAK_SHEETS):
            sheet = np.zeros((height, width), np.uint8)
            for _ in range(340):
                x, y = rng.uniform(0, width), rng.uniform(0, height)
                long, lean = rng.uniform(18, 95) * scale, rng.uniform(0.05, 0.12)
                tone = int(rng.integers(14, 62))
                end = (round(x - lean * long), round(y + long))
                cv2.line(
                    sheet, (round(x), round(y)), end, tone, max(1, round(rng.choice([1, 1, 2]) * scale)), cv2.LINE_AA
                )
            self._sheets.append(cv2.GaussianBlur(sheet, (0, 0), max(0.5, 0.9 * scale)))
        self._drops = [(rng.uniform(0, 1), rng.uniform(0, 1), rng.uniform(9, 24) * scale) for _ in range(9)]

    def fall(self, image: np.ndarray, rng: np.random.Generator) -> None:
        sheet = self._sheets[int(rng.integers(STREAK_SHEETS))]
        x, y = rng.integers(0, self._margin, 2)
        part = sheet[y : y + self._size[1], x : x + self._size[0]]
        cv2.add(image, cv2.merge([part] * 3), image)

    def drops(self, image: np.ndarray) -> None:
        """Drops on the glass of the housing: small, near the rim, showing a blurred and turned picture."""
        height, width = image.shape[:2]
        for u, v, radius in self._drops:
            # Toward the rim, where the housing's visor drips; the middle stays clear.
            x = width * (0.5 * u**2 if u < 0.5 else 1 - 0.5 * (1 - u) ** 2)
            y = height * (0.16 * v)
            x1, y1 = round(max(0, x - radius)), round(max(0, y - radius))
            window = image[y1 : round(y + radius), x1 : round(x + radius)]
            if min(window.shape[:2]) < 3:
                continue
            mask = np.zeros(window.shape[:2], np.uint8)
            cv2.circle(mask, (mask.shape[1] // 2, mask.shape[0] // 2), min(mask.shape) // 2, 255, -1, cv2.LINE_AA)
            soft = cv2.blur(window[::-1], (9, 9))
            cv2.copyTo(soft, mask, window)


def lighten_road(image: np.ndarray, camera: PinholeCamera, vehicle, x: float, y: float) -> None:
    """The pool of light on the road in front of a vehicle."""
    ahead = -1 if vehicle.heading < 0 else 1
    near = y if ahead < 0 else y + vehicle.length
    ground = np.array([[x - 0.8, near + ahead * 0.6], [x + 0.8, near + ahead * 0.6], [x + 2.0, near + ahead * 11],
                       [x - 2.0, near + ahead * 11]], np.float32)  # fmt: skip
    ground[:, 1] = np.maximum(ground[:, 1], 3.0)
    pixels, _ = camera.project(np.column_stack([ground, np.zeros(4)]))
    blend(image, cv2.convexHull(pixels.astype(np.float32))[:, 0], camera.focal_px * 0.35 / max(near, 5), 2.4)


def blend(image: np.ndarray, hull: np.ndarray, soft_px: float, strength: float) -> None:
    """Multiplies what the soft polygon covers by up to 1 + strength."""
    size = np.array(image.shape[1::-1])
    margin = 3 * soft_px + 2
    low = np.clip(hull.min(0) - margin, 0, size).astype(int)
    high = np.clip(hull.max(0) + margin, 0, size).astype(int)
    if (high - low).min() < 4:
        return
    # A blurred edge needs no full resolution.
    shrink = max(1, int(soft_px / 3))
    shape = np.maximum(2, (high - low) // shrink)
    mask = np.zeros((shape[1], shape[0]), np.float32)
    local = (hull - low) * (shape / (high - low))
    cv2.fillConvexPoly(mask, np.round(local * 16).astype(np.int32), strength, cv2.LINE_AA, 4)
    mask = cv2.GaussianBlur(mask, (0, 0), max(0.6, soft_px / shrink))
    mask = cv2.resize(mask, tuple(int(v) for v in high - low), interpolation=cv2.INTER_LINEAR)
    window = image[low[1] : high[1], low[0] : high[0]]
    cv2.multiply(window, cv2.merge([1 + mask] * 3), window, dtype=cv2.CV_8U)


def mirror_in_road(image: np.ndarray, ground_y: float, left: float, right: float, height: float) -> None:
    """The wet road below a vehicle shows it upside down, blurred along the street and fading."""
    bottom, depth = round(ground_y), round(height)
    x1, x2 = max(0, round(left)), min(image.shape[1], round(right))
    depth = min(depth, bottom, image.shape[0] - bottom)
    if depth < 6 or x2 - x1 < 6:
        return
    source = cv2.blur(image[bottom - depth : bottom, x1:x2][::-1], (3, max(3, depth // 12)))
    weight = np.linspace(0.42, 0.0, depth, dtype=np.float32)[:, None] * np.ones(x2 - x1, np.float32)
    edge = np.minimum(np.arange(x2 - x1), np.arange(x2 - x1)[::-1]) / max(1, 0.12 * (x2 - x1))
    weight *= np.clip(edge, 0, 1).astype(np.float32)
    window = image[bottom : bottom + depth, x1:x2]
    window[:] = cv2.blendLinear(source, window, weight, 1 - weight)
