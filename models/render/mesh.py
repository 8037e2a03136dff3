"""Shapes that vehicles are made of: lofted shells, ellipsoids and wheels, as quad meshes with smooth normals."""

import numpy as np

from .raster import Mesh


def from_grid(points: np.ndarray, part: int, closed: bool) -> Mesh:
    """Mesh of a (stations, around, 3) grid; `closed` joins the last column to the first."""
    rows, columns = points.shape[:2]
    along = np.gradient(points, axis=0)
    ring = (np.roll(points, -1, 1) - np.roll(points, 1, 1)) / 2
    around = ring if closed else np.gradient(points, axis=1)
    normals = np.cross(around, along)
    length = np.linalg.norm(normals, axis=2, keepdims=True)
    normals = np.where(length > 1e-9, normals / np.maximum(length, 1e-9), [0.0, -1.0, 0.0])
    index = np.arange(rows * columns).reshape(rows, columns)
    right = np.roll(index, -1, 1) if closed else index[:, 1:]
    left = index if closed else index[:, :-1]
    quads = np.stack([left[:-1], right[:-1], right[1:], left[1:]], axis=-1).reshape(-1, 4)
    flat, flat_normals = points.reshape(-1, 3), normals.reshape(-1, 3)
    return Mesh(flat, flat_normals, quads, np.full(len(quads), part))


def outward(mesh: Mesh, center: np.ndarray) -> Mesh:
    """Turns normals and windings away from `center`, where the loft came out inside out."""
    middle = mesh.points[mesh.quads].mean(1)
    a = mesh.points[mesh.quads[:, 2]] - mesh.points[mesh.quads[:, 0]]
    b = mesh.points[mesh.quads[:, 3]] - mesh.points[mesh.quads[:, 1]]
    if (np.cross(a, b) * (middle - center)).sum() < 0:
        mesh.quads = mesh.quads[:, ::-1]
    if (mesh.normals * (mesh.points - center)).sum() < 0:
        mesh.normals = -mesh.normals
    return mesh


def loft(stations: np.ndarray, half_width, bottom, top, part: int, power=0.42, bulge=0.06, around=44) -> Mesh:
    """Closed shell along y: superellipse sections between `bottom` and `top`, domed at both ends.

    The three functions give meters at a station; a small `power` makes boxes, 1 makes ellipses.
    """
    angle = np.linspace(0, 2 * np.pi, around, endpoint=False) + np.pi / around
    unit_x = np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** power
    unit_z = np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** power
    rows = []

    def section(y: float, at: float, scale: float) -> None:
        z0, z1 = bottom(at), top(at)
        x = half_width(at) * scale * unit_x
        rows.append(np.stack([x, np.full_like(x, y), (z0 + z1) / 2 + (z1 - z0) / 2 * scale * unit_z], axis=1))

    first, last = stations[0], stations[-1]
    for k in np.linspace(0.001, 0.97, 12):
        section(first - bulge * (1 - k**4), first, k)
    for y in stations:
        section(y, y, 1.0)
    for k in np.linspace(0.97, 0.001, 12):
        section(last + bulge * (1 - k**4), last, k)
    points = np.array(rows)
    return outward(from_grid(points, part, closed=True), points.reshape(-1, 3).mean(0))


def canopy(stations: np.ndarray, half_width, base, roof, part: int, tumblehome=0.24, around=30) -> Mesh:
    """Open shell over a car body: the glasshouse, narrower toward the roof."""
    angle = np.linspace(0, np.pi, around)
    unit_x = np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** 0.38
    unit_z = np.abs(np.sin(angle)) ** 0.45
    peak = max(roof(y) - base(y) for y in stations)
    rows = []
    for y in stations:
        rise = (roof(y) - base(y)) * unit_z
        x = half_width(y) * unit_x * (1 - tumblehome * rise / peak)
        rows.append(np.stack([x, np.full_like(x, y), base(y) + rise], axis=1))
    points = np.array(rows)
    return outward(from_grid(points, part, closed=False), points.reshape(-1, 3).mean(0) - [0, 0, peak / 2])


def ellipsoid(center, radii, part: int, tilt: float = 0.0, detail=14) -> Mesh:
    """`tilt` turns it around x, in radians: the rear end (+y) rises, the top leans forward."""
    polar = np.linspace(0.06, np.pi - 0.06, detail)
    turn = np.linspace(0, 2 * np.pi, detail + 6, endpoint=False)
    p, t = np.meshgrid(polar, turn, indexing="ij")
    points = np.stack([np.sin(p) * np.cos(t), np.sin(p) * np.sin(t), np.cos(p)], axis=-1) * np.array(radii)
    c, s = np.cos(tilt), np.sin(tilt)
    points = points @ np.array([[1, 0, 0], [0, c, s], [0, -s, c]]) + np.array(center)
    return outward(from_grid(points, part, closed=True), np.array(center, float))


def wheel(center, radius: float, width: float, part: int, detail=22) -> Mesh:
    """Tire as a drum around the x axis with closed, slightly rounded sides."""
    turn = np.linspace(0, 2 * np.pi, detail, endpoint=False)
    half = [(-0.5, 0.03), (-0.5, 0.55), (-0.5, 0.88), (-0.36, 1.0)]
    profile = half + [(-u, r) for u, r in reversed(half)]
    rows = [
        np.stack([np.full_like(turn, u * width), radius * r * np.cos(turn), radius * r * np.sin(turn)], axis=1)
        for u, r in profile
    ]
    points = np.array(rows) + np.array(center)
    return outward(from_grid(points, part, closed=True), np.array(center, float))


def curve(points: list[tuple[float, float]]):
    """Smooth function through control points (cosine between neighbors)."""
    xs, ys = (np.array(values, float) for values in zip(*points, strict=True))

    def value(at):
        where = np.clip(np.searchsorted(xs, at, side="right") - 1, 0, len(xs) - 2)
        t = np.clip((at - xs[where]) / (xs[where + 1] - xs[where]), 0, 1)
        t = 0.5 * t + 0.5 * t * t * (3 - 2 * t)
        return ys[where] + (ys[where + 1] - ys[where]) * t

    return value
