"""Who drives through the street scene and when: vehicles, plates and motion, deterministic by seed."""

from dataclasses import dataclass

import numpy as np

from .heavy import Bus, Motorcycle, Truck
from .plate import PlateImage, random_text, render_plate
from .vehicles import PAINTS, Car, Vehicle

PASSAGES_PER_MINUTE = 10.5
FAR_M = 72.0
SLOW_UNTIL_M, FAST_FROM_M = 17.0, 56.0
SLOW_MPS, FAST_MPS = 4.4, 18.0
#: Two plates differ in at least this many characters, so that one misread is never another vehicle.
MIN_DIFFERENCE = 3
PLATE_PX_PER_MM = 0.9


@dataclass
class Passage:
    """One vehicle's way through the scene; `start_s` is loop time when it begins to show."""

    vehicle: Vehicle
    plate: PlateImage
    lane_x: float
    start_s: float
    pace: float
    first_m: float
    #: Stands with its near end at `first_m` as long as the loop lasts.
    parked: bool = False
    #: What the plate's picture was drawn at.
    px_per_mm: float = PLATE_PX_PER_MM

    @property
    def plate_size_m(self) -> tuple[float, float]:
        height, width = self.plate.rgb.shape[:2]
        return width / self.px_per_mm / 1000, height / self.px_per_mm / 1000

    @property
    def direction(self) -> str:
        return "away" if self.vehicle.heading > 0 else "toward"

    @property
    def duration_s(self) -> float:
        return _travel_s(*self._span()) / self.pace

    def near_end_m(self, t_s: float) -> float | None:
        """Distance of the vehicle's near end, or None while it is not in the scene."""
        if self.parked:
            return self.first_m
        since = (t_s - self.start_s) * self.pace
        low, high = self._span()
        if not 0 <= since <= _travel_s(low, high):
            return None
        if self.vehicle.heading > 0:
            return float(_position_after(_clock(low) + since))
        return float(_position_after(_clock(high) - since))

    def _span(self) -> tuple[float, float]:
        return -self.vehicle.length if self.vehicle.heading > 0 else -self.vehicle.length - 1.0, self.first_m


# Speed depends on the place only (slow at the speed bump), so one table serves every vehicle.
_GRID = np.arange(-16.0, FAR_M + 0.05, 0.05)
_share = np.clip((_GRID - SLOW_UNTIL_M) / (FAST_FROM_M - SLOW_UNTIL_M), 0, 1)
_TIMES = np.concatenate([[0.0], np.cumsum(0.05 / (SLOW_MPS + (FAST_MPS - SLOW_MPS) * _share))[:-1]])


def _clock(y: float) -> float:
    return float(np.interp(y, _GRID, _TIMES))


def _travel_s(low: float, high: float) -> float:
    return _clock(high) - _clock(low)


def _position_after(clock_s: float) -> float:
    return np.interp(clock_s, _TIMES, _GRID)


def plan(seed: int, seconds: float) -> list[Passage]:
    """Groups of two or three vehicles with an empty street between, all gone before the loop ends."""
    rng = np.random.default_rng(seed)
    count = max(1, round(seconds * PASSAGES_PER_MINUTE / 60))
    first_m = FAR_M if seconds >= 12 else 24.0
    kinds = _kinds(rng, count)
    texts: list[str] = []
    groups = [kinds[i : i + 3] for i in range(0, count, 3)]
    passages = []
    for number, group in enumerate(groups):
        begin = seconds * number / len(groups) + rng.uniform(0.2, 0.8)
        free = {1: begin, -1: begin + rng.uniform(0.0, 1.5)}
        for kind, paint, heading, layout, color in group:
            vehicle = vehicle_of(kind, paint, heading)
            text = new_text(layout, rng, texts)
            plate = render_plate(text, layout, color, rng, PLATE_PX_PER_MM)
            lane = 1.78 if kind != "motorcycle" else 2.15
            passage = Passage(vehicle, plate, heading * (lane + rng.uniform(-0.12, 0.12)), free[heading],
                              rng.uniform(0.97, 1.05), first_m)  # fmt: skip
            latest = seconds - 0.25 - passage.duration_s
            passage.start_s = max(0.0, min(passage.start_s, latest))
            free[heading] = passage.start_s + 2.0 + vehicle.length / SLOW_MPS
            passages.append(passage)
    return passages


def _kinds(rng: np.random.Generator, count: int) -> list[tuple]:
    """(kind, paint, heading, layout, plate color); one bus, one truck and one motorcycle when there is room."""
    special = [
        ("motorcycle", "red", 1, "br-mercosul-moto", "black"),
        ("bus", "blue", -1, "br-mercosul", "red"),
        ("truck", "green", 1, "br-old", "red"),
    ]
    cars = []
    styles, paints = list(Car.STYLES), list(PAINTS)
    rng.shuffle(paints)
    for number in range(count):
        style = styles[int(rng.integers(0, len(styles)))]
        old = number % 2 == 0
        cars.append((style, paints[number % len(paints)], -1 if number % 4 < 2 else 1,
                     "br-old" if old else "br-mercosul", "grey" if old else "black"))  # fmt: skip
    if count < 6:
        return cars[:count]
    mixed = cars[: count - len(special)]
    for place, one in zip((2, 5, 8), special, strict=True):
        mixed.insert(min(place, len(mixed)), one)
    return mixed


def vehicle_of(kind: str, paint: str, heading: int) -> Vehicle:
    return {"bus": Bus, "truck": Truck, "motorcycle": Motorcycle}[kind](paint, heading) if kind in (
        "bus", "truck", "motorcycle") else Car(kind, paint, heading)  # fmt: skip


def new_text(layout: str, rng: np.random.Generator, used: list[str]) -> str:
    while True:
        text = random_text(layout, rng)
        if all(difference(text, other) >= MIN_DIFFERENCE for other in used):
            used.append(text)
            return text


def difference(a: str, b: str) -> int:
    return sum(x != y for x, y in zip(a, b, strict=False)) + abs(len(a) - len(b))
