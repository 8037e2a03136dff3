//! Keeps batches from waiting, one after the other, for an object store that says nothing: after a silence only one
//! at a time asks, and the others are told at once.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Rest after a silence.
const REST: Duration = Duration::from_secs(5);
/// Whoever asks for all has an answer by then or has found the silence again.
const TRIAL: Duration = Duration::from_secs(15);

#[derive(Default)]
pub struct Breaker {
    /// When the store may be asked again; nothing while it answers.
    asks_at: Mutex<Option<Instant>>,
}

impl Breaker {
    /// Whether to ask the store now.
    pub fn lets_through(&self, now: Instant) -> bool {
        let mut asks_at = self.asks_at();
        match *asks_at {
            Some(at) if now < at => false,
            Some(_) => {
                *asks_at = Some(now + TRIAL);
                true
            }
            None => true,
        }
    }

    pub fn answered(&self) {
        *self.asks_at() = None;
    }

    pub fn silent(&self, now: Instant) {
        *self.asks_at() = Some(now + REST);
    }

    fn asks_at(&self) -> MutexGuard<'_, Option<Instant>> {
        self.asks_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_silence_one_asks_for_all() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        assert!(breaker.lets_through(now));
        breaker.silent(now);
        assert!(!breaker.lets_through(now + REST / 2));
        let trial = now + REST;
        assert!(breaker.lets_through(trial));
        assert!(!breaker.lets_through(trial + REST), "one is asking");
        assert!(breaker.lets_through(trial + TRIAL), "whoever asked is gone");
        breaker.answered();
        assert!(breaker.lets_through(trial + TRIAL) && breaker.lets_through(trial + TRIAL));
    }
}
