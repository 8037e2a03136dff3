"""Delivery, both sides: detections a second through one gtv-sync into PostgreSQL and what idle boxes cost; the box's
uploads beside the bare S3 client, and a backlog over a slow uplink while alerts come in.

Needs the servers of the tests (`scripts/setup --test`); builds gtv-sync and the box."""

import argparse
import os

from . import cargo_bench
from .parts import CACHE


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--detections", type=int, default=200_000, help="of all boxes together")
    parser.add_argument("--boxes", type=int, default=8, help="that send at a time")
    parser.add_argument("--idle", type=int, default=1000, help="connected boxes that have nothing to say")
    parser.add_argument("--idle-seconds", type=int, default=30)
    parser.add_argument("--backlog", type=int, default=10_000, help="passages with crops that wait at the box")
    parser.add_argument("--mbit", type=float, default=20.0, help="the uplink of that box")


def run(args: argparse.Namespace) -> dict:
    os.environ.setdefault("GTV_GARAGE", str(CACHE / "garage" / "bin" / "garage"))
    load = ["--detections", str(args.detections), "--boxes", str(args.boxes)]
    load += ["--idle", str(args.idle), "--idle-seconds", str(args.idle_seconds)]
    result = cargo_bench.run("sync", *load, package="gtv-sync")
    cargo_bench.build("gtv-sync")
    uplink = ["--backlog", str(args.backlog), "--mbit", str(args.mbit)]
    return result | cargo_bench.run("delivery", *uplink)


def words(result: dict) -> str:
    service, database = (result[f"{part}_cpu_us_per_detection"] for part in ("service", "database"))
    idle = f"{result['mb_per_1000_boxes']} MB and {result['cpu_pct_per_1000_boxes']} % of a core"
    return (
        f"{result['detections_per_s']:.0f} detections/s (CPU of gtv-sync {service} us and of PostgreSQL {database} us "
        f"each); 1000 idle boxes: {idle}; objects at {result['object_ratio']:.2f} of the bare client; "
        f"{result['backlog_passages']} passages over {result['uplink_mbit']} Mb/s in {result['drain_ratio']:.2f} of "
        f"the least time, alerts meanwhile p99 {result['alert_ms_p99']:.0f} ms"
    )
