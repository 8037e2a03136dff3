//! The rows as the store takes and gives them. Times are UTC microseconds, sizes bytes, geometry frame pixels.

mod alerts;
mod detections;
mod people;
mod recordings;

pub use alerts::*;
pub use detections::*;
pub use people::*;
pub use recordings::*;
