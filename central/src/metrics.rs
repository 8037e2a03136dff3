//! Names of the metrics, and the recorder behind `/metrics`.

use anyhow::Context;
use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::time::Duration;

/// Seconds; from a row on a local disk to an object read over a slow link.
const SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

pub const SESSIONS: &str = "gtv_sync_sessions";
pub const BATCHES: &str = "gtv_sync_batches_total";
pub const RECORDS: &str = "gtv_sync_records_total";
pub const RECORDS_REPEATED: &str = "gtv_sync_records_repeated_total";
pub const RECORDS_RETOLD: &str = "gtv_sync_records_retold_total";
pub const RECORDS_QUARANTINED: &str = "gtv_sync_records_quarantined_total";
pub const PROOFS: &str = "gtv_sync_proofs_total";
pub const REJECTS: &str = "gtv_sync_rejects_total";
pub const REFUSALS: &str = "gtv_sync_refusals_total";
pub const COMMIT_SECONDS: &str = "gtv_sync_commit_seconds";
pub const OBJECT_SECONDS: &str = "gtv_sync_object_check_seconds";
pub const OBJECTS: &str = "gtv_sync_objects_checked_total";
pub const BOX_ACCESS: &str = "gtv_sync_box_access_total";
pub const EVENTS: &str = "gtv_sync_events_total";
pub const EVENTS_DROPPED: &str = "gtv_sync_events_dropped_total";
pub const EVENTS_WAITING: &str = "gtv_sync_events_waiting_records";
pub const BROKER_CONNECTED: &str = "gtv_sync_broker_connected";
pub const LIVE_CONNECTED: &str = "gtv_sync_redis_connected";
pub const LIVE_DROPPED: &str = "gtv_sync_live_updates_dropped_total";
pub const API_CACHE: &str = "gtv_sync_api_cache_total";
pub const EXPIRED: &str = "gtv_sync_records_expired_total";
pub const INCIDENTS: &str = "gtv_sync_incidents_total";
pub const HTTP_SECONDS: &str = "gtv_sync_http_request_duration_seconds";
pub const READY: &str = "gtv_sync_ready";
pub const DATABASE_CONNECTED: &str = "gtv_sync_database_connected";
pub const STORE_CONNECTED: &str = "gtv_sync_object_store_connected";
pub const DATABASE_POOL: &str = "gtv_sync_database_pool_connections";
pub const DATABASE_WAITING: &str = "gtv_sync_database_pool_waiting";
pub const SESSIONS_MAX: &str = "gtv_sync_sessions_max";

/// The recorder drops what it no longer needs.
const UPKEEP_EVERY: Duration = Duration::from_secs(10);

/// Installs the process-wide recorder.
pub fn install() -> anyhow::Result<PrometheusHandle> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)
        .context("histogram bounds")?
        .install_recorder()
        .context("the metrics recorder is already installed")?;
    describe_gauge!(SESSIONS, "Boxes connected now");
    describe_counter!(BATCHES, "Batches by outcome: committed, repeated, rejected, skipped");
    describe_counter!(RECORDS, "Records committed, by kind and prefeitura");
    describe_counter!(RECORDS_REPEATED, "Records that were already committed when they came");
    describe_counter!(RECORDS_RETOLD, "New records about things that an earlier record told");
    describe_counter!(RECORDS_QUARANTINED, "Records stored without a typed row");
    describe_counter!(PROOFS, "Signed Merkle roots of the boxes, by outcome: verified, differs, unknown");
    describe_counter!(REJECTS, "Batches cut short, by code");
    describe_counter!(REFUSALS, "Sessions refused or ended, by code");
    describe_histogram!(COMMIT_SECONDS, Unit::Seconds, "Transaction of one batch");
    describe_histogram!(OBJECT_SECONDS, Unit::Seconds, "Check of one object");
    describe_counter!(BOX_ACCESS, "Keys and signatures for uploads, by outcome: given, failed");
    describe_counter!(OBJECTS, "Objects checked, by how: content, size, lost, known");
    describe_counter!(EVENTS, "Domain events that the broker confirmed, by event");
    describe_counter!(EVENTS_DROPPED, "Records whose events waited too long for the broker and were dropped");
    describe_gauge!(EVENTS_WAITING, "Records whose events wait for the broker, of all services together");
    describe_gauge!(BROKER_CONNECTED, "1 while this service is connected to the broker");
    describe_gauge!(LIVE_CONNECTED, "1 while Redis takes the live status");
    describe_counter!(LIVE_DROPPED, "Updates of the live status that Redis did not take");
    describe_counter!(API_CACHE, "Questions whose answers are kept, by outcome: hit, miss, fresh (asked for), down");
    describe_counter!(EXPIRED, "Records that went because their time was over");
    describe_counter!(
        INCIDENTS,
        "Faults of chains, signatures and roots, by the name under which sync.incidents has them"
    );
    describe_histogram!(HTTP_SECONDS, Unit::Seconds, "Requests by method, route and status");
    describe_gauge!(READY, "1 while this service can take records, as /readyz says");
    describe_gauge!(DATABASE_CONNECTED, "1 while PostgreSQL answers");
    describe_gauge!(STORE_CONNECTED, "1 while the object store answers");
    describe_gauge!(DATABASE_POOL, "Connections to PostgreSQL by state: used, idle");
    describe_gauge!(DATABASE_WAITING, "Tasks that wait for a connection to PostgreSQL");
    describe_gauge!(SESSIONS_MAX, "Boxes that this service takes at a time");
    // Without a value before it, the first event of a counter would not be an increase.
    for name in [RECORDS_REPEATED, RECORDS_RETOLD, RECORDS_QUARANTINED, EVENTS_DROPPED, LIVE_DROPPED, EXPIRED] {
        ::metrics::counter!(name).increment(0);
    }
    Ok(handle)
}

/// Keeps the recorder small, and reads what the process itself uses (`process_resident_memory_bytes`, ...).
pub async fn upkeep(handle: PrometheusHandle) {
    let process = metrics_process::Collector::default();
    process.describe();
    loop {
        process.collect();
        tokio::time::sleep(UPKEEP_EVERY).await;
        handle.run_upkeep();
    }
}
