"""One training image: scenes warped and tiled, plates pasted, light and sensor changed; with its plates' corners."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .detector_data import Plate, Scene, SceneCache, order_corners
from .detector_paste import MOST_ROLL, TexturePool, paste, random_quad

GRAY = 114
BORDER = (GRAY, GRAY, GRAY)


@dataclass
class SceneConfig:
    width: int
    height: int
    sources: dict[str, float]
    negative_source: str
    mosaic: float
    negative: float
    replace: float  # chance that a real plate is replaced by a pasted one
    extra: float  # chance of plates pasted where none was
    min_plate_px: float  # smaller ones have no verdict
    focus_px: list[float]  # widths that plates are brought to, smallest and largest
    spread: float  # how far from the middle they may lie, 0..1


@dataclass
class Sample:
    image: np.ndarray  # RGB uint8 [H,W,3]
    plates: list[Plate]
    ignore: list[np.ndarray]


class SceneComposer:
    def __init__(self, cache: SceneCache, pool: TexturePool, config: SceneConfig) -> None:
        self.cache, self.pool, self.config = cache, pool, config
        self.names = list(config.sources)
        shares = np.array([config.sources[n] for n in self.names], np.float64)
        self.shares = shares / shares.sum()

    def sample(self, rng: np.random.Generator) -> Sample:
        c = self.config
        canvas = np.full((c.height, c.width, 3), GRAY, np.uint8)
        plates: list[Plate] = []
        ignore: list[np.ndarray] = []
        for x1, y1, x2, y2 in self._tiles(rng):
            negative = rng.random() < c.negative
            source = c.negative_source if negative else self.names[int(rng.choice(len(self.names), p=self.shares))]
            scene = self.cache.draw(source, rng)
            self._place(canvas[y1:y2, x1:x2], scene, np.float32([x1, y1]), plates, ignore, rng)
        self._replace(canvas, plates, rng)
        if rng.random() < c.extra:
            self._extra(canvas, plates, ignore, rng)
        image = photometric(canvas, rng)
        return self._flip(Sample(image, plates, ignore), rng)

    def _tiles(self, rng: np.random.Generator) -> list[tuple[int, int, int, int]]:
        w, h = self.config.width, self.config.height
        if rng.random() >= self.config.mosaic:
            return [(0, 0, w, h)]
        x, y = int(w * rng.uniform(0.3, 0.7)), int(h * rng.uniform(0.35, 0.65))
        if rng.random() < 0.4:
            return [(0, 0, x, h), (x, 0, w, h)]
        return [(0, 0, x, y), (x, 0, w, y), (0, y, x, h), (x, y, w, h)]

    def _place(
        self,
        tile: np.ndarray,
        scene: Scene,
        origin: np.ndarray,
        plates: list[Plate],
        ignore: list[np.ndarray],
        rng: np.random.Generator,
    ) -> None:
        """Warp `scene` into `tile` so that one of its plates gets a size drawn evenly over the octaves."""
        image = self.cache.image(scene)
        h, w = tile.shape[:2]
        fit = min(w / scene.width, h / scene.height)
        spot = bool(scene.spots) and rng.random() < (0.25 if scene.plates else 0.7)
        if scene.plates or spot:
            if spot:
                x, y, size_px = scene.spots[int(rng.integers(len(scene.spots)))]
                at = np.array([x, y])
            else:
                focus = scene.plates[int(rng.integers(len(scene.plates)))]
                at, size_px = focus.quad.mean(0), np.ptp(focus.quad[:, 0])
            low, high = self.config.focus_px[0], min(self.config.focus_px[1], 0.7 * w)
            want = float(np.exp(rng.uniform(np.log(low), np.log(max(high, low * 1.2)))))
            smallest = fit * (0.85 if rng.random() < 0.75 else 0.4)
            scale = np.clip(want / max(size_px, 2.0), smallest, 4.0)
            target = np.array([w, h]) * (0.5 + self.config.spread * rng.uniform(-0.5, 0.5, 2))
        else:
            at = np.array([rng.uniform(0.3, 0.7) * scene.width, rng.uniform(0.3, 0.7) * scene.height])
            scale = fit * np.exp(rng.uniform(np.log(0.8), np.log(3.0)))
            target = np.array([w / 2, h / 2])
        # Keep the tile filled where the scene is larger than it.
        for axis, (size, full) in enumerate(((w, scene.width), (h, scene.height))):
            low, high = size - scale * (full - at[axis]), scale * at[axis]
            if low < high:
                target[axis] = np.clip(target[axis], low, high)
        boxed = any(not p.exact for p in scene.plates)
        tilt = 0.03 if boxed else 0.12
        angle = float(np.clip(rng.normal(0, tilt), -0.5, 0.5))
        if not boxed and rng.random() < 0.1:
            angle = float(rng.uniform(-MOST_ROLL, MOST_ROLL))
        stretch = np.exp(rng.normal(0, 0.06))
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        linear = scale * turn @ np.array([[stretch, rng.normal(0, tilt * 0.6)], [0, 1 / stretch]])
        matrix = np.hstack([linear, (target - linear @ at)[:, None]])
        if scale < 0.6:
            # The warp samples four pixels: shrink by area first, or small plates alias.
            factor = max(scale * 1.3, 0.1)
            image = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
            matrix[:, :2] /= factor
        cv2.warpAffine(
            image, matrix, (w, h), dst=tile, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=BORDER
        )
        full = np.hstack([linear, (target - linear @ at)[:, None]])
        for plate in scene.plates:
            quad = plate.quad @ full[:, :2].T + full[:, 2]
            self._admit(Plate(order_corners(quad + origin), plate.exact, plate.rows), origin, (w, h), plates, ignore)
        for box in scene.ignore:
            corners = np.array([[box[0], box[1]], [box[2], box[1]], [box[2], box[3]], [box[0], box[3]]])
            quad = corners @ full[:, :2].T + full[:, 2] + origin
            ignore.append(np.concatenate([quad.min(0), quad.max(0)]).astype(np.float32))

    def _admit(
        self, plate: Plate, origin: np.ndarray, size: tuple[int, int], plates: list[Plate], ignore: list[np.ndarray]
    ) -> None:
        """A plate that is whole and large enough becomes a target; one cut off or tiny has no verdict."""
        low, high = plate.quad.min(0), plate.quad.max(0)
        limit = origin + np.float32(size)
        inside = np.minimum(high, limit) - np.maximum(low, origin)
        if (inside <= 0).any():
            return
        span = high - low
        if (inside / span).min() > 0.92 and span[0] >= self.config.min_plate_px * 0.8 and span[1] >= 3.5:
            plates.append(plate)
        else:
            ignore.append(np.concatenate([np.maximum(low, origin), np.minimum(high, limit)]).astype(np.float32))

    def _replace(self, canvas: np.ndarray, plates: list[Plate], rng: np.random.Generator) -> None:
        for number, plate in enumerate(plates):
            if rng.random() >= self.config.replace:
                continue
            texture, rows, exact = self.pool.draw(rng)
            aspect = texture.shape[1] / texture.shape[0]
            low, high = plate.quad.min(0), plate.quad.max(0)
            size = high - low
            # Wide enough to hide the plate below it, in width and in height.
            width = max(size[0], size[1] * aspect * 0.95) * rng.uniform(1.05, 1.3)
            if width > 2.6 * size[0]:
                continue
            quad = random_quad(aspect, width, (low + high) / 2 + rng.normal(0, 0.03, 2) * size, rng)
            if cv2.contourArea(quad) < 0.75 * size[0] * size[1]:
                continue
            if paste(canvas, texture, quad, rng):
                plates[number] = Plate(quad, exact, rows)

    def _extra(
        self, canvas: np.ndarray, plates: list[Plate], ignore: list[np.ndarray], rng: np.random.Generator
    ) -> None:
        taken = [np.concatenate([p.quad.min(0), p.quad.max(0)]) for p in plates] + list(ignore)
        for _ in range(int(rng.integers(1, 4))):
            texture, rows, exact = self.pool.draw(rng)
            low, high = self.config.focus_px
            width = float(np.exp(rng.uniform(np.log(low), np.log(high)))) * (0.7 if rows else 1.0)
            center = np.array([rng.uniform(0, canvas.shape[1]), rng.uniform(0, canvas.shape[0])])
            quad = random_quad(texture.shape[1] / texture.shape[0], width, center, rng)
            box = np.concatenate([quad.min(0) - 2, quad.max(0) + 2])
            if any((box[:2] < t[2:]).all() and (t[:2] < box[2:]).all() for t in taken):
                continue
            if paste(canvas, texture, quad, rng):
                plates.append(Plate(quad, exact, rows))
                taken.append(box)

    def _flip(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Mirror scenes: plates keep being plates, corners are renamed."""
        if rng.random() < 0.6:
            return sample
        w = sample.image.shape[1]
        for plate in sample.plates:
            mirrored = plate.quad.copy()
            mirrored[:, 0] = w - mirrored[:, 0]
            plate.quad = mirrored[[1, 0, 3, 2]]
        flipped = [np.float32([w - b[2], b[1], w - b[0], b[3]]) for b in sample.ignore]
        return Sample(np.ascontiguousarray(sample.image[:, ::-1]), sample.plates, flipped)


