//! What the box knows about itself, read in one place for the fleet and the centre.

use std::sync::Arc;
use std::time::Instant;

use super::{Statuses, SupervisorHandle};
use crate::base::{box_clock, temperature};
use crate::config::Config;
use crate::record::{Recorder, RecorderStatus, StorageStatus};
use crate::sync::{SyncHandle, SyncStatus};

/// Reads the vital signs; cheap to clone.
#[derive(Clone)]
pub struct Vitals {
    pub supervisor: SupervisorHandle,
    pub recorder: Recorder,
    pub sync: SyncHandle,
    pub started: Instant,
}

/// As they are at one moment.
pub struct Reading {
    pub uptime_s: u64,
    pub config: Arc<Config>,
    pub cameras: Arc<Statuses>,
    pub recorder: RecorderStatus,
    pub storage: StorageStatus,
    /// What somebody must look after: recordings that are lost, disks that are missing.
    pub problem: Option<String>,
    pub sync: SyncStatus,
    /// Whether the clock follows a time server; `None` where the system does not say.
    pub clock_synchronized: Option<bool>,
}

impl Vitals {
    pub fn read(&self) -> Reading {
        Reading {
            uptime_s: self.started.elapsed().as_secs(),
            config: self.supervisor.config(),
            cameras: self.supervisor.statuses(),
            recorder: self.recorder.status().borrow().clone(),
            storage: self.recorder.storage().borrow().clone(),
            problem: self.recorder.problem(),
            sync: self.sync.status().borrow().clone(),
            clock_synchronized: box_clock::read().map(|clock| clock.synchronized),
        }
    }

    /// Of the processor, degrees Celsius; `None` where the machine does not tell.
    pub fn temperature_c(&self) -> Option<f64> {
        temperature::read()
    }
}
