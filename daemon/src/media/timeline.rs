//! Pure. The sanitiser of video timestamps (invariant R3): whatever a camera sends, decode times of a stream only go
//! forward, and each reconnection continues where the stream stopped.

/// Ticks per second of every video timeline here, as RTP video has them.
pub const VIDEO_HZ: i64 = 90_000;

/// A forward step of the camera's clock beyond this must be explained by time that really passed.
const TRUSTED_STEP: i64 = VIDEO_HZ;
/// How far the presentation order of frames may run behind their decode order.
const REORDER_SPAN: i64 = VIDEO_HZ;
/// 25 frames a second, until the camera shows its own rate.
const FIRST_GUESS: i64 = VIDEO_HZ / 25;
const MAX_FRAME: i64 = 10 * VIDEO_HZ;
const MAX_REORDER: usize = 16;

/// Where a frame stands on the stream's continuous timeline, in 1/90000 s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Strictly greater than the one before.
    pub dts: i64,
    /// Never less than `dts`.
    pub pts: i64,
}

/// A frame that times are counted from.
#[derive(Clone, Copy, Debug)]
struct Base {
    raw: i64,
    pts: i64,
    steady_us: i64,
}

/// One video stream over all its connections.
#[derive(Clone, Debug)]
pub struct Timeline {
    /// The last frame whose timestamp was believed.
    base: Option<Base>,
    /// The last frame whose timestamp was not: where the next one agrees with it, the camera's clock has stepped; where
    /// that agrees with `base`, it was a slip, and nothing has moved.
    odd: Option<Base>,
    last_steady_us: i64,
    /// Presentation time of the last frame in decode order.
    last_pts: i64,
    last_dts: Option<i64>,
    frame: i64,
    reorder: usize,
    /// Presentation times that no decode time has been taken from yet, ascending.
    waiting: Vec<i64>,
    /// Frames since the connection began, up to `reorder`.
    primed: usize,
    first_pts: i64,
    connected: bool,
    stepped_back: bool,
    /// Timestamps that could not be true and were replaced.
    pub anomalies: u64,
}

impl Default for Timeline {
    fn default() -> Self {
        Self {
            base: None,
            odd: None,
            last_steady_us: 0,
            last_pts: 0,
            last_dts: None,
            frame: FIRST_GUESS,
            reorder: 0,
            waiting: Vec::new(),
            primed: 0,
            first_pts: 0,
            connected: false,
            stepped_back: false,
            anomalies: 0,
        }
    }
}

impl Timeline {
    /// A new connection begins: its timestamps have nothing to do with the ones before.
    pub fn reconnect(&mut self) {
        self.connected = false;
        self.base = None;
        self.odd = None;
    }

    /// How far decode order may run ahead, where the stream says so.
    pub fn set_reorder(&mut self, frames: Option<usize>) {
        if let Some(frames) = frames {
            self.grow_reorder(frames);
        }
    }

    pub fn reorder(&self) -> usize {
        self.reorder
    }

    /// The usual time between two frames.
    pub fn frame_ticks(&self) -> i64 {
        self.frame
    }

    /// Places the next frame in decode order. `steady_us`: when it arrived, on a clock that is never set.
    pub fn place(&mut self, raw_pts: Option<i64>, steady_us: i64) -> Stamp {
        if !self.connected {
            return self.place_first(raw_pts, steady_us);
        }
        let mut pts = match raw_pts {
            Some(raw) => self.locate(raw, steady_us),
            None => self.last_pts.saturating_add(self.frame),
        };
        self.last_steady_us = steady_us;
        self.last_pts = pts;

        let after = self.last_dts.map_or(i64::MIN, |dts| dts + 1);
        if self.reorder > 0 && pts < after {
            self.grow_reorder(self.reorder + 1);
        }
        let at = self.waiting.partition_point(|&other| other <= pts);
        self.waiting.insert(at, pts);
        let ideal = if self.primed < self.reorder {
            self.primed += 1;
            self.first_pts - (self.reorder + 1 - self.primed) as i64 * self.frame
        } else {
            self.waiting.remove(0)
        };
        let dts = ideal.min(pts).max(after);
        pts = pts.max(dts);
        if let Some(last) = self.last_dts {
            self.learn_rate(dts - last);
        }
        self.last_dts = Some(dts);
        Stamp { dts, pts }
    }

