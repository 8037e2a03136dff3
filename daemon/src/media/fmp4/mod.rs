//! Pure. Fragmented MP4: initialization segments, fragments, and what playback changes in stored fragments.

mod boxes;
mod init;
mod moof;
mod replay;

pub use init::init_segment;
pub use moof::{Sample, chunk};
pub use replay::{Retimer, SidxEntry, sidx, with_duration};
