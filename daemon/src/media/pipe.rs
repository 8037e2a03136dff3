//! One stream over all its connections: pieces in, fragments and pictures out.

use std::sync::Arc;

use bytes::Bytes;

use super::access_unit::{AccessUnit, Assembler, nal_units, sized_units};
use super::audio::{AudioCodec, AudioParams, AudioTrack};
use super::codec::{VideoCodec, VideoConfig};
use super::decode::Picture;
use super::fmp4::{Sample, init_segment};
use super::fragment::{Fragment, InitSegment, StreamKind};
use super::input::VideoParams;
use super::muxer::{Muxer, VideoSample};
use super::rtp::{Depacketizer, aac_frames};
use super::sound::{Sound, SoundConfig};
use super::timeline::{Stamp, Timeline, VIDEO_HZ};
use super::wall::{Arrival, WallClock};
use crate::base::clocks::{Clocks, RtpTime, SenderReport};
use crate::base::ids::CameraId;
use crate::base::time::UtcMicros;

/// Takes what a stream becomes.
pub trait PipeOutput {
    fn fragment(&mut self, fragment: Arc<Fragment>);
    fn picture(&mut self, picture: Picture);
    fn sound(&mut self, sound: Sound);
    /// Whether parts shorter than a group of pictures are waited for.
    fn wants_parts(&self) -> bool;
}

/// What went through, over all connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PipeCounts {
    pub frames: u64,
    pub bytes: u64,
    /// Frames before the first key frame of a connection, or damaged.
    pub unusable_frames: u64,
    /// Timestamps that could not be true.
    pub time_anomalies: u64,
}

/// A frame whose place is known and whose duration is not.
struct Held {
    unit: AccessUnit,
    stamp: Stamp,
    arrival: Arrival,
}

/// See the module.
pub struct StreamPipe {
    muxer: Muxer,
    timeline: Timeline,
    wall: WallClock,
    depacketizer: Depacketizer,
    assembler: Assembler,
    codec: VideoCodec,
    clock_hz: i64,
    audio: Option<AudioTrack>,
    sound: Option<Arc<SoundConfig>>,
    config: Option<Arc<VideoConfig>>,
    /// The picture being put together: when it began and, once that can be known, its place.
    begun: Option<(Arrival, Option<Stamp>)>,
    held: Option<Held>,
    /// Decode time and arrival of the newest frame.
    placed: Option<(i64, i64)>,
    /// Decode time and date of the newest frame that was given out.
    dated: Option<(i64, UtcMicros)>,
    /// A key frame came on this connection.
    running: bool,
    gap: Option<Arc<str>>,
    /// Timestamps are those of RTP, as the camera sent them.
    rtp: bool,
    report: Option<SenderReport>,
    /// What the camera's clock is ahead of the box's, for recordings dated by the camera.
    pub camera_offset_us: i64,
    pub counts: PipeCounts,
}

impl StreamPipe {
    /// `not_before`: where the recording of an earlier run ended.
    pub fn new(camera: CameraId, stream: StreamKind, part_us: i64, not_before: Option<UtcMicros>) -> Self {
        Self {
            muxer: Muxer::new(camera, stream, part_us.saturating_mul(9) / 100),
            timeline: Timeline::default(),
            wall: WallClock::new(not_before),
            depacketizer: Depacketizer::new(VideoCodec::H264),
            assembler: Assembler::new(VideoCodec::H264),
            codec: VideoCodec::H264,
            clock_hz: VIDEO_HZ,
            audio: None,
            sound: None,
            config: None,
            begun: None,
            held: None,
            placed: None,
            dated: None,
            running: false,
            gap: None,
            rtp: false,
            report: None,
            camera_offset_us: 0,
            counts: PipeCounts::default(),
        }
    }

    pub fn config(&self) -> Option<&Arc<VideoConfig>> {
        self.config.as_ref()
    }

    pub fn init(&self) -> Option<&Arc<InitSegment>> {
        self.muxer.init()
    }

    /// Frames per second as the timeline has learned them.
    pub fn frame_rate(&self) -> f64 {
        VIDEO_HZ as f64 / self.timeline.frame_ticks() as f64
    }

