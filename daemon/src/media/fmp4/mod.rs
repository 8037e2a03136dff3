//! Pure. Fragmented MP4: initialization segments, fragments, and what playback changes in stored fragments.

mod boxes;
mod first;
mod init;
mod moof;
mod replay;

pub use first::{decoder_record, first_sample};
pub use init::init_segment;
pub use moof::{Sample, chunk};
pub use replay::{Retimer, SIDX_MAX, SidxEntry, sidx, with_duration};
