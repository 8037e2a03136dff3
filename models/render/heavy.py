"""Bus, truck and motorcycle of the street scene."""

import numpy as np

from .mesh import ellipsoid, loft, wheel
from .raster import Mesh
from .vehicles import BODY, BOX, CABIN, GLASS, LAMP, PLASTIC, RUBBER, TIRE, Mount, Paint, Vehicle, _arch

FRAME, RIDER, HELMET, LIGHT, SKIN = range(10, 15)


def _constant(value: float):
    return lambda _at: value


class Bus(Vehicle):
    """City bus."""

    kind = "bus"
    length, half_width, height = 10.8, 1.24, 3.02
    axles = (2.45, 8.0)

    def _build(self) -> Mesh:
        shell = loft(np.linspace(0, self.length, 70), _constant(self.half_width), _constant(0.30),
                     _constant(self.height), BODY, power=0.17, bulge=0.16, around=72)  # fmt: skip
        parts = [shell]
        for axle in self.axles:
            parts += [wheel((side * 1.05, axle, 0.48), 0.48, 0.30, TIRE) for side in (-1, 1)]
        parts += [ellipsoid((side * 1.42, 0.12, 2.15), (0.09, 0.06, 0.22), CABIN) for side in (-1, 1)]
        return Mesh.join(parts)

    def mount(self) -> Mount:
        at = -0.175 if self.heading < 0 else self.length + 0.175
        return Mount(at, 0.62, 0.40, 0.13)

    def lamps(self):
        return (0.93, -0.19, 0.86), (1.04, self.length + 0.19, 1.1)

    def _materials(self, part, p, n):
        out = Paint(len(p), (0.70, 0.71, 0.70), 0.04)
        x, y, z = np.abs(p[:, 0]), p[:, 1], p[:, 2]
        body = part == BODY
        wave = 1.12 + 0.16 * np.sin(y * 0.55 + 0.8)
        out.put(body & (z < wave), self.paint, 0.045)
        out.put(body & (np.abs(z - wave - 0.10) < 0.055), (0.55, 0.33, 0.02), 0.04)
        out.put(body & (z < 0.42), PLASTIC, 0.02)
        side = body & (np.abs(n[:, 0]) > 0.6)
        pane = side & (z > 1.55) & (z < 2.55) & (y > 0.35) & (y < self.length - 0.4)
        out.put(pane, PLASTIC, 0.03)
        out.put(pane & (np.abs((y - 0.35) % 1.38 - 0.69) < 0.64), GLASS, 0.08)
        away, angle = _arch(p, list(self.axles), 0.48)
        arch = side & (away < 0.56)
        out.put(arch, (0.004, 0.004, 0.004), 0.0)
        out.put(arch & (away < 0.48), RUBBER, 0.01)
        out.put(arch & (away < 0.27), (0.30, 0.30, 0.31), 0.08)
        out.put(arch & (away < 0.20) & (np.sin(angle * 8) > 0), (0.14, 0.14, 0.15), 0.05)
        self._front(out, body & (y < 0.2) & (n[:, 1] < -0.35), p[:, 0], x, z)
        rear = body & (y > self.length - 0.2) & (n[:, 1] > 0.4)
        out.put(rear & (x > 0.95) & (x < 1.12) & (z > 0.8) & (z < 1.5), (0.36, 0.01, 0.01), 0.05, (0.2, 0, 0))
        out.put(rear & (x < 0.9) & (z > 1.75) & (z < 2.5), GLASS, 0.07)
        out.put(part == TIRE, RUBBER, 0.0)
        out.put(part == CABIN, PLASTIC, 0.03)
        return out.result()

    @staticmethod
    def _front(out: Paint, front, signed_x, x, z) -> None:
        edge = (x / 1.13) ** 8 + (np.abs(z - 1.98) / 0.66) ** 8
        out.put(front & (edge < 1.15), PLASTIC, 0.02)
        pane = front & (edge < 1)
        out.put(pane, GLASS, 0.06)
        driver = np.minimum(np.hypot((signed_x - 0.62) / 0.12, (z - 2.02) / 0.15),
                            np.hypot((signed_x - 0.62) / 0.26, (z - 1.62) / 0.28))  # fmt: skip
        out.put(pane & (driver < 1), (0.035, 0.03, 0.028), 0.055)
        out.put(pane & (z < 1.47), (0.03, 0.03, 0.03), 0.05)
        out.put(pane & (x < 0.018), PLASTIC, 0.03)
        sign = front & (x < 0.86) & (np.abs(z - 2.80) < 0.105)
        out.put(sign, (0.008, 0.008, 0.008), 0.03)
        # The destination is amber dots that form no letters: nothing for a reader to take as a plate.
        dots = sign & (np.sin(signed_x * 150) > 0.1) & (np.sin(z * 150) > 0.1) & (np.sin(signed_x * 21) > -0.3)
        out.put(dots & (x < 0.7) & (np.abs(z - 2.80) < 0.075), (0.3, 0.16, 0.01), 0.0, (0.75, 0.36, 0.02))
        lamp = (np.abs(x - 0.93) / 0.20) ** 3 + (np.abs(z - 0.86) / 0.105) ** 3
        out.put(front & (lamp < 1.2), PLASTIC, 0.03)
        out.put(front & (lamp < 1), LAMP, 0.12)
        for center in (0.85, 1.01):
            out.put(front & (np.hypot(x - center, z - 0.86) < 0.062), (0.85, 0.85, 0.8), 0.1, (0.4, 0.4, 0.36))
        slots = front & (x < 0.58) & (np.abs(z - 0.90) < 0.085)
        out.put(slots, np.array([[0.008]]) + 0.05 * (np.sin(z[slots] * 150)[:, None] > 0.2), 0.02)


