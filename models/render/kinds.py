"""The kinds of street scenes: road, camera, weather, traffic and the length of the loop."""

from collections.abc import Callable
from dataclasses import dataclass

from .backdrop import NARROW, Street
from .flow import Flow, Lane, plan_flow
from .traffic import Passage, plan
from .weather import DAY, NIGHT, RAIN, Weather


@dataclass(frozen=True)
class Kind:
    """`plan(seed, seconds)` gives the passages; `seconds` and `fps` are the loop's usual length and rate."""

    seconds: int
    plan: Callable[[int, float], list[Passage]]
    weather: Weather = DAY
    street: Street = NARROW
    focal_px: float = 2500.0
    bystanders: bool = False
    fps: int = 10


def _two_way(per_minute: float) -> Callable[[int, float], list[Passage]]:
    def plan_lanes(seed: int, seconds: float) -> list[Passage]:
        count = max(2, round(per_minute * seconds / 60))
        coming = Lane(-1.78, -1, count // 2, ("car", "car", "truck", "car", "car", "bus", "car"))
        leaving = Lane(1.85, 1, count - count // 2, ("car", "motorcycle", "car", "motorcycle", "car", "truck"))
        return plan_flow(Flow((coming, leaving), 48.0), seed, seconds)

    return plan_lanes


def _dense(seed: int, seconds: float) -> list[Passage]:
    share = seconds / 72
    lanes = (
        Lane(-1.7, -1, max(1, round(14 * share)), ("car", "truck", "car", "car", "bus", "car"), 1.0),
        Lane(-4.8, -1, max(1, round(14 * share)), ("car", "car", "car", "truck", "car"), 1.06),
        Lane(1.7, 1, max(1, round(14 * share)), ("car", "car", "motorcycle", "car", "truck"), 0.97),
        Lane(3.45, 1, max(1, round(9 * share)), ("motorcycle",), 1.12),
    )
    parked = ((5.25, 14.6), (5.3, 25.0))
    return plan_flow(Flow(lanes, 46.0, parked, round(6 * share)), seed, seconds)


def _nobody(_seed: int, _seconds: float) -> list[Passage]:
    return []


KINDS: dict[str, Kind] = {
    "day": Kind(64, plan, fps=15),
    "night": Kind(96, _two_way(28), NIGHT),
    "rain": Kind(96, _two_way(28), RAIN),
    "dense": Kind(72, _dense, street=Street(6.4, (1.7, 4.8)), focal_px=2250.0),
    "empty": Kind(120, _nobody, bystanders=True),
}
