//! Pure. Dates the stream's timeline with the wall clock: small errors are slewed away, a jump forward happens only at
//! a key frame, and nothing ever goes backwards (R3), also when NTP sets the clock of the box.

use crate::base::time::UtcMicros;

/// When a frame arrived, on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    pub utc: UtcMicros,
    /// Microseconds on a clock that is never set.
    pub steady_us: i64,
}

/// A wall clock that is ahead by more than this is followed at once, at the next key frame.
const JUMP_US: i64 = 2_000_000;
/// Errors up to this come from clock drift and network jitter and are slewed gently.
const SMALL_US: i64 = 1_000_000;
/// 1/500 of a 2 s group is 4 ms, 1/100 is 20 ms: both less than one frame, so that groups never overlap visibly.
const GENTLE: i64 = 500;
const FIRM: i64 = 100;
/// The least delay of this long stands for the true one; the rest is network jitter.
const WINDOW_US: i64 = 10_000_000;

/// The wall clock of one stream.
#[derive(Clone, Debug, Default)]
pub struct WallClock {
    last: Option<(i64, UtcMicros)>,
    delay: Delay,
    /// No time before this is given out: where the recording of an earlier run ended.
    not_before: Option<UtcMicros>,
    fresh: bool,
}

impl WallClock {
    pub fn new(not_before: Option<UtcMicros>) -> Self {
        Self { not_before, fresh: true, ..Self::default() }
    }

    /// A new connection begins: its first frame is dated by its arrival.
    pub fn reconnect(&mut self) {
        self.delay = Delay::default();
        self.fresh = true;
    }

    /// The wall time of the frame decoded at `media_us`, later than every one before. `camera_offset_us` is what the
    /// camera's clock is ahead of the box's, where recordings are dated by the camera.
    pub fn date(&mut self, media_us: i64, key: bool, arrival: Arrival, camera_offset_us: i64) -> UtcMicros {
        let delay = self.delay.observe(arrival.steady_us - media_us, arrival.steady_us);
        let steady_to_utc = arrival.utc.0.saturating_sub(arrival.steady_us);
        let ideal = media_us.saturating_add(delay).saturating_add(steady_to_utc).saturating_add(camera_offset_us);
        let fresh = std::mem::replace(&mut self.fresh, false);
        let date = match self.last {
            None => ideal.max(self.not_before.map_or(i64::MIN, |time| time.0)),
            Some((last_media, last_date)) => {
                let step = (media_us - last_media).max(1);
                let expected = last_date.0.saturating_add(step);
                let error = ideal.saturating_sub(expected);
                if key && (error > JUMP_US || (fresh && error > 0)) {
                    ideal
                } else {
                    let most = step / if error.abs() <= SMALL_US { GENTLE } else { FIRM };
                    expected.saturating_add(error.clamp(-most, most))
                }
            }
        };
        let date = UtcMicros(date);
        self.last = Some((media_us, date));
        date
    }
}

/// The least of the delays seen in the last one to two windows.
#[derive(Clone, Debug, Default)]
struct Delay {
    began_us: Option<i64>,
    now: i64,
    before: i64,
}

