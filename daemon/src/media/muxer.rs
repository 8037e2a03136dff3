//! Pure. Cuts the finished samples of one stream into fragments: one per group of pictures, shorter parts while
//! somebody watches.

use std::sync::Arc;

use super::fmp4::{Sample, chunk};
use super::fragment::{Fragment, InitSegment, StreamKind};
use super::timeline::VIDEO_HZ;
use crate::base::clocks::Clocks;
use crate::base::ids::CameraId;
use crate::base::time::UtcMicros;

/// A power cut loses at most this much of a camera whose groups of pictures are longer.
const LONGEST: i64 = 4 * VIDEO_HZ;
/// Streams of key frames alone are not cut at each of them.
const SHORTEST: i64 = VIDEO_HZ / 2;
/// The same bound in bytes.
const LARGEST: usize = 8 << 20;
/// Fragments this close to each other join.
const JOINS_US: i64 = 20_000;

/// One finished frame.
pub struct VideoSample {
    pub sample: Sample,
    pub wall: UtcMicros,
    /// Why nothing came before it, where that is so.
    pub gap: Option<Arc<str>>,
    pub clocks: Option<Clocks>,
}

/// Collects samples of one stream.
pub struct Muxer {
    camera: CameraId,
    stream: StreamKind,
    part_ticks: i64,
    init: Option<Arc<InitSegment>>,
    video: Vec<Sample>,
    audio: Vec<Sample>,
    bytes: usize,
    /// Length of the group of pictures so far, fragments given out included.
    group: i64,
    start: UtcMicros,
    gap: Option<Arc<str>>,
    clocks: Option<Clocks>,
    /// Where the last fragment ended.
    end: Option<UtcMicros>,
    sequence: u64,
    /// Nothing was given out since the connection began: the first fragment is short, so that it is soon stored.
    fresh: bool,
}

impl Muxer {
    pub fn new(camera: CameraId, stream: StreamKind, part_ticks: i64) -> Self {
        Self {
            camera,
            stream,
            part_ticks,
            init: None,
            video: Vec::new(),
            audio: Vec::new(),
            bytes: 0,
            group: 0,
            start: UtcMicros(0),
            gap: None,
            clocks: None,
            end: None,
            sequence: 0,
            fresh: true,
        }
    }

    pub fn init(&self) -> Option<&Arc<InitSegment>> {
        self.init.as_ref()
    }

    /// A new connection begins.
    pub fn reconnect(&mut self) {
        self.fresh = true;
    }

    /// What follows is described by `init`. Ends the fragment under way.
    pub fn set_init(&mut self, init: Arc<InitSegment>) -> Option<Arc<Fragment>> {
        let done = self.cut(true, None);
        self.group = 0;
        self.audio.clear();
        self.init = Some(init);
        done
    }

    /// Adds a frame; `parts`: somebody waits for less than a whole group. At most two fragments come out.
    pub fn push(&mut self, frame: VideoSample, parts: bool) -> [Option<Arc<Fragment>>; 2] {
        let VideoSample { sample, wall, gap, clocks } = frame;
        // Of the group and not of the part under way: a key frame in the middle of a part would hide from viewers.
        let ends_group = sample.key && self.group >= SHORTEST;
        let before = if ends_group || gap.is_some() { self.cut(true, Some(wall)) } else { None };
        if ends_group || gap.is_some() {
            self.group = 0;
        }
        if self.video.is_empty() {
            // Dates are slewed a little between fragments; they join all the same (R3).
            self.start = self.end.map_or(wall, |end| if wall.since(end) <= JOINS_US { end } else { wall });
            (self.gap, self.clocks) = (gap, clocks);
        }
        self.group += i64::from(sample.duration);
        self.bytes += sample.data.len();
        self.video.push(sample);
        let long = self.length() >= if parts || self.fresh { self.part_ticks.min(LONGEST) } else { LONGEST };
        let after = if long || self.bytes >= LARGEST { self.cut(false, None) } else { None };
        [before, after]
    }

    pub fn push_audio(&mut self, samples: Vec<Sample>) {
        // Without video nothing empties this; 512 frames of AAC are ten seconds.
        let room = 512usize.saturating_sub(self.audio.len());
        self.audio.extend(samples.into_iter().take(room));
    }

