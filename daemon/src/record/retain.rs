//! Pure. Decides what is deleted: what is too old, and what the space is needed for.

use crate::base::time::UtcMicros;

/// What recordings are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub max_age_us: i64,
    /// 0: no limit.
    pub max_bytes: u64,
    pub min_free_bytes: u64,
}

/// How it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    pub recorded_bytes: u64,
    pub free_bytes: u64,
}

/// A closed segment that may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub id: i64,
    pub end: UtcMicros,
    pub bytes: u64,
}

/// What ended before this is too old.
pub fn age_limit(limits: &Limits, now: UtcMicros) -> UtcMicros {
    now.add_micros(-limits.max_age_us)
}

/// Bytes that must go now.
pub fn excess(limits: &Limits, usage: &Usage) -> u64 {
    let over_limit = if limits.max_bytes == 0 { 0 } else { usage.recorded_bytes.saturating_sub(limits.max_bytes) };
    over_limit.max(limits.min_free_bytes.saturating_sub(usage.free_bytes))
}

/// The first of `candidates`, which come in the order of eviction, that together free `bytes`.
pub fn to_free(candidates: &[Candidate], bytes: u64) -> &[Candidate] {
    let mut freed = 0u64;
    let count = candidates.iter().take_while(|candidate| {
        let needed = freed < bytes;
        freed = freed.saturating_add(candidate.bytes);
        needed
    });
    &candidates[..count.count()]
}

/// How long it goes on like this.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Forecast {
    pub bytes_per_day: u64,
    /// Seconds until the space makes recordings go before they are too old; absent where their age comes first.
    pub full_in_s: Option<u64>,
    /// Seconds that the recordings will reach back in the end.
    pub keeps_s: Option<u64>,
}

/// From what was recorded in the `hours` (start and bytes of each) up to `now`, the last day of them.
pub fn forecast(limits: &Limits, usage: &Usage, hours: &[(UtcMicros, u64)], now: UtcMicros) -> Forecast {
    const HOUR_US: i64 = 3_600_000_000;
    const DAY_S: f64 = 86_400.0;
    let recent = hours.iter().filter(|(hour, _)| now.since(*hour) < 25 * HOUR_US && *hour <= now);
    let bytes: u64 = recent.clone().map(|(_, bytes)| bytes).sum();
    let since = recent.map(|(hour, _)| *hour).min().unwrap_or(now);
    // The first minutes of a box say little.
    let seconds = now.since(since) as f64 / 1e6;
    if bytes == 0 || seconds < 600.0 {
        return Forecast::default();
    }
    let per_second = bytes as f64 / seconds;
    let free = usage.free_bytes.saturating_sub(limits.min_free_bytes);
    let under_limit = limits.max_bytes.saturating_sub(usage.recorded_bytes);
    let room = if limits.max_bytes == 0 { free } else { free.min(under_limit) };
    let by_space = (usage.recorded_bytes.saturating_add(room)) as f64 / per_second;
    let by_age = limits.max_age_us as f64 / 1e6;
    Forecast {
        bytes_per_day: (per_second * DAY_S) as u64,
        full_in_s: (by_space < by_age).then_some((room as f64 / per_second) as u64),
        keeps_s: Some(by_space.min(by_age) as u64),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits { max_age_us: 100, max_bytes: 1000, min_free_bytes: 50 };

    #[test]
    fn the_greater_need_counts() {
        assert_eq!(excess(&LIMITS, &Usage { recorded_bytes: 900, free_bytes: 60 }), 0);
        assert_eq!(excess(&LIMITS, &Usage { recorded_bytes: 1010, free_bytes: 60 }), 10);
        assert_eq!(excess(&LIMITS, &Usage { recorded_bytes: 1010, free_bytes: 10 }), 40);
        let unlimited = Limits { max_bytes: 0, ..LIMITS };
        assert_eq!(excess(&unlimited, &Usage { recorded_bytes: u64::MAX, free_bytes: 60 }), 0);
        assert_eq!(age_limit(&LIMITS, UtcMicros(150)), UtcMicros(50));
    }

    #[test]
    fn the_forecast_follows_the_last_day() {
        const HOUR: i64 = 3_600_000_000;
        let hours: Vec<(UtcMicros, u64)> =
            (0..48).map(|hour| (UtcMicros(hour * HOUR), if hour < 24 { 9 } else { 3600 })).collect();
        let now = UtcMicros(48 * HOUR);
        let limits = Limits { max_age_us: 10 * 24 * HOUR, max_bytes: 0, min_free_bytes: 1000 };
        let usage = Usage { recorded_bytes: 24 * 3600, free_bytes: 1000 + 24 * 3600 };
        let seen = forecast(&limits, &usage, &hours, now);
        assert!((86_000..=86_400).contains(&seen.bytes_per_day), "{seen:?}");
        assert!(seen.full_in_s.is_some_and(|s| (86_000..91_000).contains(&s)), "{seen:?}");
        assert!(seen.keeps_s.is_some_and(|s| (172_000..182_000).contains(&s)), "{seen:?}");
        let short = Limits { max_age_us: 24 * HOUR, ..limits };
        let seen = forecast(&short, &usage, &hours, now);
        assert_eq!((seen.full_in_s, seen.keeps_s), (None, Some(86_400)), "the age comes first");
        let capped = Limits { max_bytes: usage.recorded_bytes, ..limits };
        assert_eq!(forecast(&capped, &usage, &hours, now).full_in_s, Some(0));
        assert_eq!(forecast(&limits, &usage, &[], now), Forecast::default());
    }

    proptest! {
        #[test]
        fn frees_enough_and_no_segment_more(sizes in prop::collection::vec(0u64..100, 0..30), bytes in 0u64..2000) {
            let candidates: Vec<Candidate> =
                sizes.iter().zip(0..).map(|(&bytes, id)| Candidate { id, end: UtcMicros(id), bytes }).collect();
            let chosen = to_free(&candidates, bytes);
            let sum = |some: &[Candidate]| some.iter().map(|candidate| candidate.bytes).sum::<u64>();
            prop_assert!(sum(chosen) >= bytes || chosen.len() == candidates.len());
            if let Some((_, before)) = chosen.split_last() {
                prop_assert!(sum(before) < bytes);
            }
        }
    }
}
