//! Where fragments go. Recorder and live hub implement this one narrow trait, so that cameras know neither.

use std::sync::Arc;

use super::decode::Picture;
use super::fragment::Fragment;
use super::sound::Sound;

/// Takes fragments from a camera's thread. Must not block: what cannot be queued is dropped and counted by the sink.
pub trait FragmentSink: Send + Sync {
    fn push(&self, fragment: &Arc<Fragment>);

    /// A single picture, the moment it is complete: for viewers that cannot wait for a fragment.
    fn picture(&self, _picture: &Picture) {}

    /// A frame of sound, as the camera sent it.
    fn sound(&self, _sound: &Sound) {}

    /// Whether somebody waits for parts shorter than a group of pictures.
    fn wants_parts(&self) -> bool {
        false
    }

    /// Whether somebody waits for each picture the moment it is complete.
    fn wants_pictures(&self) -> bool {
        false
    }
}

/// Everybody who gets the fragments of one stream.
pub type FragmentSinks = Vec<Arc<dyn FragmentSink>>;
