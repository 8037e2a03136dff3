"""Plate search over many rows: milliseconds a question, by kind."""

import argparse

from . import cargo_bench


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rows", type=int, default=1_000_000, help="about 1.2 KB of disk each")
    parser.add_argument("--queries", type=int, default=200, help="of each kind")
    parser.add_argument("--dir", help="folder that keeps the rows for the next run; absent: a temporary one")


def run(args: argparse.Namespace) -> dict:
    folder = ["--dir", args.dir] if args.dir else []
    return cargo_bench.run("search", "--rows", str(args.rows), "--queries", str(args.queries), *folder)


def words(result: dict) -> str:
    lines = [f"{result['rows']} rows, {result['database_gb']} GB"]
    lines += [f"  {kind}: p50 {ms['p50']} ms, p99 {ms['p99']} ms" for kind, ms in result["ms"].items()]
    return "\n".join(lines)
