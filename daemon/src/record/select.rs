//! Pure. Which fragments of a stream are recorded where not all of them are: the newest wait in memory until it is known
//! whether something happens, so that the pre-roll is there when it does.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::base::time::UtcMicros;
use crate::media::Fragment;
use crate::store::Interval;

/// Bytes of one stream that may wait.
const BYTES_MAX: usize = 32 << 20;

/// A fragment to record.
#[derive(Clone, Debug)]
pub struct Selected {
    pub fragment: Arc<Fragment>,
    /// It does not follow the one selected before: what is between them was not wanted.
    pub resumed: bool,
}

/// What is wanted, for one call.
pub struct Wanted<'a> {
    /// Everything that `allows` lets through.
    pub all: bool,
    /// What happened, without pre-roll and post-roll.
    pub events: &'a [Interval],
    pub pre_us: i64,
    pub post_us: i64,
    /// Whether a time of the week may be recorded.
    pub allows: &'a dyn Fn(UtcMicros) -> bool,
}

impl Wanted<'_> {
    fn has(&self, fragment: &Fragment) -> bool {
        let asked = self.all
            || self.events.iter().any(|(from, to)| {
                fragment.start < to.add_micros(self.post_us) && fragment.end() > from.add_micros(-self.pre_us)
            });
        asked && (self.allows)(fragment.start)
    }
}

/// The fragments of one stream that wait. See the module.
#[derive(Debug, Default)]
pub struct Selector {
    held: VecDeque<Arc<Fragment>>,
    bytes: usize,
    /// The first one held follows the one selected last.
    follows: bool,
}

impl Selector {
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes the next fragment; what is to be recorded comes out, in order. At least `hold_us` stay in memory.
    pub fn push(&mut self, fragment: &Arc<Fragment>, wanted: &Wanted<'_>, hold_us: i64) -> Vec<Selected> {
        self.bytes += fragment.data.len();
        self.held.push_back(fragment.clone());
        let mut selected = Vec::new();
        if let (Some(first), Some(last)) =
            (self.held.iter().position(|held| wanted.has(held)), self.held.iter().rposition(|held| wanted.has(held)))
        {
            let from = if self.follows { Some(0) } else { self.key_at(first, last) };
            if let Some(from) = from {
                self.forget(from);
                for _ in from..=last {
                    let Some(fragment) = self.held.pop_front() else { break };
                    self.bytes -= fragment.data.len();
                    selected.push(Selected { fragment, resumed: !self.follows });
                    self.follows = true;
                }
            }
        }
        self.trim(hold_us);
        selected
    }

    /// Where to begin so that `first` can be decoded: its group's key frame, or else the first one after it.
    fn key_at(&self, first: usize, last: usize) -> Option<usize> {
        let before = (0..=first).rev().find(|at| self.held[*at].key);
        before.or_else(|| (first..=last).find(|at| self.held[*at].key))
    }

    /// Whole groups go, oldest first, as far as what stays is long enough, or where it is too much.
    fn trim(&mut self, hold_us: i64) {
        while let (Some(newest), Some(next)) =
            (self.held.back(), self.held.iter().skip(1).position(|held| held.key).map(|at| at + 1))
        {
            let kept_us = newest.end().since(self.held[next].start);
            if kept_us < hold_us && self.bytes <= BYTES_MAX {
                return;
            }
            self.forget(next);
        }
        if self.bytes > BYTES_MAX {
            // One group longer than the bound: nothing of it can be kept.
            self.forget(self.held.len());
        }
    }

    fn forget(&mut self, count: usize) {
        for fragment in self.held.drain(..count) {
            self.bytes -= fragment.data.len();
            self.follows = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const S: i64 = 1_000_000;

    fn fragment(second: i64, key: bool, bytes: usize) -> Arc<Fragment> {
        Arc::new(Fragment {
            data: Bytes::from(vec![0; bytes]),
            start: UtcMicros(second * S),
            key,
            sequence: second as u64,
            ..Fragment::sample()
        })
    }

    /// Seconds selected; those that do not follow the one before are negative. Groups are two fragments long.
    fn run(range: std::ops::Range<i64>, event: impl Fn(i64) -> Vec<Interval>, all: bool) -> Vec<i64> {
        let mut selector = Selector::default();
        let mut out = Vec::new();
        for second in range {
            let events = event(second);
            let wanted =
                Wanted { all, events: &events, pre_us: 3 * S, post_us: 2 * S, allows: &|time| time.0 < 100 * S };
            for selected in selector.push(&fragment(second, second % 2 == 0, 10), &wanted, 5 * S) {
                let at = selected.fragment.start.0 / S;
                out.push(if selected.resumed { -at } else { at });
            }
        }
        out
    }

    #[test]
    fn pre_and_post_roll_are_there_and_begin_with_a_key_frame() {
        // Known while second 21 is under way: 17 to 23 are wanted, 16 is the key frame of 17.
        let event = |now| if now >= 21 { vec![(UtcMicros(20 * S + S / 2), UtcMicros(21 * S))] } else { Vec::new() };
        assert_eq!(run(0..40, event, false), [-16, 17, 18, 19, 20, 21, 22]);
    }

    #[test]
    fn events_that_overlap_leave_no_pause() {
        let event = |now| {
            [(20, 21), (24, 25)]
                .iter()
                .filter(|(at, _)| now > *at)
                .map(|(a, b)| (UtcMicros(a * S), UtcMicros(b * S)))
                .collect()
        };
        let seconds = run(0..40, event, false);
        assert_eq!(seconds.iter().filter(|second| **second < 0).count(), 1, "{seconds:?}");
        assert_eq!(seconds.len(), 11, "{seconds:?}");
    }

    #[test]
    fn an_event_told_late_gets_what_is_still_in_memory() {
        let event = |now| {
            if now >= 25 {
                vec![(UtcMicros(10 * S), UtcMicros(11 * S)), (UtcMicros(24 * S), UtcMicros(25 * S))]
            } else {
                Vec::new()
            }
        };
        assert_eq!(run(0..30, event, false), [-20, 21, 22, 23, 24, 25, 26]);
    }

    #[test]
    fn the_weekly_times_end_it() {
        let seconds = run(90..130, |_| Vec::new(), true);
        assert_eq!(seconds, [-90, 91, 92, 93, 94, 95, 96, 97, 98, 99]);
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut selector = Selector::default();
        let wanted = Wanted { all: false, events: &[], pre_us: 0, post_us: 0, allows: &|_| true };
        for second in 0..100 {
            selector.push(&fragment(second, second % 2 == 0, 1 << 20), &wanted, 1000 * S);
            assert!(selector.bytes() <= BYTES_MAX);
        }
        assert!(selector.bytes() > BYTES_MAX / 2);
        selector.push(&fragment(200, true, 10), &wanted, 0);
        selector.push(&fragment(201, false, BYTES_MAX), &wanted, 0);
        assert_eq!(selector.bytes(), 0, "a group longer than the bound");
    }
}