def photometric(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Exposure, color, blur, noise and compression of many cameras, day and night."""
    if rng.random() < 0.25:
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    if rng.random() < 0.15:
        length = int(rng.integers(3, 8))
        kernel = np.zeros((length, length), np.float32)
        kernel[length // 2] = 1.0 / length
        turn = cv2.getRotationMatrix2D((length / 2 - 0.5, length / 2 - 0.5), rng.uniform(0, 180), 1.0)
        kernel = cv2.warpAffine(kernel, turn, (length, length))
        image = cv2.filter2D(image, -1, kernel / max(float(kernel.sum()), 1e-3))
    elif rng.random() < 0.2:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.3))
    night = rng.random() < 0.15
    gain = np.exp(rng.normal(-0.9 if night else 0.0, 0.3)) * np.exp(rng.normal(0, 0.06, 3))
    gamma = np.exp(rng.normal(0, 0.25))
    levels = np.arange(256, dtype=np.float64) / 255
    table = np.clip((levels[:, None] ** gamma) * gain * 255 + rng.normal(0, 8), 0, 255).astype(np.uint8)
    image = cv2.LUT(image, np.ascontiguousarray(table[None]))
    if night or rng.random() < 0.25:
        noise = np.empty(image.shape, np.int16)
        cv2.randn(noise, 0, float(rng.uniform(2, 14 if night else 9)))
        image = cv2.add(image, noise, dtype=cv2.CV_8U)
    if rng.random() < 0.3:
        _, packed = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 90))])
        image = cv2.imdecode(packed, cv2.IMREAD_COLOR)
    return image
