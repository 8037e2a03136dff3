//! `[lpr]`: plate reading.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::units::HumanDuration;

/// ONNX Runtime execution provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// TensorRT, then CUDA, then CPU.
    #[default]
    Auto,
    Tensorrt,
    Cuda,
    Cpu,
}

/// `[lpr]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LprConfig {
    pub enabled: bool,
    /// Names the models; relative paths inside are relative to the manifest.
    pub manifest: PathBuf,
    /// ONNX Runtime's shared library; absent: `ORT_DYLIB_PATH`, the cache folder of the scripts, the system.
    pub ort_dylib: Option<PathBuf>,
    pub provider: Provider,
    /// Threads that read plates; 0 is one for every two cores.
    pub threads: usize,
    /// At most this many frames a second and camera are looked at.
    pub max_fps: f64,
    /// A frame that waited longer than this is skipped and counted.
    pub deadline: HumanDuration,
    /// While nothing moves, only key frames are decoded and looked at.
    pub keyframes_only_when_quiet: bool,
    /// Where key frames are further apart than this, a frame between them is decoded too; zero: never.
    pub glance_when_quiet: HumanDuration,
    /// Passages whose fused confidence is below this are not stored.
    pub min_confidence: f64,
}

impl Default for LprConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            manifest: PathBuf::from("/usr/share/gtv-edge/models/manifest.toml"),
            ort_dylib: None,
            provider: Provider::Auto,
            threads: 0,
            max_fps: 10.0,
            deadline: HumanDuration::millis(500),
            keyframes_only_when_quiet: true,
            glance_when_quiet: HumanDuration::millis(3000),
            min_confidence: 0.5,
        }
    }
}
