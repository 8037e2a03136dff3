"""Plans steady traffic for the harder scenes: evenly filled lanes, all layouts and categories, twins, parked cars."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from .patterns import DIGITS
from .plate import render_plate
from .traffic import MIN_DIFFERENCE, PLATE_PX_PER_MM, SLOW_MPS, Passage, difference, new_text, vehicle_of
from .vehicles import PAINTS, Car

#: Layout and color of what drives by, cars first, in the order in which they take turns.
CARS = (
    ("br-mercosul", "black"), ("br-old", "grey"), ("br-mercosul", "black"), ("br-mercosul", "red"), ("br-old", "red"),
    ("br-mercosul", "blue"), ("br-old", "grey"), ("mercosur", "black"), ("br-mercosul", "green"), ("br-old", "white"),
    ("br-mercosul", "grey"), ("br-old", "black"), ("br-mercosul", "golden"), ("eu", "white"), ("br-old", "blue"),
    ("br-mercosul", "black"), ("br-old", "green"), ("mercosur", "black"),
)  # fmt: skip
MOTORCYCLES = (("br-mercosul-moto", "black"), ("br-old-moto", "grey"), ("br-mercosul-moto", "red"),
               ("br-mercosul-moto", "black"), ("br-old-moto", "red"), ("br-old-moto", "grey"))  # fmt: skip
WORKING = (("br-mercosul", "red"), ("br-old", "red"), ("br-mercosul", "black"))


@dataclass(frozen=True)
class Lane:
    """`kinds` share the lane in turn: `car`, `motorcycle`, `truck`, `bus`."""

    x: float
    heading: int
    count: int
    kinds: tuple[str, ...]
    pace: float = 1.0


@dataclass(frozen=True)
class Flow:
    """`twins` is how many plates differ from one in another lane by a single character."""

    lanes: tuple[Lane, ...]
    first_m: float
    parked_m: tuple[tuple[float, float], ...] = ()
    twins: int = 0


def plan_flow(flow: Flow, seed: int, seconds: float) -> list[Passage]:
    """All lanes begin with the loop and are empty at its end."""
    rng = np.random.default_rng(seed)
    turns = {"car": 0, "motorcycle": 0, "working": 0}
    texts: list[str] = []
    passages: list[Passage] = []
    for lane in flow.lanes:
        passages += _fill(lane, flow, seconds, turns, texts, rng)
    _make_twins(passages, flow.twins, texts, rng)
    for x, y in flow.parked_m:
        layout, color = CARS[(turns["car"] + 3) % len(CARS)]
        turns["car"] += 1
        text = new_text(layout, rng, texts)
        vehicle = vehicle_of(plain_style(rng), plain_paint(rng), 1)
        passages.append(Passage(vehicle, _plate(text, layout, color, rng), x, 0.0, 1.0, y, parked=True))
    return passages


def _fill(lane: Lane, flow: Flow, seconds: float, turns: dict, texts: list[str], rng) -> list[Passage]:
    made = []
    for number in range(lane.count):
        kind = lane.kinds[number % len(lane.kinds)]
        group = {"car": "car", "motorcycle": "motorcycle"}.get(kind, "working")
        layout, color = {"car": CARS, "motorcycle": MOTORCYCLES, "working": WORKING}[group][
            turns[group] % {"car": len(CARS), "motorcycle": len(MOTORCYCLES), "working": len(WORKING)}[group]
        ]
        turns[group] += 1
        vehicle = vehicle_of(plain_style(rng) if kind == "car" else kind, plain_paint(rng), lane.heading)
        plate = _plate(new_text(layout, rng, texts), layout, color, rng)
        made.append(Passage(vehicle, plate, lane.x + rng.uniform(-0.12, 0.12), 0.0, lane.pace, flow.first_m))
    _schedule(made, seconds, rng)
    return made


def _schedule(lane: list[Passage], seconds: float, rng: np.random.Generator) -> None:
    """Start times with the gaps that length and the slowest speed ask for; what time is left is shared out."""
    if not lane:
        return
    gaps = [0.0]
    for before, after in pairwise(lane):
        # A tall vehicle hides the plate of one that follows too close, from above too.
        clear_m = 2.0 + 1.3 * max(before.vehicle.height, after.vehicle.height)
        gaps.append((max(before.vehicle.length, after.vehicle.length) + clear_m) / SLOW_MPS / before.pace)
    spare = seconds - 0.25 - lane[-1].duration_s - sum(gaps)
    if spare < 0:
        raise ValueError(f"{len(lane)} vehicles do not fit into a lane of {seconds:.0f} s: fewer, or a longer loop")
    shares = rng.dirichlet(np.full(len(lane), 3.0)) * spare
    at = 0.0
    for passage, gap, share in zip(lane, gaps, shares, strict=True):
        at += gap + share
        passage.start_s = at


def _make_twins(passages: list[Passage], count: int, texts: list[str], rng: np.random.Generator) -> None:
    """Later vehicles whose plate is an earlier one's with one digit changed."""
    ordered = sorted(passages, key=lambda p: p.start_s)
    for number in range(count):
        first = ordered[(number * len(ordered)) // (count + 1)]
        later = [p for p in ordered if p.start_s > first.start_s + 2 and p.plate.layout == first.plate.layout]
        if not later:
            continue
        second = later[min(number % 3, len(later) - 1)]
        text = first.plate.text
        place = int(rng.choice([i for i, c in enumerate(text) if c.isdigit()]))
        other = DIGITS[(int(text[place]) + int(rng.integers(1, 10))) % 10]
        twin = text[:place] + other + text[place + 1 :]
        if all(difference(twin, known) >= MIN_DIFFERENCE for known in texts if known != text):
            texts.append(twin)
            second.plate = _plate(twin, second.plate.layout, second.plate.color, rng)


def _plate(text: str, layout: str, color: str, rng: np.random.Generator):
    return render_plate(text, layout, color, rng, PLATE_PX_PER_MM, wear=float(rng.uniform(0.1, 0.7)))


def plain_style(rng: np.random.Generator) -> str:
    return list(Car.STYLES)[int(rng.integers(len(Car.STYLES)))]


def plain_paint(rng: np.random.Generator) -> str:
    return list(PAINTS)[int(rng.integers(len(PAINTS)))]
