"""Vehicles of the street scene: shape, materials by position on the body, and where the plate sits.

Vehicle coordinates in meters: x to the right as one looks at the front, y from the front end backward, z up.
Materials are decided for each pixel from its position, so edges stay sharp at any distance.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .mesh import canopy, curve, ellipsoid, loft, wheel
from .raster import DAYLIGHT, Light, Mesh, lit

BODY, CABIN, TIRE, MIRROR, BOX = range(5)

PAINTS = {
    "white": (0.72, 0.73, 0.73),
    "silver": (0.42, 0.44, 0.46),
    "gray": (0.13, 0.14, 0.155),
    "black": (0.012, 0.012, 0.014),
    "red": (0.38, 0.018, 0.02),
    "blue": (0.025, 0.085, 0.30),
    "green": (0.03, 0.12, 0.07),
    "beige": (0.50, 0.42, 0.30),
}


@dataclass
class Mount:
    """Center of the plate in vehicle coordinates and its size in meters."""

    y: float
    z: float
    width: float
    height: float


class Vehicle:
    """A mesh and its material; `heading` +1 drives away from the camera, -1 toward it."""

    kind = ""
    length = 0.0
    half_width = 0.0
    height = 0.0

    def __init__(self, paint: str, heading: int) -> None:
        self.heading = heading
        self.paint = np.array(PAINTS[paint], np.float32)
        self.mesh = self._build()

    def _build(self) -> Mesh:
        raise NotImplementedError

    def _materials(self, part, p, n):
        """Albedo (N,3), reflectance (N,1) and emission (N,3) at positions p with normals n."""
        raise NotImplementedError

    def mount(self) -> Mount:
        raise NotImplementedError

    def placer(self, x: float, y: float):
        """Function from vehicle coordinates to the world with the near end at (x, y)."""
        if self.heading < 0:
            offset, turn = np.array([x, y, 0], np.float32), np.array([1, 1, 1], np.float32)
        else:
            offset, turn = np.array([x, y + self.length, 0], np.float32), np.array([-1, -1, 1], np.float32)

        def place(values: np.ndarray, direction: bool = False) -> np.ndarray:
            return values * turn if direction else values * turn + offset

        return place

    def lamps(self) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
        """One head lamp and one rear lamp in vehicle coordinates; each has a twin at -x."""
        raise NotImplementedError

    def shade(self, pixels, view, normal, light: Light = DAYLIGHT) -> np.ndarray:
        albedo, reflect, emission = self._materials(pixels.part, pixels.position, pixels.normal)
        # Close to the ground less sky is seen.
        occlusion = np.clip(0.45 + pixels.position[:, 2:3] * 0.9, 0.45, 1.0)
        return lit(albedo * occlusion, reflect, emission, normal, view, light)

    def plate_corners(self, x: float, y: float, size_m: tuple[float, float] | None = None) -> np.ndarray:
        """World corners, as read: top-left, top-right, bottom-right, bottom-left; of the mount's size unless given."""
        m = self.mount()
        at = y + (m.y if self.heading < 0 else self.length - m.y)
        width, height = size_m or (m.width, m.height)
        half, top, low = width / 2, m.z + height / 2, m.z - height / 2
        return np.array([[x - half, at, top], [x + half, at, top], [x + half, at, low], [x - half, at, low]])


