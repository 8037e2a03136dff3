//! `[record]`, `[clips]` and `[live]`: what is kept on disk, cut out as evidence, and shown now.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::units::{ByteSize, HumanDuration};

/// `[record]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RecordConfig {
    /// A segment file is closed at the first key frame after this long.
    pub segment: HumanDuration,
    /// Recordings older than this are deleted.
    pub max_age: HumanDuration,
    /// All recordings together stay under this; 0 leaves it to `min_free`.
    pub max_bytes: ByteSize,
    /// Recordings are deleted, oldest first, while the disk has less free space than this.
    pub min_free: ByteSize,
    /// Folders on further disks that recordings go to instead of the data folder; it helps out when none is there.
    pub paths: Vec<PathBuf>,
}

impl Default for RecordConfig {
    fn default() -> Self {
        Self {
            segment: HumanDuration::secs(60),
            max_age: HumanDuration::secs(30 * 86_400),
            max_bytes: ByteSize(0),
            min_free: ByteSize::gib(5),
            paths: Vec::new(),
        }
    }
}

/// `[clips]`: evidence around each passage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClipConfig {
    pub pre_roll: HumanDuration,
    pub post_roll: HumanDuration,
}

impl Default for ClipConfig {
    fn default() -> Self {
        Self { pre_roll: HumanDuration::secs(3), post_roll: HumanDuration::secs(2) }
    }
}

/// `[live]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LiveConfig {
    /// Length of a CMAF part while somebody watches; without viewers a fragment is a GOP.
    pub part: HumanDuration,
    /// Viewers a camera may have at the same time.
    pub max_viewers: usize,
    /// UDP port of WebRTC; 0 takes any free one.
    pub webrtc_port: u16,
    /// Streams at a time that are transcoded to H.264 for browsers that cannot show them; 0: none.
    pub transcode: usize,
    /// Where other recorders read the cameras by RTSP; off when absent.
    pub rtsp_listen: Option<SocketAddr>,
    /// Lets RTSP clients that know no Digest send their passwords as they are (Basic).
    pub rtsp_basic: bool,
}

impl Default for LiveConfig {
    fn default() -> Self {
        Self {
            part: HumanDuration::millis(100),
            max_viewers: 16,
            webrtc_port: 8189,
            transcode: 0,
            rtsp_listen: None,
            rtsp_basic: false,
        }
    }
}
