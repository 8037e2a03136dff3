//! Pure. When what waits will be delivered, or the spool be full, if it goes on as in the last minutes.

use std::collections::VecDeque;

use serde::Serialize;

use crate::base::time::UtcMicros;

/// How far back "the present rate" reaches, and from when on it says something.
const SPAN_US: i64 = 900_000_000;
const LEAST_US: i64 = 60_000_000;
const SAMPLES_MAX: usize = 128;

/// What waits for the centre.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Spool {
    /// Of the files that are kept until they are uploaded.
    pub bytes: u64,
    /// Of recordings that are to go with their video: they lie where they lie, so no limit applies.
    pub recordings_bytes: u64,
    pub bytes_max: u64,
    pub records: u64,
    pub records_max: u64,
    /// Seconds until the oldest clips and records go for want of room, 0 while they do; absent while it does not grow.
    pub full_in_s: Option<u64>,
    /// Seconds until all of it is delivered; absent while it does not shrink.
    pub delivered_in_s: Option<u64>,
}

#[derive(Debug, Default)]
pub(super) struct Trend {
    samples: VecDeque<(UtcMicros, u64, u64)>,
    /// When something last went for want of room.
    went: Option<UtcMicros>,
}

impl Trend {
    /// Takes what waits now and says how it goes on; `went` tells that something had to go since the last time.
    pub(super) fn add(&mut self, now: UtcMicros, spool: Spool, went: bool) -> Spool {
        if went {
            // What went looks like delivery.
            self.samples.clear();
            self.went = Some(now);
        }
        // A clock that was set back makes older samples meaningless.
        self.samples.retain(|(at, ..)| *at < now && now.since(*at) <= SPAN_US);
        self.went = self.went.filter(|at| (0..=SPAN_US).contains(&now.since(*at)));
        self.samples.push_back((now, spool.bytes, spool.records));
        if self.samples.len() > SAMPLES_MAX {
            self.samples.pop_front();
        }
        let mut spool = self.forecast(now, spool);
        // What stands still at its limit is full, until it is seen to shrink.
        if self.went.is_some() && spool.delivered_in_s.is_none() {
            spool.full_in_s = Some(0);
        }
        spool
    }

    fn forecast(&self, now: UtcMicros, spool: Spool) -> Spool {
        let Some((first, bytes, records)) = self.samples.front().copied() else { return spool };
        let seconds = now.since(first) as f64 / 1e6;
        if now.since(first) < LEAST_US {
            return spool;
        }
        let rate = |before: u64, after: u64| (after as f64 - before as f64) / seconds;
        let (by_bytes, by_records) = (rate(bytes, spool.bytes), rate(records, spool.records));
        let after = |left: u64, rate: f64| (rate > 0.0).then(|| (left as f64 / rate) as u64);
        // Without a limit nothing ever has to go.
        let full = |max: u64, now: u64, rate: f64| {
            if max == u64::MAX { None } else { after(max.saturating_sub(now), rate) }
        };
        let full = [full(spool.bytes_max, spool.bytes, by_bytes), full(spool.records_max, spool.records, by_records)];
        // The slower of the two decides; one that does not shrink is never done.
        let done = |left: u64, rate: f64| if left == 0 { Some(0) } else { after(left, -rate) };
        let delivered = done(spool.bytes, by_bytes).zip(done(spool.records, by_records));
        Spool {
            full_in_s: full.into_iter().flatten().min(),
            delivered_in_s: delivered.map(|(bytes, records)| bytes.max(records)),
            ..spool
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spool(bytes: u64, records: u64) -> Spool {
        Spool { bytes, bytes_max: 1_000_000, records, records_max: 10_000, ..Spool::default() }
    }

    #[test]
    fn it_says_when_it_is_full_and_when_it_is_empty() {
        let minute = |n: i64| UtcMicros(1_700_000_000_000_000 + n * 60_000_000);
        let mut trend = Trend::default();
        assert_eq!(trend.add(minute(0), spool(0, 0), false), spool(0, 0), "nothing is known yet");
        trend.add(minute(1), spool(60_000, 60), false);
        let growing = trend.add(minute(2), spool(120_000, 120), false);
        // 1,000 bytes and one record a second.
        assert_eq!((growing.full_in_s, growing.delivered_in_s), (Some(880), None));
        let mut trend = Trend::default();
        trend.add(minute(0), spool(400_000, 800), false);
        let shrinking = trend.add(minute(2), spool(160_000, 680), false);
        assert_eq!((shrinking.full_in_s, shrinking.delivered_in_s), (None, Some(680)), "records are the slower ones");
        let mixed = trend.add(minute(3), spool(150_000, 900), false);
        assert_eq!(mixed.delivered_in_s, None, "records grow");
        assert!(mixed.full_in_s.is_some());
        let empty = trend.add(minute(30), spool(0, 0), false);
        assert_eq!(empty.delivered_in_s, None, "what is older than a quarter of an hour does not count");
        assert_eq!(trend.add(minute(32), spool(0, 0), false).delivered_in_s, Some(0));
        let back = trend.add(minute(-5), spool(5, 5), false);
        assert_eq!((back.full_in_s, back.delivered_in_s), (None, None), "the clock was set back");
    }

    #[test]
    fn it_stays_full_while_things_go() {
        let second = |n: i64| UtcMicros(1_700_000_000_000_000 + n * 1_000_000);
        let mut trend = Trend::default();
        // An hour without a centre, at the limit of the bytes, and a look each 15 s at which something goes.
        for n in 0..240 {
            let seen = trend.add(second(n * 15), spool(1_000_000 - n as u64 % 3, n as u64), true);
            assert_eq!((seen.full_in_s, seen.delivered_in_s), (Some(0), None), "look {n}");
        }
        // Little comes, so nothing goes for a while.
        let still = trend.add(second(3900), spool(999_000, 240), false);
        assert_eq!((still.full_in_s, still.delivered_in_s), (Some(0), None));
        let back = trend.add(second(4000), spool(400_000, 100), false);
        assert!(back.full_in_s.is_none() && back.delivered_in_s.is_some(), "the centre is there again: {back:?}");

        // A hundredth of the records goes at once, with no bytes waiting: nothing is delivered by that.
        let mut trend = Trend::default();
        trend.add(second(0), spool(0, 10_000), false);
        let gone = trend.add(second(90), spool(0, 9_900), true);
        assert_eq!((gone.full_in_s, gone.delivered_in_s), (Some(0), None));
        let later = trend.add(second(180), spool(0, 9_910), false);
        assert_eq!((later.full_in_s, later.delivered_in_s), (Some(0), None));
        let filling = trend.add(second(1000), spool(0, 9_950), false);
        assert!(filling.full_in_s.is_some_and(|s| s > 0) && filling.delivered_in_s.is_none(), "{filling:?}");
    }

    #[test]
    fn without_a_limit_it_is_never_full() {
        let minute = |n: i64| UtcMicros(1_700_000_000_000_000 + n * 60_000_000);
        let unbounded = |bytes| Spool { bytes_max: u64::MAX, ..spool(bytes, 0) };
        let mut trend = Trend::default();
        trend.add(minute(0), unbounded(0), false);
        assert_eq!(trend.add(minute(2), unbounded(900_000), false).full_in_s, None);
    }
}
