//! Layer 1: the configuration of the box. One file per section; `load` reads, `validate` finds every fault at once.

mod alerts;
mod camera;
mod discovery;
mod fleet;
mod load;
mod lpr;
mod overrides;
mod push;
mod record;
mod record_mode;
mod site;
mod sync;
pub mod units;
mod validate;
mod web;
mod zone;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use alerts::{AlertsConfig, WebhookConfig};
pub use camera::{CameraClock, CameraConfig, LprStream, RecordStreams, Transport};
pub use discovery::DiscoveryConfig;
pub use fleet::MqttConfig;
pub use load::{ConfigError, DEFAULT_TOML, EXIT_CONFIG, Loaded, Problem, defaults, load, parse, parse_overrides_json};
pub use lpr::{LprConfig, Provider};
pub use overrides::{OVERRIDES_FILE, Overrides};
pub use push::{PushConfig, PushStream};
pub use record::{ClipConfig, LiveConfig, RecordConfig};
pub use record_mode::{RecordMode, Schedule, StreamRecord};
pub use site::{BoxConfig, LogConfig};
pub use sync::{LaneConfig, LanesConfig, S3Config, SyncConfig};
pub use validate::validate;
pub use web::WebConfig;
pub use zone::{ZONE_POINTS, ZONES_MAX, ZoneConfig, ZoneKind};

/// The whole configuration. `config.toml` at the root of the repository shows every key with its default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Where the database, recordings, objects and keys live.
    pub data_dir: PathBuf,
    #[serde(rename = "box")]
    pub site: BoxConfig,
    pub log: LogConfig,
    pub web: WebConfig,
    pub discovery: DiscoveryConfig,
    pub record: RecordConfig,
    pub clips: ClipConfig,
    pub live: LiveConfig,
    pub lpr: LprConfig,
    pub alerts: AlertsConfig,
    pub sync: SyncConfig,
    pub mqtt: MqttConfig,
    #[serde(rename = "webhook")]
    pub webhooks: Vec<WebhookConfig>,
    #[serde(rename = "camera")]
    pub cameras: Vec<CameraConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("/var/lib/gtv-edge"),
            site: BoxConfig::default(),
            log: LogConfig::default(),
            web: WebConfig::default(),
            discovery: DiscoveryConfig::default(),
            record: RecordConfig::default(),
            clips: ClipConfig::default(),
            live: LiveConfig::default(),
            lpr: LprConfig::default(),
            alerts: AlertsConfig::default(),
            sync: SyncConfig::default(),
            mqtt: MqttConfig::default(),
            webhooks: Vec::new(),
            cameras: Vec::new(),
        }
    }
}

impl Config {
    pub fn camera(&self, id: &crate::base::ids::CameraId) -> Option<&CameraConfig> {
        self.cameras.iter().find(|camera| &camera.id == id)
    }
}
