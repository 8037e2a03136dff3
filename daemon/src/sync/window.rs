//! How many records are on their way at a time: as many as the centre answers in a fraction of a second, so that an
//! alert is never behind more than that, and one batch more for alerts alone.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::fastest::Fastest;

/// Answers later than the fastest by this much mean that too much is on its way.
const LATE: Duration = Duration::from_millis(250);
const PROMPT: Duration = Duration::from_millis(150);
const BYTES_MIN: usize = 16 << 10;
const BYTES_FIRST: usize = 256 << 10;

/// A batch that is not acknowledged yet.
#[derive(Debug)]
struct Sent {
    seq: u64,
    bytes: usize,
    at: Instant,
}

#[derive(Debug)]
pub(super) struct Window {
    sent: VecDeque<Sent>,
    slots: usize,
    /// Bytes of all batches together, before compression; of one batch.
    bytes: usize,
    batch_max: usize,
    fastest: Fastest,
}

/// What the next batch may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    None,
    /// One batch of alerts.
    Alerts,
    Bytes(usize),
}

impl Window {
    pub(super) fn new(slots: usize, batch_max: usize, now: Instant) -> Self {
        Self { sent: VecDeque::new(), slots, bytes: BYTES_FIRST, batch_max, fastest: Fastest::new(now) }
    }

    pub(super) fn room(&self) -> Room {
        let on_the_way: usize = self.sent.iter().map(|sent| sent.bytes).sum();
        let left = self.bytes.saturating_sub(on_the_way);
        // One slot is for alerts, where there is more than one.
        let free = self.slots.saturating_sub(self.sent.len());
        match free {
            0 => Room::None,
            1 if self.slots > 1 => Room::Alerts,
            // Half of it, so that the centre has the next batch when it is done with this one.
            _ if left >= self.bytes / 2 => Room::Bytes((self.bytes / 2).min(self.batch_max)),
            _ => Room::Alerts,
        }
    }

    pub(super) fn sent(&mut self, seq: u64, bytes: usize, now: Instant) {
        self.sent.push_back(Sent { seq, bytes, at: now });
    }

    /// Everything up to `seq` is acknowledged: how long the newest of these batches took.
    pub(super) fn acked(&mut self, seq: u64, now: Instant) -> Option<Duration> {
        let full = 2 * self.sent.iter().map(|sent| sent.bytes).sum::<usize>() >= self.bytes;
        let mut took = None;
        while let Some(sent) = self.sent.front().filter(|sent| sent.seq <= seq) {
            took = Some(now.duration_since(sent.at));
            self.sent.pop_front();
        }
        let took = took?;
        let (fastest, anew) = self.fastest.take(took, now);
        let late = took.saturating_sub(fastest);
        if anew {
            // A full window makes each answer wait behind others. Only a small one tells what an answer takes by itself;
            // otherwise what is taken for that would grow from span to span.
            self.bytes = BYTES_MIN;
        } else if late > LATE {
            self.bytes = (self.bytes * 7 / 10).max(BYTES_MIN);
        } else if late < PROMPT && full {
            self.bytes = (self.bytes * 5 / 4).min(self.batch_max * self.slots);
        }
        Some(took)
    }

    /// The centre ignores what was on its way.
    pub(super) fn clear(&mut self) {
        self.sent.clear();
    }

    /// Since when the oldest batch waits for its answer.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.sent.front().map(|sent| sent.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A centre that works through `speed` bytes a second, one batch after the other.
    struct Busy {
        window: Window,
        now: Instant,
        free_at: Instant,
        answers: VecDeque<(u64, Instant)>,
        seq: u64,
    }

    impl Busy {
        fn new() -> Self {
            let now = Instant::now();
            let window = Window::new(4, 4 << 20, now);
            Self { window, now, free_at: now, answers: VecDeque::new(), seq: 0 }
        }

        /// Bytes a second, and how long each answer took.
        fn run(&mut self, seconds: u64, speed: f64, distance: Duration) -> (f64, Vec<Duration>) {
            let until = self.now + Duration::from_secs(seconds);
            let (mut bytes, mut waits) = (0, Vec::new());
            while self.now < until {
                while let Room::Bytes(room) = self.window.room() {
                    self.seq += 1;
                    bytes += room;
                    self.window.sent(self.seq, room, self.now);
                    self.free_at = self.free_at.max(self.now) + Duration::from_secs_f64(room as f64 / speed);
                    self.answers.push_back((self.seq, self.free_at + distance));
                }
                let (next, at) = self.answers.pop_front().unwrap();
                self.now = at;
                waits.extend(self.window.acked(next, self.now));
            }
            waits.sort();
            (bytes as f64 / seconds as f64, waits)
        }
    }

    #[test]
    fn any_centre_is_kept_busy_and_answers_soon() {
        for (speed, distance_ms) in [(1e5, 10), (1e6, 10), (1e7, 40), (1e6, 600)] {
            let distance = Duration::from_millis(distance_ms);
            let mut busy = Busy::new();
            // The first seconds teach it; hours later it is the same.
            for before in [15, 7200] {
                busy.run(before, speed, distance);
                let (rate, waits) = busy.run(600, speed, distance);
                let p99 = waits[waits.len() * 99 / 100].saturating_sub(distance);
                assert!(p99 < Duration::from_millis(700), "{speed}: {p99:?}");
                let least = if distance_ms < 100 { 0.8 } else { 0.3 };
                assert!(rate > least * speed, "{speed}: {rate}");
            }
        }
    }

    #[test]
    fn a_way_that_is_longer_for_good_is_used_again() {
        let (speed, near, far) = (1e6, Duration::from_millis(40), Duration::from_millis(440));
        let mut busy = Busy::new();
        busy.run(60, speed, near);
        let (rate, _) = busy.run(240, speed, far);
        assert!(rate < 0.2 * speed, "taken for a busy centre: {rate}");
        busy.run(400, speed, far);
        let (rate, _) = busy.run(300, speed, far);
        assert!(rate > 0.3 * speed, "{rate}");
    }

    #[test]
    fn the_last_slot_is_for_alerts() {
        let now = Instant::now();
        let mut window = Window::new(4, 1 << 20, now);
        for seq in 1..=2 {
            assert_eq!(window.room(), Room::Bytes(BYTES_FIRST / 2));
            window.sent(seq, BYTES_FIRST / 2, now);
        }
        assert_eq!(window.room(), Room::Alerts, "enough bytes are on their way");
        window.sent(3, 10, now);
        window.sent(4, 10, now);
        assert_eq!(window.room(), Room::None);
        assert!(window.acked(3, now).is_some());
        assert_eq!(window.room(), Room::Bytes(BYTES_FIRST / 2 * 5 / 4));
        assert_eq!(window.acked(3, now), None);
        assert!(matches!(Window::new(1, 1 << 20, now).room(), Room::Bytes(_)), "a centre that takes one at a time");
    }
}
