//! Layer 2: the only user of FFmpeg. Camera packets become CMAF fragments without a re-encode, pictures for the plate
//! reader are decoded on request, and JPEG/PNG images are read and written. The unsafe code of the daemon is here.
//!
//! Read in the order of a packet: `rtsp` (`retina`, or `input` for what only libavformat speaks) -> `rtp` ->
//! `access_unit` -> `timeline` -> `muxer` -> [`Fragment`], and beside it `decode` -> [`FrameSlot`]. `pipe` joins them for
//! one stream.

mod access_unit;
mod audio;
mod av;
mod codec;
mod decode;
mod decoder;
mod error;
pub mod fmp4;
mod fragment;
mod frame;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod hardware;
mod image;
mod input;
pub mod jpeg;
mod muxer;
mod opus;
mod pipe;
mod ring;
mod rtp;
mod rtsp;
mod scale;
mod sink;
mod slot;
mod sound;
pub mod still;
mod timeline;
mod transcode;
mod url;
mod wake;
mod wall;

pub use access_unit::sized_units;
pub use audio::{AudioCodec, AudioConfig, AudioParams};
pub use codec::{VideoCodec, VideoConfig};
pub use decode::{DecoderChoice, DecoderWorker, Picture};
pub use error::MediaError;
pub use fragment::{Fragment, InitSegment, StreamKind};
pub use frame::{DecodedFrame, LumaPlane};
pub use image::RgbImage;
pub use input::{Input, OpenOptions, Packet, Track, VideoParams, arrival_now};
pub use opus::{OPUS_HZ, OpusPacket, OpusTranscoder};
pub use pipe::{PipeCounts, PipeOutput, StreamPipe};
pub use ring::{PictureRing, RingReader};
pub use rtsp::{RtspItem, RtspOptions, RtspSession};
pub use sink::{FragmentSink, FragmentSinks};
pub use slot::{FrameSlot, Wanted};
pub use sound::{Sound, SoundConfig};
pub use transcode::VideoTranscoder;
pub use url::{place, stream_url};
pub use wall::Arrival;
