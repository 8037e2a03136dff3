"""The street scenes: what the truth promises, and that the same seed gives the same pixels."""

from itertools import combinations

import cv2
import numpy as np
import pytest
from render.kinds import KINDS
from render.street import StreetScene, smear
from render.traffic import MIN_DIFFERENCE

SIZE = (640, 360)


@pytest.fixture(scope="module")
def scene():
    return StreetScene(seed=7, size=SIZE, fps=15, seconds=64)


def test_passages_cover_the_layouts_and_differ(scene):
    passages = scene.truth()["passages"]
    assert 10 <= len(passages) <= 12
    assert {"br-old", "br-mercosul", "br-mercosul-moto"} <= {p["layout"] for p in passages}
    assert {"bus", "truck", "motorcycle"} <= {p["vehicle"] for p in passages}
    assert {p["direction"] for p in passages} == {"toward", "away"}
    for a, b in combinations([p["plate"] for p in passages], 2):
        assert sum(x != y for x, y in zip(a, b, strict=True)) >= MIN_DIFFERENCE


def test_plates_are_readable_for_a_while_and_inside_the_picture(scene):
    for passage in scene.truth()["passages"]:
        full_hd = SIZE[0] / 1920
        assert passage["best_width_px"] >= 55 * full_hd
        assert 1.8 <= passage["t_leave_s"] - passage["t_enter_s"] <= 8
        for _, quad in passage["quads"]:
            (x1, y1), (x2, _), _, (_, y4) = quad
            assert 0 <= x1 < x2 <= SIZE[0] and 0 <= y1 < y4 <= SIZE[1]


@pytest.mark.parametrize("seed", [7, 8, 9])
def test_the_loop_ends_empty_and_has_quiet_time(seed):
    scene = StreetScene(seed=seed, size=SIZE)
    busy = [any(p.near_end_m(i / 15) is not None for p in scene.passages) for i in range(scene.frame_count)]
    assert not busy[-1] and 5 <= busy.count(False) / 15 <= 30


def test_short_scenes_hold_a_passage():
    for seconds in (4, 6, 20):
        assert StreetScene(size=SIZE, seconds=seconds).truth()["passages"]


def test_same_seed_same_pixels_and_the_plate_is_where_the_truth_says(scene):
    passage = next(p for p in scene.truth()["passages"] if p["vehicle"] == "hatch")
    image = scene.frame(passage["best_frame"])
    again = StreetScene(seed=7, size=SIZE, fps=15, seconds=64).frame(passage["best_frame"])
    assert image.shape == (360, 640, 3) and np.array_equal(image, again)
    quad = next(q for t, q in passage["quads"] if round(t * 15) == passage["best_frame"])
    empty = scene.frame(scene.frame_count - 1)
    mask = cv2.fillConvexPoly(np.zeros(image.shape[:2], np.uint8), np.int32(quad), 1).astype(bool)
    assert np.abs(image[mask].astype(int) - empty[mask]).mean() > 40


@pytest.mark.parametrize("kind", ["night", "rain", "dense"])
def test_harder_scenes_hold_enough_passages_of_all_kinds(kind):
    truth = StreetScene(seed=7, kind=kind).truth()
    readable = [p for p in truth["passages"] if p["readable"]]
    assert truth["scene"] == kind and truth["loop_s"] == KINDS[kind].seconds
    assert len(readable) >= 40 and all(p["quads"] for p in readable)
    layouts = {p["layout"] for p in readable}
    assert {"br-old", "br-old-moto", "br-mercosul", "br-mercosul-moto", "mercosur"} <= layouts
    assert len({p["category"] for p in readable}) >= 5
    assert {p["direction"] for p in readable} == {"toward", "away"}


def test_dense_traffic_has_twins_hidden_plates_and_a_parked_car():
    truth = StreetScene(seed=7, kind="dense").truth()
    texts = [p["plate"] for p in truth["passages"]]
    assert sum(sum(x != y for x, y in zip(a, b, strict=False)) == 1 for a, b in combinations(texts, 2)) >= 3
    parked = [p for p in truth["passages"] if p["parked"]]
    assert any(p["readable"] for p in parked)
    assert all(p["t_leave_s"] - p["t_enter_s"] > 60 for p in parked if p["quads"])
    assert any(not p["readable"] for p in truth["passages"])


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_draws_the_same_pixels_again_and_moves(kind):
    def frames():
        scene = StreetScene(seed=3, size=SIZE, kind=kind)
        return [scene.frame(index) for index in (150, 300)]

    first, second = frames(), frames()
    assert np.array_equal(first[0], second[0]) and np.array_equal(first[1], second[1])
    assert (np.abs(first[0].astype(int) - first[1]) > 30).any()


def test_night_is_dark_and_rain_has_less_contrast():
    day, night, rain = (StreetScene(seed=7, size=SIZE, kind=k).frame(0) for k in ("day", "night", "rain"))
    assert night.mean() < 0.4 * day.mean() and rain.std() < 0.85 * day.std()


def test_nothing_with_a_plate_passes_the_empty_street():
    assert StreetScene(seed=7, size=SIZE, kind="empty").truth()["passages"] == []


def test_too_many_vehicles_for_the_loop_are_named():
    with pytest.raises(ValueError, match="do not fit"):
        StreetScene(size=SIZE, seconds=9, kind="night")


def test_smear_keeps_the_light_and_spreads_it():
    dot = np.zeros((21, 21, 4), np.float32)
    dot[10, 10] = 100
    spread = smear(dot, np.array([0.0, 6.0]))
    assert spread.sum() == pytest.approx(dot.sum(), rel=0.01)
    assert spread[13, 10, 0] > 5 and spread[10, 13, 0] < 1
    assert np.array_equal(smear(dot, np.zeros(2)), dot)
