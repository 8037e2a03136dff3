//! `gtv-edge run`: the bootstrap, read top to bottom in the order of dependencies.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::broadcast::error::RecvError;

use super::pipelines::BoxPipelines;
use crate::alerts::{self, CameraHealth, Sender, WebhookContext};
use crate::base::identity::Identity;
use crate::base::ids::CameraId;
use crate::base::metrics;
use crate::base::secret::SecretBox;
use crate::base::tasks::{OnExit, Tasks};
use crate::base::time::UtcMicros;
use crate::camera::CameraState;
use crate::config::{self, Loaded};
use crate::control::{self, Health, SupervisorHandle, Vitals};
use crate::fleet::{self, FleetContext};
use crate::live::Hub;
use crate::lpr::{Engine, StageMs};
use crate::record::Recorder;
use crate::store::{DetectionQuery, Store, StoreEvent};
use crate::sync;
use crate::web::{self, WebContext};

/// Each group of tasks has this long to end; systemd's TimeoutStopSec is longer than all of them together.
const DRAIN: Duration = Duration::from_secs(5);

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Ends by itself after this many seconds.
    #[arg(long)]
    seconds: Option<u64>,
}

pub fn main(args: &Args, path: PathBuf, loaded: Loaded) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(run(args, path, loaded));
    // Blocking readers may still hold a camera's socket; they must not hold the end of the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

async fn run(args: &Args, path: PathBuf, loaded: Loaded) -> anyhow::Result<ExitCode> {
    // First of all: a stop that comes while the box starts is an ordered stop too.
    let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let started = Instant::now();
    let started_at = UtcMicros::now();
    let Loaded { file, config, .. } = loaded;
    let prometheus = metrics::install();
    let root = Tasks::new();

    // What the box is and owns.
    let identity = Identity::open_or_create(&config.data_dir)?;
    let secrets = SecretBox::open_or_create(&config.data_dir)?;
    let store = Store::open(&config.data_dir)?;
    store.watch(&root);
    // Before the first passage, so that its alert is queued for everybody.
    store.set_alert_policy(alerts::policy(&config)).await?;
    tracing::info!(box_id = %identity.box_id, name = config.site.name, data_dir = %config.data_dir.display(), "box");

    // What takes the cameras' streams.
    let record_tasks = root.child("record");
    let recorder = Recorder::start(&store, &config.record, &config.clips, &record_tasks).await?;
    let live = Hub::new(config.live.max_viewers);
    let lpr = Engine::start(&config.lpr, store.clone(), &root);

    // What runs the cameras.
    let control_tasks = root.child("control");
    let pipelines = BoxPipelines::new(recorder.clone(), live.clone(), lpr.clone(), &config);
    let supervisor = control::start(file, config.clone(), Arc::new(pipelines), secrets.clone(), &control_tasks);
    let health = {
        let recorder = recorder.clone();
        // What a mode leaves out has come this far too.
        let handled = move || {
            let status = recorder.status().borrow().clone();
            status.stored_bytes + status.withheld_bytes
        };
        Arc::new(Health::new(store.clone(), supervisor.clone(), handled))
    };
    // Before the supervisor has it in force: what the last run left belongs to these cameras.
    recorder.set_cameras(&config.cameras);
    start_recording(&store, &recorder, &supervisor, &record_tasks);
    start_alerts(&store, &supervisor, &recorder, &root.child("alerts"));
    let sender =
        Sender { box_id: identity.box_id, name: config.site.name.clone(), prefeitura: config.site.prefeitura.clone() };

    // What delivers and manages.
    let sync_tasks = root.child("sync");
    let sync = sync::start(&config, store.clone(), identity.clone(), &sync_tasks);
    start_announcing(sync.clone(), supervisor.clone(), &sync_tasks);
    let vitals = Vitals { supervisor: supervisor.clone(), recorder: recorder.clone(), sync: sync.clone(), started };
    control::start_report(vitals.clone(), prometheus.clone(), &sync_tasks);
    let front_tasks = root.child("front");
    let webhooks = WebhookContext {
        store: store.clone(),
        config: supervisor.watch_config(),
        secrets: secrets.clone(),
        sender: sender.clone(),
    };
    alerts::start_webhooks(webhooks, &front_tasks);
    if !config.mqtt.url.is_empty() {
        let context = FleetContext {
            config: config.mqtt.clone(),
            box_id: identity.box_id,
            secrets: secrets.clone(),
            supervisor: supervisor.clone(),
            store: store.clone(),
            sender,
            health: fleet_health(vitals, lpr.clone()),
        };
        fleet::start(context, &front_tasks)?;
    }
    let upkeep = prometheus.clone();
    front_tasks.spawn("metrics", OnExit::Restart, move |stop| {
        let upkeep = upkeep.clone();
        async move {
            stop.run_until_cancelled(metrics::upkeep(upkeep)).await;
            Ok(())
        }
    });
    let context = WebContext {
        store: store.clone(),
        supervisor: supervisor.clone(),
        health: health.clone(),
        live: live.clone(),
        recorder: recorder.clone(),
        lpr: lpr.clone(),
        sync,
        pusher: control::start_pushes(live.clone(), &supervisor, secrets.clone(), &front_tasks),
        secrets,
        lockout: Arc::default(),
        metrics: prometheus.clone(),
    };
    let serving = web::serve(context, &front_tasks).await?;
    tracing::info!(address = %serving.address, "page");
    if let Some(code) = &serving.setup_code {
        announce_setup(&serving.address.to_string(), code);
    }

    // Now and until somebody says stop.
    health.start(&front_tasks);
    start_watchdog(health, &front_tasks);
    start_reload(path, supervisor.clone(), &front_tasks)?;
    let reason = wait_for_end(args.seconds, terminate, interrupt, &root).await;
    tracing::info!(reason = reason.text(), "stopping");
    let _ = sd_notify::notify(false, &[sd_notify::NotifyState::Stopping]);

    // In order: nobody new comes in, cameras end, what they sent is written and read, then the rest.
    front_tasks.shutdown(DRAIN).await;
    control_tasks.shutdown(DRAIN).await;
    lpr.stop().await;
    record_tasks.shutdown(DRAIN).await;
    sync_tasks.shutdown(DRAIN).await;
    let summary = summary(&store, &recorder, &lpr.status().stages, &prometheus.render(), started_at).await;
    root.shutdown(DRAIN).await;
    println!("{}", summary?);
    Ok(reason.exit_code())
}

