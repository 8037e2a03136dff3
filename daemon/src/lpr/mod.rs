//! Plate reading: frame -> gate -> detector -> upright plates -> reader -> tracker -> fusion -> grammar -> one row a
//! passage. `docs/lpr.md` tells the procedure; ONNX Runtime is used in `session.rs` only.

mod american;
mod clutter;
mod contract;
mod decode;
mod detect;
mod direction;
mod engine;
mod engine_cache;
mod error;
#[cfg(test)]
mod fixtures;
mod fuse;
mod gate;
mod geometry;
pub mod grammar;
mod looks;
mod manifest;
mod models;
mod motion;
mod passage;
mod picture;
mod precision;
mod read;
mod rectify;
mod resize;
mod row;
mod session;
mod stats;
mod still;
mod track;
mod watch;
mod window;
mod zones;

pub use engine::{Engine, LprState, LprStatus};
pub use error::LprError;
pub use models::{ModelStatus, ModelsStatus};
pub use motion::{Looks, watch_motion};
pub use precision::{Choice, Precision};
pub use session::{Provider, Skipped};
pub use stats::{Stage, StageMs};
pub use still::{StillAlternative, StillPlate, StillRead, StillReader};
