"""What is to be read in a street scene: passages, when their plates are in view, and the corners over time."""

import cv2
import numpy as np

from .plate import category
from .traffic import Passage

#: A plate covered more than this is in the truth's quads no more.
MAX_COVERED = 0.03
#: A person can read a plate that is once at least this wide: 50 px for one row of seven, 30 for two rows of four.
READABLE_PX, READABLE_TWO_ROWS_PX = 50.0, 30.0
#: Corners of what stands still are told this often.
PARKED_EVERY_S = 1.0


def scene_truth(scene) -> dict:
    rows = [row for passage in scene.passages if (row := _passage_truth(scene, passage))]
    return {
        "version": 1,
        "scene": scene.kind,
        "seed": scene.seed,
        "fps": scene.fps,
        "loop_s": float(scene.seconds),
        "size": list(scene.size),
        "passages": sorted(rows, key=lambda row: row["t_enter_s"]),
    }


def _passage_truth(scene, passage: Passage) -> dict | None:
    quads, best, best_width, seen = [], None, 0.0, []
    step = max(1, round(PARKED_EVERY_S * scene.fps)) if passage.parked else 1
    for index in range(0, scene.frame_count, step):
        t = index / scene.fps
        y = passage.near_end_m(t)
        if y is None:
            continue
        seen.append(index)
        quad = scene.plate_quad(passage, y)
        if quad is None or _covered(scene, passage, quad, y, t) > MAX_COVERED:
            continue
        width = float(np.linalg.norm(quad[1] - quad[0]))
        quads.append([round(t, 4), [[round(float(v), 1) for v in corner] for corner in quad]])
        if width > best_width:
            best, best_width = index, width
    if not seen:
        return None
    # A plate that is never clear of other vehicles is told of too: reading it anyway is not wrong.
    first, last = (quads[0][0], quads[-1][0]) if quads else (round(i / scene.fps, 4) for i in (seen[0], seen[-1]))
    plate = passage.plate
    enough = (READABLE_TWO_ROWS_PX if plate.rows == 2 else READABLE_PX) * scene.scale
    return {
        "plate": plate.text,
        "layout": plate.layout,
        "color": plate.color,
        "category": category(plate.layout, plate.color),
        "vehicle": passage.vehicle.kind,
        "direction": passage.direction,
        "parked": passage.parked,
        "readable": best_width >= enough,
        "lane": "right" if passage.lane_x > 0 else "left",
        "t_seen_s": round(seen[0] / scene.fps, 4),
        "t_gone_s": round((seen[-1] + step) / scene.fps, 4),
        "t_enter_s": first,
        "t_leave_s": last,
        "best_frame": best,
        "best_width_px": round(best_width, 1),
        "quads": quads,
    }


def _covered(scene, passage: Passage, quad: np.ndarray, y: float, t: float) -> float:
    """Share of the plate behind a nearer vehicle, by the convex outlines of vehicles."""
    most = 0.0
    for other in scene.passages:
        nearer = None if other is passage else other.near_end_m(t)
        if nearer is None or nearer >= y:
            continue
        points = other.vehicle.placer(other.lane_x, nearer)(other.vehicle.mesh.points[::11])
        pixels, depth = scene.camera.project(points)
        pixels = pixels[depth > 1.0]
        if len(pixels) < 3 or (pixels.max(0) < quad.min(0)).any() or (pixels.min(0) > quad.max(0)).any():
            continue
        hull = cv2.convexHull(pixels.astype(np.float32))[:, 0]
        area, _ = cv2.intersectConvexConvex(hull, quad.astype(np.float32))
        most = max(most, area / max(1e-6, cv2.contourArea(quad.astype(np.float32))))
    return most
