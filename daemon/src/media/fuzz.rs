//! The fuzz targets of this layer; see `crate::fuzz`.

use std::sync::Arc;

use super::access_unit::{Assembler, nal_units, sized_units};
use super::audio::{AudioCodec, AudioConfig, AudioParams};
use super::codec::{VideoCodec, VideoConfig};
use super::decode::Picture;
use super::fmp4::{Retimer, decoder_record, first_sample, with_duration};
use super::fragment::{Fragment, StreamKind};
use super::input::VideoParams;
use super::pipe::{PipeOutput, StreamPipe};
use super::rtp::{aac_frames, described_sets};
use super::sound::Sound;
use super::timeline::Timeline;
use super::wall::{Arrival, WallClock};
use crate::base::time::UtcMicros;

const CODECS: [VideoCodec; 2] = [VideoCodec::H264, VideoCodec::H265];
/// A day in 2026.
const TODAY: i64 = 1_790_000_000_000_000;

pub fn parameter_sets(data: &[u8]) {
    for codec in CODECS {
        if let Some(config) = VideoConfig::from_nals(codec, nal_units(data)) {
            assert!(config.width > 0 && config.height > 0 && config.still_fits(nal_units(data)));
        }
    }
}

pub fn jpeg(data: &[u8]) {
    if let Some(config) = VideoConfig::from_jpeg(data) {
        assert!(config.width > 0 && config.height > 0);
    }
}

pub fn sdp(data: &[u8]) {
    for codec in CODECS {
        VideoConfig::from_nals(codec, nal_units(&described_sets(data, codec)));
    }
}

pub fn url(data: &[u8]) {
    let address = String::from_utf8_lossy(data);
    super::url::place(&address);
    if let Ok(url) = super::url::bare_url(&address) {
        assert!(matches!(url.scheme(), "rtsp" | "rtsps"));
    }
}

pub fn audio(data: &[u8]) {
    AudioConfig::parse(data);
    assert!(aac_frames(data).map(<[u8]>::len).sum::<usize>() <= data.len());
}

pub fn fmp4(data: &[u8]) {
    decoder_record(data);
    first_sample(data);
    with_duration(data, 1_000_000);
    let mut fragment = data.to_vec();
    Retimer::of(data).retime(&mut fragment, 90_000, 1);
    assert_eq!(fragment.len(), data.len(), "sizes never change");
}

/// Pieces with start codes, as libavformat gives them: cut where a byte says so.
pub fn access_unit(data: &[u8]) {
    for codec in CODECS {
        let mut assembler = Assembler::new(codec);
        for (number, piece) in data.chunks(data.first().map_or(1, |byte| usize::from(*byte) + 1)).enumerate() {
            let pts = Some(number as i64 / 3);
            if assembler.begins_picture(piece, pts)
                && let Some(unit) = assembler.take()
            {
                let used: usize = sized_units(&unit.data).map(|nal| nal.len() + 4).sum();
                assert_eq!(used, unit.data.len());
            }
            assembler.push(piece, pts);
        }
    }
}

/// Numbers out of fuzzed bytes.
struct Numbers<'a>(&'a [u8]);

impl Numbers<'_> {
    fn next(&mut self) -> Option<i64> {
        let (number, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(i64::from(i32::from_le_bytes(*number)))
    }
}

/// Pairs of a timestamp and the milliseconds since the one before; odd milliseconds reconnect, or say how frames are
/// ordered.
pub fn timeline(data: &[u8]) {
    let mut numbers = Numbers(data);
    let (mut timeline, mut steady_us, mut last) = (Timeline::default(), 0i64, None);
    while let (Some(raw), Some(ms)) = (numbers.next(), numbers.next()) {
        steady_us += ms.rem_euclid(10_000) * 1000;
        match ms.rem_euclid(16) {
            1 => timeline.reconnect(),
            3 => timeline.set_reorder(usize::try_from(raw).ok()),
            5 => timeline.was_disposable(),
            _ => {}
        }
        let stamp = timeline.place((ms % 16 != 7).then_some(raw), steady_us);
        assert!(stamp.pts >= stamp.dts && last.is_none_or(|last| stamp.dts > last), "{stamp:?} after {last:?}");
        last = Some(stamp.dts);
    }
}

/// Steps of the stream, and of the clock of the box while it is being set.
pub fn wall(data: &[u8]) {
    let mut numbers = Numbers(data);
    let (mut wall, mut media, mut steady, mut last) = (WallClock::new(None), 0i64, 0i64, None);
    while let (Some(step), Some(shift)) = (numbers.next(), numbers.next()) {
        if shift % 16 == 1 {
            wall.reconnect();
        }
        media += step.rem_euclid(5_000_000) + 1;
        steady += step.rem_euclid(7_000_000);
        let arrival = Arrival { utc: UtcMicros(TODAY + steady + shift * 1000), steady_us: steady };
        let date = wall.date(media, step % 2 == 0, arrival, shift);
        assert!(last.is_none_or(|last| date > last));
        last = Some(date);
    }
}

#[derive(Default)]
struct Line(Option<Arc<Fragment>>);

impl PipeOutput for Line {
    fn fragment(&mut self, fragment: Arc<Fragment>) {
        if let Some(last) = &self.0 {
            assert!(fragment.start >= last.end() && fragment.tfdt > last.tfdt, "R3: {last:?} then {fragment:?}");
        }
        self.0 = Some(fragment);
    }

    fn picture(&mut self, _: Picture) {}

    fn sound(&mut self, _: Sound) {}

    fn wants_parts(&self) -> bool {
        true
    }
}

/// A whole stream: payloads behind one byte of length, three of timestamp and one of flags.
pub fn rtp(data: &[u8]) {
    for codec in CODECS {
        let mut pipe = StreamPipe::new("fuzz".parse().expect("a name"), StreamKind::Main, 200_000, None);
        let mut out = Line::default();
        let video = VideoParams { codec, parameter_sets: Vec::new(), clock_hz: 90_000 };
        let audio = AudioParams { codec: AudioCodec::Aac, specific: vec![0x15, 0x88], clock_hz: 8000 };
        pipe.connect(&video, Some(&audio), None);
        let (mut rest, mut steady_us) = (data, 0);
        while let [length, a, b, c, flags, tail @ ..] = rest {
            let (payload, next) = tail.split_at(usize::from(*length).min(tail.len()));
            rest = next;
            steady_us += i64::from(flags >> 3) * 10_000;
            let arrival = Arrival { utc: UtcMicros(TODAY + steady_us), steady_us };
            let pts = i64::from(u32::from_be_bytes([0, *a, *b, *c])) << 4;
            match flags & 7 {
                0 => pipe.push_audio_payload(payload, pts, arrival, &mut out),
                1 => {
                    pipe.disconnect(&mut out);
                    pipe.connect(&video, None, Some(Arc::from("fuzz")));
                }
                kind => pipe.push_video_payload(payload, kind == 2, pts, arrival, &mut out),
            }
        }
        pipe.disconnect(&mut out);
    }
}