def _arch(p: np.ndarray, axles: list[float], radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Distance to the nearest axle in the side view, and the angle around it."""
    front, back = p[:, 1] - np.float32(axles[0]), p[:, 1] - np.float32(axles[1])
    dy = np.where(np.abs(front) < np.abs(back), front, back)
    dz = p[:, 2] - radius
    return np.hypot(dy, dz), np.arctan2(dz, dy)


class Paint:
    """Collects materials: later `put` calls cover earlier ones."""

    def __init__(self, count: int, base, reflect: float) -> None:
        self.albedo = np.empty((count, 3), np.float32)
        self.albedo[:] = base
        self.reflect = np.full((count, 1), reflect, np.float32)
        self.emission = np.zeros((count, 3), np.float32)

    def put(self, where, albedo, reflect=0.03, emission=(0, 0, 0)) -> None:
        self.albedo[where] = albedo
        self.reflect[where] = reflect
        self.emission[where] = emission

    def result(self):
        return self.albedo, self.reflect, self.emission


GLASS = (0.012, 0.014, 0.016)
RUBBER = (0.018, 0.018, 0.02)
PLASTIC = (0.03, 0.03, 0.033)
CHROME = (0.35, 0.36, 0.38)
LAMP = (0.60, 0.63, 0.66)


class Car(Vehicle):
    """Hatchback, sedan, SUV or van, by style."""

    # Length, half width, cowl and roof heights; y of windshield foot and top, rear window top and foot, as fractions.
    STYLES: ClassVar = {
        "hatch": (3.95, 0.86, 0.95, 1.49, 0.25, 0.45, 0.86, 0.985),
        "sedan": (4.45, 0.88, 0.94, 1.46, 0.27, 0.45, 0.74, 0.90),
        "suv": (4.35, 0.90, 1.08, 1.66, 0.25, 0.40, 0.90, 0.99),
        "van": (4.75, 0.93, 1.12, 1.92, 0.16, 0.33, 0.97, 0.995),
    }

    def __init__(self, style: str, paint: str, heading: int) -> None:
        self.kind = style
        (self.length, self.half_width, self.belt, self.height, *self.glass) = self.STYLES[style]
        self.radius = 0.31 if style in ("hatch", "sedan") else 0.34
        self.axles = [self.length * 0.18, self.length * 0.80]
        super().__init__(paint, heading)

    def _build(self) -> Mesh:
        length, w, belt, roof = self.length, self.half_width, self.belt, self.height
        foot, top, back_top, back_foot = (f * length for f in self.glass)
        deck = belt + (0.03 if self.kind != "sedan" else 0.02)
        nose = belt * 0.80
        half = curve([(0, w * 0.86), (0.12, w * 0.93), (0.5, w * 0.985), (1.2, w), (length - 0.9, w),
                      (length - 0.25, w * 0.96), (length, w * 0.86)])  # fmt: skip
        hood = curve([(0, nose - 0.05), (0.10, nose), (0.45, nose + (belt - nose) * 0.55), (foot, belt),
                      (length * 0.6, belt + 0.03), (length - 0.3, deck), (length, deck - 0.10)])  # fmt: skip
        sill = curve([(0, 0.26), (0.25, 0.19), (length - 0.35, 0.20), (length, 0.32)])
        self._belt_at, self._half_at = hood, half
        body = loft(np.linspace(0, length, 46), half, sill, hood, BODY, power=0.40, bulge=0.09)
        line = curve([(foot - 0.02, belt - 0.06), (top, roof - 0.05), ((top + back_top) / 2, roof),
                      (back_top, roof - 0.07), (min(back_foot * 1.0 + 0.02, length), deck - 0.06)])  # fmt: skip
        self._roof_at = line
        stations = np.linspace(foot - 0.02, min(back_foot + 0.02, length), 40)
        cabin = canopy(stations, lambda y: half(y) * 0.955, lambda y: hood(y) - 0.10, line, CABIN)
        parts = [body, cabin]
        for axle in self.axles:
            for side in (-1, 1):
                parts.append(wheel((side * (w - 0.14), axle, self.radius), self.radius, 0.21, TIRE))
        for side in (-1, 1):
            parts.append(ellipsoid((side * (w + 0.08), foot + 0.28, belt + 0.07), (0.115, 0.055, 0.075), MIRROR))
        return Mesh.join(parts)

    def mount(self) -> Mount:
        if self.heading < 0:
            return Mount(-0.105, 0.47 if self.kind in ("hatch", "sedan") else 0.56, 0.40, 0.13)
        return Mount(self.length + 0.105, 0.70 if self.kind != "sedan" else 0.66, 0.40, 0.13)

    def lamps(self):
        w = self.half_width
        return (w * 0.715, -0.09, self.belt * 0.80 - 0.105), (w * 0.84, self.length + 0.09, self.belt - 0.15)

    def _materials(self, part, p, n):
        out = Paint(len(p), self.paint, 0.045)
        x, y, z = np.abs(p[:, 0]), p[:, 1], p[:, 2]
        body, cabin = part == BODY, part == CABIN
        out.put(part == TIRE, RUBBER, 0.0)
        self._front(out, body & (y < 0.35) & (n[:, 1] < -0.25), x, z)
        self._rear(out, body & (y > self.length - 0.3) & (n[:, 1] > 0.3), x, z)
        self._sides(out, body, p, n, z)
        self._windows(out, cabin, p, n)
        hood = body & (n[:, 2] > 0.6) & (y < self.glass[0] * self.length)
        out.albedo[hood & (np.abs(x - self.half_width * 0.74) < 0.008)] *= 0.25
        out.put(part == MIRROR, self.paint * 0.8 if self.kind != "van" else PLASTIC, 0.04)
        return out.result()

    def _front(self, out: Paint, front, x, z) -> None:
        nose, w = self.belt * 0.80, self.half_width
        lift = 0.0 if self.kind in ("hatch", "sedan") else 0.09
        out.put(front & (z < 0.33 + lift), PLASTIC, 0.02)
        intake = front & (x < w * 0.62) & (z > 0.27 + lift) & (z < 0.37 + lift)
        out.put(intake, np.array([[0.004]]) + 0.02 * (np.sin(z[intake] * 260)[:, None] > 0.4), 0.01)
        grille = front & (x < w * 0.50 - (nose - z) * 0.35) & (z > nose - 0.17) & (z < nose - 0.075)
        out.put(grille, np.array([[0.006]]) + 0.05 * (np.sin(z[grille] * 300)[:, None] > 0.55), 0.02)
        out.put(front & (np.abs(z - (nose - 0.175)) < 0.008) & (x < w * 0.52), CHROME, 0.4)
        badge = (x / 0.075) ** 2 + ((z - nose + 0.12) / 0.048) ** 2
        out.put(front & (badge < 1), CHROME, 0.45)
        lamp_x, lamp_z = w * 0.735, nose - 0.105
        shape = (np.abs(x - lamp_x) / (w * 0.20)) ** 2.6 + (np.abs(z - lamp_z - (x - lamp_x) * 0.16) / 0.078) ** 2.6
        out.put(front & (shape < 1.22), PLASTIC, 0.03)
        out.put(front & (shape < 1), LAMP, 0.12)
        bulb = np.hypot(x - lamp_x + 0.02, z - lamp_z)
        out.put(front & (bulb < 0.058), (0.25, 0.26, 0.28), 0.3)
        out.put(front & (bulb < 0.035), (0.9, 0.9, 0.85), 0.1, (0.55, 0.55, 0.5))
        fog = np.hypot(x - w * 0.76, z - 0.37 - lift)
        out.put(front & (fog < 0.062), PLASTIC, 0.03)
        out.put(front & (fog < 0.042), LAMP, 0.15)

    def _rear(self, out: Paint, rear, x, z) -> None:
        w, belt = self.half_width, self.belt
        out.put(rear & (z < 0.36), PLASTIC, 0.02)
        out.put(rear & (np.abs(z - 0.52) < 0.006), np.array(self.paint) * 0.2, 0.02)
        tall = self.kind in ("suv", "van", "hatch")
        low, high = (belt - 0.30, belt - 0.02) if tall else (belt - 0.24, belt - 0.06)
        inner = w * (0.66 if tall else 0.52)
        lamp = rear & (x > inner) & (z > low) & (z < high)
        out.put(rear & (x > inner - 0.012) & (z > low - 0.012) & (z < high + 0.012), PLASTIC, 0.03)
        out.put(lamp, (0.34, 0.008, 0.01), 0.06, (0.16, 0.004, 0.004))
        out.put(lamp & (z < low + 0.06), (0.55, 0.52, 0.50), 0.08)
        out.put(lamp & (z >= low + 0.06) & (z < low + 0.11), (0.55, 0.17, 0.01), 0.08)
        out.put(rear & (np.hypot(x, z - belt + 0.06) < 0.045), CHROME, 0.4)
        out.put(rear & (np.abs(x - w * 0.62) < 0.07) & (np.abs(z - 0.42) < 0.018), (0.5, 0.01, 0.01), 0.05)

    def _sides(self, out: Paint, body, p, n, z) -> None:
        side = body & (np.abs(n[:, 0]) > 0.45)
        y = p[:, 1]
        out.put(body & (z < 0.27), PLASTIC, 0.02)
        for seam in (self.glass[0] + 0.06, 0.565, 0.79):
            out.albedo[side & (np.abs(y - seam * self.length) < 0.006) & (z > 0.3)] *= 0.2
        for handle in (0.50, 0.73):
            out.put(side & (np.abs(y - handle * self.length) < 0.09) & (np.abs(z - self.belt + 0.14) < 0.014),
                    np.array(self.paint) * 0.5, 0.15)  # fmt: skip
        away, angle = _arch(p, self.axles, self.radius)
        arch = side & (away < self.radius + 0.055)
        out.put(arch, (0.004, 0.004, 0.004), 0.0)
        out.put(arch & (away < self.radius), RUBBER, 0.01)
        rim = arch & (away < self.radius * 0.68)
        spokes = np.abs(np.sin(angle * 2.5)) > 0.42
        out.put(rim, (0.02, 0.02, 0.022), 0.02)
        out.put(rim & (spokes | (away < 0.06) | (away > self.radius * 0.60)), (0.33, 0.34, 0.36), 0.15)

    def _windows(self, out: Paint, cabin, p, n) -> None:
        foot, top, back_top, back_foot = (f * self.length for f in self.glass)
        x, y, z = np.abs(p[:, 0]), p[:, 1], p[:, 2]
        rise = np.clip((z - self.belt) / (self.height - self.belt), 0, 1)
        wide = self.half_width * 0.955 * (1 - 0.24 * rise)
        middle = (top + back_top) / 2
        pane = cabin & (rise > 0.03) & (rise < 0.90) & (x < wide - 0.085) & (n[:, 2] < 0.93)
        wind, back = pane & (y < middle - 0.15), pane & (y > middle + 0.15)
        if self.kind == "van":
            back &= rise > 0.25
        for glass in (wind, back):
            out.put(glass, GLASS, 0.055)
        out.put(wind & (rise < 0.16), (0.022, 0.022, 0.022), 0.06)
        # Driver and head rests show faintly through the windshield.
        head = np.hypot((x - 0.36) / 0.15, (rise - 0.58) / 0.16)
        seat = np.minimum(head, np.hypot((x - 0.36) / 0.26, (rise - 0.2) / 0.3))
        out.put(wind & (seat < 1), (0.020, 0.020, 0.021), 0.055)
        driver = np.hypot((p[:, 0] - 0.36) / 0.10, (rise - 0.60) / 0.15) < 1
        out.put(wind & driver, (0.075, 0.047, 0.034), 0.055)
        out.put(cabin & (rise < 0.03) & (y < middle), PLASTIC, 0.02)
        side = cabin & (np.abs(n[:, 0]) > 0.42) & (rise > 0.06) & (rise < 0.84) & (x > wide - 0.085)
        lean = 0.92 * rise
        window = side & (y > foot + (top - foot) * lean + 0.20)
        window &= y < back_foot - (back_foot - back_top) * lean - 0.24
        pillar = (np.abs(y - 0.565 * self.length) < 0.035) | (np.abs(y - 0.80 * self.length) < 0.03)
        if self.kind == "van":
            window &= y < 0.58 * self.length
        out.put(window, PLASTIC, 0.03)
        out.put(window & ~pillar, GLASS, 0.07)
