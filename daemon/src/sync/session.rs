//! One session with the centre, from its Welcome to its end: sends what is pending within the window, notes what is
//! acknowledged, answers rejections, keeps the access to the object store fresh.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gtv_protocol::{Ack, FinishedUpload, Message, Reject, SignedUpload, Welcome};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::Instant;

use super::NEW_US;
use super::error::SyncError;
use super::objects::{Access, Ask, Signing};
use super::pace::Pacer;
use super::plan::{self, Answer, Local, Resume};
use super::status::Reporter;
use super::uplink::Link;
use super::window::{Room, Window};
use crate::base::backoff::Backoff;
use crate::base::identity::Identity;
use crate::base::tasks::CancellationToken;
use crate::base::time::UtcMicros;
use crate::store::{AuditEntry, Lane, Pick, Store, StoreError};

const TICK: Duration = Duration::from_millis(250);
/// Counting a long backlog costs some milliseconds.
const COUNT_EVERY: Duration = Duration::from_secs(5);
const PING_AFTER: Duration = Duration::from_secs(15);
const SILENT_AFTER: Duration = Duration::from_secs(45);
/// A batch that is not answered in this time will not be.
const ACK_WITHIN: Duration = Duration::from_secs(120);
const PAUSE: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
/// Where the centre vends nothing now, it is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(60);
/// What uploads ask is bounded by how many of them run.
const ASKS: usize = 16;
/// Vended access is renewed when this is left of it, but not more often than each [`RENEW_LEAST`].
const RENEW_BEFORE: Duration = Duration::from_secs(120);
const RENEW_LEAST: Duration = Duration::from_secs(30);
/// Acknowledged records that stay, in case the centre is restored from a backup.
const KEEP_ACKED: u64 = 100_000;
const PRUNE_AT_ONCE: usize = 5_000;
/// What fits one frame even if it does not compress.
const SLACK: u64 = 64 << 10;

/// How a session ended when nothing failed.
pub(super) enum End {
    /// The daemon stops.
    Stopped,
    /// Dial again at once.
    Reconnect,
}

pub(super) struct Session<'a> {
    pub store: &'a Store,
    pub identity: &'a Identity,
    pub report: &'a Reporter,
    pub access: &'a watch::Sender<Option<Access>>,
    /// The configuration has access of its own, which wins.
    pub static_access: bool,
    pub batch_records: usize,
    pub pacer: &'a Arc<Pacer>,
}

/// What changes while the session lasts.
struct Flow {
    sent: u64,
    window: Window,
    max_records: usize,
    max_bytes: usize,
    rejects: u32,
    paused_until: Option<Instant>,
    heard: Instant,
    counted: Instant,
    /// The question on its way, and since when.
    pinged: Option<(u64, Instant)>,
    pings: u64,
    renew_at: Option<Instant>,
    asked: u64,
    /// Who waits for which answer.
    signatures: BTreeMap<u64, oneshot::Sender<SignedUpload>>,
    ends: BTreeMap<u64, oneshot::Sender<FinishedUpload>>,
    progress: bool,
}

