//! The sole owner of what runs. Changes arrive as messages with a reply; each is validated whole, then applied or
//! rolled back (C1). Start-up is the first change, from an empty configuration (C2).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use super::admission::admit;
use super::load::LoadMeter;
use super::plan::{Action, plan};
use crate::base::error::Kind;
use crate::base::ids::CameraId;
use crate::base::secret::SecretBox;
use crate::base::tasks::{CancellationToken, OnExit, Tasks};
use crate::camera::{CameraState, CameraStatus};
use crate::config::{CameraConfig, Config, Overrides, Problem, RecordConfig, validate};

const QUEUE: usize = 32;
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// Who asks for a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The file was read again (SIGHUP).
    File,
    /// Somebody on the page.
    Web { actor: String },
    /// The fleet's desired state.
    Fleet { version: u64 },
}

/// A whole configuration that somebody wants.
#[derive(Clone, Debug)]
pub struct Change {
    pub source: Source,
    pub desired: Config,
}

/// What a change did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Sections that take effect at the next start.
    pub needs_restart: Vec<&'static str>,
}

/// Why a change was not applied; everything is as before.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the change was refused: {}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct Refused {
    pub kind: Kind,
    pub problems: Vec<Problem>,
}

impl Refused {
    fn new(kind: Kind, key: &str, message: impl Into<String>) -> Self {
        Self { kind, problems: vec![Problem { key: key.to_owned(), message: message.into() }] }
    }
}

pub type Statuses = BTreeMap<CameraId, CameraStatus>;

/// Starts what a camera needs. Implemented by the wiring of camera, recorder, live hub and plate reader.
pub trait Pipelines: Send + Sync + 'static {
    /// `Err` says why the camera cannot run with this configuration. Everything it starts belongs to `tasks`.
    fn start(&self, camera: &CameraConfig, tasks: &Tasks) -> Result<watch::Receiver<CameraStatus>, String>;

    /// Frees what outlives the camera's tasks; they have ended.
    fn stopped(&self, camera: &CameraId);

    /// Where plates count from now on; the camera runs.
    fn set_zones(&self, camera: &CameraConfig);

    fn set_retention(&self, record: &RecordConfig);
}

enum Request {
    Apply { change: Box<Change>, file: Option<Box<Config>>, reply: oneshot::Sender<Result<Applied, Refused>> },
    Ping(oneshot::Sender<()>),
}

/// Asks the supervisor; cheap to clone.
#[derive(Clone)]
pub struct SupervisorHandle {
    requests: mpsc::Sender<Request>,
    config: watch::Receiver<Arc<Config>>,
    file: watch::Receiver<Arc<Config>>,
    statuses: watch::Receiver<Arc<Statuses>>,
}

impl SupervisorHandle {
    /// The configuration in force.
    pub fn config(&self) -> Arc<Config> {
        self.config.borrow().clone()
    }

    /// The configuration of the file, without what was changed on the box.
    pub fn file(&self) -> Arc<Config> {
        self.file.borrow().clone()
    }

    /// State of every camera of the configuration in force.
    pub fn statuses(&self) -> Arc<Statuses> {
        self.statuses.borrow().clone()
    }

    pub fn watch_config(&self) -> watch::Receiver<Arc<Config>> {
        self.config.clone()
    }

    pub async fn apply(&self, change: Change) -> Result<Applied, Refused> {
        self.ask(change, None).await
    }

    /// The file was read again: `file` replaces the base, what was changed on the box stays over it.
    pub async fn reload(&self, file: Config, overrides: &Overrides) -> Result<Applied, Refused> {
        let desired = overrides.apply(file.clone());
        self.ask(Change { source: Source::File, desired }, Some(Box::new(file))).await
    }

    /// Whether the supervisor takes requests: the watchdog's question.
    pub async fn ping(&self) -> bool {
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request::Ping(reply)).await.is_ok() && answer.await.is_ok()
    }

    async fn ask(&self, change: Change, file: Option<Box<Config>>) -> Result<Applied, Refused> {
        let stopped = || Refused::new(Kind::Unavailable, "(box)", "the box is stopping; try again when it runs");
        let (reply, answer) = oneshot::channel();
        let request = Request::Apply { change: Box::new(change), file, reply };
        self.requests.send(request).await.map_err(|_| stopped())?;
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }
}

struct Running {
    config: CameraConfig,
    tasks: Tasks,
}

