//! Uploads what records wait for, a few objects at a time in the order of the lanes, and remembers what arrived. It
//! works whether or not the centre is reachable, as long as there is access to the object store.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::NEW_US;
use super::error::SyncError;
use super::objects::{Access, Objects};
use super::pace::Pacer;
use super::plan::{self, Slots};
use super::resting::Resting;
use super::status::Reporter;
use crate::base::backoff::Backoff;
use crate::base::ids::BoxId;
use crate::base::tasks::{CancellationToken, TaskResult};
use crate::base::time::UtcMicros;
use crate::store::{Lane, ObjectRef, Pick, Store, Upload, UploadFile};

/// Objects looked at for what is next, and how long that look is good.
const AHEAD: usize = 96;
const FRESH: Duration = Duration::from_millis(500);
/// Uploads whose row is being written: the disk is slower than the network then.
const SETTLING_MAX: usize = 64;
const IDLE: Duration = Duration::from_secs(5);
/// The object store could not be told that an upload is abandoned: it is told again.
const TIDY_AGAIN: Duration = Duration::from_secs(60);
const RETRY: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));

pub(super) struct Uploads {
    pub store: Store,
    pub box_id: BoxId,
    pub access: watch::Receiver<Option<Access>>,
    pub ca: Option<Arc<Vec<u8>>>,
    pub report: Reporter,
    pub pacer: Arc<Pacer>,
}

/// An upload that ended, the access it used, and how.
type Done = (Upload, Arc<Objects>, Result<(), SyncError>);

/// What is on its way.
struct Flow {
    /// With the access of now; none while there is none.
    objects: Option<Arc<Objects>>,
    uploads: JoinSet<Done>,
    running: Vec<ObjectRef>,
    /// Uploaded, and about to be remembered as such.
    settling: JoinSet<Result<ObjectRef, SyncError>>,
    /// An abandoned upload that is being ended, and when the next one is looked for.
    tidying: JoinSet<Result<(), SyncError>>,
    tidy_at: Instant,
    /// What was waiting at the last look.
    waiting: Vec<Upload>,
    resting: Resting,
    looked: Option<Instant>,
    /// Something happened since then.
    news: bool,
    new_next: bool,
    failures: u32,
    not_before: Option<Instant>,
}

impl Flow {
    /// What may be on its way, if anything more may begin now. After a failure one object at a time tests the way.
    fn slots(&self) -> Option<Slots> {
        let slots = if self.failures == 0 { Slots::MANY } else { Slots::ONE };
        let free = self.uploads.len() < slots.all && self.settling.len() < SETTLING_MAX;
        (free && self.objects.is_some()).then_some(slots)
    }

    /// When to look for more, unless an upload ends before. What came in the meantime may overtake what waits.
    fn look_at(&self) -> Instant {
        match self.looked {
            Some(looked) if self.news && self.slots().is_some() => looked + FRESH,
            _ => Instant::now() + IDLE,
        }
    }
}

