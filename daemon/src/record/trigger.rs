//! What happens in a camera's picture, as far as it decides what is recorded. Layer 6 joins it to whoever watches.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::base::time::UtcMicros;
use crate::store::Interval;

/// Events kept: the fragments that they concern come seconds later.
const KEPT: usize = 16;
/// Events this close are one.
const JOINS_US: i64 = 2_000_000;
/// Without a sign of life for this long nobody watches.
const BLIND_AFTER: Duration = Duration::from_secs(30);

/// See the module. Shared between a camera's streams and whoever watches its picture.
#[derive(Debug, Default)]
pub struct Trigger {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    motion: VecDeque<Interval>,
    passages: VecDeque<Interval>,
    watched: Option<Instant>,
}

impl Trigger {
    /// A picture was looked at; `moved`: something moves in it.
    pub fn looked(&self, time: UtcMicros, moved: bool) {
        let mut inner = self.lock();
        inner.watched = Some(Instant::now());
        if moved {
            note(&mut inner.motion, (time, time.add_micros(1)));
        }
    }

    /// A plate was read.
    pub fn passage(&self, from: UtcMicros, to: UtcMicros) {
        note(&mut self.lock().passages, (from, to.max(from.add_micros(1))));
    }

    /// The newest events, oldest first.
    pub fn motion(&self) -> Vec<Interval> {
        self.lock().motion.iter().copied().collect()
    }

    pub fn passages(&self) -> Vec<Interval> {
        self.lock().passages.iter().copied().collect()
    }

    /// Nobody has looked at the picture for a while: what happens in it is not known.
    pub fn is_blind(&self) -> bool {
        self.lock().watched.is_none_or(|at| at.elapsed() > BLIND_AFTER)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn note(events: &mut VecDeque<Interval>, (from, to): Interval) {
    if let Some(last) = events.back_mut()
        && from.since(last.1) <= JOINS_US
        && last.0.since(to) <= JOINS_US
    {
        *last = (last.0.min(from), last.1.max(to));
        return;
    }
    if events.len() == KEPT {
        events.pop_front();
    }
    events.push_back((from, to));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_that_follow_each_other_are_one_and_their_number_is_bounded() {
        let trigger = Trigger::default();
        assert!(trigger.is_blind());
        for tenth in 0..50 {
            trigger.looked(UtcMicros(tenth * 100_000), tenth >= 10);
        }
        assert!(!trigger.is_blind());
        assert_eq!(trigger.motion(), [(UtcMicros(1_000_000), UtcMicros(4_900_001))]);
        for minute in 1..100 {
            trigger.passage(UtcMicros(minute * 60_000_000), UtcMicros(minute * 60_000_000));
        }
        let passages = trigger.passages();
        assert_eq!((passages.len(), passages[KEPT - 1].0), (KEPT, UtcMicros(99 * 60_000_000)));
    }
}
