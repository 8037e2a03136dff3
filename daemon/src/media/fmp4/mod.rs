//! Pure. Fragmented MP4: initialization segments, fragments, and what playback changes in stored fragments.

mod boxes;
mod edit;
mod first;
mod init;
mod keys;
mod moof;
mod replay;

pub use edit::beginning_with;
pub use first::{decoder_record, first_sample, first_sample_at};
pub use init::init_segment;
pub use keys::{key_fragment, key_fragment_bytes, video_only};
pub use moof::{Sample, chunk};
pub use replay::{Retimer, SIDX_MAX, SidxEntry, sidx, with_duration};
