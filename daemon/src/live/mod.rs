//! Layer 3: live video. The hub passes the fragments that are recorded on to whoever watches; while somebody does, the
//! camera cuts its groups of pictures into parts.

mod hub;

pub use hub::{Hub, LiveSubscription, NotWatching, Received};
