//! The sound of a camera as it sent it, for live viewers; recordings have it as AAC (`audio`).

use std::sync::Arc;

use bytes::Bytes;

use super::audio::AudioCodec;
use crate::base::time::UtcMicros;

/// What a decoder must know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SoundConfig {
    pub codec: AudioCodec,
    /// Samples a second, which is what [`Sound::pts`] counts.
    pub rate: u32,
    pub channels: u16,
    /// `AudioSpecificConfig` of AAC; empty for others.
    pub specific: Bytes,
}

/// One frame of AAC, or so many samples of G.711 as came in a packet.
#[derive(Clone, Debug)]
pub struct Sound {
    pub data: Bytes,
    /// On the stream's own timeline, whose zero is that of the pictures.
    pub pts: i64,
    /// When it was taken.
    pub time: UtcMicros,
    pub config: Arc<SoundConfig>,
}