impl Uploads {
    pub(super) async fn run(mut self, token: CancellationToken) -> TaskResult {
        let mut events = self.store.events();
        let mut flow = Flow {
            objects: None,
            uploads: JoinSet::new(),
            running: Vec::new(),
            settling: JoinSet::new(),
            tidying: JoinSet::new(),
            tidy_at: Instant::now(),
            waiting: Vec::new(),
            resting: Resting::default(),
            looked: None,
            news: false,
            new_next: true,
            failures: 0,
            not_before: None,
        };
        self.take_access(&mut flow);
        loop {
            if flow.not_before.is_none_or(|time| time <= Instant::now()) {
                self.fill(&mut flow).await?;
            }
            let wake = flow.not_before.filter(|time| *time > Instant::now());
            let timer = tokio::time::sleep_until(wake.unwrap_or_else(|| flow.look_at()));
            tokio::select! {
                done = flow.uploads.join_next(), if !flow.uploads.is_empty() => {
                    let (upload, used, result) = done.transpose()?.ok_or("an upload vanished")?;
                    self.done(&mut flow, upload, &used, result);
                }
                settled = flow.settling.join_next(), if !flow.settling.is_empty() => {
                    let object = settled.transpose()?.ok_or("an upload vanished")??;
                    flow.waiting.retain(|upload| upload.object != object);
                    flow.running.retain(|other| *other != object);
                }
                tidied = flow.tidying.join_next(), if !flow.tidying.is_empty() => {
                    if let Err(error) = tidied.transpose()?.ok_or("an upload vanished")? {
                        tracing::warn!(%error, "parts of an abandoned upload are still at the object store");
                        flow.tidy_at = Instant::now() + TIDY_AGAIN;
                    }
                }
                event = events.recv(), if wake.is_none() && !flow.news && flow.slots().is_some() => {
                    if matches!(event, Err(broadcast::error::RecvError::Closed)) {
                        return Ok(());
                    }
                    flow.news = true;
                }
                changed = self.access.changed() => {
                    changed?;
                    self.take_access(&mut flow);
                }
                () = timer => {}
                () = token.cancelled() => {
                    // Both are waited for: they hold the store, which another process may want to open.
                    flow.uploads.shutdown().await;
                    flow.tidying.shutdown().await;
                    while flow.settling.join_next().await.is_some() {}
                    return Ok(());
                }
            }
        }
    }

    /// What begins from now on uses the access of now. What is on its way goes on as it began: keys and signatures
    /// outlive the session that brought them.
    fn take_access(&mut self, flow: &mut Flow) {
        let access = self.access.borrow_and_update().clone();
        let ca = self.ca.as_ref().map(|ca| ca.as_slice());
        let objects = access.map(|access| Objects::new(self.box_id, self.store.clone(), access, ca, &self.pacer));
        flow.objects = objects
            .transpose()
            .unwrap_or_else(|error| {
                self.report.objects(Some(&error));
                None
            })
            .map(Arc::new);
        (flow.failures, flow.not_before) = (0, None);
    }

    /// Starts uploads while there are free slots.
    async fn fill(&self, flow: &mut Flow) -> Result<(), SyncError> {
        if let Some(objects) = flow.objects.clone() {
            self.tidy(flow, &objects).await?;
        }
        let Some((slots, objects)) = flow.slots().zip(flow.objects.clone()) else { return Ok(()) };
        let careful = flow.failures > 0;
        let stale = flow.looked.is_none_or(|looked| looked.elapsed() >= FRESH);
        let now = UtcMicros::now();
        let lanes = self.pacer.hours(now);
        if stale || flow.waiting.len() <= flow.running.len() {
            let pick = Pick { lanes, new_since: now.add_micros(-NEW_US), ..Pick::all(0, 0) };
            (flow.looked, flow.news) = (Some(Instant::now()), false);
            // Those that rest must not hide what is behind them.
            flow.waiting = self.store.objects_to_upload(AHEAD + 2 * flow.resting.len(), pick).await?;
            let now = Instant::now().into_std();
            flow.waiting.retain(|upload| !flow.resting.rests(&upload.object.sha256, now));
        }
        // Those whose rows are being written count for what is taken already, not for the slots.
        let slots = Slots { all: slots.all + flow.settling.len(), ..slots };
        while let Some(next) = plan::next_upload(&flow.waiting, &flow.running, slots, flow.new_next).cloned() {
            flow.new_next = !next.new;
            flow.running.push(next.object.clone());
            let objects = objects.clone();
            let file = self.store.upload_file(&next.object.sha256).await?;
            flow.uploads.spawn(async move {
                let result = match &file {
                    Some(file) => put(&objects, &next.object, next.lane, file, careful).await,
                    None => Err(lost(&next.object, "its name is no SHA-256")),
                };
                (next, objects, result)
            });
        }
        Ok(())
    }

