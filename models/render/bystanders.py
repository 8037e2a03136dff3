"""A street's life without plates: people who walk and cycle, drifting cloud shadows, leaves, signs and shop names."""

from dataclasses import dataclass

import cv2
import numpy as np

from .backdrop import Street
from .mesh import ellipsoid, wheel
from .raster import Mesh, PinholeCamera, draw, lit

GAIT_PHASES = 8
SKIN, SHIRT, LEGS, HAIR, METAL, RUBBER = range(6)
TONES = {SKIN: (0.32, 0.19, 0.13), HAIR: (0.02, 0.015, 0.012), METAL: (0.25, 0.26, 0.28), RUBBER: (0.02, 0.02, 0.02)}
CLOTHES = (
    (0.45, 0.05, 0.05),
    (0.05, 0.10, 0.35),
    (0.55, 0.52, 0.45),
    (0.08, 0.20, 0.10),
    (0.50, 0.35, 0.05),
    (0.03, 0.03, 0.04),
)
#: Text, side of the street, distance along it, length and height of the board and its lower edge in meters, colors.
BOARDS = (
    ("PADARIA ESTRELA", -1, 19.0, 4.6, 0.62, 2.62, (40, 60, 200), (250, 250, 250)),
    ("FARMACIA 24H", 1, 18.5, 4.0, 0.60, 2.62, (60, 130, 20), (255, 255, 255)),
    ("AUTO PECAS DESDE 1987", -1, 25.0, 5.4, 0.62, 2.62, (30, 190, 235), (20, 20, 30)),
    ("MERCADO BOM DIA", 1, 24.0, 4.4, 0.62, 2.62, (20, 30, 170), (255, 255, 255)),
    ("TEL 3271-4590", -1, 32.5, 3.6, 0.50, 1.60, (235, 235, 235), (120, 30, 20)),
    ("ALUGA-SE SALA 204", 1, 30.0, 3.6, 0.70, 4.10, (240, 240, 240), (20, 20, 160)),
    ("LAVANDERIA 5A SEC", -1, 38.0, 4.4, 0.55, 2.65, (150, 90, 20), (250, 250, 250)),
)
#: Text, where its post stands (x beyond the curb, y), width, height and lower edge of the board, colors.
POSTS = (
    ("PARE", 0.45, 23.4, 0.62, 0.62, 2.1, (30, 30, 190), (245, 245, 245)),
    ("RUA DAS FLORES 1200", -0.5, 21.5, 1.3, 0.30, 2.7, (130, 50, 20), (245, 245, 245)),
    ("40 km/h", -0.5, 33.0, 0.60, 0.60, 2.1, (240, 240, 240), (20, 20, 30)),
    ("ONIBUS 0341 CENTRO", 0.5, 35.0, 0.9, 0.55, 2.1, (150, 60, 10), (245, 245, 245)),
)


@dataclass
class _Walker:
    """Goes on a straight way in the loop's time; `turn` is the angle of its heading from +y, in radians."""

    meshes: list[Mesh]
    tones: dict[int, tuple]
    start: np.ndarray
    speed: float
    length: float
    turn: float
    begins_s: float

    def at(self, t: float, loop_s: float) -> tuple[np.ndarray, Mesh] | None:
        gone = ((t - self.begins_s) % loop_s) * self.speed
        if gone > self.length:
            return None
        where = self.start + gone * np.array([np.sin(self.turn), np.cos(self.turn)])
        return where, self.meshes[int(gone * 5.2) % len(self.meshes)]


