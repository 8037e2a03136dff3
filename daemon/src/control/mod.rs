//! Layer 4: owns what runs. Every change, from file, page or fleet, takes the same way through the supervisor (C1).

pub mod admission;
mod health;
pub mod load;
pub mod plan;
mod push;
mod report;
mod supervisor;
mod vitals;

pub use health::Health;
pub use push::start_pushes;
pub use report::start_report;
pub use supervisor::{Applied, Change, Pipelines, Refused, Source, Statuses, SupervisorHandle, start};
pub use vitals::Vitals;