    /// A connection begins; `gap` says why there was none before it. An audio track that cannot be recorded is left
    /// out with the reason returned.
    pub fn connect(
        &mut self,
        video: &VideoParams,
        audio: Option<&AudioParams>,
        gap: Option<Arc<str>>,
    ) -> Option<String> {
        self.codec = video.codec;
        self.clock_hz = video.clock_hz;
        self.depacketizer = Depacketizer::new(video.codec);
        self.assembler = Assembler::new(video.codec);
        self.begun = None;
        self.held = None;
        self.running = false;
        self.timeline.reconnect();
        self.wall.reconnect();
        self.muxer.reconnect();
        self.gap = gap;
        (self.rtp, self.report) = (false, None);
        let mut refused = None;
        match (audio, &mut self.audio) {
            (Some(params), Some(track)) if track.fits(params) => track.reconnect(),
            (Some(params), slot) => match AudioTrack::open(params) {
                Ok(track) => *slot = Some(track),
                Err(error) => {
                    *slot = None;
                    refused = Some(error.to_string());
                }
            },
            (None, slot) => *slot = None,
        }
        self.sound = self.audio.as_ref().map(|audio| Arc::new(audio.sound_config()));
        // The description's parameter sets tell the order of frames before the first of them comes.
        let described = VideoConfig::from_nals(video.codec, nal_units(&video.parameter_sets));
        self.config = None;
        if let Some(config) = described {
            self.timeline.set_reorder(config.reorder);
            self.assembler.frames_only = config.frames_only;
            self.config = Some(Arc::new(config));
        }
        refused
    }

    /// A piece as libavformat gives it, with start codes.
    pub fn push_video(&mut self, piece: &[u8], raw_pts: Option<i64>, arrival: Arrival, out: &mut impl PipeOutput) {
        self.counts.bytes += piece.len() as u64;
        if self.assembler.begins_picture(piece, raw_pts) {
            self.begin_picture(raw_pts, arrival, out);
        }
        self.assembler.push(piece, raw_pts);
    }

    /// The payload of an RTP packet; `lost`: packets are missing before it.
    pub fn push_video_payload(
        &mut self,
        payload: &[u8],
        lost: bool,
        raw_pts: i64,
        arrival: Arrival,
        out: &mut impl PipeOutput,
    ) {
        self.counts.bytes += payload.len() as u64;
        self.rtp = true;
        let raw_pts = Some(raw_pts);
        let mut depacketizer = std::mem::replace(&mut self.depacketizer, Depacketizer::new(self.codec));
        let damaged = depacketizer.damaged;
        depacketizer.push(payload, lost, |piece| {
            if self.assembler.unit_begins_picture(&piece, raw_pts) {
                self.begin_picture(raw_pts, arrival, out);
            }
            self.assembler.push_piece(&piece, raw_pts);
        });
        self.counts.unusable_frames += depacketizer.damaged - damaged;
        self.depacketizer = depacketizer;
    }

    /// The camera says what its clock shows. Nothing is dated by it; it is kept beside the recording.
    pub fn push_report(&mut self, report: SenderReport) {
        self.report = Some(report);
    }

    fn begin_picture(&mut self, raw_pts: Option<i64>, arrival: Arrival, out: &mut impl PipeOutput) {
        self.finish_picture(out);
        // Until the stream is known, places wait for the parameter sets that come with the picture.
        let stamp = self.running.then(|| self.place(raw_pts, arrival));
        if let Some(stamp) = stamp {
            self.release(stamp.dts, out);
        }
        self.begun = Some((arrival, stamp));
    }

    /// The payload of an RTP packet of the audio track.
    pub fn push_audio_payload(&mut self, payload: &[u8], raw_pts: i64, arrival: Arrival, out: &mut impl PipeOutput) {
        match self.audio.as_ref().map(|audio| (audio.codec(), audio.frame_ticks())) {
            Some((AudioCodec::Aac, ticks)) => {
                for (count, frame) in aac_frames(payload).enumerate() {
                    self.push_audio(frame, Some(raw_pts + count as i64 * ticks), arrival, out);
                }
            }
            Some(_) => self.push_audio(payload, Some(raw_pts), arrival, out),
            None => {}
        }
    }

    pub fn push_audio(&mut self, data: &[u8], raw_pts: Option<i64>, arrival: Arrival, out: &mut impl PipeOutput) {
        let (Some(audio), true, Some((dts, steady_us))) = (&mut self.audio, self.running, self.placed) else { return };
        let since = (arrival.steady_us - steady_us).max(0);
        let video_now = dts + since.saturating_mul(9) / 100;
        match audio.push(data, raw_pts, video_now) {
            Ok((at, samples)) => {
                self.muxer.push_audio(samples);
                if let (Some(pts), Some(config), Some((dts, date))) = (at, &self.sound, self.dated) {
                    let since = pts.saturating_mul(1_000_000) / i64::from(config.rate.max(1)) - dts * 100 / 9;
                    let (data, config) = (Bytes::copy_from_slice(data), config.clone());
                    out.sound(Sound { data, pts, time: date.add_micros(since), config });
                }
            }
            // Sound that cannot be encoded must not cost the picture.
            Err(_) => audio.dropped += 1,
        }
    }

