"""Watchlists of many entries: import, load at the start, memory, and what a passage costs."""

import argparse

from . import cargo_bench


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--passages", type=int, default=5000)


def run(args: argparse.Namespace) -> dict:
    return cargo_bench.run("watchlist", "--entries", str(args.entries), "--passages", str(args.passages))


def words(result: dict) -> str:
    return (
        f"{result['entries']} entries: imported in {result['import_s']} s, loaded in {result['load_ms']} ms, "
        f"{result['index_mb']} MB; a match takes {result['match_us_p50']} us (p99 {result['match_us_p99']} us), "
        f"a hit is told {result['alert_told_ms']['p50']} ms (p99 {result['alert_told_ms']['p99']} ms) after its passage"
    )
