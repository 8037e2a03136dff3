//! Alerts that the box raises by itself. Rules are pure; the watch feeds them and stores what they raise, which puts it
//! on the first sync lane.

mod rules;
mod watch;

pub use rules::CameraHealth;
pub use watch::start;
