//! Joins camera, recorder, live hub and plate reader: what the supervisor starts for each camera.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::base::ids::CameraId;
use crate::base::tasks::{OnExit, Tasks};
use crate::camera::{self, CameraOutputs, CameraSettings, CameraStatus, ConnectGate};
use crate::config::{CameraConfig, ClipConfig, Config, LprStream, RecordConfig, RecordMode};
use crate::control::Pipelines;
use crate::live::Hub;
use crate::lpr::{Engine, Looks, LprState, watch_motion};
use crate::media::{FragmentSinks, StreamKind};
use crate::onvif::device_clock_offset_ms;
use crate::record::Recorder;

/// Camera clocks drift by seconds a day: often enough to notice, seldom enough not to bother the camera.
const CLOCK_INTERVAL: Duration = Duration::from_secs(600);

/// What all cameras of the box share.
pub struct BoxPipelines {
    pub recorder: Recorder,
    pub live: Hub,
    pub lpr: Engine,
    pub clips: ClipConfig,
    pub part: Duration,
    pub connects: ConnectGate,
    /// Cameras whose plates are read, so that the engine can forget them.
    reading: Mutex<Vec<CameraId>>,
}

impl BoxPipelines {
    pub fn new(recorder: Recorder, live: Hub, lpr: Engine, config: &Config) -> Self {
        let (clips, part) = (config.clips.clone(), *config.live.part);
        let (connects, reading) = (ConnectGate::default(), Mutex::default());
        let pipelines = Self { recorder, live, lpr, clips, part, connects, reading };
        pipelines.lpr.on_look(pipelines.looks());
        pipelines
    }

    fn sinks(&self, camera: &CameraConfig, stream: StreamKind) -> FragmentSinks {
        let mut sinks: FragmentSinks = vec![self.live.sink(&camera.id, stream)];
        if let Some(how) = camera.records(stream == StreamKind::Sub) {
            sinks.push(self.recorder.sink_of(&camera.id, stream, how));
        }
        sinks
    }

    /// Tells the recorder of motion, for the cameras that are recorded when something moves.
    fn looks(&self) -> Looks {
        let recorder = self.recorder.clone();
        Arc::new(move |camera, time, moved| recorder.looked(camera, time, moved))
    }
}

impl Pipelines for BoxPipelines {
    fn start(&self, camera: &CameraConfig, tasks: &Tasks) -> Result<watch::Receiver<CameraStatus>, String> {
        let mut settings = CameraSettings::from_config(camera, self.part, self.connects.clone());
        settings.main_not_before = self.recorder.last_end(&camera.id, StreamKind::Main);
        settings.sub_not_before = self.recorder.last_end(&camera.id, StreamKind::Sub);
        if let Some(url) = &camera.onvif_url {
            settings.clock_offset_ms = watch_clock(url.clone(), tasks);
        }
        let reads = camera.lpr != LprStream::Off && self.lpr.status().state != LprState::Off;
        let by_motion =
            [false, true].iter().any(|sub| camera.records(*sub).is_some_and(|how| how.mode == RecordMode::Motion));
        let mut frames = reads.then(|| {
            self.reading.lock().unwrap_or_else(PoisonError::into_inner).push(camera.id.clone());
            let frames = self.lpr.camera(&camera.id);
            self.lpr.set_zones(camera);
            frames
        });
        if !reads && by_motion {
            settings.lpr = if camera.sub_url.is_some() { LprStream::Sub } else { LprStream::Main };
            frames = Some(watch_motion(&camera.id, self.looks(), tasks));
        }
        let (status, receiver) = watch::channel(CameraStatus::disabled());
        let main = self.sinks(camera, StreamKind::Main);
        let sub = if camera.sub_url.is_some() { self.sinks(camera, StreamKind::Sub) } else { Vec::new() };
        camera::run(settings, CameraOutputs { main, sub, frames, status }, tasks);
        Ok(receiver)
    }

    fn stopped(&self, camera: &CameraId) {
        self.live.remove(camera);
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = reading.iter().position(|id| id == camera) {
            reading.swap_remove(at);
            self.lpr.remove(camera);
        }
    }

    fn set_zones(&self, camera: &CameraConfig) {
        self.lpr.set_zones(camera);
    }

    fn set_retention(&self, record: &RecordConfig) {
        self.recorder.configure(record.clone(), self.clips.clone());
    }
}

/// Asks the camera for its clock now and then; an answer that fails keeps the one before.
fn watch_clock(url: String, tasks: &Tasks) -> watch::Receiver<Option<i64>> {
    let (offset, receiver) = watch::channel(None);
    let offset = Arc::new(offset);
    tasks.spawn("clock", OnExit::Restart, move |stop| {
        let (url, offset) = (url.clone(), offset.clone());
        async move {
            let mut interval = tokio::time::interval(CLOCK_INTERVAL);
            loop {
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    _ = interval.tick() => {}
                }
                match device_clock_offset_ms(&url).await {
                    Ok(ms) => drop(offset.send_replace(Some(ms))),
                    Err(error) => tracing::debug!(%error, "the camera's clock is not known"),
                }
            }
        }
    });
    receiver
}
