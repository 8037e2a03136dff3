//! The Prometheus recorder behind `/metrics`. Names are `gtv_<what>_<unit>[_total]`, base units, labels not names;
//! each drop is counted in `gtv_dropped_total{stage,reason}`. `docs/operations.md` lists them.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();

const LATENCY_BUCKETS_S: &[f64] =
    &[0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0];
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Installs the recorder once a process and returns the handle that renders it.
pub fn install() -> PrometheusHandle {
    HANDLE
        .get_or_init(|| {
            let recorder = PrometheusBuilder::new()
                .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), LATENCY_BUCKETS_S)
                .expect("the bucket list is not empty")
                .build_recorder();
            let handle = recorder.handle();
            // Fails only where another recorder was installed first, which then keeps the figures.
            let _ = metrics::set_global_recorder(recorder);
            handle
        })
        .clone()
}

/// Counts `items` that were dropped at `stage` for `reason`.
pub fn dropped(stage: &'static str, reason: &'static str, items: u64) {
    metrics::counter!("gtv_dropped_total", "stage" => stage, "reason" => reason).increment(items);
}

/// Keeps histograms small, as the exporter asks for every few seconds, and reads what the process itself uses
/// (`process_cpu_seconds_total`, `process_resident_memory_bytes`, ...).
pub async fn upkeep(handle: PrometheusHandle) {
    let process = metrics_process::Collector::default();
    process.describe();
    let mut interval = tokio::time::interval(UPKEEP_INTERVAL);
    loop {
        interval.tick().await;
        handle.run_upkeep();
        process.collect();
    }
}

/// What was dropped since the start, by `stage/reason`, out of the Prometheus text.
pub fn drops(text: &str) -> BTreeMap<String, u64> {
    let mut drops = BTreeMap::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("gtv_dropped_total{")) {
        let Some((labels, value)) = line.split_once('}') else { continue };
        let label = |name: &str| {
            let found = labels.split(',').find_map(|label| label.strip_prefix(name)?.strip_prefix("=\""));
            found.map_or("", |value| value.trim_end_matches('"'))
        };
        let key = format!("{}/{}", label("stage"), label("reason"));
        *drops.entry(key).or_default() += value.trim().parse::<u64>().unwrap_or(0);
    }
    drops
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_are_summed_over_cameras() {
        let text = "gtv_dropped_total{stage=\"lpr\",reason=\"replaced\",camera=\"a\"} 7\n\
                    gtv_dropped_total{camera=\"b\",stage=\"lpr\",reason=\"replaced\"} 1\n\
                    gtv_dropped_total{stage=\"record\",reason=\"queue_full\"} 2\ngtv_other{a=\"b\"} 9\n";
        let expected = [("lpr/replaced".to_owned(), 8), ("record/queue_full".to_owned(), 2)];
        assert_eq!(drops(text), BTreeMap::from(expected));
    }
}
