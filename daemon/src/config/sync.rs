//! `[sync]`: delivery to the centre. Off while `url` is empty.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

use super::record_mode::Schedule;
use super::units::ByteSize;
use crate::base::ids::CameraId;
use crate::base::secret::Secret;

/// `[sync]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SyncConfig {
    /// `wss://host/sync/v1`; `ws://` is for a loopback address only. Empty: nothing is sent.
    pub url: String,
    /// One-time code that enrols this box at a centre that asks for one.
    pub enrol_code: Secret,
    /// Extra certificate authority (PEM) of the centre.
    pub ca_file: Option<PathBuf>,
    /// Records a batch at most.
    pub batch_records: usize,
    /// Object store; absent: the centre vends access.
    pub s3: Option<S3Config>,
    /// What may wait for its upload, in bytes of pictures and video; 0: no limit.
    pub spool_max: ByteSize,
    /// Records that may wait for the centre.
    pub records_max: u64,
    /// Cameras whose recordings go to the centre whole.
    pub recordings: Vec<CameraId>,
    pub lanes: LanesConfig,
}

impl Default for SyncConfig {
    fn default() -> Self {
        Self {
            url: String::new(),
            enrol_code: Secret::default(),
            ca_file: None,
            batch_records: 500,
            s3: None,
            spool_max: ByteSize(100 << 30),
            records_max: 2_000_000,
            recordings: Vec::new(),
            lanes: LanesConfig::default(),
        }
    }
}

/// `[sync.s3]`: static access to the object store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct S3Config {
    pub endpoint: String,
    pub region: String,
    /// Put before the bucket names `recordings`, `snapshots`, `lpr-images`, `exports`.
    pub bucket_prefix: String,
    pub access_key: String,
    pub secret_key: Secret,
    /// Allows `http://`, for an object store on the same host.
    pub allow_http: bool,
}

/// `[sync.lanes]`: what each kind of delivery may take of the uplink, and when. Alerts always go at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LanesConfig {
    /// Passages with their pictures.
    pub detections: LaneConfig,
    /// Clips, and what is and is not recorded.
    pub clips: LaneConfig,
    /// Whole recordings, on request or by rule.
    pub recordings: LaneConfig,
}

/// `[sync.lanes.detections]`, `[sync.lanes.clips]`, `[sync.lanes.recordings]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LaneConfig {
    /// At most; 0: no limit.
    pub kbit_per_s: u32,
    /// Weekly times such as `mon-fri 20:00-06:00`, by the box's local clock; empty: always.
    pub windows: Vec<String>,
}

impl LaneConfig {
    /// Less would take days for a clip.
    const KBIT_MIN: u32 = 16;
    const WINDOWS_MAX: usize = 32;

    /// The weekly times; always where they cannot be read (validation refuses them).
    pub fn schedule(&self) -> Schedule {
        Schedule::of(&self.windows).or_else(|| Schedule::of(&[])).unwrap_or_default()
    }

    /// What is wrong with it: key and remedy.
    pub fn problems(&self) -> Vec<(&'static str, &'static str)> {
        let mut problems = Vec::new();
        if self.kbit_per_s > 0 && self.kbit_per_s < Self::KBIT_MIN {
            problems.push(("kbit_per_s", "choose 16 or more; 0 sets no limit"));
        }
        if self.windows.len() > Self::WINDOWS_MAX || Schedule::of(&self.windows).is_none() {
            problems
                .push(("windows", "write at most 32 entries such as \"mon-fri 20:00-06:00\", \"sat,sun 00:00-24:00\""));
        }
        problems
    }
}
