"""Writes a set of rendered scenes to measure with: `python -m lpr_train.rendered_set --out DIR --count N --seed S`.

Mercosul cars, Mercosul motorcycles and old motorcycles in the street scenes, by day, at night and in rain. None of it
is ever trained on: the texts are those that `is_held_out` keeps out of every pool the reader learns from, the streets
and vehicles are drawn by `render.street`, which training does not use, and the random stream is apart from training's.
A folder named `...-br` is read under the Brazilian grammar by `evaluate.py`.
"""

import argparse
import json
import tomllib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from render.flow import plain_paint, plain_style
from render.plate import category, random_color, random_text, render_plate
from render.street import StreetScene
from render.traffic import Passage, vehicle_of

from .reader_labels import is_held_out

CONFIG = Path(__file__).resolve().parents[1] / "config" / "reader.toml"
LAYOUTS = ("br-mercosul", "br-mercosul-moto", "br-old-moto")
WEATHERS = ("day", "night", "rain")
#: Longer lenses see the same street larger: plates up to 200 px without enlarging a picture.
ZOOMS = (1.0, 2.0, 3.6)
#: Of the plate, in pixels: below this a person cannot read one row of seven, or two rows, either.
NARROWEST = {"br-mercosul": 42.0, "br-mercosul-moto": 30.0, "br-old-moto": 30.0}
WIDEST = 200.0
OUT_WIDTH, OUT_HEIGHT = 1280, 720
PLATE_PX_PER_MM = 2.0
#: Keeps this stream of random numbers apart from those that training draws from the same seed.
STREAM = 0x52454E44


@dataclass
class Example:
    """`quad`: corners in pixels of `image` (BGR), as read from the top left on."""

    image: np.ndarray
    quad: np.ndarray
    passage: Passage
    weather: str


def held_out_text(layout: str, share: float, rng: np.random.Generator) -> str:
    while True:
        text = random_text(layout, rng)
        if is_held_out(text, share):
            return text


class Streets:
    """The scenes by weather and lens, each prepared when first asked for."""

    def __init__(self, seed: int) -> None:
        self._seed, self._scenes = seed, {}

    def get(self, weather: str, zoom: float) -> StreetScene:
        key = (weather, zoom)
        if key not in self._scenes:
            self._scenes[key] = StreetScene(seed=STREAM % 100_003 + self._seed, kind=weather, zoom=zoom)
        return self._scenes[key]


