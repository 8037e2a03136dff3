//! Layer 3: delivery to the centre. Objects go to the object store, then their records over one WebSocket, in three
//! lanes; nothing is forgotten here before the centre has acknowledged it. `docs/sync.md` states the procedure.

mod announce;
mod error;
mod fastest;
mod forecast;
mod housekeeping;
mod objects;
mod pace;
mod plan;
mod recordings;
mod resting;
mod session;
mod status;
mod teller;
mod uplink;
mod uploads;
mod window;

use std::sync::Arc;
use std::time::Duration;

use gtv_protocol::RefusalCode;
use gtv_protocol::body::BoxStatus;
use tokio::sync::watch;

pub use error::SyncError;
pub use forecast::Spool;
pub use status::{Problem, SyncStatus};
pub use teller::{Streaming, Teller};

use crate::base::backoff::Backoff;
use crate::base::identity::Identity;
use crate::base::ids::CameraId;
use crate::base::tasks::{CancellationToken, OnExit, TaskResult, Tasks};
use crate::config::{CameraConfig, Config, SyncConfig};
use crate::store::Store;
use announce::Announcer;
use objects::Access;
use pace::Pacer;
use session::{End, Session};
use status::Reporter;
use uplink::{Introduction, Link};

const RETRY: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
/// What was seen since then is new; what is older is the backlog.
const NEW_US: i64 = 600_000_000;
/// A session that lasted this long was a good one, even if there was nothing to deliver.
const STABLE_AFTER: Duration = Duration::from_secs(60);

/// Where delivery stands, for the page, the fleet and the metrics.
#[derive(Clone, Debug)]
pub struct SyncHandle {
    store: Store,
    status: watch::Receiver<SyncStatus>,
    pacer: Arc<Pacer>,
    recordings: watch::Sender<Vec<CameraId>>,
    announcer: Arc<Announcer>,
}

impl SyncHandle {
    pub fn status(&self) -> watch::Receiver<SyncStatus> {
        self.status.clone()
    }

    /// Takes what may change while it runs: limits and hours of the lanes, cameras whose recordings go whole.
    pub fn set(&self, sync: &SyncConfig) {
        self.pacer.set_lanes(&sync.lanes);
        self.recordings.send_if_modified(|cameras| {
            let changed = *cameras != sync.recordings;
            cameras.clone_from(&sync.recordings);
            changed
        });
    }

    /// Tells the centre about cameras that are new, changed or gone.
    pub async fn announce_cameras(&self, cameras: &[CameraConfig]) -> Result<(), SyncError> {
        self.announcer.set(cameras).await
    }

    /// Tells the centre how the box is; `streaming` are the streams that deliver with it.
    pub async fn tell_status(&self, status: BoxStatus, streaming: &Streaming) -> Result<(), SyncError> {
        let streaming = serde_json::to_string(streaming).map_err(crate::store::StoreError::from)?;
        Ok(self.store.tell_status(status, streaming).await?)
    }

    /// Streams that deliver, as the centre was told last.
    pub async fn told_streaming(&self) -> Result<Streaming, SyncError> {
        let told = self.store.told_streaming().await?.unwrap_or_default();
        // Unreadable means that everything that delivers is told as begun.
        Ok(serde_json::from_str(&told).unwrap_or_default())
    }
}

/// Starts delivery as configured; without `sync.url` records only wait. What is wrong with the configuration shows in
/// the status: a box that cannot deliver still records. `tasks` is a group of its own, so that a
/// changed configuration can stop it and start it again.
pub fn start(config: &Config, store: Store, identity: Identity, tasks: &Tasks) -> SyncHandle {
    let sync = config.sync.clone();
    let enabled = !sync.url.is_empty();
    let (sender, status) = watch::channel(SyncStatus { enabled, url: sync.url.clone(), ..SyncStatus::default() });
    let report = Reporter::new(sender);
    let pacer = Arc::new(Pacer::new(&sync.lanes));
    let (recordings, whole) = watch::channel(sync.recordings.clone());
    let announcer = Arc::new(Announcer::new(store.clone(), config.cameras.clone()));
    let handle =
        SyncHandle { store: store.clone(), status, pacer: pacer.clone(), recordings, announcer: announcer.clone() };
    housekeeping::spawn(config, &store, &identity, &report, tasks);
    if !enabled {
        return handle;
    }
    recordings::spawn(whole, &store, tasks);
    let tls_and_ca = read_ca(&sync).and_then(|ca| {
        let tls = uplink::tls(ca.as_ref().map(|(path, pem)| (path.as_path(), pem.as_slice())))?;
        Ok((tls, ca))
    });
    let (tls, ca) = match tls_and_ca {
        Ok(both) => both,
        Err(error) => {
            tracing::error!(%error, "nothing is delivered to the centre");
            report.disconnected(Some(&error));
            return handle;
        }
    };
    let static_access = Access::from_config(&sync, identity.box_id);
    let is_static = static_access.is_some();
    let (access, access_changes) = watch::channel(static_access);

    let uploads_ca = ca.map(|(_, pem)| Arc::new(pem));
    let (uploads_store, uploads_report, box_id) = (store.clone(), report.clone(), identity.box_id);
    let uploads_pacer = pacer.clone();
    tasks.spawn("sync-uploads", OnExit::Restart, move |token| {
        let uploads = uploads::Uploads {
            store: uploads_store.clone(),
            box_id,
            access: access_changes.clone(),
            ca: uploads_ca.clone(),
            report: uploads_report.clone(),
            pacer: uploads_pacer.clone(),
        };
        uploads.run(token)
    });

    let enrol_code = Some(sync.enrol_code.expose().to_owned()).filter(|code| !code.is_empty());
    let uplink = Arc::new(Uplink {
        introduction: Introduction {
            name: config.site.name.clone(),
            prefeitura: config.site.prefeitura.clone(),
            site: config.site.site.clone(),
            enrol_code,
        },
        announcer,
        sync,
        store,
        identity,
        report,
        access,
        is_static,
        tls,
        pacer,
    });
    tasks.spawn("sync-uplink", OnExit::Restart, move |token| {
        let uplink = uplink.clone();
        async move { uplink.run(token).await }
    });
    handle
}

