"""Faults a camera can be given, at start or while it runs, and how they are written."""

from dataclasses import dataclass

#: RTP time moves by this much: ahead, and back.
JUMP_S = {"jump": 3 * 3600.0, "back": -3600.0}
KINDS = ("drop-after", "stall-after", "timestamps", "garbage", "wrong-password", "down", "hang")


class FaultError(ValueError):
    """A fault that cannot be understood; the text says what is accepted."""


@dataclass(frozen=True)
class Fault:
    """One fault; `camera` None means every camera, `kind` "none" clears all."""

    kind: str
    value: float = 0.0
    mode: str = ""
    camera: int | None = None

    def describe(self) -> str:
        if self.kind == "timestamps":
            return f"timestamps={self.mode}:{self.value:g}"
        if self.kind in ("drop-after", "stall-after", "garbage"):
            return f"{self.kind}={self.value:g}"
        return self.kind


def parse_fault(text: str) -> Fault:
    """`KIND[=VALUE][@CAMERA]`, for example `drop-after=10@2`, `timestamps=back:5`, `garbage`."""
    body, at, camera_text = text.strip().partition("@")
    kind, _, value = body.partition("=")
    if at and not camera_text.isdigit():
        raise FaultError(f"{text}: after @ comes the number of a camera")
    camera = int(camera_text) if at else None
    if kind == "none":
        return Fault("none", camera=camera)
    if kind not in KINDS:
        raise FaultError(f"{text}: unknown fault; known are none, {', '.join(KINDS)}")
    if kind in ("drop-after", "stall-after"):
        return Fault(kind, _seconds(text, value), camera=camera)
    if kind == "timestamps":
        mode, _, after = value.partition(":")
        if mode not in JUMP_S:
            raise FaultError(f"{text}: write timestamps=jump or timestamps=back, with :SECONDS if not at once")
        return Fault(kind, _seconds(text, after or "0"), mode, camera)
    if kind == "garbage":
        share = _seconds(text, value or "0.2")
        if not 0 < share <= 1:
            raise FaultError(f"{text}: the fraction of corrupted frames is above 0 and at most 1")
        return Fault(kind, share, camera=camera)
    if value:
        raise FaultError(f"{text}: {kind} takes no value")
    return Fault(kind, camera=camera)


def _seconds(text: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 <= number < 1e6:
        raise FaultError(f"{text}: {value!r} is not a number from 0 up")
    return number


class FaultSet:
    """The faults of one camera now. Replaced as a whole, so readers in other threads need no lock."""

    def __init__(self) -> None:
        self._active: dict[str, Fault] = {}

    def apply(self, fault: Fault) -> None:
        self._active = {} if fault.kind == "none" else {**self._active, fault.kind: fault}

    def get(self, kind: str) -> Fault | None:
        return self._active.get(kind)

    def has(self, kind: str) -> bool:
        return kind in self._active

    def describe(self) -> list[str]:
        return [fault.describe() for fault in self._active.values()]