    /// The connection ended: gives out what is complete.
    pub fn disconnect(&mut self, out: &mut impl PipeOutput) {
        self.finish_picture(out);
        let after = self.held.as_ref().map(|held| held.stamp.dts + self.timeline.frame_ticks());
        if let Some(after) = after {
            self.release(after, out);
        }
        if let Some(fragment) = self.muxer.cut(true, None) {
            out.fragment(fragment);
        }
        self.running = false;
        self.counts.time_anomalies = self.timeline.anomalies;
    }

    fn place(&mut self, raw_pts: Option<i64>, arrival: Arrival) -> Stamp {
        let ticks = raw_pts.map(|raw| (i128::from(raw) * i128::from(VIDEO_HZ) / i128::from(self.clock_hz)) as i64);
        let stamp = self.timeline.place(ticks, arrival.steady_us);
        self.placed = Some((stamp.dts, arrival.steady_us));
        stamp
    }

    /// The picture under way is complete.
    fn finish_picture(&mut self, out: &mut impl PipeOutput) {
        let Some((arrival, stamp)) = self.begun.take() else { return };
        let Some(unit) = self.assembler.take() else {
            self.counts.unusable_frames += 1;
            return;
        };
        if unit.key {
            self.adopt_config(&unit, out);
        }
        let usable = self.config.is_some() && (self.running || unit.key);
        if !usable {
            self.counts.unusable_frames += 1;
            return;
        }
        if unit.disposable {
            self.timeline.was_disposable();
        }
        self.running = true;
        let stamp = stamp.unwrap_or_else(|| self.place(unit.raw_pts, arrival));
        self.release(stamp.dts, out);
        self.held = Some(Held { unit, stamp, arrival });
    }

    /// Parameter sets that change begin a new initialization segment.
    fn adopt_config(&mut self, unit: &AccessUnit, out: &mut impl PipeOutput) {
        let fits = match (&self.config, self.codec) {
            (Some(config), VideoCodec::Mjpeg) => {
                VideoConfig::from_jpeg(&unit.data).is_none_or(|found| found == **config)
            }
            (Some(config), _) => config.still_fits(sized_units(&unit.data)),
            (None, _) => false,
        };
        if !fits {
            let found = match self.codec {
                VideoCodec::Mjpeg => VideoConfig::from_jpeg(&unit.data),
                codec => VideoConfig::from_nals(codec, sized_units(&unit.data)),
            };
            if let Some(config) = found {
                self.timeline.set_reorder(config.reorder);
                self.assembler.frames_only = config.frames_only;
                self.config = Some(Arc::new(config));
            }
        }
        let Some(config) = self.config.clone() else { return };
        let init = init_segment(&config, self.audio.as_ref().map(|audio| &audio.config));
        if self.muxer.init().is_none_or(|old| old.id != init.id) {
            // The frame before the key frame still belongs to the old segment.
            let after = self.held.as_ref().map(|held| held.stamp.dts + self.timeline.frame_ticks());
            if let Some(after) = after {
                self.release(after, out);
            }
            if let Some(fragment) = self.muxer.set_init(init) {
                out.fragment(fragment);
            }
        }
    }

    fn clocks(&self, raw_pts: Option<i64>, arrival: Arrival) -> Clocks {
        let hz = u32::try_from(self.clock_hz).unwrap_or(0);
        // The lower 32 bits are what the camera sent.
        let rtp = raw_pts.filter(|_| self.rtp && hz > 0).map(|raw| RtpTime { ticks: raw as u32, hz });
        let camera_us = self.report.zip(rtp).and_then(|(report, time)| report.camera_time(time));
        Clocks { arrival_us: arrival.utc, rtp, camera_us, box_clock: None }
    }

