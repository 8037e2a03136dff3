//! One gtv-sync under load: detections a second into a durable PostgreSQL, and what idle boxes cost. `scripts/bench sync`
//! runs it; the last line is one JSON object. The boxes speak the real protocol with real chains and signatures; what
//! they send is made before the clock starts, because on a real site their work is done on other machines.

#[path = "../tests/client/mod.rs"]
mod client;
mod load;
#[path = "../tests/support/mod.rs"]
mod support;

use clap::Parser;
use serde_json::json;
use std::time::{Duration, Instant};
use support::{Center, Garage, Postgres};

#[derive(Parser)]
struct Args {
    /// Detections of all boxes together
    #[arg(long, default_value_t = 200_000)]
    detections: u64,
    /// Boxes that send them at a time
    #[arg(long, default_value_t = 8)]
    boxes: u64,
    /// Records a batch
    #[arg(long, default_value_t = 500)]
    batch: u64,
    /// Boxes that are connected and have nothing to say
    #[arg(long, default_value_t = 1000)]
    idle: u64,
    /// How long these are watched
    #[arg(long, default_value_t = 30)]
    idle_seconds: u64,
    /// What cargo adds
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let postgres = Postgres::start_durable();
    let garage = Garage::start_empty();
    let center = Center::start_new(&postgres, &garage);
    let pid = center.pid().expect("it runs");

    // Connections, statements and partitions exist before the clock starts.
    runtime.block_on(load::deliver(&center.url(), load::prepare(2, 200, 100)));
    let boxes = load::prepare(args.boxes, args.detections / args.boxes, args.batch);
    let sent: u64 = boxes.iter().map(|load| load.records).sum();
    let database = postgres.pid().expect("it runs");
    let (cpu, database_cpu) = (load::cpu_seconds(pid), load::cpu_seconds_of_children(database));
    let started = Instant::now();
    runtime.block_on(load::deliver(&center.url(), boxes));
    let elapsed = started.elapsed().as_secs_f64();
    let (cpu, database_cpu) = (load::cpu_seconds(pid) - cpu, load::cpu_seconds_of_children(database) - database_cpu);
    let stored = runtime.block_on(load::stored_detections(&postgres.url()));
    assert_eq!(stored, sent + 400, "detections in the table");

    let (before, idle_mb, idle_cpu) = runtime.block_on(async {
        let before = load::resident_bytes(pid);
        let sessions = load::connect_idle(&center.url(), args.idle).await;
        let cpu = load::cpu_seconds(pid);
        tokio::time::sleep(Duration::from_secs(args.idle_seconds)).await;
        let used = load::cpu_seconds(pid) - cpu;
        let bytes = load::resident_bytes(pid).saturating_sub(before);
        sessions.close().await;
        (before, bytes as f64 / 1e6, used)
    });
    let thousands = args.idle as f64 / 1000.0;
    let rounded = |value: f64, digits: i32| (value * 10f64.powi(digits)).round() / 10f64.powi(digits);
    let result = json!({
        "detections": sent,
        "detections_per_s": rounded(sent as f64 / elapsed, 0),
        "service_cpu_us_per_detection": rounded(cpu / sent as f64 * 1e6, 1),
        "database_cpu_us_per_detection": rounded(database_cpu / sent as f64 * 1e6, 1),
        "idle_boxes": args.idle,
        "mb_per_1000_boxes": rounded(idle_mb / thousands, 1),
        "cpu_pct_per_1000_boxes": rounded(idle_cpu / args.idle_seconds as f64 / thousands * 100.0, 2),
        "mb_under_load": rounded(before as f64 / 1e6, 1),
    });
    println!("{result}");
}
