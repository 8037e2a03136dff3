//! What the page, the fleet and the metrics show about delivery.

use serde::Serialize;
use tokio::sync::watch;

use super::error::SyncError;
use super::forecast::Spool;
use crate::base::time::UtcMicros;
use crate::store::{Lane, OutboxStatus};

/// Something that needs attention, with its remedy in the text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    pub since: UtcMicros,
    pub message: String,
}

/// Where delivery stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SyncStatus {
    /// False where no centre is configured.
    pub enabled: bool,
    pub url: String,
    pub connected: bool,
    /// Since when it is connected, or is not.
    pub since: Option<UtcMicros>,
    pub epoch: i64,
    /// The last number given out.
    pub last_seq: u64,
    /// Everything up to this number is committed at the centre.
    pub acked_seq: u64,
    pub last_ack_at: Option<UtcMicros>,
    /// Records without a number yet, by lane.
    pub waiting: [u64; Lane::COUNT],
    /// Of those, waiting for an upload.
    pub blocked: u64,
    /// What waits, and how that goes on.
    pub spool: Spool,
    /// Why the centre takes nothing now.
    pub centre: Option<Problem>,
    /// Why the object store takes nothing now.
    pub objects: Option<Problem>,
    /// The last time the two sides did not agree on the chain, and how it was resolved.
    pub conflict: Option<Problem>,
}

impl SyncStatus {
    /// Everything that the centre does not have yet.
    pub fn pending(&self) -> u64 {
        self.waiting.iter().sum::<u64>() + self.last_seq.saturating_sub(self.acked_seq)
    }

    /// The problem to show where there is room for one.
    pub fn last_error(&self) -> Option<&Problem> {
        self.centre.as_ref().or(self.objects.as_ref())
    }
}

/// Changes the status that everybody watches.
#[derive(Clone, Debug)]
pub(super) struct Reporter {
    sender: watch::Sender<SyncStatus>,
}

impl Reporter {
    pub(super) fn new(sender: watch::Sender<SyncStatus>) -> Self {
        Self { sender }
    }

    fn change(&self, change: impl FnOnce(&mut SyncStatus)) {
        self.sender.send_if_modified(|status| {
            let before = status.clone();
            change(status);
            *status != before
        });
    }

    pub(super) fn connected(&self) {
        metrics::gauge!("gtv_sync_connected").set(1.0);
        self.change(|status| {
            status.connected = true;
            status.since = Some(UtcMicros::now());
            status.centre = None;
        });
    }

    pub(super) fn disconnected(&self, why: Option<&SyncError>) {
        metrics::gauge!("gtv_sync_connected").set(0.0);
        self.change(|status| {
            if status.connected || status.since.is_none() {
                status.since = Some(UtcMicros::now());
            }
            status.connected = false;
            if let Some(error) = why {
                remember(&mut status.centre, error.to_string());
            }
        });
    }

    /// Something the centre said that does not end the session.
    pub(super) fn centre(&self, message: Option<String>) {
        self.change(|status| match message {
            Some(message) => remember(&mut status.centre, message),
            None => status.centre = None,
        });
    }

    pub(super) fn objects(&self, error: Option<&SyncError>) {
        self.change(|status| match error {
            Some(error) => remember(&mut status.objects, error.to_string()),
            None => status.objects = None,
        });
    }

    pub(super) fn conflict(&self, message: &str) {
        self.change(|status| remember(&mut status.conflict, message.to_owned()));
    }

    pub(super) fn acked(&self, seq: u64) {
        self.change(|status| {
            status.acked_seq = seq;
            status.last_seq = status.last_seq.max(seq);
            status.last_ack_at = Some(UtcMicros::now());
        });
    }

    pub(super) fn spool(&self, spool: Spool) {
        let seconds = |value: Option<u64>| value.map_or(-1.0, |s| s as f64);
        metrics::gauge!("gtv_sync_spool_bytes").set(spool.bytes as f64);
        metrics::gauge!("gtv_sync_recordings_waiting_bytes").set(spool.recordings_bytes as f64);
        metrics::gauge!("gtv_sync_spool_full_in_seconds").set(seconds(spool.full_in_s));
        metrics::gauge!("gtv_sync_delivered_in_seconds").set(seconds(spool.delivered_in_s));
        self.change(|status| status.spool = spool);
    }

    pub(super) fn outbox(&self, outbox: OutboxStatus) {
        for (lane, waiting) in Lane::ALL.into_iter().zip(outbox.waiting) {
            metrics::gauge!("gtv_sync_waiting_records", "lane" => lane.as_str()).set(waiting as f64);
        }
        metrics::gauge!("gtv_sync_blocked_records").set(outbox.blocked as f64);
        metrics::gauge!("gtv_sync_unacked_records").set(outbox.last.seq.saturating_sub(outbox.acked_seq) as f64);
        self.change(|status| {
            status.epoch = outbox.last.epoch;
            status.last_seq = outbox.last.seq;
            status.acked_seq = outbox.acked_seq;
            status.waiting = outbox.waiting;
            status.blocked = outbox.blocked;
        });
    }
}

/// Keeps the time at which the same problem began.
fn remember(place: &mut Option<Problem>, message: String) {
    if place.as_ref().is_none_or(|problem| problem.message != message) {
        *place = Some(Problem { since: UtcMicros::now(), message });
    }
}
