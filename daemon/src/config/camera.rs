//! `[[camera]]`: one camera of this box.

use serde::{Deserialize, Serialize};

use super::push::PushConfig;
use super::record_mode::StreamRecord;
use super::units::ByteSize;
use super::zone::ZoneConfig;
use crate::base::ids::CameraId;
use crate::base::secret::Secret;

/// How RTP travels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    #[default]
    Tcp,
    Udp,
}

/// Which streams are recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordStreams {
    #[default]
    Main,
    Sub,
    Both,
    Off,
}

/// Which stream plates are read from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LprStream {
    #[default]
    Off,
    Main,
    Sub,
}

/// Whose clock dates the recordings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CameraClock {
    #[default]
    Box,
    Camera,
}

/// `[[camera]]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CameraConfig {
    pub id: CameraId,
    pub name: String,
    pub enabled: bool,
    /// ONVIF device service; absent for a camera that is known by its RTSP address alone.
    pub onvif_url: Option<String>,
    /// RTSP address without credentials.
    pub main_url: String,
    pub sub_url: Option<String>,
    pub username: String,
    /// Sealed (`enc:...`) by the daemon in everything that it writes.
    pub password: Secret,
    pub transport: Transport,
    pub record: RecordStreams,
    pub audio: bool,
    pub lpr: LprStream,
    pub clock: CameraClock,
    /// Plates narrower than this share of the picture's width do not count; 0 counts all.
    pub min_plate_width: f64,
    /// Recordings of this camera, both streams, stay under this; 0: no limit of its own.
    pub max_bytes: ByteSize,
    /// When the streams that `record` names are recorded.
    pub record_main: StreamRecord,
    pub record_sub: StreamRecord,
    /// Where a stream of this camera is sent by RTSP.
    pub push: PushConfig,
    #[serde(rename = "zone", skip_serializing_if = "Vec::is_empty")]
    pub zones: Vec<ZoneConfig>,
}

impl Default for CameraConfig {
    fn default() -> Self {
        Self {
            id: "camera".parse().expect("a valid id"),
            name: String::new(),
            enabled: true,
            onvif_url: None,
            main_url: String::new(),
            sub_url: None,
            username: String::new(),
            password: Secret::default(),
            transport: Transport::Tcp,
            record: RecordStreams::Main,
            audio: true,
            lpr: LprStream::Main,
            clock: CameraClock::Box,
            min_plate_width: 0.0,
            max_bytes: ByteSize(0),
            record_main: StreamRecord::default(),
            record_sub: StreamRecord::default(),
            push: PushConfig::default(),
            zones: Vec::new(),
        }
    }
}

impl CameraConfig {
    /// What people read: its id where nobody gave it a name.
    pub fn shown_name(&self) -> &str {
        if self.name.is_empty() { self.id.as_str() } else { &self.name }
    }

    /// How the main or the sub stream is recorded; `None` where it is not.
    pub fn records(&self, sub: bool) -> Option<&StreamRecord> {
        match (self.record, sub) {
            (RecordStreams::Main | RecordStreams::Both, false) => Some(&self.record_main),
            (RecordStreams::Sub | RecordStreams::Both, true) => Some(&self.record_sub),
            _ => None,
        }
    }
}
