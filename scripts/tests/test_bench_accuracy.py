"""What counts as found, right and false in scripts/bench lpr --accuracy."""

from bench_tools.lpr_accuracy import iou, judge

LABEL = {"file": "a.jpg", "box": [100, 100, 200, 130], "text": "ABC1O23"}


def plate(text, box=(102, 98, 201, 131)):
    return {"text": text, "box": list(box), "confidence": 0.9}


def counts(label, *plates):
    score = judge(label, list(plates))
    return [int(score[key]) for key in ("found", "strict", "folded", "false_reads")]


def test_a_hit_has_the_place_and_the_text():
    assert counts(LABEL, plate("ABC1O23")) == [1, 1, 1, 0]
    assert counts(LABEL, plate("ABC1023")) == [1, 0, 1, 0]
    assert counts(LABEL, plate("ABC1Q23")) == [1, 0, 0, 1]
    assert counts(LABEL, plate("ABC1O23", (300, 100, 400, 130))) == [0, 0, 0, 0]
    assert counts(LABEL) == [0, 0, 0, 0]


def test_other_vehicles_are_not_false():
    assert counts(LABEL, plate("XYZ9876", (500, 100, 600, 130)), plate("ABC1O23")) == [1, 1, 1, 0]


def test_any_plate_is_false_where_none_is():
    nothing = {"file": "b.jpg"}
    assert counts(nothing, plate("EXIT"), plate("STOP")) == [0, 0, 0, 2]
    assert counts(nothing) == [0, 0, 0, 0]
    assert "EXIT" in judge(nothing, [plate("EXIT")])["failure"]


def test_overlap():
    assert iou([0, 0, 10, 10], [0, 0, 10, 10]) == 1.0
    assert iou([0, 0, 10, 10], [10, 0, 20, 10]) == 0.0
    assert abs(iou([0, 0, 10, 10], [5, 0, 15, 10]) - 1 / 3) < 1e-9
