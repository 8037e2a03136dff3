//! Layer 0: what every other module may use: ids, time, errors, secrets, tasks, logs, metrics.

pub mod atomic_file;
pub mod backoff;
pub mod box_clock;
pub mod clocks;
pub mod error;
pub mod identity;
pub mod ids;
pub mod log;
pub mod metrics;
pub mod plate;
pub mod secret;
pub mod tasks;
pub mod temperature;
pub mod time;
