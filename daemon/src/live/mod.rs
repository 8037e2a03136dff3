//! Live video: the newest group of pictures of each stream, and a bounded queue for each viewer. Fragments are the ones
//! that are recorded, shared and never copied.

mod hub;
mod ring;

pub use hub::{Hub, Refusal, Subscription};