struct Supervisor {
    pipelines: Arc<dyn Pipelines>,
    secrets: SecretBox,
    tasks: Tasks,
    config: watch::Sender<Arc<Config>>,
    file: watch::Sender<Arc<Config>>,
    statuses: watch::Sender<Arc<Statuses>>,
    status_in: mpsc::Sender<(CameraId, CameraStatus)>,
    running: BTreeMap<CameraId, Running>,
    load: LoadMeter,
}

/// Starts the supervisor and the cameras of `initial`. `file` is what the file alone says.
pub fn start(
    file: Config,
    initial: Config,
    pipelines: Arc<dyn Pipelines>,
    secrets: SecretBox,
    tasks: &Tasks,
) -> SupervisorHandle {
    let (requests, incoming) = mpsc::channel(QUEUE);
    let (status_in, status_out) = mpsc::channel(QUEUE);
    let empty = Config { cameras: Vec::new(), ..initial.clone() };
    let (config, config_seen) = watch::channel(Arc::new(empty));
    let (file, file_seen) = watch::channel(Arc::new(file));
    let (statuses, statuses_seen) = watch::channel(Arc::new(Statuses::new()));
    let handle = SupervisorHandle { requests, config: config_seen, file: file_seen, statuses: statuses_seen };
    let supervisor = Supervisor {
        pipelines,
        secrets,
        tasks: tasks.child("camera"),
        config,
        file,
        statuses,
        status_in,
        running: BTreeMap::new(),
        load: LoadMeter::default(),
    };
    let mut parts = Some((supervisor, incoming, status_out, initial));
    tasks.spawn("supervisor", OnExit::EndProcess, move |stop| {
        let parts = parts.take();
        async move {
            let (supervisor, incoming, status_out, initial) = parts.ok_or("the supervisor runs once")?;
            supervisor.run(initial, incoming, status_out, stop).await;
            Ok(())
        }
    });
    handle
}

