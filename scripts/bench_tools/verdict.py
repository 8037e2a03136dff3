"""Compares stored rows with the passages that really were. Pure: times in seconds come in as arguments."""

# A row's first and last sight may lie this far outside its passage.
SLACK_S = 1.5
# A vehicle that stands there from the start on is told before the judged time begins.
PARKED_S = 10.0


def passages_between(truth: dict, camera: int, since_s: float, until_s: float) -> list[dict]:
    """Passages of the looped scene between two wall clock times; one that lies there only in part may be told or not.

    A parked vehicle is one passage all the time."""
    loop_s, start_s = truth["loop_s"], truth["cameras"][camera]["loop_start_unix_s"]
    kept = ("plate", "layout", "vehicle", "direction", "best_width_px")
    found = []
    for passage in (p for p in truth["passages"] if p.get("parked")):
        whole = {"enter_s": since_s - PARKED_S, "leave_s": until_s, "loop_at_s": 0.0, "judged": passage["readable"]}
        found.append({key: passage[key] for key in kept} | whole | {"direction": None})
    for turn in range(int((since_s - start_s) // loop_s), int((until_s - start_s) // loop_s) + 1):
        for passage in (p for p in truth["passages"] if not p.get("parked")):
            enter, leave = (start_s + turn * loop_s + passage[key] for key in ("t_enter_s", "t_leave_s"))
            if since_s - SLACK_S <= leave and enter <= until_s + SLACK_S:
                times = {"enter_s": enter, "leave_s": leave, "loop_at_s": passage["t_enter_s"]}
                judged = passage.get("readable", True) and since_s <= enter and leave <= until_s
                found.append({key: passage[key] for key in kept} | times | {"judged": judged})
    return found


def verdict(passages: list[dict], rows: list[dict], judged: list[dict]) -> dict:
    """`rows` may tell of any of the passages; only the `judged` ones must belong to one.

    A plate that is at no time large enough to be read may be told or not."""
    failures, used, open_passages = [], set(), []
    right = duplicates = missed = wrong = false = turned = 0
    for passage in passages:
        own = [i for i, row in enumerate(rows) if row["plate"] == passage["plate"] and in_view(row, passage)]
        used.update(own)
        if not passage["judged"]:
            continue
        if len(own) == 1:
            right += 1
            turned += not direction_fits(passage["direction"], rows[own[0]]["direction"])
        elif own:
            duplicates += len(own) - 1
            failures.append(failure("duplicate", passage, [rows[i] for i in own]))
        else:
            open_passages.append(passage)
    for i, row in enumerate(rows):
        if i in used or row not in judged:
            continue
        near = next((p for p in open_passages if in_view(row, p)), None)
        if near is None:
            false += 1
            failures.append(failure("false", None, [row]))
        else:
            wrong += 1
            open_passages.remove(near)
            failures.append(failure("wrong", near, [row]))
    for passage in open_passages:
        missed += 1
        failures.append(failure("missed", passage, []))
    counts = {"right": right, "duplicates": duplicates, "wrong": wrong, "missed": missed, "false": false}
    return share(
        {"passages": sum(p["judged"] for p in passages)} | counts | {"wrong_direction": turned, "failures": failures}
    )


def sum_up(results: list[dict], failures: bool = True) -> dict:
    numbers = ("passages", "right", "duplicates", "wrong", "missed", "false", "wrong_direction", "lpr_frames_skipped")
    total = {name: sum(result.get(name, 0) for result in results) for name in numbers}
    if failures:
        total["failures"] = [failure for result in results for failure in result["failures"]]
    return share(total)


def share(counts: dict) -> dict:
    return counts | {"right_pct": round(100 * counts["right"] / max(1, counts["passages"]), 1)}


def in_view(row: dict, passage: dict) -> bool:
    return row["first_s"] <= passage["leave_s"] + SLACK_S and row["last_s"] >= passage["enter_s"] - SLACK_S


def direction_fits(true: str | None, told: str | None) -> bool:
    """The scene says which way the vehicle drives; a row may also say nothing."""
    return true is None or told in (None, {"toward": "approaching", "away": "leaving"}.get(true, told))


def failure(kind: str, passage: dict | None, rows: list[dict]) -> dict:
    told = [{key: row[key] for key in ("plate", "confidence", "reads")} for row in rows]
    shown = ("plate", "layout", "vehicle", "best_width_px", "loop_at_s")
    where = {} if passage is None else {key: passage[key] for key in shown}
    return {"kind": kind} | where | {"rows": told}
