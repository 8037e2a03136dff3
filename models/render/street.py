"""Street scene: deterministic video frames of vehicles with plates, and the truth about them.

A fixed camera over a two-way street. Everything follows from (seed, size, fps, seconds); the last frame of the loop
shows an empty street, so the loop has no visible seam.
"""

import cv2
import numpy as np

from .backdrop import Backdrop
from .raster import SUN, PinholeCamera, draw
from .traffic import FAR_M, Passage, plan

BASE_WIDTH = 1920
FOCAL_PX = 2500.0
EYE_M = (0.2, 0.0, 3.5)
PITCH_RAD, YAW_RAD = np.radians(8.2), np.radians(-0.4)
#: A plate narrower than this (at 1920 pixels) is in the truth's quads no more.
TRUTH_MIN_WIDTH_PX = 30.0
NOISE_SIGMA = 1.6
FRAME_CODE_BITS = 16


class StreetScene:
    """`frame(i)` gives the BGR image i of the loop, `truth()` what is to be read in it."""

    def __init__(self, seed: int = 7, size: tuple[int, int] = (1920, 1080), fps: int = 15, seconds: int = 64) -> None:
        self.seed, self.size, self.fps, self.seconds = seed, size, fps, seconds
        self.frame_count = fps * seconds
        self._scale = size[0] / BASE_WIDTH
        self._camera = PinholeCamera(*size, FOCAL_PX * self._scale, EYE_M, PITCH_RAD, YAW_RAD)
        self.passages = plan(seed, seconds)
        self._background: np.ndarray | None = None
        self._noise: np.ndarray | None = None

    def prepare(self) -> None:
        """Draws what all frames share; `frame` does it when nobody did. Call it before a fork to do it once."""
        if self._background is None:
            self._background = Backdrop(self._camera, np.random.default_rng(self.seed)).render()
            rng = np.random.default_rng(self.seed + 1)
            shape = (self.size[1] + 64, self.size[0] + 64, 1)
            noise = rng.normal(128.5, NOISE_SIGMA, shape) + rng.normal(0, NOISE_SIGMA * 0.35, (*shape[:2], 3))
            self._noise = np.clip(noise, 0, 255).astype(np.uint8)

    def frame(self, index: int) -> np.ndarray:
        self.prepare()
        t = index / self.fps
        image = self._background.copy()
        present = [(p.near_end_m(t), p) for p in self.passages]
        for y, passage in sorted(((y, p) for y, p in present if y is not None), key=lambda one: -one[0]):
            self._draw_passage(image, passage, y)
        self._sensor(image, index, t)
        self._overlay(image, index, t)
        return image

    # Truth ----------------------------------------------------------------------------------------

    def truth(self) -> dict:
        """Passages in order of time: the plate, when it is readable in the loop, and its corners over time."""
        rows = [row for row in map(self._passage_truth, self.passages) if row]
        return {
            "version": 1,
            "seed": self.seed,
            "fps": self.fps,
            "loop_s": float(self.seconds),
            "size": list(self.size),
            "passages": sorted(rows, key=lambda row: row["t_enter_s"]),
        }

    def _passage_truth(self, passage: Passage) -> dict | None:
        quads, best, best_width = [], None, 0.0
        seen = []
        for index in range(self.frame_count):
            y = passage.near_end_m(index / self.fps)
            if y is None:
                continue
            seen.append(index)
            quad = self._plate_quad(passage, y)
            if quad is None:
                continue
            width = float(np.linalg.norm(quad[1] - quad[0]))
            quads.append([round(index / self.fps, 4), [[round(float(v), 1) for v in corner] for corner in quad]])
            if width > best_width:
                best, best_width = index, width
        if not quads:
            return None
        return {
            "plate": passage.plate.text,
            "layout": passage.plate.layout,
            "color": passage.plate.color,
            "vehicle": passage.vehicle.kind,
            "direction": passage.direction,
            "lane": "right" if passage.lane_x > 0 else "left",
            "t_seen_s": round(seen[0] / self.fps, 4),
            "t_gone_s": round((seen[-1] + 1) / self.fps, 4),
            "t_enter_s": quads[0][0],
            "t_leave_s": quads[-1][0],
            "best_frame": best,
            "best_width_px": round(best_width, 1),
            "quads": quads,
        }

    def _plate_quad(self, passage: Passage, y: float) -> np.ndarray | None:
        """Plate corners in pixels where the whole plate is in the picture and wide enough."""
        corners, depth = self._camera.project(passage.vehicle.plate_corners(passage.lane_x, y))
        inside = (corners > 1).all() and (corners < np.array(self.size) - 1).all() and depth.min() > 1
        wide = np.linalg.norm(corners[1] - corners[0]) >= TRUTH_MIN_WIDTH_PX * self._scale
        return corners if inside and wide else None

    # Drawing --------------------------------------------------------------------------------------

    def _draw_passage(self, image: np.ndarray, passage: Passage, y: float) -> None:
        vehicle, x = passage.vehicle, passage.lane_x
        target, fade = image, float(np.clip((FAR_M - y) / 6.0, 0, 1))
        if fade < 1:
            target = image.copy()
        self._shadow(target, vehicle, x, y)
        draw(target, self._camera, vehicle.mesh, vehicle.placer(x, y), vehicle.shade)
        self._paste_plate(target, passage, y)
        if fade < 1:
            cv2.addWeighted(target, fade, image, 1 - fade, 0, image)

    def _shadow(self, image: np.ndarray, vehicle, x: float, y: float) -> None:
        w, far = vehicle.half_width, y + vehicle.length
        footprint = np.array([[x - w, y], [x + w, y], [x + w, far], [x - w, far]])
        cast = footprint + vehicle.height * 0.82 * np.array([-SUN[0] / SUN[2], -SUN[1] / SUN[2]])
        hull = cv2.convexHull(np.concatenate([footprint, cast]).astype(np.float32))[:, 0]
        soft = self._camera.focal_px * 0.05 / max(y, 4)
        self._darken(image, hull, 0.50, soft)
        inner = np.array([x, (y + far) / 2]) + (footprint - [x, (y + far) / 2]) * [0.94, 1.0]
        self._darken(image, inner, 0.72, soft * 1.6)

    def _darken(self, image: np.ndarray, ground: np.ndarray, strength: float, soft_px: float) -> None:
        if ground[:, 1].max() < 2:
            return
        points = np.column_stack([ground[:, 0], np.maximum(ground[:, 1], 1.5), np.zeros(len(ground))])
        pixels, _ = self._camera.project(points)
        margin = 3 * soft_px + 2
        low = np.clip(pixels.min(0) - margin, 0, self.size).astype(int)
        high = np.clip(pixels.max(0) + margin, 0, self.size).astype(int)
        if (high - low).min() < 2:
            return
        # A blurred edge needs no full resolution.
        shrink = max(1, int(soft_px / 3))
        shape = np.maximum(1, (high - low) // shrink)
        mask = np.zeros((shape[1], shape[0]), np.float32)
        local = (pixels - low) * (shape / (high - low))
        cv2.fillConvexPoly(mask, cv2.convexHull(np.round(local * 16).astype(np.int32)), strength, cv2.LINE_AA, 4)
        mask = cv2.GaussianBlur(mask, (0, 0), max(0.6, soft_px / shrink))
        mask = cv2.resize(mask, tuple(int(v) for v in high - low), interpolation=cv2.INTER_LINEAR)
        window = image[low[1] : high[1], low[0] : high[0]]
        cv2.multiply(window, cv2.merge([1 - mask] * 3), window, dtype=cv2.CV_8U)

    def _paste_plate(self, image: np.ndarray, passage: Passage, y: float) -> None:
        corners, depth = self._camera.project(passage.vehicle.plate_corners(passage.lane_x, y))
        if depth.min() < 1.5 or (corners.max(0) < 2).any() or (corners.min(0) > np.array(self.size) - 2).any():
            return
        holder = corners.mean(0) + (corners - corners.mean(0)) * [1.035, 1.09]
        cv2.fillConvexPoly(image, np.round(holder * 16).astype(np.int32), (26, 26, 26), cv2.LINE_AA, 4)
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
        alpha = layer[..., 3:] / 255
        window = image[low[1] : high[1], low[0] : high[0]]
        window[:] = (window * (1 - alpha) + np.minimum(layer[..., :3] * 0.96, 255) * alpha).astype(np.uint8)

    def _sensor(self, image: np.ndarray, index: int, t: float) -> None:
        """Noise, and light that drifts as thin clouds pass; both repeat with the loop."""
        rng = np.random.default_rng((self.seed, index))
        x, y = rng.integers(0, 64, 2)
        noise = self._noise[y : y + self.size[1], x : x + self.size[0]]
        gain = 1 + 0.018 * np.sin(2 * np.pi * t / self.seconds)
        cv2.addWeighted(image, gain, noise, 1, -128, image)

    def _overlay(self, image: np.ndarray, index: int, t: float) -> None:
        """Loop time as text, and the frame number as 16 squares, most significant bit first.

        The text has whole seconds only: more would keep a motion gate awake and look like a plate to a reader.
        """
        s = self._scale
        height, width = image.shape[:2]
        text = f"DEMO  {int(t) // 60:02d}:{int(t) % 60:02d}"
        at = (int(24 * s), int(44 * s))
        for color, thick in (((20, 20, 20), 5), ((245, 245, 245), 2)):
            cv2.putText(image, text, at, cv2.FONT_HERSHEY_DUPLEX, 0.95 * s, color, max(1, int(thick * s)), cv2.LINE_AA)
        cell = max(4, int(12 * s))
        left, top = width - cell * (FRAME_CODE_BITS + 2), height - 2 * cell
        cv2.rectangle(image, (left - cell // 2, top - cell // 2), (width - 1, height - 1), (20, 20, 20), -1)
        for bit in range(FRAME_CODE_BITS):
            if index >> (FRAME_CODE_BITS - 1 - bit) & 1:
                x = left + bit * cell
                cv2.rectangle(image, (x + 1, top), (x + cell - 2, top + cell - 1), (235, 235, 235), -1)