enum End {
    Asked(&'static str),
    Fatal(String),
}

impl End {
    fn text(&self) -> &str {
        match self {
            Self::Asked(by) => by,
            Self::Fatal(reason) => reason,
        }
    }

    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Asked(_) => ExitCode::SUCCESS,
            Self::Fatal(_) => ExitCode::FAILURE,
        }
    }
}

/// The first SIGTERM or SIGINT drains; the second kills.
async fn wait_for_end(seconds: Option<u64>, mut terminate: Signal, mut interrupt: Signal, tasks: &Tasks) -> End {
    let timer = async {
        match seconds {
            Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
            None => std::future::pending().await,
        }
    };
    let end = tokio::select! {
        _ = terminate.recv() => End::Asked("SIGTERM"),
        _ = interrupt.recv() => End::Asked("SIGINT"),
        () = timer => End::Asked("--seconds"),
        reason = tasks.fatal() => End::Fatal(reason),
    };
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::warn!("second signal: ending at once");
        std::process::exit(1);
    });
    end
}

/// On the console only, never in the log: whoever reads it stands at the box (T1).
fn announce_setup(address: &str, code: &str) {
    eprintln!("\n  First start. Open http://{address} and enter this setup code:\n\n      {code}\n");
}

/// What the recorder must know of the cameras: how each is recorded, what they say about themselves, and passages.
fn start_recording(store: &Store, recorder: &Recorder, supervisor: &SupervisorHandle, tasks: &Tasks) {
    let (planned, mut config) = (recorder.clone(), supervisor.watch_config());
    tasks.spawn_once(async move {
        while config.changed().await.is_ok() {
            planned.set_cameras(&config.borrow_and_update().cameras);
        }
    });
    let (told, mut events, token) = (recorder.clone(), store.events(), tasks.token());
    tasks.spawn_once(async move {
        loop {
            match token.run_until_cancelled(events.recv()).await {
                Some(Ok(StoreEvent::Detection(row))) => told.passed(&row.camera, row.first_seen, row.last_seen),
                Some(Ok(_) | Err(RecvError::Lagged(_))) => {}
                Some(Err(RecvError::Closed)) | None => break,
            }
        }
    });
    let supervisor = supervisor.clone();
    let reasons = move |camera: &CameraId| {
        let statuses = supervisor.statuses();
        let reason = statuses.get(camera).map(|status| status.reason.clone()).unwrap_or_default();
        if reason.is_empty() { "the camera delivered nothing".to_owned() } else { reason }
    };
    recorder.start_ledger(Arc::new(reasons), tasks);
}

fn start_alerts(store: &Store, supervisor: &SupervisorHandle, recorder: &Recorder, tasks: &Tasks) {
    let supervisor = supervisor.clone();
    let cameras = move || {
        let config = supervisor.config();
        let statuses = supervisor.statuses();
        let enabled = config.cameras.iter().filter(|camera| camera.enabled);
        enabled
            .filter_map(|camera| {
                let status = statuses.get(&camera.id)?;
                let streaming = status.state == CameraState::Streaming;
                Some(CameraHealth { camera: camera.id.clone(), streaming, reason: status.reason.clone() })
            })
            .collect()
    };
    let recorder = recorder.clone();
    alerts::start(store.clone(), Arc::new(cameras), Arc::new(move || recorder.problem()), tasks);
}

