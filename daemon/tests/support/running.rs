//! Runs a camera's pipeline in a test and keeps what comes out of it.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gtv_edge::base::tasks::Tasks;
use gtv_edge::camera::{self, CameraOutputs, CameraSettings, CameraState, CameraStatus, ConnectGate};
use gtv_edge::config::{CameraConfig, LprStream};
use gtv_edge::media::{Fragment, FragmentSink, FrameSlot, Wanted};
use tokio::sync::watch;

/// Keeps every fragment.
#[derive(Default)]
struct Keep(Mutex<Vec<Arc<Fragment>>>);

impl FragmentSink for Keep {
    fn push(&self, fragment: &Arc<Fragment>) {
        self.0.lock().unwrap().push(fragment.clone());
    }
}

/// A camera's pipeline whose main stream is kept.
pub struct Running {
    tasks: Tasks,
    kept: Arc<Keep>,
    pub slot: Arc<FrameSlot>,
    pub status: watch::Receiver<CameraStatus>,
}

impl Running {
    pub fn start(config: &CameraConfig) -> Self {
        let tasks = Tasks::new();
        let kept = Arc::new(Keep::default());
        let slot = Arc::new(FrameSlot::new(Wanted::All));
        let (sender, status) = watch::channel(CameraStatus::disabled());
        let settings = CameraSettings::from_config(config, Duration::from_millis(200), ConnectGate::default());
        let frames = (config.lpr != LprStream::Off).then(|| slot.clone());
        let outputs = CameraOutputs { main: vec![kept.clone()], sub: Vec::new(), frames, status: sender };
        camera::run(settings, outputs, &tasks);
        Self { tasks, kept, slot, status }
    }

    pub async fn wait_for(&mut self, state: CameraState) -> CameraStatus {
        let waited = tokio::time::timeout(Duration::from_secs(40), self.status.wait_for(|now| now.state == state));
        let found = waited.await.ok().map(|status| status.unwrap().clone());
        found.unwrap_or_else(|| panic!("waiting for {state:?}, it is {:?}", *self.status.borrow()))
    }

    pub async fn wait_frames(&self, count: u32) {
        let until = Instant::now() + Duration::from_secs(40);
        while self.frames() < count {
            assert!(Instant::now() < until, "{} of {count} frames, {:?}", self.frames(), *self.status.borrow());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    pub fn frames(&self) -> u32 {
        self.kept.0.lock().unwrap().iter().map(|fragment| fragment.frames).sum()
    }

    /// Stops and checks that the timeline is whole (R3).
    pub async fn stop(self) -> Vec<Arc<Fragment>> {
        assert!(self.tasks.shutdown(Duration::from_secs(60)).await, "the camera does not stop");
        let fragments = std::mem::take(&mut *self.kept.0.lock().unwrap());
        for pair in fragments.windows(2) {
            assert!(pair[1].start >= pair[0].end(), "R3: {:?} then {:?}", pair[0], pair[1]);
            assert!(pair[1].tfdt > pair[0].tfdt);
            assert_eq!(pair[1].sequence, pair[0].sequence + 1);
            let apart = pair[1].start.since(pair[0].end());
            assert!(pair[1].gap.is_some() || apart < 1000, "{apart} us without a reason before {:?}", pair[1]);
        }
        fragments
    }
}