class Bystanders:
    """`put_up_signs` once on the backdrop, then `draw` on every frame; all of it repeats with the loop."""

    def __init__(self, camera: PinholeCamera, street: Street, loop_s: float, rng: np.random.Generator) -> None:
        self._camera, self._street, self._loop_s = camera, street, loop_s
        self._walkers = [self._walker(number, rng) for number in range(max(3, round(loop_s / 7)))]
        tile = rng.random((6, 9)).astype(np.float32)
        # A periodic sky: the first columns come again at the end, so that the drift closes with the loop.
        tile = np.concatenate([tile, tile, tile[:, :2]], axis=1)
        self._clouds = cv2.resize(tile, (20 * 24, 6 * 24), interpolation=cv2.INTER_CUBIC)
        self._leaves = rng.random((14, 6))

    # Once -----------------------------------------------------------------------------------------

    def put_up_signs(self, image: np.ndarray) -> None:
        facade, road = self._street.facade_m - 0.06, self._street.road_m
        for text, side, y, length, height, low, ground, ink in BOARDS:
            # Words run from left to right as seen: away from the camera on the left, toward it on the right.
            first, last = (y, y + length) if side < 0 else (y + length, y)
            x, top = side * facade, low + height
            corners = [[x, first, top], [x, last, top], [x, last, low], [x, first, low]]
            self._board(image, text, corners, length / height, ground, ink)
        for text, beyond, y, width, height, low, ground, ink in POSTS:
            x = np.sign(beyond) * (road + abs(beyond))
            foot, top = self._camera.project([[x, y, 0], [x, y, low + height]])[0]
            thick = max(1, round(0.07 * self._camera.focal_px / y))
            cv2.line(image, tuple(np.int32(foot)), tuple(np.int32(top)), (120, 124, 128), thick, cv2.LINE_AA)
            left, right, high = x - width / 2, x + width / 2, low + height
            corners = [[left, y, high], [right, y, high], [right, y, low], [left, y, low]]
            self._board(image, text, corners, width / height, ground, ink)

    def _board(self, image: np.ndarray, text: str, corners: list, aspect: float, ground: tuple, ink: tuple) -> None:
        pixels, depth = self._camera.project(corners)
        if depth.min() < 2:
            return
        height = 96
        face = np.full((height, round(height * aspect), 3), ground, np.uint8)
        cv2.rectangle(face, (2, 2), (face.shape[1] - 3, height - 3), ink, 2)
        (width, cap), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_DUPLEX, 1.0, 2)
        scale = min(0.86 * face.shape[1] / width, 0.5 * height / cap)
        at = (round((face.shape[1] - width * scale) / 2), round((height + cap * scale) / 2))
        cv2.putText(face, text, at, cv2.FONT_HERSHEY_DUPLEX, scale, ink, max(2, round(4 * scale)), cv2.LINE_AA)
        frame = np.array([[0, 0], [face.shape[1], 0], [face.shape[1], height], [0, height]], np.float32)
        shrink = np.linalg.norm(pixels[3] - pixels[0]) / height
        if shrink < 0.7:
            face, frame = cv2.resize(face, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA), frame * shrink
        matrix = cv2.getPerspectiveTransform(frame.astype(np.float32), pixels.astype(np.float32))
        size = image.shape[1::-1]
        cv2.warpPerspective(face, matrix, size, image, cv2.INTER_LINEAR, cv2.BORDER_TRANSPARENT)

    def _walker(self, number: int, rng: np.random.Generator) -> _Walker:
        road, cyclist = self._street.road_m, number % 4 == 3
        tones = TONES | {part: CLOTHES[rng.integers(len(CLOTHES))] for part in (SHIRT, LEGS)}
        begins = self._loop_s * (number + rng.uniform(0, 0.7)) / max(3, round(self._loop_s / 7))
        if number % 5 == 2:
            # Over the zebra crossing, from curb to curb.
            turn = np.pi / 2 if rng.random() < 0.5 else -np.pi / 2
            start = np.array([-np.sign(turn) * (road + 1.5), rng.uniform(26.0, 28.5)])
            length, speed = 2 * road + 3, rng.uniform(1.1, 1.5)
        else:
            turn = 0.0 if rng.random() < 0.5 else np.pi
            side = 1 if rng.random() < 0.5 else -1
            x = side * (road - rng.uniform(0.6, 1.4) if cyclist else road + rng.uniform(0.6, 1.9))
            start = np.array([x, 5.0 if turn == 0 else 58.0])
            length, speed = 53.0, rng.uniform(3.4, 5.2) if cyclist else rng.uniform(1.1, 1.6)
        phases = np.linspace(0, 2 * np.pi, GAIT_PHASES, endpoint=False)
        meshes = [_rider(p) if cyclist else _person(p) for p in phases]
        return _Walker(meshes, tones, start, speed, length, turn, begins)

    # Every frame ----------------------------------------------------------------------------------

    def draw(self, image: np.ndarray, t: float) -> None:
        present = [(found, w) for w in self._walkers if (found := w.at(t, self._loop_s))]
        for (where, mesh), walker in sorted(present, key=lambda one: -one[0][0][1]):
            self._draw_walker(image, walker, where, mesh)
        self._drift(image, t)
        self._blow(image, t)

    def _draw_walker(self, image: np.ndarray, walker: _Walker, where: np.ndarray, mesh: Mesh) -> None:
        c, s = np.cos(walker.turn), np.sin(walker.turn)
        turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]], np.float32)
        offset = np.array([*where, 0], np.float32)

        def place(values: np.ndarray, direction: bool = False) -> np.ndarray:
            turned = values @ turn
            return turned if direction else turned + offset

        def shade(pixels, view, normal):
            albedo = np.array([walker.tones[part] for part in range(6)], np.float32)[pixels.part]
            none = np.zeros((len(albedo), 1), np.float32)
            return lit(albedo, none, np.zeros_like(albedo), normal, view)

        draw(image, self._camera, mesh, place, shade)

    def _drift(self, image: np.ndarray, t: float) -> None:
        """Cloud shadows, two periods of the sky in a loop."""
        period, height, width = 9 * 24, image.shape[0], image.shape[1]
        at = (2 * t / self._loop_s % 1) * period
        shift = np.float32([[1, 0, -at], [0, 1, 0]])
        sky = cv2.warpAffine(self._clouds, shift, (160, 90), flags=cv2.INTER_LINEAR)
        light = 1 - 0.30 * np.clip((sky - 0.45) * 3, 0, 1)
        light[:28] = 1
        light = cv2.resize(cv2.GaussianBlur(light, (0, 0), 4), (width, height), interpolation=cv2.INTER_LINEAR)
        cv2.multiply(image, cv2.merge([light] * 3), image, dtype=cv2.CV_8U)

    def _blow(self, image: np.ndarray, t: float) -> None:
        height, width = image.shape[:2]
        for x, y, speed, phase, size, tint in self._leaves:
            rounds = 2 + round(8 * speed)
            along = (x + rounds * t / self._loop_s) % 1
            at = (round(along * 1.1 * width), round((0.35 + 0.6 * y + 0.03 * np.sin(t * (1 + 2 * phase) * 2)) * height))
            long = max(2, round((4 + 7 * size) * width / 1920))
            axes = (long, max(1, round(long * abs(np.sin(t * 3 + 6 * phase)) * 0.5)))
            color = (30, round(70 + 60 * tint), round(90 + 60 * tint))
            cv2.ellipse(image, at, axes, 360 * (phase + t * 0.7), 0, 360, color, -1, cv2.LINE_AA)