    fn place_first(&mut self, raw_pts: Option<i64>, steady_us: i64) -> Stamp {
        let dts = self.last_dts.map_or(0, |last| last + self.frame);
        let pts = dts + self.reorder as i64 * self.frame;
        self.connected = true;
        self.base = raw_pts.map(|raw| Base { raw, pts, steady_us });
        self.odd = None;
        self.last_steady_us = steady_us;
        self.last_pts = pts;
        self.last_dts = Some(dts);
        self.waiting.clear();
        self.primed = 0;
        self.first_pts = pts;
        if self.reorder > 0 {
            self.waiting.push(pts);
            self.primed = 1;
        }
        Stamp { dts, pts }
    }

    /// Where the camera's timestamp says, if that can be true; otherwise after the time that passed here, or one frame.
    fn locate(&mut self, raw: i64, steady_us: i64) -> i64 {
        self.stepped_back = self.base.is_some_and(|base| (-REORDER_SPAN..0).contains(&unwrapped(raw, base.raw)));
        let believed = [self.base, self.odd].into_iter().flatten().find_map(|from| {
            let step = unwrapped(raw, from.raw);
            let arrived = ticks(steady_us.saturating_sub(from.steady_us));
            self.is_believable(step, arrived).then(|| from.pts.saturating_add(step))
        });
        if let Some(pts) = believed {
            self.base = Some(Base { raw, pts, steady_us });
            self.odd = None;
            return pts;
        }
        let arrived = ticks(steady_us.saturating_sub(self.last_steady_us));
        let step = if (self.frame..MAX_FRAME).contains(&arrived) { arrived } else { self.frame };
        let pts = self.last_pts.saturating_add(step);
        let here = Some(Base { raw, pts, steady_us });
        if self.base.is_none() {
            // Nothing to compare with: the frames before it had no timestamps.
            self.base = here;
        } else {
            self.anomalies += 1;
            self.odd = here;
        }
        pts
    }

    fn is_believable(&self, step: i64, arrived: i64) -> bool {
        match step {
            1..=TRUSTED_STEP => true,
            ..=0 => self.reorder > 0 && (-REORDER_SPAN..0).contains(&step),
            _ => step <= arrived.saturating_add(TRUSTED_STEP),
        }
    }

    /// The frame placed last turned out to be one that no other refers to. If it came out of order, the stream
    /// reorders although it did not say so.
    pub fn was_disposable(&mut self) {
        if self.stepped_back && self.reorder == 0 {
            self.grow_reorder(1);
            // What follows is later by what reordering delays it.
            self.base = self.odd.take().or(self.base);
        }
    }

    fn grow_reorder(&mut self, frames: usize) {
        self.reorder = self.reorder.max(frames.min(MAX_REORDER));
    }

    fn learn_rate(&mut self, step: i64) {
        if (VIDEO_HZ / 240..=2 * VIDEO_HZ).contains(&step) {
            self.frame += (step - self.frame) / 8;
            self.frame = self.frame.max(VIDEO_HZ / 240);
        }
    }
}

/// The signed step between two timestamps whose counter has 32 bits (RFC 3550).
fn unwrapped(raw: i64, last: i64) -> i64 {
    let step = raw.wrapping_sub(last);
    if step.unsigned_abs() > u64::from(u32::MAX / 2) { i64::from(step as i32) } else { step }
}