impl Delay {
    fn observe(&mut self, delay: i64, steady_us: i64) -> i64 {
        match self.began_us {
            None => {
                self.began_us = Some(steady_us);
                self.now = delay;
                self.before = delay;
            }
            Some(began) if steady_us - began > WINDOW_US => {
                self.began_us = Some(steady_us);
                self.before = self.now;
                self.now = delay;
            }
            Some(_) => self.now = self.now.min(delay),
        }
        self.now.min(self.before)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const T0: i64 = 1_790_000_000_000_000;

    fn at(steady_us: i64, utc_shift_us: i64) -> Arrival {
        Arrival { utc: UtcMicros(T0 + steady_us + utc_shift_us), steady_us }
    }

    #[test]
    fn jitter_does_not_move_the_dates() {
        let mut wall = WallClock::new(None);
        for n in 0..1000 {
            let jitter = if n % 3 == 0 { 0 } else { n * 37 % 90_000 };
            let date = wall.date(n * 40_000, n % 50 == 0, at(n * 40_000 + jitter, 0), 0);
            assert!((date.0 - T0 - n * 40_000).abs() < 100, "{n}");
        }
    }

    #[test]
    fn a_clock_set_forward_is_followed_at_the_next_key_frame() {
        let mut wall = WallClock::new(None);
        wall.date(0, true, at(0, 0), 0);
        let hour = 3_600_000_000;
        let between = wall.date(40_000, false, at(40_000, hour), 0);
        assert!(between.0 - T0 < 50_000);
        assert_eq!(wall.date(80_000, true, at(80_000, hour), 0).0, T0 + hour + 80_000);
    }

    #[test]
    fn a_clock_set_back_is_approached_without_going_back() {
        let mut wall = WallClock::new(None);
        let mut last = wall.date(0, true, at(0, 0), 0);
        for n in 1..2500 {
            let date = wall.date(n * 40_000, n % 50 == 0, at(n * 40_000, -5_000_000), 0);
            assert!(date > last);
            last = date;
        }
        let error = last.0 - (T0 + 2499 * 40_000 - 5_000_000);
        assert!((3_900_000..4_100_000).contains(&error), "100 s take back 1 s, left: {error}");
    }

    #[test]
    fn a_reconnection_leaves_a_gap_and_an_earlier_run_a_floor() {
        let mut wall = WallClock::new(Some(UtcMicros(T0 + 1_000_000)));
        assert_eq!(wall.date(0, true, at(0, 0), 0).0, T0 + 1_000_000);
        wall.reconnect();
        assert_eq!(wall.date(40_000, true, at(1_500_000, 0), 0).0, T0 + 1_500_000);
    }

    #[test]
    fn a_box_without_a_clock_is_set_some_time_after_it_started() {
        let year_1970 = -T0;
        let hour = 3_600_000_000;
        let mut wall = WallClock::new(Some(UtcMicros(T0 - hour)));
        for n in 0..250 {
            let date = wall.date(n * 40_000, n % 50 == 0, at(n * 40_000, year_1970), 0);
            // Until then the line goes on where the recording of the last run ended, slewed towards the clock.
            assert!((date.0 - (T0 - hour) - n * 40_000).abs() <= n * 40_000 / FIRM + 1, "{n}");
        }
        let between = wall.date(251 * 40_000, false, at(251 * 40_000, 0), 0);
        assert!(between.0 < T0);
        assert_eq!(wall.date(252 * 40_000, true, at(252 * 40_000, 0), 0).0, T0 + 252 * 40_000);
    }

    proptest! {
        #[test]
        fn the_box_s_clock_is_set_at_any_time(at_frame in 1i64..400, by_s in -86_400i64..86_400) {
            let mut wall = WallClock::new(None);
            let mut last = UtcMicros(i64::MIN);
            for n in 0..500 {
                let shift = if n >= at_frame { by_s * 1_000_000 } else { 0 };
                let date = wall.date(n * 40_000, n % 50 == 0, at(n * 40_000, shift), 0);
                prop_assert!(date > last);
                last = date;
            }
            let error = last.0 - (T0 + 499 * 40_000 + by_s * 1_000_000);
            if by_s > 2 {
                // Followed at the key frame after the change, of which there is one at least.
                prop_assert!(error.abs() <= 40_000, "{error}");
            } else {
                let left = -by_s * 1_000_000;
                prop_assert!((left.min(0)..=left.max(0)).contains(&error), "{error} of {left}");
            }
        }

        #[test]
        fn dates_only_go_forward(
            steps in prop::collection::vec((1i64..5_000_000, 0i64..5_000_000, any::<i32>(), any::<bool>(), 0u8..20), 1..200)
        ) {
            let mut wall = WallClock::new(None);
            let (mut media, mut steady, mut last) = (0, 0, UtcMicros(i64::MIN));
            for (media_step, steady_step, utc_shift, key, reconnect) in steps {
                if reconnect == 0 {
                    wall.reconnect();
                }
                media += media_step;
                steady += steady_step;
                let date = wall.date(media, key, at(steady, i64::from(utc_shift) * 1000), 0);
                prop_assert!(date > last);
                last = date;
            }
        }
    }
}