impl Supervisor {
    async fn run(
        mut self,
        initial: Config,
        mut requests: mpsc::Receiver<Request>,
        mut statuses: mpsc::Receiver<(CameraId, CameraStatus)>,
        stop: CancellationToken,
    ) {
        self.start_up(initial).await;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some((id, status)) = statuses.recv() => self.take_status(id, status),
                Some(request) = requests.recv() => self.answer(request).await,
            }
        }
        // Each camera is a group of its own. What they still give out is stored after all of them have ended.
        futures_util::future::join_all(self.running.values().map(|running| running.tasks.shutdown(STOP_LIMIT))).await;
        self.tasks.shutdown(STOP_LIMIT).await;
    }

    async fn answer(&mut self, request: Request) {
        match request {
            // Whoever asked may have gone meanwhile; nothing is lost with an answer that nobody waits for.
            Request::Ping(reply) => drop(reply.send(())),
            Request::Apply { change, file, reply } => {
                let source = change.source.clone();
                let result = self.apply(*change, file.map(|file| *file)).await;
                match &result {
                    Ok(applied) => tracing::info!(?source, needs_restart = ?applied.needs_restart, "change applied"),
                    Err(refused) => tracing::warn!(?source, error = %refused, "change refused"),
                }
                drop(reply.send(result));
            }
        }
    }

    /// A camera that cannot start must not keep the others from recording.
    async fn start_up(&mut self, initial: Config) {
        let actions = plan(&self.config.borrow().clone(), &initial);
        self.show_config(&initial);
        for action in actions {
            if let Err(refused) = self.execute(&action, &initial).await {
                tracing::error!(error = %refused, "a camera cannot start");
            }
        }
    }

    async fn apply(&mut self, change: Change, file: Option<Config>) -> Result<Applied, Refused> {
        let problems = validate(&change.desired);
        if !problems.is_empty() {
            return Err(Refused { kind: Kind::Invalid, problems });
        }
        let old = self.config.borrow().clone();
        let base = file.as_ref().map_or_else(|| (**self.file.borrow()).clone(), Clone::clone);
        let mut new = change.desired;
        for camera in &mut new.cameras {
            camera.password = self.secrets.seal(&camera.password);
            camera.push.password = self.secrets.seal(&camera.push.password);
        }
        for webhook in &mut new.webhooks {
            webhook.secret = self.secrets.seal(&webhook.secret);
        }
        let overrides = Overrides::between(&base, &new).map_err(|section| {
            Refused::new(Kind::Invalid, section, "is set in config.toml only: edit the file and reload the service")
        })?;
        let actions = plan(&old, &new);
        self.check_capacity(&actions)?;

        for (done, action) in actions.iter().enumerate() {
            if let Err(refused) = self.execute(action, &new).await {
                self.roll_back(&actions[..done], &old).await;
                return Err(refused);
            }
        }
        // Before it is reported: what was answered with "applied" survives a power cut.
        if change.source != Source::File
            && let Err(error) = overrides.write(&old.data_dir)
        {
            self.roll_back(&actions, &old).await;
            let message = format!("cannot be kept in {}: {error}; free space on the disk", old.data_dir.display());
            return Err(Refused::new(Kind::Full, "overrides.toml", message));
        }
        if let Some(file) = file {
            self.file.send_replace(Arc::new(file));
        }
        self.show_config(&new);
        let needs_restart = actions.iter().filter_map(|action| match action {
            Action::NeedsRestart(section) => Some(*section),
            _ => None,
        });
        Ok(Applied { needs_restart: needs_restart.collect() })
    }

    fn check_capacity(&mut self, actions: &[Action]) -> Result<(), Refused> {
        let starts = actions.iter().filter(|a| matches!(a, Action::StartCamera(_))).count();
        let stops = actions.iter().filter(|a| matches!(a, Action::StopCamera(_))).count();
        if starts <= stops {
            return Ok(());
        }
        let streaming = self.statuses.borrow().values().filter(|s| s.state == CameraState::Streaming).count();
        admit(&self.load.read(streaming)).map_err(|reason| Refused::new(Kind::Full, "camera", reason))
    }

    async fn execute(&mut self, action: &Action, config: &Config) -> Result<(), Refused> {
        match action {
            Action::StopCamera(id) => self.stop_camera(id).await,
            Action::StartCamera(id) => {
                let Some(camera) = config.camera(id) else { return Ok(()) };
                self.start_camera(camera.clone())?;
            }
            Action::SetZones(id) => {
                let Some(camera) = config.camera(id) else { return Ok(()) };
                self.pipelines.set_zones(camera);
                if let Some(running) = self.running.get_mut(id) {
                    running.config = camera.clone();
                }
            }
            Action::SetRetention => self.pipelines.set_retention(&config.record),
            Action::NeedsRestart(_) => {}
        }
        Ok(())
    }

    async fn roll_back(&mut self, done: &[Action], old: &Config) {
        for action in done.iter().rev() {
            let result = match action {
                Action::StartCamera(id) => {
                    self.stop_camera(id).await;
                    Ok(())
                }
                Action::StopCamera(id) => self.execute(&Action::StartCamera(id.clone()), old).await,
                Action::SetZones(_) | Action::SetRetention => self.execute(action, old).await,
                Action::NeedsRestart(_) => Ok(()),
            };
            if let Err(error) = result {
                tracing::error!(%error, "a change could not be rolled back");
            }
        }
    }

    fn start_camera(&mut self, camera: CameraConfig) -> Result<(), Refused> {
        let mut opened = camera.clone();
        let failed = |message: String| Refused::new(Kind::Invalid, &format!("camera `{}`", camera.id), message);
        opened.password = self.secrets.open(&camera.password).map_err(|error| failed(error.to_string()))?;
        let tasks = self.tasks.child(camera.id.as_str());
        let mut status = self.pipelines.start(&opened, &tasks).map_err(failed)?;
        let (id, out, token) = (camera.id.clone(), self.status_in.clone(), tasks.token());
        tasks.spawn_once(async move {
            loop {
                let now = status.borrow_and_update().clone();
                if out.send((id.clone(), now)).await.is_err() {
                    break;
                }
                tokio::select! {
                    () = token.cancelled() => break,
                    changed = status.changed() => if changed.is_err() { break },
                }
            }
        });
        self.running.insert(camera.id.clone(), Running { config: camera, tasks });
        Ok(())
    }

    async fn stop_camera(&mut self, id: &CameraId) {
        let Some(running) = self.running.remove(id) else { return };
        running.tasks.shutdown(STOP_LIMIT).await;
        self.pipelines.stopped(id);
        tracing::info!(camera = %id, name = running.config.name, "camera stopped");
    }

    fn take_status(&self, id: CameraId, status: CameraStatus) {
        // A last word of a camera that was stopped meanwhile.
        if !self.running.contains_key(&id) {
            return;
        }
        self.statuses.send_modify(|statuses| {
            Arc::make_mut(statuses).insert(id, status);
        });
    }

    fn show_config(&self, config: &Config) {
        self.statuses.send_modify(|statuses| {
            let statuses = Arc::make_mut(statuses);
            statuses.retain(|id, _| config.camera(id).is_some());
            for camera in &config.cameras {
                if camera.enabled {
                    statuses.entry(camera.id.clone()).or_insert_with(CameraStatus::connecting);
                } else {
                    statuses.insert(camera.id.clone(), CameraStatus::disabled());
                }
            }
        });
        self.config.send_replace(Arc::new(config.clone()));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::base::secret::Secret;
    use crate::config::ZoneConfig;

    /// Keeps a list of what runs; refuses cameras whose address asks for it, as a real one with a bad URL would.
    #[derive(Default)]
    struct Recorded {
        running: Mutex<Vec<String>>,
        senders: Mutex<Vec<watch::Sender<CameraStatus>>>,
        zones: Mutex<Vec<usize>>,
    }

    impl Pipelines for Recorded {
        fn start(&self, camera: &CameraConfig, _: &Tasks) -> Result<watch::Receiver<CameraStatus>, String> {
            if camera.main_url.ends_with("/refuse") {
                return Err("cannot run".to_owned());
            }
            assert!(!camera.password.is_sealed(), "the pipeline gets the opened password");
            self.running.lock().unwrap().push(camera.main_url.clone());
            let (sender, receiver) = watch::channel(CameraStatus::disabled());
            self.senders.lock().unwrap().push(sender);
            Ok(receiver)
        }

        fn stopped(&self, _: &CameraId) {
            self.running.lock().unwrap().pop();
        }

        fn set_zones(&self, camera: &CameraConfig) {
            self.zones.lock().unwrap().push(camera.zones.len());
        }

        fn set_retention(&self, _: &RecordConfig) {}
    }

    fn camera(id: &str, path: &str) -> CameraConfig {
        CameraConfig {
            id: id.parse().unwrap(),
            main_url: format!("rtsp://127.0.0.1/{path}"),
            password: Secret::new("hunter2"),
            ..CameraConfig::default()
        }
    }

    fn change(desired: Config) -> Change {
        Change { source: Source::Web { actor: "test".to_owned() }, desired }
    }

    #[tokio::test]
    async fn applies_keeps_and_rolls_back() {
        let folder = tempfile::tempdir().unwrap();
        let tasks = Tasks::new();
        let pipelines = Arc::new(Recorded::default());
        let secrets = SecretBox::open_or_create(folder.path()).unwrap();
        let file = Config { data_dir: folder.path().to_owned(), ..Config::default() };
        let handle = start(file.clone(), file.clone(), pipelines.clone(), secrets.clone(), &tasks);

        let one = Config { cameras: vec![camera("a", "one")], ..file.clone() };
        handle.apply(change(one.clone())).await.unwrap();
        assert_eq!(*pipelines.running.lock().unwrap(), ["rtsp://127.0.0.1/one"]);
        assert!(handle.statuses().contains_key(&"a".parse().unwrap()));
        let kept = Overrides::read(folder.path()).unwrap().cameras.unwrap();
        assert!(kept[0].password.is_sealed());
        assert_eq!(secrets.open(&kept[0].password).unwrap().expose(), "hunter2");

        // The second camera fails after the first was stopped and started: all is as before.
        let bad = Config { cameras: vec![camera("a", "two"), camera("b", "refuse")], ..file.clone() };
        let refused = handle.apply(change(bad)).await.unwrap_err();
        assert!(refused.to_string().contains("cannot run"), "{refused}");
        assert_eq!(*pipelines.running.lock().unwrap(), ["rtsp://127.0.0.1/one"]);
        assert_eq!(handle.config().cameras.len(), 1);
        assert_eq!(Overrides::read(folder.path()).unwrap().cameras.unwrap().len(), 1);

        // Zones reach the running camera; where the change fails further on, the old ones return.
        let zone = ZoneConfig { points: vec![[0.0, 0.0], [1.0, 0.0], [0.5, 1.0]], ..ZoneConfig::default() };
        let mut zoned = handle.config().as_ref().clone();
        zoned.cameras[0].zones = vec![zone];
        let mut failing = zoned.clone();
        failing.cameras.push(camera("b", "refuse"));
        assert!(handle.apply(change(failing)).await.is_err());
        handle.apply(change(zoned)).await.unwrap();
        assert_eq!(*pipelines.zones.lock().unwrap(), [1, 0, 1]);
        assert_eq!(*pipelines.running.lock().unwrap(), ["rtsp://127.0.0.1/one"]);

        let mut elsewhere = handle.config().as_ref().clone();
        elsewhere.lpr.enabled = false;
        let refused = handle.apply(change(elsewhere)).await.unwrap_err();
        assert_eq!(refused.problems[0].key, "lpr");

        let invalid = Config { cameras: vec![camera("a", "one"), camera("a", "one")], ..file };
        assert_eq!(handle.apply(change(invalid)).await.unwrap_err().problems[0].key, "camera[1].id");
        assert!(tasks.shutdown(Duration::from_secs(5)).await);
    }
}