fn ticks(micros: i64) -> i64 {
    micros.saturating_mul(9) / 100
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(timeline: &mut Timeline, frames: &[(i64, i64)]) -> Vec<Stamp> {
        frames.iter().map(|&(raw, steady_us)| timeline.place(Some(raw), steady_us)).collect()
    }

    fn dts(stamps: &[Stamp]) -> Vec<i64> {
        stamps.iter().map(|stamp| stamp.dts).collect()
    }

    #[test]
    fn true_timestamps_are_kept() {
        let stamps = run(&mut Timeline::default(), &[(500, 0), (4100, 40_000), (7700, 80_000), (97_700, 1_080_000)]);
        assert_eq!(dts(&stamps), [0, 3600, 7200, 97_200]);
        assert!(stamps.iter().all(|stamp| stamp.dts == stamp.pts));
    }

    #[test]
    fn the_counter_wraps() {
        let edge = i64::from(u32::MAX);
        let mut timeline = Timeline::default();
        let stamps = run(&mut timeline, &[(edge - 3599, 0), (0, 40_000), (3600, 80_000)]);
        assert_eq!(dts(&stamps), [0, 3600, 7200]);
        assert_eq!(timeline.anomalies, 0);
    }

    #[test]
    fn jumps_are_replaced_and_pauses_are_not() {
        let mut timeline = Timeline::default();
        let stamps = run(&mut timeline, &[(0, 0), (3600, 40_000), (90_000_000, 80_000), (90_003_600, 120_000)]);
        assert_eq!(dts(&stamps), [0, 3600, 7200, 10_800]);
        assert_eq!(timeline.anomalies, 1);
        let stamps = run(&mut timeline, &[(90_003_600 + 450_000, 5_120_000)]);
        assert_eq!(dts(&stamps), [460_800], "five seconds passed on both clocks");
        let stamps = run(&mut timeline, &[(0, 5_160_000), (3600, 5_200_000)]);
        assert_eq!(dts(&stamps), [464_400, 468_000]);
        assert_eq!(timeline.anomalies, 2);
    }

    #[test]
    fn declared_reordering_gives_steady_decode_times() {
        let mut timeline = Timeline::default();
        timeline.set_reorder(Some(1));
        // I P B P B in decode order.
        let raw = [0, 7200, 3600, 14_400, 10_800, 21_600, 18_000];
        let frames: Vec<_> = raw.iter().enumerate().map(|(n, &pts)| (pts, n as i64 * 40_000)).collect();
        let stamps = run(&mut timeline, &frames);
        assert_eq!(dts(&stamps), [0, 3600, 7200, 10_800, 14_400, 18_000, 21_600]);
        let shown: Vec<_> = stamps.iter().map(|stamp| stamp.pts - 3600).collect();
        assert_eq!(shown, raw);
        assert_eq!(timeline.anomalies, 0);
    }

    #[test]
    fn undeclared_reordering_is_learned() {
        let mut timeline = Timeline::default();
        let raw = [0, 7200, 3600, 14_400, 10_800, 21_600, 18_000, 28_800, 25_200];
        let mut stamps = Vec::new();
        for (n, &pts) in raw.iter().enumerate() {
            stamps.push(timeline.place(Some(pts), n as i64 * 40_000));
            if n > 0 && n % 2 == 0 {
                timeline.was_disposable();
            }
        }
        assert!(stamps.windows(2).all(|pair| pair[0].dts < pair[1].dts));
        let shown: Vec<_> = stamps.iter().skip(3).map(|stamp| stamp.pts - stamps[3].pts).collect();
        assert_eq!(shown, [0, -3600, 7200, 3600, 14_400, 10_800]);
    }

    #[test]
    fn a_reconnection_continues() {
        let mut timeline = Timeline::default();
        run(&mut timeline, &[(0, 0), (3600, 40_000)]);
        timeline.reconnect();
        assert_eq!(dts(&run(&mut timeline, &[(77, 9_000_000), (3677, 9_040_000)])), [7200, 10_800]);
    }

    /// One camera at 25 frames a second and what is wrong with the timestamps that it sends, by frame.
    fn camera(frames: i64, start: i64, wrong: impl Fn(i64, i64) -> Option<i64>) -> (i64, u64) {
        let mut timeline = Timeline::default();
        let mut stamps = Vec::new();
        for n in 0..frames {
            let raw = wrong(n, start + n * 3600).map(|raw| raw & i64::from(u32::MAX));
            stamps.push(timeline.place(raw, n * 40_000));
        }
        assert!(stamps.windows(2).all(|pair| pair[1].dts > pair[0].dts));
        (stamps[stamps.len() - 1].dts - stamps[0].dts, timeline.anomalies)
    }

    proptest! {
        #[test]
        fn the_counter_wraps_anywhere(before in 0i64..400) {
            let start = i64::from(u32::MAX) - before * 3600;
            prop_assert_eq!(camera(500, start, |_, raw| Some(raw)), (499 * 3600, 0));
        }

        #[test]
        fn the_camera_s_clock_steps(at in 1i64..400, by in prop_oneof![-900_000_000i64..-90_000, 180_000i64..900_000_000]) {
            let (length, anomalies) = camera(500, 0, |n, raw| Some(if n >= at { raw + by } else { raw }));
            prop_assert_eq!((length, anomalies), (499 * 3600, 1));
        }

        #[test]
        fn single_frames_are_stamped_hours_away(every in 2i64..60, hours in 1i64..6, sign in prop_oneof![Just(-1), Just(1)]) {
            let away = sign * hours * 3600 * VIDEO_HZ;
            let (length, anomalies) = camera(500, 0, |n, raw| Some(if n % every == 1 { raw + away } else { raw }));
            prop_assert!((length - 499 * 3600).abs() <= 3600, "{length}");
            prop_assert!(anomalies <= 500 / every as u64 + 1);
        }

        #[test]
        fn timestamps_come_twice(every in 2i64..60) {
            let (length, _) = camera(500, 0, |n, raw| Some(if n % every == 1 { raw - 3600 } else { raw }));
            prop_assert!((length - 499 * 3600).abs() <= 3600, "{length}");
        }

        #[test]
        fn timestamps_are_missing(every in 2i64..60) {
            let (length, anomalies) = camera(500, 0, |n, raw| (n % every != 1).then_some(raw));
            prop_assert!((length - 499 * 3600).abs() <= 3600 && anomalies == 0, "{length} {anomalies}");
        }

        #[test]
        fn the_clock_stands_still_or_runs_backwards(slope in -3i64..=0) {
            let (length, _) = camera(500, 90_000_000, |n, _| Some(90_000_000 + n * slope * 3600));
            prop_assert!((length - 499 * 3600).abs() <= 2 * 3600, "{length}");
        }
    }

    #[derive(Clone, Debug)]
    enum Event {
        Frame(Option<i64>, i64),
        Reconnect,
        Reorder(usize),
        Disposable(i64),
    }

    fn event() -> impl Strategy<Value = Event> {
        let raw = prop_oneof![
            8 => (0i64..200_000).boxed(),
            1 => any::<i64>().boxed(),
            1 => (i64::from(u32::MAX) - 9000..i64::from(u32::MAX)).boxed(),
        ];
        prop_oneof![
            12 => (prop::option::weighted(0.95, raw.clone()), 0i64..2_000_000).prop_map(|(raw, us)| Event::Frame(raw, us)),
            1 => Just(Event::Reconnect),
            1 => (0usize..20).prop_map(Event::Reorder),
            2 => raw.prop_map(Event::Disposable),
        ]
    }

    proptest! {
        #[test]
        fn decode_times_only_go_forward(events in prop::collection::vec(event(), 1..200)) {
            let mut timeline = Timeline::default();
            let (mut steady_us, mut last) = (0i64, None);
            for event in events {
                let raw = match event {
                    Event::Reconnect => { timeline.reconnect(); continue; }
                    Event::Reorder(frames) => { timeline.set_reorder(Some(frames)); continue; }
                    Event::Frame(raw, us) => { steady_us += us; raw }
                    Event::Disposable(raw) => { timeline.was_disposable(); Some(raw) }
                };
                let stamp = timeline.place(raw, steady_us);
                prop_assert!(stamp.pts >= stamp.dts);
                if let Some(last) = last {
                    prop_assert!(stamp.dts > last);
                    prop_assert!(stamp.dts - last <= MAX_FRAME + ticks(steady_us) + TRUSTED_STEP);
                }
                prop_assert!(stamp.pts - stamp.dts <= (ticks(steady_us) + 20 * MAX_FRAME), "{stamp:?}");
                last = Some(stamp.dts);
            }
        }
    }
}