    /// Ends uploads in parts with which nobody goes on, one at a time: their objects had to go, or their records.
    async fn tidy(&self, flow: &mut Flow, objects: &Arc<Objects>) -> Result<(), SyncError> {
        if !flow.tidying.is_empty() || flow.tidy_at > Instant::now() {
            return Ok(());
        }
        let abandoned = self.store.abandoned_uploads(AHEAD).await?;
        if let Some((object, begun)) = abandoned.into_iter().find(|(object, _)| !flow.running.contains(object)) {
            let objects = objects.clone();
            flow.tidying.spawn(async move { objects.end(&object, &begun).await });
        } else {
            flow.tidy_at = Instant::now() + IDLE;
        }
        Ok(())
    }

    /// Remembers what became of an upload, beside the uploads that go on.
    fn done(&self, flow: &mut Flow, upload: Upload, used: &Arc<Objects>, result: Result<(), SyncError>) {
        let Upload { object, holds_chain, .. } = upload;
        let result = match result {
            Err(SyncError::Unreadable { sha256, detail })
                if holds_chain && flow.resting.holds_chain_too_long(Instant::now().into_std()) =>
            {
                Err(SyncError::ObjectLost { sha256, reason: format!("its file cannot be read: {detail}") })
            }
            other => other,
        };
        let lost = match result {
            Ok(()) => None,
            Err(SyncError::ObjectLost { sha256, reason }) => {
                tracing::error!(object = sha256, reason, "an object can never be uploaded; its record will say so");
                metrics::counter!("gtv_dropped_total", "stage" => "upload", "reason" => "lost").increment(1);
                Some(reason)
            }
            Err(error @ SyncError::Unreadable { .. }) => {
                tracing::warn!(%error, "upload failed");
                metrics::counter!("gtv_sync_upload_errors_total").increment(1);
                self.report.objects(Some(&error));
                flow.running.retain(|other| *other != object);
                flow.waiting.retain(|upload| upload.object != object);
                flow.resting.failed(&object.sha256, error, Instant::now().into_std(), rand::random());
                return;
            }
            // With an access that is no more: it goes on with the one of now, which may well work.
            Err(error) if flow.objects.as_ref().is_none_or(|now| !Arc::ptr_eq(now, used)) => {
                tracing::info!(%error, "an upload ended with the access it used");
                flow.running.retain(|other| *other != object);
                return;
            }
            Err(error) => {
                tracing::warn!(%error, "upload failed");
                metrics::counter!("gtv_sync_upload_errors_total").increment(1);
                self.report.objects(Some(&error));
                flow.running.retain(|other| *other != object);
                flow.not_before = Some(Instant::now() + RETRY.delay(flow.failures, rand::random()));
                flow.failures = flow.failures.saturating_add(1);
                return;
            }
        };
        (flow.failures, flow.not_before) = (0, None);
        flow.resting.ended(&object.sha256);
        if lost.is_none() {
            self.report.objects(flow.resting.why(Instant::now().into_std()));
        }
        let store = self.store.clone();
        flow.settling.spawn(async move {
            match lost {
                Some(reason) => store.mark_object_lost(&object.sha256, &reason).await?,
                None => store.mark_uploaded(&object.sha256).await?,
            }
            Ok(object)
        });
    }
}

async fn put(
    objects: &Objects,
    object: &ObjectRef,
    lane: Lane,
    file: &UploadFile,
    careful: bool,
) -> Result<(), SyncError> {
    let started = std::time::Instant::now();
    objects.put(object, lane, file, careful).await?;
    metrics::histogram!("gtv_sync_upload_seconds").record(started.elapsed().as_secs_f64());
    metrics::counter!("gtv_sync_uploaded_bytes_total", "bucket" => object.bucket.as_str()).increment(object.bytes);
    Ok(())
}

fn lost(object: &ObjectRef, reason: &str) -> SyncError {
    SyncError::ObjectLost { sha256: object.sha256.clone(), reason: reason.to_owned() }
}