class Truck(Vehicle):
    """Box truck."""

    kind = "truck"
    length, half_width, height = 6.6, 1.12, 3.0
    axles = (1.05, 5.2)

    def _build(self) -> Mesh:
        cab = loft(np.linspace(0, 1.75, 16), _constant(1.0), _constant(0.42), lambda y: 1.75 + 0.5 * min(1, y / 0.7),
                   CABIN, power=0.24, bulge=0.12, around=56)  # fmt: skip
        box = loft(np.linspace(1.95, self.length, 50), _constant(self.half_width), _constant(0.88),
                   _constant(self.height), BOX, power=0.07, bulge=0.02, around=64)  # fmt: skip
        beam = loft(np.linspace(1.7, self.length - 0.04, 20), _constant(0.98), _constant(0.50), _constant(0.90),
                    BODY, power=0.12, bulge=0.02, around=24)  # fmt: skip
        parts = [cab, beam, box]
        for axle in self.axles:
            parts += [wheel((side * 0.86, axle, 0.42), 0.42, 0.34, TIRE) for side in (-1, 1)]
        return Mesh.join(parts)

    def mount(self) -> Mount:
        if self.heading < 0:
            return Mount(-0.135, 0.60, 0.40, 0.13)
        return Mount(self.length + 0.03, 0.70, 0.40, 0.13)

    def lamps(self):
        return (0.74, -0.13, 0.75), (0.72, self.length + 0.03, 0.70)

    def _materials(self, part, p, n):
        out = Paint(len(p), self.paint, 0.045)
        x, y, z = np.abs(p[:, 0]), p[:, 1], p[:, 2]
        box, cab = part == BOX, part == CABIN
        out.put(box, (0.64, 0.65, 0.65), 0.02)
        side = box & (np.abs(n[:, 0]) > 0.6)
        out.albedo[side] *= 1 - 0.10 * (np.sin(y[side] * 42)[:, None] > 0.7)
        out.put(side & (np.abs(z - 1.72 - 0.05 * np.sin(y * 2)) < 0.20), self.paint, 0.03)
        rear = box & (n[:, 1] > 0.6)
        out.put(rear & ((x < 0.012) | (x > 1.02) | (z > 2.9) | (z < 0.97)), (0.20, 0.20, 0.21), 0.05)
        out.put(rear & (np.abs(x - 0.16) < 0.018) & (z > 1.0) & (z < 2.85), (0.42, 0.42, 0.43), 0.15)
        for hinge in (1.15, 1.9, 2.65):
            out.put(rear & (np.abs(z - hinge) < 0.035) & (x > 0.86), (0.33, 0.33, 0.34), 0.1)
        stripe = rear & (np.abs(z - 1.04) < 0.03)
        red = np.sin(x * 24) > 0
        out.put(stripe, np.where(red[stripe][:, None], (0.5, 0.02, 0.02), (0.7, 0.7, 0.7)), 0.05)
        out.put(part == BODY, (0.028, 0.028, 0.03), 0.02)
        tail = (part == BODY) & (y > self.length - 0.2) & (n[:, 1] > 0.4)
        lamp = tail & (np.abs(x - 0.72) < 0.15) & (np.abs(z - 0.70) < 0.06)
        out.put(lamp, (0.40, 0.01, 0.01), 0.06, (0.22, 0.0, 0.0))
        out.put(tail & (np.abs(x - 0.52) < 0.045) & (np.abs(z - 0.70) < 0.06), (0.55, 0.2, 0.01), 0.06)
        front = cab & (n[:, 1] < -0.3)
        out.put(front & (x < 0.88) & (z > 1.25) & (z < 1.95), GLASS, 0.06)
        out.put(front & (np.abs(x - 0.74) < 0.15) & (np.abs(z - 0.75) < 0.09), LAMP, 0.12, (0.2, 0.2, 0.18))
        out.put(front & (x < 0.5) & (np.abs(z - 0.95) < 0.12), PLASTIC, 0.02)
        out.put(cab & (np.abs(n[:, 0]) > 0.6) & (z > 1.3) & (z < 1.95) & (y > 0.35) & (y < 1.4), GLASS, 0.07)
        out.put(part == TIRE, RUBBER, 0.0)
        return out.result()


