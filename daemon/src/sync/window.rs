//! How many records are on their way at a time: as many as the centre answers in a fraction of a second, so that an
//! alert is never behind more than that, and one batch more for alerts alone.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

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
    fastest: Option<Duration>,
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
    pub(super) fn new(slots: usize, batch_max: usize) -> Self {
        Self { sent: VecDeque::new(), slots, bytes: BYTES_FIRST, batch_max, fastest: None }
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
        let fastest = self.fastest.map_or(took, |fastest| fastest.min(took));
        self.fastest = Some(fastest);
        let late = took.saturating_sub(fastest);
        if late > LATE {
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

    /// A centre that works through `speed` bytes a second, one batch after the other, behind `distance`.
    fn run(speed: f64, distance: Duration) -> (f64, Vec<Duration>) {
        let started = Instant::now();
        let (mut now, mut free_at) = (started, started);
        let mut window = Window::new(4, 4 << 20);
        let mut answers: VecDeque<(u64, Instant)> = VecDeque::new();
        let (mut seq, mut bytes, mut waits) = (0, 0, Vec::new());
        while now < started + Duration::from_secs(60) {
            while let Room::Bytes(room) = window.room() {
                seq += 1;
                bytes += room;
                window.sent(seq, room, now);
                free_at = free_at.max(now) + Duration::from_secs_f64(room as f64 / speed);
                answers.push_back((seq, free_at + distance));
            }
            let (next, at) = answers.pop_front().unwrap();
            now = at;
            waits.extend(window.acked(next, now));
        }
        (bytes as f64 / 60.0, waits)
    }

    #[test]
    fn any_centre_is_kept_busy_and_answers_soon() {
        for (speed, distance_ms) in [(1e5, 10), (1e6, 10), (1e7, 40), (1e6, 600)] {
            let distance = Duration::from_millis(distance_ms);
            let (rate, mut waits) = run(speed, distance);
            // The first seconds teach it.
            waits.drain(..waits.len() / 4);
            waits.sort();
            let p99 = waits[waits.len() * 99 / 100].saturating_sub(distance);
            assert!(p99 < Duration::from_millis(700), "{speed}: {p99:?}");
            let least = if distance_ms < 100 { 0.8 } else { 0.3 };
            assert!(rate > least * speed, "{speed}: {rate}");
        }
    }

    #[test]
    fn the_last_slot_is_for_alerts() {
        let mut window = Window::new(4, 1 << 20);
        let now = Instant::now();
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
        assert!(matches!(Window::new(1, 1 << 20).room(), Room::Bytes(_)), "a centre that takes one at a time");
    }
}
