//! `[mqtt]`: fleet management. Off while `url` is empty.

use serde::{Deserialize, Serialize};

use super::units::HumanDuration;
use crate::base::secret::Secret;

/// `[mqtt]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MqttConfig {
    /// `mqtts://host:8883`, or `mqtt://host:1883` in a trusted network. Empty: off.
    pub url: String,
    pub username: String,
    pub password: Secret,
    /// Topics are `<topic_prefix>/<box id>/...`.
    pub topic_prefix: String,
    pub health_interval: HumanDuration,
}

impl Default for MqttConfig {
    fn default() -> Self {
        Self {
            url: String::new(),
            username: String::new(),
            password: Secret::default(),
            topic_prefix: "gtv/boxes".to_owned(),
            health_interval: HumanDuration::secs(30),
        }
    }
}
