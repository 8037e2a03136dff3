//! Staggers the connects of all cameras, so that a start or the return of a switch is no burst of key frames.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// 50 connects a second: 16 cameras are under way in a third of a second, 128 in two and a half.
const SPACING: Duration = Duration::from_millis(20);

/// Gives each connect its turn. Clones share the queue.
#[derive(Clone, Debug, Default)]
pub struct ConnectGate {
    next: Arc<Mutex<Option<Instant>>>,
}

impl ConnectGate {
    /// How long to wait for the turn that is taken by this call.
    pub fn turn(&self) -> Duration {
        let now = Instant::now();
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let mine = next.map_or(now, |next| next.max(now));
        *next = Some(mine + SPACING);
        mine - now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_spaced() {
        let gate = ConnectGate::default();
        let waits: Vec<Duration> = (0..4).map(|_| gate.clone().turn()).collect();
        assert_eq!(waits[0], Duration::ZERO);
        assert!(waits[3] > SPACING * 2 && waits[3] <= SPACING * 3);
    }
}
