//! The box's side of delivery: its uploader beside the bare S3 client, and a backlog over a slow uplink while alerts come
//! in. `scripts/bench sync` runs it; the last line is one JSON object. Centre, PostgreSQL and S3 are real.

#[path = "../common/mod.rs"]
mod common;
mod stage;
#[path = "../../../central/tests/support/mod.rs"]
mod support;
mod throttle;

use std::time::{Duration, Instant};

use clap::Parser;
use gtv_edge::store::OutboxStatus;
use serde_json::json;
use stage::{Stage, raw_upload};

#[derive(Parser)]
struct Args {
    /// Objects a round
    #[arg(long, default_value_t = 128)]
    objects: usize,
    #[arg(long, default_value_t = 4 << 20)]
    object_bytes: usize,
    /// Of each of the two, in turns
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Passages that wait, each with a crop
    #[arg(long, default_value_t = 3000)]
    backlog: usize,
    #[arg(long, default_value_t = 12_000)]
    crop_bytes: usize,
    /// Of these with a clip, which go up beside the pictures of the others
    #[arg(long, default_value_t = 12)]
    clips: usize,
    #[arg(long, default_value_t = 2 << 20)]
    clip_bytes: usize,
    /// The uplink
    #[arg(long, default_value_t = 20.0)]
    mbit: f64,
    /// The uplink pauses for one second in ten, and takes up to 200 ms longer, now more, now less
    #[arg(long)]
    bad: bool,
    /// What cargo adds
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let mut result = runtime.block_on(uploads(&args));
    let drained = runtime.block_on(drain(&args));
    let (Some(all), Some(more)) = (result.as_object_mut(), drained.as_object()) else {
        unreachable!("both are objects")
    };
    all.extend(more.clone());
    println!("{result}");
}

/// Bytes a second of the uploader with all it does (digest, rows, order) and of the client alone.
async fn uploads(args: &Args) -> serde_json::Value {
    let stage = Stage::new();
    let bytes = (args.objects * args.object_bytes) as f64;
    let (mut ours, mut raw) = (Vec::new(), Vec::new());
    for _ in 0..args.rounds {
        let mut edge = Stage::edge_box();
        edge.passages(args.objects, args.object_bytes, 0, 0).await;
        let paths = edge.object_paths();
        let started = Instant::now();
        raw_upload(&stage, &paths).await;
        raw.push(bytes / started.elapsed().as_secs_f64() / 1e6);
        let started = Instant::now();
        edge.start(&stage.center.url(), &stage.garage.endpoint());
        edge.until(Duration::from_millis(5), |status| status.blocked == 0).await;
        ours.push(bytes / started.elapsed().as_secs_f64() / 1e6);
        edge.stop().await;
    }
    let (ours, raw) = (median(&mut ours), median(&mut raw));
    json!({
        "object_mb_per_s": rounded(ours),
        "raw_client_mb_per_s": rounded(raw),
        "object_ratio": rounded(ours / raw),
    })
}

/// A backlog over a slow uplink, objects and records through the same bottleneck, and alerts all the while.
async fn drain(args: &Args) -> serde_json::Value {
    let stage = Stage::new();
    let bytes_per_s = args.mbit * 1e6 / 8.0;
    let line = if args.bad { throttle::Line::bad(bytes_per_s) } else { throttle::Line::new(bytes_per_s) };
    let centre = line.forward(&stage.center.address());
    let s3 = line.forward(stage.garage.endpoint().trim_start_matches("http://"));
    let mut edge = Stage::edge_box();
    edge.passages(args.backlog, args.crop_bytes, args.clips, args.clip_bytes).await;

    let delivered = |status: &OutboxStatus| status.waiting[1..] == [0; 3] && status.last.seq == status.acked_seq;
    let watcher = stage.watch_alerts().await;
    let started = Instant::now();
    edge.start(&format!("ws://{}/sync/v1", centre.address), &format!("http://{}", s3.address));
    let raising = async {
        loop {
            tokio::time::sleep(Duration::from_millis(250)).await;
            watcher.raised(edge.alert().await);
        }
    };
    tokio::select! {
        () = edge.until(Duration::from_millis(500), delivered) => {}
        () = raising => {}
    }
    let elapsed = started.elapsed().as_secs_f64();
    let mut latencies = watcher.finish().await;
    latencies.sort_by(f64::total_cmp);
    let quantile = |q: f64| latencies[((latencies.len() - 1) as f64 * q).round() as usize];
    let objects = args.backlog * args.crop_bytes + args.clips * args.clip_bytes;
    let payload = objects as f64 + centre.upward_bytes() as f64;
    let theory = payload / line.bytes_per_s();
    edge.stop().await;
    json!({
        "backlog_passages": args.backlog,
        "backlog_clips": args.clips,
        "uplink_mbit": args.mbit,
        "uplink_bad": args.bad,
        "drain_s": rounded(elapsed),
        "drain_theory_s": rounded(theory),
        "drain_ratio": rounded(elapsed / theory),
        "alerts": latencies.len(),
        "alert_ms_p50": rounded(quantile(0.5)),
        "alert_ms_p99": rounded(quantile(0.99)),
    })
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