impl Session<'_> {
    /// Runs until the session ends. `progressed` becomes true when the centre acknowledged something.
    pub(super) async fn run(
        &self,
        mut link: Link,
        welcome: Welcome,
        progressed: &mut bool,
        token: &CancellationToken,
    ) -> Result<End, SyncError> {
        let Some(sent) = self.resume(&welcome).await? else {
            link.close().await;
            return Ok(End::Reconnect);
        };
        self.report.connected();
        tracing::info!(session = %welcome.session, after = sent, "connected to the centre");
        let limits = welcome.limits;
        let slots = (limits.batches_in_flight as usize).clamp(1, gtv_protocol::limits::BATCHES_IN_FLIGHT_MAX);
        let max_bytes = limits.frame_bytes.min(limits.batch_raw_bytes / 2).saturating_sub(SLACK).max(SLACK) as usize;
        let mut flow = Flow {
            sent,
            window: Window::new(slots, max_bytes, Instant::now()),
            max_records: self
                .batch_records
                .min(limits.batch_records as usize)
                .clamp(1, gtv_protocol::limits::BATCH_RECORDS_MAX),
            max_bytes,
            rejects: 0,
            paused_until: None,
            heard: Instant::now(),
            counted: Instant::now(),
            pinged: None,
            pings: 0,
            renew_at: None,
            asked: 0,
            signatures: BTreeMap::new(),
            ends: BTreeMap::new(),
            progress: false,
        };
        let (asks, mut asked) = mpsc::channel(ASKS);
        if welcome.signs_uploads && !self.static_access {
            self.access.send_replace(Some(Access::Signed(Signing { session: welcome.session, asks })));
        } else {
            self.take_access(welcome.access, &link, &mut flow);
        }
        let mut events = self.store.events();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            if let Some(end) = self.fill_window(&mut link, &mut flow).await? {
                link.close().await;
                return Ok(end);
            }
            tokio::select! {
                message = link.receive() => {
                    flow.heard = Instant::now();
                    let end = self.handle(message?, &mut link, &mut flow).await?;
                    *progressed |= flow.progress;
                    if let Some(end) = end {
                        link.close().await;
                        return Ok(end);
                    }
                }
                event = events.recv(), if flow.window.room() != Room::None && flow.paused_until.is_none() => {
                    if matches!(event, Err(broadcast::error::RecvError::Closed)) {
                        return Ok(End::Stopped);
                    }
                }
                Some(ask) = asked.recv() => self.ask(ask, &mut link, &mut flow).await?,
                _ = tick.tick() => self.on_tick(&mut link, &mut flow).await?,
                () = token.cancelled() => {
                    link.close().await;
                    return Ok(End::Stopped);
                }
            }
        }
    }

    /// Compares the two chains; the number to go on after, or nothing when a new epoch needs a new greeting.
    async fn resume(&self, welcome: &Welcome) -> Result<Option<u64>, SyncError> {
        let box_id = self.identity.box_id;
        let outbox = self.store.outbox_status(box_id).await?;
        let known = match welcome.resume_after {
            Some(centre) if centre.epoch == outbox.last.epoch => self.store.chain_hash(box_id, centre.seq).await?,
            _ => None,
        };
        let local = Local { last: outbox.last, acked_seq: outbox.acked_seq };
        match plan::resume(local, welcome.resume_after, known) {
            Resume::After(seq) => {
                self.store.ack(box_id, outbox.last.epoch, seq).await?;
                Ok(Some(seq))
            }
            Resume::Rewind { after, conflict } => {
                if self.store.rewind(box_id, after).await? {
                    self.name_conflict(&format!("{conflict}; sent again from there")).await?;
                    return Ok(Some(after));
                }
                let conflict = format!("{conflict}; not all of it is kept any more");
                self.new_epoch(outbox.last.epoch.saturating_add(1), true, &conflict).await?;
                Ok(None)
            }
            Resume::NewEpoch { at_least, everything, conflict } => {
                self.new_epoch(at_least, everything, &conflict).await?;
                Ok(None)
            }
        }
    }

    /// Begins a chain that no older one can be confused with.
    pub(super) async fn new_epoch(&self, at_least: i64, everything: bool, why: &str) -> Result<(), SyncError> {
        let box_id = self.identity.box_id;
        let current = self.store.outbox_status(box_id).await?.last.epoch;
        let epoch = UtcMicros::now().0.max(at_least).max(current.saturating_add(1));
        self.store.begin_epoch(box_id, epoch, everything).await?;
        self.name_conflict(&format!("{why}; a new epoch begins, {epoch}")).await
    }

    async fn name_conflict(&self, conflict: &str) -> Result<(), SyncError> {
        tracing::warn!(conflict, "box and centre did not agree on what was delivered");
        metrics::counter!("gtv_sync_conflicts_total").increment(1);
        self.report.conflict(conflict);
        let entry = AuditEntry {
            actor: "system".to_owned(),
            action: "sync.conflict".to_owned(),
            subject: "centre".to_owned(),
            detail: serde_json::json!({ "conflict": conflict }),
            remote: String::new(),
        };
        self.store.append_audit(entry).await?;
        Ok(())
    }

    async fn fill_window(&self, link: &mut Link, flow: &mut Flow) -> Result<Option<End>, SyncError> {
        while flow.paused_until.is_none() {
            let now = UtcMicros::now();
            let pick = match flow.window.room() {
                Room::None => break,
                Room::Alerts => Pick::alerts(flow.max_bytes),
                Room::Bytes(bytes) => Pick {
                    lanes: self.pacer.open(now),
                    new_since: now.add_micros(-NEW_US),
                    ..Pick::all(flow.max_records, bytes)
                },
            };
            let built = self.store.next_batch(self.identity.box_id, flow.sent, pick).await;
            let batch = match built {
                Ok(batch) => batch,
                Err(StoreError::Conflict { thing, detail }) => {
                    // A row that does not match its hash would be refused forever: number what is pending anew.
                    self.new_epoch(0, false, &format!("{thing}: {detail}")).await?;
                    return Ok(Some(End::Reconnect));
                }
                Err(error) => return Err(error.into()),
            };
            if batch.records.is_empty() {
                break;
            }
            let (bytes, lane_bytes, before) = (batch.bytes(), batch.lane_bytes, Instant::now());
            let (seq, frame_bytes) = link.send_batch(self.identity, batch).await?;
            for (lane, raw) in Lane::ALL.into_iter().zip(lane_bytes).filter(|(_, raw)| *raw > 0) {
                self.pacer.charge(lane, (frame_bytes as f64 * raw as f64 / bytes as f64) as usize);
            }
            flow.sent = seq;
            flow.window.sent(seq, bytes, before);
        }
        Ok(None)
    }

    async fn handle(&self, message: Message, link: &mut Link, flow: &mut Flow) -> Result<Option<End>, SyncError> {
        match message {
            Message::Ack(ack) => self.on_ack(ack, link, flow).await.map(|()| None),
            Message::Reject(reject) => self.on_reject(reject, flow).await,
            Message::Access(access) => {
                self.take_access(access, link, flow);
                Ok(None)
            }
            Message::SignedUpload(signed) => {
                // Nobody may be waiting any more: then the answer is of no use.
                let _ = flow.signatures.remove(&signed.id).map(|waiting| waiting.send(signed));
                Ok(None)
            }
            Message::FinishedUpload(finished) => {
                let _ = flow.ends.remove(&finished.id).map(|waiting| waiting.send(finished));
                Ok(None)
            }
            Message::Ping { id } => link.send(&Message::Pong { id }).await.map(|()| None),
            Message::Pong { id } => {
                if let Some((_, since)) = flow.pinged.take_if(|(asked, _)| *asked == id) {
                    self.pacer.answered(link.arrived().saturating_duration_since(since));
                }
                Ok(None)
            }
            _ => Err(link.protocol("a message that does not belong into a running session")),
        }
    }

    async fn on_ack(&self, ack: Ack, link: &Link, flow: &mut Flow) -> Result<(), SyncError> {
        let newly = match self.store.ack(self.identity.box_id, ack.epoch, ack.seq).await {
            Ok(newly) => newly,
            Err(StoreError::Conflict { detail, .. }) => return Err(link.protocol(&detail)),
            Err(error) => return Err(error.into()),
        };
        if let Some(took) = flow.window.acked(ack.seq, Instant::now()) {
            metrics::histogram!("gtv_sync_ack_seconds").record(took.as_secs_f64());
        }
        if newly > 0 {
            metrics::counter!("gtv_sync_acked_records_total").increment(newly);
            (flow.rejects, flow.progress) = (0, true);
            self.report.centre(None);
            self.store.prune_outbox(KEEP_ACKED, PRUNE_AT_ONCE).await?;
        }
        self.report.acked(ack.seq);
        Ok(())
    }

    async fn on_reject(&self, reject: Reject, flow: &mut Flow) -> Result<Option<End>, SyncError> {
        flow.rejects = flow.rejects.saturating_add(1);
        metrics::counter!("gtv_sync_rejects_total", "code" => reject.code.as_str()).increment(1);
        let message: String = reject.message.chars().take(500).collect();
        let code = reject.code.as_str();
        tracing::warn!(seq = reject.seq, code, message, "the centre did not take a record");
        self.report.centre(Some(format!("the centre did not take record {} ({code}): {message}", reject.seq)));
        flow.window.clear();
        flow.sent = reject.seq.saturating_sub(1);
        match plan::rejected(reject.code, flow.rejects) {
            Answer::UploadAgain => {
                for object in &reject.objects {
                    self.store.mark_not_uploaded(&object.to_string()).await?;
                }
                if flow.rejects > 1 {
                    flow.paused_until = Some(Instant::now() + PAUSE.delay(flow.rejects, rand::random()));
                }
                Ok(None)
            }
            Answer::Later => {
                flow.paused_until = Some(Instant::now() + PAUSE.delay(flow.rejects - 1, rand::random()));
                Ok(None)
            }
            Answer::Again => Ok(None),
            Answer::Reconnect => Err(SyncError::Protocol {
                url: "of the session".to_owned(),
                detail: format!("it rejects record {} again and again ({code}): {message}", reject.seq),
            }),
            Answer::NewEpoch => {
                self.new_epoch(reject.epoch.saturating_add(1), false, &format!("record {}: {message}", reject.seq))
                    .await?;
                Ok(Some(End::Reconnect))
            }
        }
    }

    /// Passes on what an upload asks.
    async fn ask(&self, ask: Ask, link: &mut Link, flow: &mut Flow) -> Result<(), SyncError> {
        flow.asked += 1;
        flow.signatures.retain(|_, waiting| !waiting.is_closed());
        flow.ends.retain(|_, waiting| !waiting.is_closed());
        let message = match ask {
            Ask::Sign(ask, answer) => {
                flow.signatures.insert(flow.asked, answer);
                Message::SignUpload(gtv_protocol::SignUpload { id: flow.asked, ..ask })
            }
            Ask::Finish(ask, answer) => {
                flow.ends.insert(flow.asked, answer);
                Message::FinishUpload(gtv_protocol::FinishUpload { id: flow.asked, ..ask })
            }
        };
        link.send(&message).await
    }

    async fn on_tick(&self, link: &mut Link, flow: &mut Flow) -> Result<(), SyncError> {
        let now = Instant::now();
        if flow.paused_until.is_some_and(|until| until <= now) {
            flow.paused_until = None;
        }
        if now.duration_since(flow.heard) > SILENT_AFTER {
            return Err(link.silent("nothing came for 45 s"));
        }
        if flow.window.oldest().is_some_and(|since| now.duration_since(since) > ACK_WITHIN) {
            return Err(link.silent("a batch was not acknowledged in 120 s"));
        }
        // Asked often while uploads are under way: how long it takes says how full the uplink is.
        if flow.pinged.is_none() && (self.pacer.busy() || now.duration_since(flow.heard) > PING_AFTER) {
            flow.pings += 1;
            flow.pinged = Some((flow.pings, now));
            link.send(&Message::Ping { id: flow.pings }).await?;
        }
        if flow.renew_at.is_some_and(|at| now >= at) {
            flow.renew_at = None;
            link.send(&Message::RenewAccess).await?;
        }
        if now.duration_since(flow.counted) >= COUNT_EVERY {
            flow.counted = now;
            self.report.outbox(self.store.outbox_status(self.identity.box_id).await?);
        }
        Ok(())
    }

    fn take_access(&self, access: Option<gtv_protocol::ObjectAccess>, link: &Link, flow: &mut Flow) {
        if self.static_access {
            return;
        }
        let Some(access) = access else {
            let detail = "the centre vends none and `[sync.s3]` is not set".to_owned();
            self.report.objects(Some(&SyncError::ObjectsAccess { detail }));
            flow.renew_at = Some(Instant::now() + ASK_AGAIN);
            return;
        };
        flow.renew_at = Some(Instant::now() + renew_in(access.expires_us, link.centre_time()));
        let access = Access::from_centre(access);
        self.access.send_if_modified(|current| {
            let changed = current.as_ref() != Some(&access);
            *current = Some(access);
            changed
        });
    }
}

/// How long until vended access is renewed: half of its life at the latest, so that a short-lived one is renewed in time
/// too. `centre_time` is by the clock that made it: the box's own may be wrong.
fn renew_in(expires_us: i64, centre_time: UtcMicros) -> Duration {
    let life = Duration::from_micros(expires_us.saturating_sub(centre_time.0).max(0) as u64);
    life.saturating_sub(RENEW_BEFORE.min(life / 2)).max(RENEW_LEAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_is_renewed_in_time_and_not_all_the_time() {
        let now = UtcMicros(1_790_000_000_000_000);
        let after = |life_s: i64| renew_in(now.0 + life_s * 1_000_000, now).as_secs();
        assert_eq!([after(3600), after(900), after(200), after(40)], [3480, 780, 100, 30]);
        assert_eq!([after(0), after(-900)], [30, 30], "what has expired is not asked for again and again");
        assert_eq!(renew_in(i64::MIN, now), RENEW_LEAST);
        assert!(renew_in(i64::MAX, UtcMicros(0)) > Duration::from_secs(1 << 40));
    }
}
