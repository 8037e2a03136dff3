"""Small software renderer: a pinhole camera, meshes drawn into an id buffer, and shading of every covered pixel.

World axes: x to the right, y away from the camera, z up, in meters. Colors are linear RGB until `to_srgb`.
"""

from dataclasses import dataclass

import cv2
import numpy as np

NEAR_M = 0.9
SUN = np.array([-0.50, -0.52, 0.69], np.float32)
SUN /= np.linalg.norm(SUN)
#: Samples for one vehicle: a far one is oversampled against flicker, a near one a little softer than the picture.
SAMPLE_BUDGET = 120_000
FINEST = 2.5
#: Samples a pixel of a near vehicle; fewer where haste matters or the whole picture is soft anyway.
COARSEST, COARSEST_DRAFT = 0.72, 0.45
_GAMMA = (255 * np.linspace(0, 1, 4096) ** (1 / 2.2)).astype(np.float32)


class PinholeCamera:
    """`focal_px` belongs to the given size; angles in radians, pitch down and yaw to the right are positive."""

    def __init__(self, width: int, height: int, focal_px: float, eye: tuple, pitch: float, yaw: float) -> None:
        self.width, self.height, self.focal_px = width, height, focal_px
        self.eye = np.array(eye, np.float32)
        forward = [np.sin(yaw) * np.cos(pitch), np.cos(yaw) * np.cos(pitch), -np.sin(pitch)]
        right = [np.cos(yaw), -np.sin(yaw), 0.0]
        self.axes = np.array([right, np.cross(forward, right), forward], np.float32)

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixels (N,2) and depths (N,) of world points; depths below `NEAR_M` have no meaningful pixel."""
        local = (np.asarray(points, np.float32) - self.eye) @ self.axes.T
        depth = local[:, 2]
        safe = np.maximum(depth, 0.05)
        center = np.array([self.width / 2, self.height / 2], np.float32)
        return center + self.focal_px * local[:, :2] / safe[:, None], depth

    def rays(self, oversample: int = 1) -> np.ndarray:
        """Directions (H,W,3) through the pixel centers."""
        step = 1 / oversample
        x = np.arange(step / 2, self.width, step, dtype=np.float32) - self.width / 2
        y = np.arange(step / 2, self.height, step, dtype=np.float32) - self.height / 2
        grid_x, grid_y = np.meshgrid(x, y)
        local = np.stack([grid_x, grid_y, np.full_like(grid_x, self.focal_px)], axis=-1)
        return local @ self.axes


@dataclass(frozen=True)
class Light:
    """What falls on vehicles: direct light from SUN's direction, light from all around, and how bright lamps look."""

    direct: tuple[float, float, float] = (1.05, 1.0, 0.92)
    ambient: tuple[float, float, float] = (0.34, 0.34, 0.34)
    ambient_up: float = 0.26
    mirror: float = 1.0
    highlight: float = 3.0
    lamps: float = 1.0


DAYLIGHT = Light()


@dataclass
class Mesh:
    """Quads with object coordinates and normals; `part` numbers the material of each quad."""

    points: np.ndarray
    normals: np.ndarray
    quads: np.ndarray
    part: np.ndarray

    @staticmethod
    def join(meshes: list["Mesh"]) -> "Mesh":
        base = np.cumsum([0] + [len(mesh.points) for mesh in meshes])
        return Mesh(
            np.concatenate([mesh.points for mesh in meshes]).astype(np.float32),
            np.concatenate([mesh.normals for mesh in meshes]).astype(np.float32),
            np.concatenate([mesh.quads + start for mesh, start in zip(meshes, base, strict=False)]),
            np.concatenate([mesh.part for mesh in meshes]),
        )


@dataclass
class Pixels:
    """What the id buffer covers: object position and normal of each covered sample."""

    part: np.ndarray
    position: np.ndarray
    normal: np.ndarray


def draw(image: np.ndarray, camera: PinholeCamera, mesh: Mesh, place, shade, draft: bool = False) -> None:
    """Draws a mesh into an sRGB BGR image.

    `place(points)` takes object points to the world and `place(normals, direction=True)` does so for directions;
    `shade(pixels, view, normal)` gives linear RGB from object positions and world view and normal directions.
    A `draft` takes less than half of the samples.
    """
    world = place(mesh.points)
    pixel, depth = camera.project(world)
    quad_depth = depth[mesh.quads]
    corners = pixel[mesh.quads]
    facing = _signed_area(corners) < 0
    onscreen = (corners.max(1) > 0).all(1) & (corners[..., 0].min(1) < camera.width)
    onscreen &= corners[..., 1].min(1) < camera.height
    kept = np.flatnonzero(facing & onscreen & (quad_depth.min(1) > NEAR_M))
    if len(kept) == 0:
        return
    low = np.maximum(np.floor(corners[kept].min((0, 1))).astype(int) - 1, 0)
    high = np.minimum(np.ceil(corners[kept].max((0, 1))).astype(int) + 2, [camera.width, camera.height])
    size = high - low
    if size.min() <= 0:
        return
    budget, coarsest = (0.4 * SAMPLE_BUDGET, COARSEST_DRAFT) if draft else (SAMPLE_BUDGET, COARSEST)
    scale = float(np.clip(np.sqrt(budget / (size[0] * size[1] * 0.7)), coarsest, FINEST))
    shape = np.maximum(1, np.round(size * scale)).astype(int)
    local = ((corners[kept] - low) * (shape / size)).astype(np.float32)
    order = np.argsort(-quad_depth[kept].mean(1))
    ids = _id_buffer(local[order], shape)
    covered = np.flatnonzero(ids.ravel())
    if len(covered) == 0:
        return
    index = ids.ravel()[covered] - 1
    chosen = kept[order]
    x = (covered % shape[0]).astype(np.float32)
    y = (covered // shape[0]).astype(np.float32)
    attributes = np.concatenate([mesh.points, mesh.normals], axis=1)[mesh.quads[chosen]]
    values = _interpolate(local[order], attributes, index, x, y)
    normal_object = _unit(values[:, 3:])
    pixels = Pixels(mesh.part[chosen][index], values[:, :3], normal_object)
    view = _unit(place(values[:, :3]) - camera.eye)
    color = to_srgb(shade(pixels, view, place(normal_object, direction=True)))
    layer = np.zeros((shape[1] * shape[0], 4), np.float32)
    layer[covered, :3] = color[:, ::-1]
    layer[covered, 3] = 1.0
    method = cv2.INTER_AREA if scale >= 1 else cv2.INTER_LINEAR
    small = cv2.resize(layer.reshape(shape[1], shape[0], 4), tuple(int(v) for v in size), interpolation=method)
    window = image[low[1] : high[1], low[0] : high[0]]
    window[:] = (window * (1 - small[..., 3:]) + small[..., :3]).astype(np.uint8)


def _unit(vectors: np.ndarray) -> np.ndarray:
    length = np.sqrt(np.einsum("nk,nk->n", vectors, vectors))
    return vectors / np.maximum(length, 1e-6)[:, None]


def _signed_area(corners: np.ndarray) -> np.ndarray:
    a, b = corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1]
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]