fn read_ca(sync: &SyncConfig) -> Result<Option<(std::path::PathBuf, Vec<u8>)>, SyncError> {
    let Some(path) = &sync.ca_file else { return Ok(None) };
    match std::fs::read(path) {
        Ok(pem) => Ok(Some((path.clone(), pem))),
        Err(error) => Err(SyncError::CaFile { path: path.display().to_string(), detail: error.to_string() }),
    }
}

struct Uplink {
    sync: SyncConfig,
    introduction: Introduction,
    announcer: Arc<Announcer>,
    store: Store,
    identity: Identity,
    report: Reporter,
    access: watch::Sender<Option<Access>>,
    is_static: bool,
    tls: Arc<rustls::ClientConfig>,
    pacer: Arc<Pacer>,
}

impl Uplink {
    /// Dials, delivers, and dials again with growing, jittered pauses, until the daemon stops.
    async fn run(&self, token: CancellationToken) -> TaskResult {
        let mut attempt = 0;
        loop {
            let mut progressed = false;
            let started = tokio::time::Instant::now();
            let ended = self.once(&mut progressed, &token).await;
            if progressed || started.elapsed() > STABLE_AFTER {
                attempt = 0;
            }
            let delay = match &ended {
                Ok(End::Stopped) => return Ok(()),
                // A conflict that comes back at once must not become a storm.
                Ok(End::Reconnect) => RETRY.delay(attempt, 0.0),
                Err(error) => {
                    tracing::warn!(%error, attempt, "no delivery to the centre");
                    let asked = match error {
                        SyncError::Refused { retry_after_s, .. } => retry_after_s.unwrap_or(0),
                        _ => 0,
                    };
                    RETRY.delay(attempt, rand::random()).max(Duration::from_secs(u64::from(asked.min(3600))))
                }
            };
            attempt = attempt.saturating_add(1);
            self.report.disconnected(ended.as_ref().err());
            self.pacer.session_over();
            // Nobody signs uploads now; keys stay good until they expire.
            self.access.send_if_modified(|access| access.take_if(|a| matches!(a, Access::Signed(_))).is_some());
            metrics::counter!("gtv_sync_reconnects_total").increment(1);
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = token.cancelled() => return Ok(()),
            }
        }
    }

    async fn once(&self, progressed: &mut bool, token: &CancellationToken) -> Result<End, SyncError> {
        let session = Session {
            store: &self.store,
            identity: &self.identity,
            report: &self.report,
            access: &self.access,
            static_access: self.is_static,
            batch_records: self.sync.batch_records,
            pacer: &self.pacer,
        };
        // Whatever is wrong with a name, the rest is delivered.
        if let Err(error) = self.announcer.again().await {
            tracing::error!(%error, "the centre is not told what the cameras are called");
        }
        let outbox = self.store.outbox_status(self.identity.box_id).await?;
        let open = Link::open(&self.sync.url, self.tls.clone(), &self.identity, &self.introduction, outbox);
        let opened = tokio::select! {
            opened = open => opened,
            () = token.cancelled() => return Ok(End::Stopped),
        };
        match opened {
            Ok((link, welcome)) => session.run(link, *welcome, progressed, token).await,
            Err(SyncError::Refused { code: RefusalCode::EpochBehind, newest_epoch, message, .. }) => {
                let at_least = newest_epoch.unwrap_or(outbox.last.epoch).saturating_add(1);
                session.new_epoch(at_least, false, &message).await?;
                Ok(End::Reconnect)
            }
            Err(error) => Err(error),
        }
    }
}
