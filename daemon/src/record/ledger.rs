//! Keeps the coverage ledger (R4): adds what should have been recorded, hour by hour, gives every hole a reason when its
//! hour closes, and shows how much of the last hour is there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::error::RecordError;
use super::plan::{Plans, StreamPlan};
use super::{Key, Shared, store_stream};
use crate::base::ids::CameraId;
use crate::base::tasks::CancellationToken;
use crate::base::time::UtcMicros;
use crate::store::{CoverageRow, Expectation, HOUR_US, LedgerStream, Store, Stream};

const EVERY: Duration = Duration::from_secs(10);
/// What was recorded may be this far behind: a group of pictures, its sync, and a slow disk.
const LAG_US: i64 = 15_000_000;
/// An hour is judged this long after its end.
const GRACE_US: i64 = 60_000_000;
/// A pause of the daemon that is worth a reason of its own.
const OFF_US: i64 = 60_000_000;
/// The share of an hour that just began says little.
const SHOWN_FROM_US: i64 = 300_000_000;

/// What a camera says about itself when it delivers nothing.
pub type Reasons = Arc<dyn Fn(&CameraId) -> String + Send + Sync>;

pub struct Ledger {
    shared: Arc<Shared>,
    reasons: Reasons,
    streams: BTreeMap<Key, Entry>,
    expired_at: UtcMicros,
}

#[derive(Clone)]
struct Entry {
    since: UtcMicros,
    until: UtcMicros,
    plan: StreamPlan,
}

/// Until cancelled; begins where the last run of the daemon ended.
pub async fn run(shared: Arc<Shared>, reasons: Reasons, token: CancellationToken) -> Result<(), RecordError> {
    let mut ledger = Ledger { shared, reasons, streams: BTreeMap::new(), expired_at: UtcMicros(0) };
    ledger.resume(UtcMicros::now()).await?;
    loop {
        ledger.tick(UtcMicros::now()).await?;
        tokio::select! {
            () = token.cancelled() => return Ok(()),
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

impl Ledger {
    fn store(&self) -> &Store {
        &self.shared.store
    }

    /// What the last run left. The time between then and now should have been recorded too.
    async fn resume(&mut self, now: UtcMicros) -> Result<(), RecordError> {
        let plans = self.shared.plans();
        for LedgerStream { camera, stream, since, until } in self.store().ledger_streams().await? {
            let Some(plan) = plans.of(&camera, stream) else {
                self.store().end_expectation(&camera, stream).await?;
                continue;
            };
            if now.since(until) > OFF_US + LAG_US {
                let off = plan.expected(until, now.add_micros(-LAG_US));
                self.store().settle_coverage(&camera, stream, off, "the box was off").await?;
            }
            self.streams.insert(Key::stored(camera, stream), Entry { since, until, plan: plan.clone() });
        }
        Ok(())
    }

    async fn tick(&mut self, now: UtcMicros) -> Result<(), RecordError> {
        let plans = self.shared.plans();
        self.follow(&plans, now).await?;
        self.expect(now).await?;
        self.close(now).await?;
        show(&self.store().coverage_since(hour_of(now).add_micros(-HOUR_US)).await?);
        Ok(())
    }

    /// Streams that came, went, or are to be recorded in another way.
    async fn follow(&mut self, plans: &Plans, now: UtcMicros) -> Result<(), RecordError> {
        let known: Vec<Key> = self.streams.keys().cloned().collect();
        for key in known {
            let entry = &self.streams[&key];
            let (camera, stream) = (&key.camera, store_stream(key.stream));
            if plans.of(camera, stream) == Some(&entry.plan) {
                continue;
            }
            // Holes get the reason of the time when the plan was in force.
            let spans = entry.plan.expected(entry.since.max(hour_of(now)), now.add_micros(-LAG_US));
            self.store().settle_coverage(camera, stream, spans, &(self.reasons)(camera)).await?;
            self.streams.remove(&key);
            self.store().end_expectation(&key.camera, stream).await?;
        }
        for (camera, stream, plan) in plans.streams() {
            let key = Key::stored(camera.clone(), stream);
            self.streams.entry(key).or_insert_with(|| Entry { since: now, until: now, plan: plan.clone() });
        }
        Ok(())
    }

    /// Up to a moment ago: what is on its way to the disk is not missing.
    async fn expect(&mut self, now: UtcMicros) -> Result<(), RecordError> {
        let to = now.add_micros(-LAG_US);
        let mut wanted = self.shared.take_wanted();
        let mut expectations = Vec::new();
        for (key, entry) in &mut self.streams {
            let mut spans = wanted.remove(key).unwrap_or_default();
            // A clock that was set back: the ledger waits until it has caught up.
            if to > entry.until {
                spans.extend(entry.plan.expected(entry.until, to));
                entry.until = to;
            }
            let stream = LedgerStream {
                camera: key.camera.clone(),
                stream: store_stream(key.stream),
                since: entry.since,
                until: entry.until,
            };
            expectations.push(Expectation { stream, spans });
        }
        Ok(self.store().expect_recordings(expectations).await?)
    }

    async fn close(&mut self, now: UtcMicros) -> Result<(), RecordError> {
        let before = now.add_micros(-GRACE_US);
        for row in self.store().open_hours(before).await? {
            let Some(entry) = self.streams.get(&Key::stored(row.camera.clone(), row.stream)) else { continue };
            // What was deleted within its own hour is no hole; its pauses were noted by the writer.
            if row.stored_us >= row.expected_us || row.evicted_us > 0 {
                continue;
            }
            let spans = entry.plan.expected(entry.since.max(row.hour), row.hour.add_micros(HOUR_US));
            let reason = (self.reasons)(&row.camera);
            self.store().settle_coverage(&row.camera, row.stream, spans, &reason).await?;
        }
        for row in self.store().close_hours(before).await? {
            if row.ratio() < 1.0 {
                tracing::debug!(camera = %row.camera, stream = %row.stream, hour = %row.hour, ratio = row.ratio(), "hour");
            }
        }
        if now.since(self.expired_at).abs() > HOUR_US {
            let max_age_us = self.shared.record_config().max_age.micros();
            self.store().expire_coverage(now.add_micros(-max_age_us)).await?;
            self.expired_at = now;
        }
        Ok(())
    }
}

fn hour_of(time: UtcMicros) -> UtcMicros {
    UtcMicros(time.0.div_euclid(HOUR_US) * HOUR_US)
}

/// Of the last whole hour and the one under way together.
fn show(rows: &[CoverageRow]) {
    let mut sums: BTreeMap<(&CameraId, Stream), (i64, i64)> = BTreeMap::new();
    for row in rows {
        let (expected, stored) = sums.entry((&row.camera, row.stream)).or_default();
        *expected += row.expected_us;
        *stored += row.stored_us.min(row.expected_us);
    }
    for ((camera, stream), (expected, stored)) in sums {
        if expected >= SHOWN_FROM_US {
            let labels = [("camera", camera.to_string()), ("stream", stream.to_string())];
            metrics::gauge!("gtv_coverage_ratio", &labels).set(stored as f64 / expected as f64);
        }
    }
}