/// Tells delivery about the cameras and the limits of the lanes whenever they change. What the supervisor starts with is
/// no cameras at all, and nobody is to hear that they are gone: its first change is the configuration of the start.
fn start_announcing(sync: sync::SyncHandle, supervisor: SupervisorHandle, tasks: &Tasks) {
    tasks.spawn("announce", OnExit::Restart, move |stop| {
        let (sync, supervisor) = (sync.clone(), supervisor.clone());
        async move {
            let mut config = supervisor.watch_config();
            loop {
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    // The supervisor ends before delivery does: then there is nothing left to announce.
                    changed = config.changed() => if changed.is_err() {
                        stop.cancelled().await;
                        return Ok(());
                    },
                }
                let now = config.borrow_and_update().clone();
                sync.set(&now.sync);
                sync.announce_cameras(&now.cameras).await?;
            }
        }
    });
}

/// What the broker hears of the box now and then.
fn fleet_health(vitals: Vitals, lpr: Engine) -> Arc<dyn Fn() -> serde_json::Value + Send + Sync> {
    Arc::new(move || {
        let now = vitals.read();
        let lpr = lpr.status();
        let cameras: serde_json::Map<String, serde_json::Value> = now
            .cameras
            .iter()
            .map(|(id, status)| (id.to_string(), json!({ "state": status.state, "reason": status.reason })))
            .collect();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "at": UtcMicros::now().to_rfc3339(),
            "uptime_s": now.uptime_s,
            "clock_synchronized": now.clock_synchronized,
            "temperature_c": vitals.temperature_c(),
            "cameras": cameras,
            "record": { "state": now.recorder.state, "reason": now.recorder.reason, "bytes": now.recorder.stored_bytes,
                        "dropped_fragments": now.recorder.dropped_fragments,
                        "full_in_s": now.storage.forecast.full_in_s, "disks": now.storage.disks,
                        "stuck": now.storage.stuck },
            "lpr": { "state": lpr.state, "provider": lpr.provider, "reason": lpr.reason },
            "sync": { "connected": now.sync.connected, "acked_seq": now.sync.acked_seq, "pending": now.sync.pending(),
                      "spool": now.sync.spool },
        })
    })
}

/// Tells systemd that the box is up, and then, as often as it wants to hear it, that it makes progress.
fn start_watchdog(health: Arc<Health>, tasks: &Tasks) {
    let _ = sd_notify::notify(false, &[sd_notify::NotifyState::Ready]);
    let mut limit_us = 0;
    if !sd_notify::watchdog_enabled(false, &mut limit_us) {
        return;
    }
    let period = Duration::from_micros(limit_us) / 3;
    tasks.spawn("watchdog", OnExit::Restart, move |stop| {
        let health = health.clone();
        async move {
            let mut interval = tokio::time::interval(period);
            loop {
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    _ = interval.tick() => {}
                }
                if health.latest().is_ok() {
                    drop(sd_notify::notify(false, &[sd_notify::NotifyState::Watchdog]));
                }
            }
        }
    });
}

/// SIGHUP reads the file again.
fn start_reload(path: PathBuf, supervisor: SupervisorHandle, tasks: &Tasks) -> anyhow::Result<()> {
    let hangup = Arc::new(tokio::sync::Mutex::new(signal(SignalKind::hangup())?));
    tasks.spawn("reload", OnExit::Restart, move |stop| {
        let (path, supervisor, hangup) = (path.clone(), supervisor.clone(), hangup.clone());
        async move {
            let mut hangup = hangup.lock().await;
            loop {
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    _ = hangup.recv() => {}
                }
                match config::load(&path) {
                    Ok(loaded) => drop(supervisor.reload(loaded.file, &loaded.overrides).await),
                    Err(error) => tracing::error!(%error, "the file is not used; the box stays as it is"),
                }
            }
        }
    });
    Ok(())
}

/// What this run recorded and read, as one JSON object.
async fn summary(
    store: &Store,
    recorder: &Recorder,
    stages: &[StageMs],
    prometheus: &str,
    since: UtcMicros,
) -> anyhow::Result<String> {
    let recorded = recorder.status().borrow().clone();
    let mut passages = 0;
    let mut plates = std::collections::BTreeSet::new();
    let mut query = DetectionQuery { from: Some(since), limit: 1000, ..DetectionQuery::default() };
    loop {
        let page = store.detections(query.clone()).await.context("counting what was read")?;
        let Some(last) = page.last() else { break };
        query.before = Some(last.id);
        passages += page.len();
        plates.extend(page.into_iter().map(|row| row.plate));
    }
    let drops = metrics::drops(prometheus);
    let skipped: u64 = drops.iter().filter(|(place, _)| place.starts_with("lpr/")).map(|(_, items)| items).sum();
    let summary = json!({
        "fragments": recorded.stored_fragments,
        "bytes": recorded.stored_bytes,
        "plates": plates.len(),
        "passages": passages,
        "drops": drops.values().sum::<u64>() - skipped,
        "lpr_frames_skipped": skipped,
        "lpr_stages_ms": stages,
    });
    Ok(summary.to_string())
}
