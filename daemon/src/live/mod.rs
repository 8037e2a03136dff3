//! Live video: the newest group of pictures of each stream, and a bounded queue for each viewer. Fragments and pictures
//! are the ones that are recorded, shared and never copied. `whep` sends pictures by WebRTC, `hls` fragments by
//! HTTP, `rtsp` pictures and sound to other recorders and servers.

pub mod hls;
mod hub;
mod pictures;
mod ring;
mod rtp;
pub mod rtsp;
mod transcode;
mod voice;
pub mod whep;

pub use hub::{Hub, PictureSubscription, Refusal, Sounds, Subscription};
