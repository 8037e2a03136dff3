"""The verdict of scripts/bench passages on rows and passages made by hand."""

from bench_tools.verdict import passages_between, sum_up, verdict


def passage(plate: str, enter: float, leave: float) -> dict:
    kept = {"plate": plate, "layout": "br-old", "vehicle": "car", "direction": "toward", "best_width_px": 100.0}
    return kept | {"enter_s": enter, "leave_s": leave, "loop_at_s": enter, "judged": True}


def row(plate: str, first: float, last: float) -> dict:
    kept = {"plate": plate, "first_s": first, "last_s": last, "confidence": 0.9, "reads": 9}
    return kept | {"direction": "approaching"}


def test_each_kind_of_failure_is_told_apart() -> None:
    passages = [
        passage("AAA1111", 10, 14),
        passage("BBB2222", 20, 24),
        passage("CCC3333", 30, 34),
        passage("D", 40, 44),
    ]
    rows = [
        row("AAA1111", 10.2, 13.9),
        row("BBB2222", 20.1, 21.0),
        row("BBB2222", 22.0, 24.0),
        row("CCC3338", 30.0, 34.0),
        row("XXX0000", 60.0, 61.0),
        row("YYY0000", 99.0, 99.0),
    ]
    result = verdict(passages, rows, rows[:-1])
    counts = {name: result[name] for name in ("passages", "right", "duplicates", "wrong", "missed", "false")}
    assert counts == {"passages": 4, "right": 1, "duplicates": 1, "wrong": 1, "missed": 1, "false": 1}
    assert [failure["kind"] for failure in result["failures"]] == ["duplicate", "wrong", "false", "missed"]
    assert result["right_pct"] == 25.0 and result["wrong_direction"] == 0


def test_the_same_plate_a_loop_later_is_another_passage() -> None:
    truth = {"loop_s": 60.0, "cameras": [{"loop_start_unix_s": 1000.0}]}
    seen = {"plate": "AAA1111", "layout": "br-old", "vehicle": "car", "direction": "away", "best_width_px": 90.0}
    truth["passages"] = [seen | {"t_enter_s": 5.0, "t_leave_s": 9.0}]
    found = passages_between(truth, 0, 1001.0, 1130.0)
    assert [(p["enter_s"], p["leave_s"]) for p in found] == [(1005.0, 1009.0), (1065.0, 1069.0), (1125.0, 1129.0)]
    rows = [row("AAA1111", p["enter_s"], p["leave_s"]) for p in found]
    result = verdict(found, rows, rows)
    assert (result["right"], result["wrong_direction"]) == (3, 3)
    assert sum_up([result, result])["right"] == 6


def test_parked_and_unreadable_vehicles() -> None:
    truth = {"loop_s": 60.0, "cameras": [{"loop_start_unix_s": 1000.0}]}
    seen = {"layout": "br-old", "vehicle": "car", "direction": "away", "best_width_px": 90.0}
    parked = seen | {"plate": "PPP1111", "t_enter_s": 0.0, "t_leave_s": 60.0, "parked": True, "readable": True}
    far = seen | {"plate": "FFF1111", "t_enter_s": 5.0, "t_leave_s": 9.0, "parked": False, "readable": False}
    truth["passages"] = [parked, far]
    found = passages_between(truth, 0, 1002.0, 1130.0)
    assert [p["plate"] for p in found].count("PPP1111") == 1
    once = [row("PPP1111", 996.0, 1004.0), row("FFF1111", 1006.0, 1008.0)]
    result = verdict(found, once, once[1:])
    assert (result["passages"], result["right"], result["failures"]) == (1, 1, [])
    again = [*once, row("PPP1111", 1050.0, 1058.0)]
    result = verdict(found, again, again[1:])
    assert (result["right"], result["duplicates"], result["false"]) == (0, 1, 0)


def test_a_passage_cut_by_the_judged_time_is_neither_missed_nor_false() -> None:
    truth = {"loop_s": 60.0, "cameras": [{"loop_start_unix_s": 1000.0}]}
    seen = {"plate": "AAA1111", "layout": "br-old", "vehicle": "car", "direction": "away", "best_width_px": 90.0}
    truth["passages"] = [seen | {"t_enter_s": 5.0, "t_leave_s": 9.0}]
    found = passages_between(truth, 0, 1006.0, 1050.0)
    told = [row("AAA1111", 1006.5, 1009.0)]
    for rows in (told, []):
        result = verdict(found, rows, rows)
        assert (result["passages"], result["failures"]) == (0, [])