    /// The frame that follows the held one is decoded at `next_dts`: the held one has its duration.
    fn release(&mut self, next_dts: i64, out: &mut impl PipeOutput) {
        let Some(Held { unit, stamp, arrival }) = self.held.take() else { return };
        let Some(config) = self.config.clone() else { return };
        let date = self.wall.date(stamp.dts * 100 / 9, unit.key, arrival, self.camera_offset_us);
        self.dated = Some((stamp.dts, date));
        // Dates are of decode order; what reordering delays every frame by is the same for all.
        let delay = self.timeline.reorder() as i64 * self.timeline.frame_ticks();
        let shown = date.add_micros((stamp.pts - stamp.dts - delay) * 100 / 9);
        let clocks = self.clocks(unit.raw_pts, arrival);
        let sample = Sample {
            data: unit.data.clone(),
            dts: stamp.dts,
            duration: u32::try_from(next_dts - stamp.dts).unwrap_or(1).max(1),
            offset: u32::try_from(stamp.pts - stamp.dts).unwrap_or(0),
            key: unit.key,
        };
        self.counts.frames += 1;
        self.counts.time_anomalies = self.timeline.anomalies;
        let gap = if unit.key { self.gap.take() } else { None };
        let parts = out.wants_parts();
        for fragment in
            self.muxer.push(VideoSample { sample, wall: date, gap, clocks: Some(clocks) }, parts).into_iter().flatten()
        {
            out.fragment(fragment);
        }
        out.picture(Picture { data: unit.data, key: unit.key, time: shown, pts: stamp.pts, config });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Kept(Vec<Arc<Fragment>>);

    impl PipeOutput for Kept {
        fn fragment(&mut self, fragment: Arc<Fragment>) {
            self.0.push(fragment);
        }

        fn picture(&mut self, _: Picture) {}

        fn sound(&mut self, _: Sound) {}

        fn wants_parts(&self) -> bool {
            false
        }
    }

    const SMALL: [&str; 2] = ["6764001eacd940a02ff970110000030001000003003c0f162d96", "68ebe3cb22c0"];
    const LARGE: [&str; 2] = ["6742c028d900780227e5c044000003000400000300f03c60c920", "68cb83cb20"];

    fn unit(hex: &str) -> Vec<u8> {
        [vec![0, 0, 0, 1], hex::decode(hex).unwrap()].concat()
    }

    /// One second at 25 frames a second, beginning with a key frame behind its parameter sets.
    fn second(pipe: &mut StreamPipe, sets: [&str; 2], number: i64, out: &mut Kept) {
        for frame in number * 25..(number + 1) * 25 {
            let arrival = Arrival { utc: UtcMicros(1_790_000_000_000_000 + frame * 40_000), steady_us: frame * 40_000 };
            let key = frame % 25 == 0;
            let units = if key { vec![unit(sets[0]), unit(sets[1]), unit("6588aa")] } else { vec![unit("419abb")] };
            for unit in units {
                pipe.push_video(&unit, Some(frame * 3600), arrival, out);
            }
        }
    }

    #[test]
    fn new_parameter_sets_begin_a_new_initialization_segment() {
        let mut pipe = StreamPipe::new("gate".parse().unwrap(), StreamKind::Main, 200_000, None);
        let mut out = Kept::default();
        let described = VideoParams { codec: VideoCodec::H264, parameter_sets: Vec::new(), clock_hz: VIDEO_HZ };
        pipe.connect(&described, None, None);
        second(&mut pipe, SMALL, 0, &mut out);
        second(&mut pipe, LARGE, 1, &mut out);
        second(&mut pipe, LARGE, 2, &mut out);
        pipe.disconnect(&mut out);
        // A reconnection with the same settings keeps the segment.
        pipe.connect(&described, None, Some("test".into()));
        second(&mut pipe, LARGE, 10, &mut out);
        pipe.disconnect(&mut out);
        assert_eq!(out.0.iter().map(|fragment| fragment.frames).sum::<u32>(), 100);
        let sizes: Vec<u32> = out.0.iter().map(|fragment| fragment.init.width).collect();
        let changes = sizes.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert_eq!((sizes[0], *sizes.last().unwrap(), changes), (640, 1920, 1));
        let change = out.0.iter().position(|fragment| fragment.init.width == 1920).unwrap();
        assert!(out.0[change].key && out.0[change - 1].gop_end);
        let ids: std::collections::BTreeSet<_> = out.0.iter().map(|fragment| fragment.init.id).collect();
        assert_eq!(ids.len(), 2);
        assert!(out.0.windows(2).all(|pair| pair[1].start >= pair[0].end() && pair[1].tfdt > pair[0].tfdt));
        assert_eq!(out.0.iter().filter(|fragment| fragment.gap.is_some()).count(), 1);
        assert_eq!(pipe.counts, PipeCounts { frames: 100, bytes: pipe.counts.bytes, ..PipeCounts::default() });
    }
}