def _id_buffer(corners: np.ndarray, shape: np.ndarray) -> np.ndarray:
    ids = np.zeros((shape[1], shape[0]), np.int32)
    fixed = np.round(np.clip(corners, -4000, 8000) * 16).astype(np.int32)
    for number, polygon in enumerate(fixed):
        cv2.fillConvexPoly(ids, polygon, number + 1, cv2.LINE_8, 4)
    return ids


def _interpolate(corners, attributes, index, x, y) -> np.ndarray:
    """Attributes at the samples from the least-squares plane over the four corners of each quad."""
    center = corners.mean(1)
    offset = corners - center[:, None]
    mean = attributes.mean(1)
    rest = attributes - mean[:, None]
    sxx, syy = (offset[..., 0] ** 2).sum(1), (offset[..., 1] ** 2).sum(1)
    sxy = (offset[..., 0] * offset[..., 1]).sum(1)
    # The small term keeps slivers seen edge-on from extrapolating without bound.
    det = sxx * syy - sxy**2 + 0.05 * (sxx + syy) + 1e-3
    gx, gy = np.einsum("qk,qka->qa", offset[..., 0], rest), np.einsum("qk,qka->qa", offset[..., 1], rest)
    slope_x = (gx * syy[:, None] - gy * sxy[:, None]) / det[:, None]
    slope_y = (gy * sxx[:, None] - gx * sxy[:, None]) / det[:, None]
    base = mean - slope_x * center[:, :1] - slope_y * center[:, 1:]
    plane = np.concatenate([base, slope_x, slope_y], axis=1).astype(np.float32)[index]
    count = attributes.shape[2]
    return plane[:, :count] + plane[:, count : 2 * count] * x[:, None] + plane[:, 2 * count :] * y[:, None]


def surroundings(direction: np.ndarray) -> np.ndarray:
    """Linear RGB that a mirror would show: sky, a dark band of trees and houses, asphalt."""
    up = direction[:, 2:3]
    sky = _HORIZON + (_ZENITH - _HORIZON) * np.clip(up, 0, 1)
    skyline = 0.16 + 0.05 * np.sin(direction[:, 0:1] * 9.0)
    clear = np.clip((up - skyline) * 33.0 + 1.0, 0, 1)
    result = _BAND + (sky - _BAND) * clear
    result[up[:, 0] < 0] = _ASPHALT
    return result


_HORIZON, _ZENITH = np.array([0.62, 0.72, 0.86], np.float32), np.array([0.20, 0.36, 0.68], np.float32)
_BAND, _ASPHALT = np.array([0.10, 0.105, 0.09], np.float32), np.array([0.13, 0.13, 0.135], np.float32)


def lit(albedo, reflect, emission, normal: np.ndarray, view: np.ndarray, light: Light = DAYLIGHT) -> np.ndarray:
    """Diffuse sun and sky, a mirrored environment with Fresnel weight, the sun's highlight, own light."""
    sun = np.maximum(normal @ SUN, 0)[:, None]
    ambient = np.array(light.ambient, np.float32) + light.ambient_up * normal[:, 2:3]
    color = albedo * (sun * np.array(light.direct, np.float32) + ambient) + emission * light.lamps
    shiny = np.flatnonzero(reflect[:, 0] > 0.015)
    normal, view, reflect = normal[shiny], view[shiny], reflect[shiny]
    cosine = -np.einsum("nk,nk->n", view, normal)[:, None]
    mirrored = view + 2 * cosine * normal
    grazing = np.clip(1 - cosine, 0, 1)
    grazing2 = grazing * grazing
    fresnel = reflect + (1 - reflect) * 0.85 * grazing2 * grazing2 * grazing
    highlight = np.maximum(mirrored @ SUN, 0)[:, None]
    for _ in range(8):
        highlight *= highlight
    color[shiny] += fresnel * (light.mirror * surroundings(mirrored) + light.highlight * highlight - color[shiny])
    return color


def to_srgb(linear: np.ndarray) -> np.ndarray:
    """0..255 float; a soft shoulder keeps highlights from clipping hard."""
    mapped = linear / (1 + 0.18 * linear)
    return _GAMMA[np.clip(mapped * 4095, 0, 4095).astype(np.int16)]