    /// Ends the fragment under way. `next`: the date of the frame that follows, where one does.
    pub fn cut(&mut self, gop_end: bool, next: Option<UtcMicros>) -> Option<Arc<Fragment>> {
        let first = self.video.first()?;
        let init = self.init.clone()?;
        let (key, tfdt) = (first.key, first.dts);
        let length_us = self.length() * 100 / 9;
        let natural_end = self.start.add_micros(length_us);
        // Where the next frame follows at once, the fragment ends exactly where that one is dated.
        let end = next.filter(|next| (next.since(natural_end)).abs() <= length_us / 20 + 1000).unwrap_or(natural_end);
        let end = end.max(self.start.add_micros(1));
        self.sequence += 1;
        self.fresh = false;
        let fragment = Fragment {
            camera: self.camera.clone(),
            stream: self.stream,
            init,
            data: chunk(self.sequence as u32, &self.video, &self.audio),
            start: self.start,
            duration_us: end.since(self.start),
            frames: self.video.len() as u32,
            key,
            gop_end,
            sequence: self.sequence,
            tfdt,
            gap: self.gap.take(),
            clocks: self.clocks,
        };
        self.end = Some(end);
        self.video.clear();
        self.audio.clear();
        self.bytes = 0;
        Some(Arc::new(fragment))
    }

    fn length(&self) -> i64 {
        self.video.iter().map(|sample| i64::from(sample.duration)).sum()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::media::VideoConfig;
    use crate::media::fmp4::init_segment;

    fn muxer() -> Muxer {
        let mut muxer = Muxer::new("gate".parse().unwrap(), StreamKind::Main, VIDEO_HZ / 5);
        let jpeg = [0xff, 0xd8, 0xff, 0xc0, 0, 11, 8, 0, 16, 0, 16, 1, 1, 0x11, 0];
        muxer.fresh = false;
        muxer.set_init(init_segment(&VideoConfig::from_jpeg(&jpeg).unwrap(), None));
        muxer
    }

    fn run(muxer: &mut Muxer, frames: std::ops::Range<i64>, group: i64, parts: bool) -> Vec<Arc<Fragment>> {
        let mut out = Vec::new();
        for n in frames {
            let sample = Sample {
                data: Bytes::from_static(b"frame"),
                dts: n * 3600,
                duration: 3600,
                offset: 0,
                key: n % group == 0,
            };
            let frame = VideoSample { sample, wall: UtcMicros(n * 40_000), gap: None, clocks: None };
            out.extend(muxer.push(frame, parts).into_iter().flatten());
        }
        out
    }

    #[test]
    fn one_fragment_per_group() {
        let done = run(&mut muxer(), 0..151, 50, false);
        assert_eq!(done.len(), 3);
        for (n, fragment) in done.iter().enumerate() {
            assert_eq!((fragment.frames, fragment.key, fragment.gop_end), (50, true, true));
            assert_eq!((fragment.start.0, fragment.duration_us), (n as i64 * 2_000_000, 2_000_000));
        }
    }

    #[test]
    fn parts_while_somebody_watches_and_a_bound_on_long_groups() {
        let parts = run(&mut muxer(), 0..51, 50, true);
        assert_eq!(parts.len(), 10);
        assert!(parts[0].key && parts[1..].iter().all(|part| !part.key));
        assert!(parts.windows(2).all(|pair| pair[0].end() == pair[1].start));
        let odd = run(&mut muxer(), 0..146, 48, true);
        let begins: Vec<i64> = odd.iter().filter(|part| part.key).map(|part| part.tfdt / 3600).collect();
        assert_eq!(
            begins,
            [0, 48, 96, 144][..begins.len()],
            "groups that are no multiple of a part begin one all the same"
        );
        assert!(begins.len() >= 3 && odd.iter().all(|part| part.frames <= 5));
        let long = run(&mut muxer(), 0..201, 1000, false);
        assert_eq!(long.iter().map(|fragment| fragment.frames).collect::<Vec<_>>(), [100, 100]);
        assert_eq!(run(&mut muxer(), 0..27, 1, false).len(), 2, "key frames alone make half-second fragments");
    }

    #[test]
    fn a_group_that_seems_to_start_early_still_joins() {
        let mut muxer = muxer();
        run(&mut muxer, 0..10, 50, false);
        let first = muxer.cut(true, Some(UtcMicros(399_900))).unwrap();
        assert_eq!(first.end().0, 399_900);
        muxer.end = Some(UtcMicros(500_000));
        run(&mut muxer, 10..20, 10, false);
        assert_eq!(muxer.cut(true, None).unwrap().start.0, 500_000);
    }
}
