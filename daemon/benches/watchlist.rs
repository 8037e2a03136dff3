//! Watchlists of many entries: import, load at the start, memory, and what a passage costs. `scripts/bench watchlist`
//! runs it; the last line is one JSON object.

mod common;

use std::io::{BufWriter, Seek, Write};
use std::time::Instant;

use common::{Figures, Plates, passage, resident_bytes};
use gtv_edge::alerts;
use gtv_edge::store::{AlertPolicy, Severity, Store, StoreEvent, WatchlistChange};
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::json;

#[derive(clap::Parser)]
struct Args {
    #[arg(long, default_value_t = 1_000_000)]
    entries: u64,
    #[arg(long, default_value_t = 5000)]
    passages: u64,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let args: Args = clap::Parser::parse();
    // Summaries instead of the daemon's buckets, which begin at a millisecond.
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    metrics::set_global_recorder(recorder).expect("no recorder before this one");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let folder = tempfile::tempdir().expect("a temporary folder");

    let store = Store::open(folder.path()).expect("a fresh store");
    let list = WatchlistChange {
        name: "bench".to_owned(),
        severity: Severity::Critical,
        reason: "bench".to_owned(),
        enabled: true,
    };
    let list = runtime.block_on(store.create_watchlist(list, "bench")).expect("a list").id;
    let mut plates = Plates::new(1);
    let mut file = BufWriter::new(tempfile::tempfile().expect("a temporary file"));
    file.write_all(b"plate,reason,valid_from,valid_until\n").expect("disk space");
    for _ in 0..args.entries {
        writeln!(file, "{},stolen vehicle,2026-01-01,2027-12-31", plates.next()).expect("disk space");
    }
    let mut file = file.into_inner().expect("disk space");
    file.rewind().expect("a file");
    let started = Instant::now();
    let summary = runtime.block_on(alerts::import(&store, list, file, false)).expect("an import");
    let import_s = started.elapsed().as_secs_f64();
    drop(store);

    let before = resident_bytes();
    let started = Instant::now();
    let store = Store::open(folder.path()).expect("the same store");
    let load_ms = started.elapsed().as_secs_f64() * 1000.0;
    let resident = resident_bytes().saturating_sub(before);
    let status = store.watch_status();

    let policy = AlertPolicy { cooldown_us: 0, ..AlertPolicy::default() };
    runtime.block_on(store.set_alert_policy(policy)).expect("a policy");
    let (mut plain, mut hit, mut told) = (Figures::default(), Figures::default(), Figures::default());
    // What the socket of an open page waits for.
    let mut events = store.events();
    // The listed plates begin with these; the others are of another seed.
    let (mut listed, mut others) = (Plates::new(1), Plates::new(2));
    for n in 0..args.passages {
        let is_hit = n % 10 == 0;
        let plate = if is_hit { listed.next() } else { others.next() };
        let started = Instant::now();
        runtime.block_on(store.insert_detection(passage(&plate, n as i64 + 1))).expect("a row");
        if is_hit { &mut hit } else { &mut plain }.add(started.elapsed());
        if is_hit {
            let is_alert = |event: &StoreEvent| matches!(event, StoreEvent::Alert(_));
            while !is_alert(&runtime.block_on(events.recv()).expect("an alert")) {}
            told.add(started.elapsed());
        } else {
            while events.try_recv().is_ok() {}
        }
    }
    let text = metrics.render();
    let match_us = |quantile: &str| {
        let line = format!("gtv_watch_match_seconds{{quantile=\"{quantile}\"}} ");
        let value = text.lines().find_map(|l| l.strip_prefix(&line)?.parse::<f64>().ok());
        value.map(|seconds| (seconds * 1e7).round() / 10.0)
    };
    let result = json!({
        "entries": summary.added,
        "import_s": common::rounded(import_s),
        "load_ms": common::rounded(load_ms),
        "index_mb": common::rounded(status.bytes as f64 / 1e6),
        "bytes_per_entry": common::rounded(status.bytes as f64 / status.vehicles.max(1) as f64),
        "resident_mb_more": common::rounded(resident as f64 / 1e6),
        "match_us_p50": match_us("0.5"),
        "match_us_p99": match_us("0.99"),
        "row_ms": plain.json(),
        "row_with_alert_ms": hit.json(),
        "alert_told_ms": told.json(),
    });
    println!("{result}");
}
