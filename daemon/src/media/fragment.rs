//! What a camera's stream becomes: an initialization segment and CMAF fragments, made once and shared by everybody.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::codec::VideoCodec;
use crate::base::clocks::Clocks;
use crate::base::ids::CameraId;
use crate::base::time::UtcMicros;

/// Which of a camera's streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StreamKind {
    Main,
    Sub,
}

impl StreamKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Sub => "sub",
        }
    }
}

impl fmt::Display for StreamKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for StreamKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "main" => Ok(Self::Main),
            "sub" => Ok(Self::Sub),
            other => Err(format!("`{other}` is not a stream: use main or sub")),
        }
    }
}

/// `ftyp` + `moov` of one stream; every fragment names the one it belongs to.
#[derive(Clone, PartialEq, Eq)]
pub struct InitSegment {
    pub data: Bytes,
    /// SHA-256 of `data`.
    pub id: [u8; 32],
    /// RFC 6381, as `MediaSource.isTypeSupported` takes it.
    pub mime: String,
    pub video_codec: VideoCodec,
    /// Pixels.
    pub width: u32,
    pub height: u32,
    pub has_audio: bool,
}

impl InitSegment {
    pub fn id_hex(&self) -> String {
        hex::encode(self.id)
    }
}

impl fmt::Debug for InitSegment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InitSegment({}, {}x{}, {} B)", self.mime, self.width, self.height, self.data.len())
    }
}

/// One `moof` + `mdat`: a whole group of pictures, or a part of one while somebody watches live.
#[derive(Clone)]
pub struct Fragment {
    pub camera: CameraId,
    pub stream: StreamKind,
    pub init: Arc<InitSegment>,
    pub data: Bytes,
    /// Wall time of the first frame. Never before the end of the fragment before it (R3).
    pub start: UtcMicros,
    pub duration_us: i64,
    /// Video frames.
    pub frames: u32,
    /// Begins with a key frame.
    pub key: bool,
    /// The next fragment begins with a key frame, or the stream ended here.
    pub gop_end: bool,
    /// Counts up from 1 over the life of the stream.
    pub sequence: u64,
    /// Decode time of the first video frame on the stream's own continuous timeline, 1/90000 s.
    pub tfdt: i64,
    /// Why nothing came between the fragment before and this one; `None` where they join.
    pub gap: Option<Arc<str>>,
    /// Of the first frame.
    pub clocks: Option<Clocks>,
}

#[cfg(test)]
impl Fragment {
    /// A second without content, for tests that change what matters to them.
    pub(crate) fn sample() -> Self {
        let init = InitSegment {
            data: Bytes::new(),
            id: [0; 32],
            mime: "video/mp4; codecs=\"avc1.64001F\"".to_owned(),
            video_codec: VideoCodec::H264,
            width: 16,
            height: 16,
            has_audio: false,
        };
        Self {
            camera: "a".parse().expect("a valid id"),
            stream: StreamKind::Main,
            init: Arc::new(init),
            data: Bytes::new(),
            start: UtcMicros(0),
            duration_us: 1_000_000,
            frames: 1,
            key: true,
            gop_end: true,
            sequence: 1,
            tfdt: 0,
            gap: None,
            clocks: None,
        }
    }
}

impl Fragment {
    pub fn end(&self) -> UtcMicros {
        self.start.add_micros(self.duration_us)
    }
}

impl fmt::Debug for Fragment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Fragment({}/{} #{} {} +{} us, {} frames, {} B, key {}, gop_end {}, gap {:?})",
            self.camera,
            self.stream,
            self.sequence,
            self.start,
            self.duration_us,
            self.frames,
            self.data.len(),
            self.key,
            self.gop_end,
            self.gap
        )
    }
}
