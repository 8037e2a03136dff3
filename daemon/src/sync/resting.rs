//! Pure. Objects whose files cannot be read now: each is tried again after a pause of its own, while others go.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::error::SyncError;
use crate::base::backoff::Backoff;

const PAUSE: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(300));
/// Objects that are remembered; the one that is due first makes room.
const MAX: usize = 1024;
/// What is not tried any more is not waited for: its record went.
const FORGET: Duration = Duration::from_secs(600);
/// How long the chain waits for a file that cannot be read, and with it everything behind it.
const GRACE: Duration = Duration::from_secs(300);

#[derive(Debug, Default)]
pub(super) struct Resting {
    objects: BTreeMap<String, Rest>,
    /// Since when the chain is held up by unreadable files, one after the other, and when that was seen last.
    held_up: Option<(Instant, Instant)>,
}

#[derive(Debug)]
struct Rest {
    until: Instant,
    failures: u32,
    why: SyncError,
}

impl Resting {
    /// The file could not be read: it rests. `jitter` in 0..=1.
    pub(super) fn failed(&mut self, sha256: &str, why: SyncError, now: Instant, jitter: f64) {
        self.forget(now);
        let failures = self.objects.get(sha256).map_or(0, |rest| rest.failures);
        if self.objects.len() >= MAX && !self.objects.contains_key(sha256) {
            let first = self.objects.iter().min_by_key(|(_, rest)| rest.until).map(|(sha256, _)| sha256.clone());
            first.and_then(|first| self.objects.remove(&first));
        }
        let rest = Rest { until: now + PAUSE.delay(failures, jitter), failures: failures.saturating_add(1), why };
        self.objects.insert(sha256.to_owned(), rest);
    }

    /// The chain waits for an object that cannot be read; true when it has waited long enough.
    pub(super) fn holds_chain_too_long(&mut self, now: Instant) -> bool {
        let since = match self.held_up {
            Some((since, seen)) if now < seen + GRACE => since,
            _ => now,
        };
        self.held_up = Some((since, now));
        now >= since + GRACE
    }

    /// The object needs no rest any more.
    pub(super) fn ended(&mut self, sha256: &str) {
        self.objects.remove(sha256);
    }

    pub(super) fn rests(&self, sha256: &str, now: Instant) -> bool {
        self.objects.get(sha256).is_some_and(|rest| rest.until > now)
    }

    pub(super) fn len(&self) -> usize {
        self.objects.len()
    }

    /// One of the failures, to be shown.
    pub(super) fn why(&mut self, now: Instant) -> Option<&SyncError> {
        self.forget(now);
        self.objects.values().next().map(|rest| &rest.why)
    }

    fn forget(&mut self, now: Instant) {
        self.objects.retain(|_, rest| rest.until + FORGET > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why() -> SyncError {
        SyncError::Unreadable { sha256: "a".to_owned(), detail: "test".to_owned() }
    }

    #[test]
    fn each_object_rests_for_itself() {
        let (mut resting, start) = (Resting::default(), Instant::now());
        let after = |seconds: u64| start + Duration::from_secs(seconds);
        resting.failed("a", why(), start, 1.0);
        assert!(resting.rests("a", start) && !resting.rests("b", start) && !resting.rests("a", after(1)));
        resting.failed("a", why(), after(1), 1.0);
        assert!(resting.rests("a", after(2)), "longer each time");
        assert!(resting.why(after(2)).is_some());
        resting.ended("a");
        assert!(!resting.rests("a", after(2)) && resting.why(after(2)).is_none());
        for number in 0..2 * MAX {
            resting.failed(&format!("{number:06}"), why(), after(3 + number as u64 / 100), 1.0);
        }
        assert_eq!(resting.len(), MAX);
        assert!(resting.why(after(9000)).is_none(), "those whose records went are forgotten");
    }

    #[test]
    fn the_chain_waits_once_for_a_disk_and_not_for_each_of_its_files() {
        let (mut resting, start) = (Resting::default(), Instant::now());
        let mut at = |seconds: u64| resting.holds_chain_too_long(start + Duration::from_secs(seconds));
        assert!(!at(0) && !at(200) && !at(299) && at(300));
        assert!(at(310), "the next file");
        assert!(!at(1000) && !at(1200) && at(1300), "another day");
    }
}