def _person(phase: float) -> Mesh:
    swing = 0.36 * np.sin(phase)
    parts = [ellipsoid((0, 0, 1.62), (0.10, 0.115, 0.13), SKIN, detail=8),
             ellipsoid((0, -0.02, 1.68), (0.105, 0.115, 0.10), HAIR, detail=8),
             ellipsoid((0, 0, 1.22), (0.21, 0.13, 0.32), SHIRT, detail=8),
             ellipsoid((0, 0, 0.93), (0.17, 0.12, 0.14), LEGS, detail=8)]  # fmt: skip
    for side in (-1, 1):
        leg, arm = side * swing, -side * 0.8 * swing
        parts.append(ellipsoid((0.09 * side, 0.42 * leg, 0.48), (0.085, 0.10, 0.46), LEGS, tilt=-leg, detail=8))
        parts.append(ellipsoid((0.09 * side, 0.92 * leg + 0.06, 0.05), (0.05, 0.12, 0.05), HAIR, detail=8))
        parts.append(ellipsoid((0.25 * side, 0.3 * arm, 1.16), (0.055, 0.06, 0.31), SKIN, tilt=-arm, detail=8))
    return Mesh.join(parts)


def _rider(phase: float) -> Mesh:
    push = 0.13 * np.sin(phase)
    parts = [wheel((0, -0.52, 0.33), 0.33, 0.05, RUBBER, detail=16),
             wheel((0, 0.52, 0.33), 0.33, 0.05, RUBBER, detail=16),
             ellipsoid((0, 0.0, 0.62), (0.03, 0.5, 0.04), METAL, detail=8),
             ellipsoid((0, 0.48, 0.98), (0.26, 0.03, 0.03), METAL, detail=8),
             ellipsoid((0, -0.16, 0.92), (0.09, 0.16, 0.04), HAIR, detail=8),
             ellipsoid((0, 0.02, 1.22), (0.19, 0.15, 0.32), SHIRT, tilt=-0.35, detail=8),
             ellipsoid((0, 0.18, 1.60), (0.10, 0.115, 0.13), SKIN, detail=8),
             ellipsoid((0, 0.17, 1.66), (0.115, 0.13, 0.10), METAL, detail=8)]  # fmt: skip
    for side in (-1, 1):
        high = side * push
        parts.append(ellipsoid((0.10 * side, 0.04, 0.78 + high / 2), (0.08, 0.22, 0.10), LEGS, tilt=0.3, detail=8))
        parts.append(ellipsoid((0.10 * side, 0.10, 0.46 + high), (0.06, 0.07, 0.24), SKIN, detail=8))
        parts.append(ellipsoid((0.22 * side, 0.28, 1.16), (0.05, 0.26, 0.06), SKIN, tilt=-0.5, detail=8))
    return Mesh.join(parts)