def draw_example(streets: Streets, number: int, share: float, rng: np.random.Generator) -> Example:
    """The number picks layout and weather in turn, so that a set of any length holds all of them evenly."""
    layout, weather = LAYOUTS[number % 3], WEATHERS[number // 3 % 3]
    text, color = held_out_text(layout, share, rng), random_color(layout, rng)
    wanted = float(np.exp(rng.uniform(np.log(NARROWEST[layout]), np.log(WIDEST))))
    plate = render_plate(text, layout, color, rng, PLATE_PX_PER_MM, wear=float(rng.uniform(0, 0.9)))
    motorcycle = layout.endswith("-moto")
    heading = 1 if motorcycle or rng.random() < 0.5 else -1
    kind = "motorcycle" if motorcycle else plain_style(rng) if rng.random() < 0.85 else "truck"
    vehicle = vehicle_of(kind, plain_paint(rng), heading)
    passage = Passage(vehicle, plate, heading * rng.uniform(1.3, 2.3), 0.0, 1.0, 60.0, px_per_mm=PLATE_PX_PER_MM)
    scene, y = _place(streets, weather, passage, wanted, rng)
    frame = scene.still(passage, y, rng.uniform(1, 7), int(rng.integers(1_000_000)))
    quad = scene.plate_quad(passage, y)
    frame, quad = _view(frame, quad, wanted, rng)
    return Example(_degrade(frame, wanted, weather, rng), quad, passage, weather)


def _place(streets: Streets, weather: str, passage: Passage, wanted: float, rng) -> tuple[StreetScene, float]:
    """The shortest lens that shows the plate wide enough, and a distance at which it does; else the widest view."""
    best: tuple[float, StreetScene, float] | None = None
    for zoom in ZOOMS:
        scene = streets.get(weather, zoom)
        for y in rng.permutation(np.arange(8.0, 30.0, 0.5)):
            quad = scene.plate_quad(passage, float(y))
            if quad is None:
                continue
            width = float(np.linalg.norm(quad[1] - quad[0]))
            if wanted <= width < 1.7 * wanted:
                return scene, float(y)
            if best is None or abs(width - wanted) < abs(best[0] - wanted):
                best = (width, scene, float(y))
    if best is None:
        raise RuntimeError(f"no distance shows the plate of a {passage.vehicle.kind}: check the scene's camera")
    return best[1], best[2]


def _view(frame: np.ndarray, quad: np.ndarray, wanted: float, rng) -> tuple[np.ndarray, np.ndarray]:
    """Scaled to the wanted width, tilted and sheared as by a camera that hangs askew, and cut to at most 1280x720."""
    scale = min(1.15, wanted / float(np.linalg.norm(quad[1] - quad[0])))
    # Far below the frame's size averages are taken first: the warp itself only interpolates.
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    frame = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=method)
    quad = quad * scale
    height, width = frame.shape[:2]
    size = np.array([min(OUT_WIDTH, 0.85 * width), min(OUT_HEIGHT, 0.85 * height)]).astype(int)
    angle, shear = np.radians(np.clip(rng.normal(0, 6), -16, 16)), rng.uniform(-0.22, 0.22)
    c, s = np.cos(angle), np.sin(angle)
    linear = np.array([[c, -s], [s, c]]) @ np.array([[1, shear], [0, 1]])
    middle = quad.mean(0)
    room = np.minimum(0.3 * size, 0.7 * wanted + 20)
    low, high = np.maximum(room, middle - (np.array([width, height]) - size)), np.minimum(size - room, middle)
    target = rng.uniform(np.minimum(low, high), np.maximum(low, high))
    matrix = np.hstack([linear, (target - linear @ middle)[:, None]])
    shape = tuple(int(v) for v in size)
    picture = cv2.warpAffine(frame, matrix, shape, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return picture, quad @ linear.T + matrix[:, 2]


def _degrade(image: np.ndarray, plate_px: float, weather: str, rng: np.random.Generator) -> np.ndarray:
    """Exposure, defocus that grows with the plate and noise."""
    out = image.astype(np.float32) * rng.uniform(0.75, 1.2)
    sigma = rng.uniform(0, 0.009) * plate_px
    if sigma > 0.25:
        out = cv2.GaussianBlur(out, (0, 0), sigma)
    # The scenes at night and in rain bring their own noise and softness along.
    spread = rng.uniform(0.5, 4.0 if weather == "day" else 2.5)
    out += rng.normal(0, spread, (*out.shape[:2], 1)).astype(np.float32)
    return np.clip(out, 0, 255).astype(np.uint8)


def write_set(out: Path, count: int, seed: int) -> None:
    with CONFIG.open("rb") as file:
        share = tomllib.load(file)["train"]["held_out_share"]
    out.mkdir(parents=True, exist_ok=True)
    streets = Streets(seed)
    with (out / "labels.jsonl").open("w", encoding="utf-8") as labels:
        for number in range(count):
            rng = np.random.default_rng([STREAM, seed, number])
            example = draw_example(streets, number, share, rng)
            name = f"rendered-{number:05d}.jpg"
            quality = int(rng.integers(65, 96))
            if not cv2.imwrite(str(out / name), example.image, [cv2.IMWRITE_JPEG_QUALITY, quality]):
                raise OSError(f"{out / name}: not written; check the free space and the rights of the folder")
            labels.write(json.dumps(label(name, example)) + "\n")
            if number % 50 == 49:
                print(f"{number + 1} of {count}", flush=True)


def label(name: str, example: Example) -> dict:
    plate, quad = example.passage.plate, example.quad
    return {
        "file": name,
        "box": [round(float(v), 1) for v in (*quad.min(0), *quad.max(0))],
        "quad": [round(float(v), 1) for v in quad.reshape(-1)],
        "text": plate.text,
        "layout": plate.layout,
        "category": category(plate.layout, plate.color),
        "weather": example.weather,
        "width": round(float(np.linalg.norm(quad[1] - quad[0])), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="write rendered scenes to measure with")
    parser.add_argument("--out", type=Path, required=True, help="folder, made if it is not there; best named ...-br")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    if args.count < 1:
        parser.error("--count: at least 1")
    cv2.setNumThreads(1)
    write_set(args.out, args.count, args.seed)


if __name__ == "__main__":
    main()
