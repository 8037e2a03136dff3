//! The fastest answer of the last minutes: what distance and the centre's own work take. Old ones are forgotten,
//! because a way that became longer for good would look full as long as the session lasts.

use std::time::Duration;

use tokio::time::Instant;

/// An answer counts for this long to twice as long.
const SPAN: Duration = Duration::from_secs(300);

#[derive(Debug)]
pub(super) struct Fastest {
    before: Option<Duration>,
    /// Of the span that began then.
    latest: Option<Duration>,
    since: Instant,
}

impl Fastest {
    pub(super) fn new(now: Instant) -> Self {
        Self { before: None, latest: None, since: now }
    }

    /// Takes an answer; returns the fastest one, and whether a new span began with it.
    pub(super) fn take(&mut self, took: Duration, now: Instant) -> (Duration, bool) {
        let passed = now.saturating_duration_since(self.since);
        let began = passed >= SPAN;
        if began {
            let recent = passed < 2 * SPAN;
            (self.before, self.latest, self.since) = (self.latest.filter(|_| recent), None, now);
        }
        let latest = self.latest.map_or(took, |latest| latest.min(took));
        self.latest = Some(latest);
        (self.before.map_or(latest, |before| before.min(latest)), began)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fastest_is_forgotten_after_two_spans() {
        let start = Instant::now();
        let mut fastest = Fastest::new(start);
        let mut take = |s: u64, ms: u64| {
            let (found, began) = fastest.take(Duration::from_millis(ms), start + Duration::from_secs(s));
            (found.as_millis(), began)
        };
        assert_eq!(take(0, 40), (40, false));
        assert_eq!(take(200, 440), (40, false));
        assert_eq!(take(300, 440), (40, true));
        assert_eq!(take(599, 450), (40, false));
        assert_eq!(take(600, 450), (440, true), "the way is longer now");
        assert_eq!(take(700, 50), (50, false), "and shorter again");
        assert_eq!(take(1300, 90), (90, true), "nothing was heard for two spans");
    }
}
