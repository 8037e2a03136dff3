//! Pure. What RTP payloads carry: NAL units of H.264 and H.265, frames of AAC, and what the session description says
//! about them. Nothing is changed on the way (R1): unlike a depacketizer that parses, this one keeps every unit as sent.

mod aac;
mod nal;
mod sdp;

pub use aac::aac_frames;
pub use nal::{Depacketizer, Piece};
pub use sdp::described_sets;