class Motorcycle(Vehicle):
    """Motorcycle with its rider, seen from behind or in front; only the rear carries a plate."""

    kind = "motorcycle"
    length, half_width, height = 2.0, 0.40, 1.72

    def _build(self) -> Mesh:
        return Mesh.join([
            wheel((0, 0.32, 0.30), 0.30, 0.10, TIRE),
            wheel((0, 1.62, 0.30), 0.30, 0.13, TIRE),
            ellipsoid((0, 0.85, 0.62), (0.16, 0.48, 0.20), BODY),
            ellipsoid((0, 1.45, 0.80), (0.13, 0.42, 0.085), FRAME),
            ellipsoid((0, 1.78, 0.78), (0.115, 0.16, 0.10), BODY),
            ellipsoid((0, 1.86, 0.56), (0.075, 0.05, 0.20), FRAME, tilt=0.2),
            ellipsoid((0.17, 1.35, 0.36), (0.055, 0.42, 0.06), LIGHT),
            ellipsoid((0, 0.42, 1.02), (0.38, 0.035, 0.03), FRAME),
            ellipsoid((-0.36, 0.44, 1.20), (0.07, 0.02, 0.045), FRAME),
            ellipsoid((0.36, 0.44, 1.20), (0.07, 0.02, 0.045), FRAME),
            ellipsoid((-0.20, 1.03, 0.76), (0.085, 0.30, 0.095), SKIN),
            ellipsoid((0.20, 1.03, 0.76), (0.085, 0.30, 0.095), SKIN),
            ellipsoid((-0.21, 0.95, 0.46), (0.065, 0.09, 0.26), SKIN),
            ellipsoid((0.21, 0.95, 0.46), (0.065, 0.09, 0.26), SKIN),
            ellipsoid((0, 1.24, 0.98), (0.19, 0.15, 0.22), RIDER, tilt=0.2),
            ellipsoid((0, 1.16, 1.20), (0.235, 0.14, 0.22), RIDER, tilt=0.25),
            ellipsoid((0, 1.12, 1.33), (0.265, 0.10, 0.085), RIDER),
            ellipsoid((0, 1.10, 1.42), (0.07, 0.07, 0.10), RIDER),
            ellipsoid((-0.315, 0.80, 1.17), (0.062, 0.36, 0.072), RIDER, tilt=0.43),
            ellipsoid((0.315, 0.80, 1.17), (0.062, 0.36, 0.072), RIDER, tilt=0.43),
            ellipsoid((-0.35, 0.46, 1.03), (0.05, 0.06, 0.045), FRAME),
            ellipsoid((0.35, 0.46, 1.03), (0.05, 0.06, 0.045), FRAME),
            ellipsoid((0, 1.08, 1.56), (0.125, 0.155, 0.145), HELMET),
        ])  # fmt: skip

    def mount(self) -> Mount:
        return Mount(self.length - 0.02, 0.60, 0.20, 0.17)

    def lamps(self):
        return (0.0, 0.0, 0.95), (0.0, self.length - 0.04, 0.80)

    def _materials(self, part, p, n):
        out = Paint(len(p), self.paint, 0.05)
        out.put(part == TIRE, RUBBER, 0.0)
        out.put(part == FRAME, (0.02, 0.02, 0.022), 0.03)
        out.put(part == LIGHT, (0.32, 0.32, 0.33), 0.35)
        out.put(part == SKIN, (0.035, 0.05, 0.10), 0.0)
        out.put(part == RIDER, (0.05, 0.055, 0.06), 0.0)
        band = (part == RIDER) & (np.abs(p[:, 2] - 1.17) < 0.04)
        out.put(band, (0.55, 0.62, 0.10), 0.02)
        out.put(part == HELMET, (0.60, 0.06, 0.04), 0.06)
        out.put((part == HELMET) & (p[:, 1] < 1.03) & (np.abs(p[:, 2] - 1.56) < 0.06), GLASS, 0.1)
        tail = (part == BODY) & (p[:, 1] > 1.84)
        out.put(tail & (np.abs(p[:, 2] - 0.80) < 0.05), (0.42, 0.01, 0.01), 0.08, (0.30, 0.0, 0.0))
        return out.result()
