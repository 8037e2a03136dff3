//! Layer 5: fleet management over MQTT 5. Off unless `mqtt.url` is set.

mod client;
mod in_flight;
mod topics;
mod twin;

pub use client::{FleetContext, FleetError, FleetStatus, start};
pub use topics::Topics;
