//! Pure. The topics of a box: `<prefix>/<box id>/<name>`. Plain slashes, so that every MQTT 5 broker can take them,
//! RabbitMQ's plugin included.

use crate::base::ids::BoxId;

/// Topics of one box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics {
    base: String,
}

impl Topics {
    pub fn new(prefix: &str, box_id: BoxId) -> Self {
        Self { base: format!("{}/{box_id}", prefix.trim_end_matches('/')) }
    }

    /// Retained. Birth and last will: `{"online": bool, ...}`.
    pub fn state(&self) -> String {
        format!("{}/state", self.base)
    }

    /// Every `mqtt.health_interval`.
    pub fn health(&self) -> String {
        format!("{}/health", self.base)
    }

    /// Each alert once it is raised; QoS 1, kept by the box until the broker has it.
    pub fn alerts(&self) -> String {
        format!("{}/alerts", self.base)
    }

    /// Retained, written by the fleet: the desired configuration.
    pub fn desired(&self) -> String {
        format!("{}/desired", self.base)
    }

    /// Retained, written by the box: what became of the desired configuration.
    pub fn reported(&self) -> String {
        format!("{}/reported", self.base)
    }
}
