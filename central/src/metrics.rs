//! Names of the metrics, and the recorder behind `/metrics`.

use anyhow::Context;
use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

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
pub const EXPIRED: &str = "gtv_sync_records_expired_total";

/// Installs the process-wide recorder.
pub fn install() -> anyhow::Result<PrometheusHandle> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)
        .context("histogram bounds")?
        .install_recorder()
        .context("the metrics recorder is already installed")?;
    describe_gauge!(SESSIONS, "Boxes connected now");
    describe_counter!(BATCHES, "Batches by outcome: committed, repeated, rejected, skipped");
    describe_counter!(RECORDS, "Records committed, by kind");
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
    describe_counter!(EXPIRED, "Records that went because their time was over");
    Ok(handle)
}
