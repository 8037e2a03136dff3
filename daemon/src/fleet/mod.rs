//! Layer 5: fleet management over MQTT 5. Off unless `mqtt.url` is set.

mod topics;
mod twin;

pub use topics::Topics;
