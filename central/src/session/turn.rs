//! Turns: how many batches are worked on at a time, for each may hold tens of megabytes. Whoever waits for the object
//! store does not hold up those whose batch names no object.

use super::unavailable;
use gtv_protocol::Refusal;
use tokio::sync::{AcquireError, Semaphore, SemaphorePermit};

/// Batches that are decoded, compared or written.
const WORKING_MAX: usize = 16;
/// Batches whose objects are checked.
const CHECKING_MAX: usize = 16;

pub struct Turns {
    working: Semaphore,
    checking: Semaphore,
}

impl Default for Turns {
    fn default() -> Self {
        Self { working: Semaphore::new(WORKING_MAX), checking: Semaphore::new(CHECKING_MAX) }
    }
}

/// One batch's turn. Nobody waits for the right to check while holding that to work, so those who check always come to
/// an end.
pub struct Turn<'a> {
    turns: &'a Turns,
    working: Option<SemaphorePermit<'a>>,
    checking: Option<SemaphorePermit<'a>>,
}

impl<'a> Turn<'a> {
    pub async fn take(turns: &'a Turns) -> Result<Self, Refusal> {
        let mut turn = Self { turns, working: None, checking: None };
        turn.work().await?;
        Ok(turn)
    }

    /// Keeps the right to check objects until the turn is over, if there is one free.
    pub fn may_check(&mut self) -> bool {
        self.checking = self.turns.checking.try_acquire().ok();
        self.checking.is_some()
    }

    /// Waits for it, and then for the right to work again. Hold nothing large.
    pub async fn wait_to_check(&mut self) -> Result<(), Refusal> {
        self.rest();
        self.checking = Some(self.turns.checking.acquire().await.map_err(closed)?);
        self.work().await
    }

    /// Lets others work until `work`.
    pub fn rest(&mut self) {
        self.working = None;
    }

    pub async fn work(&mut self) -> Result<(), Refusal> {
        self.working = Some(self.turns.working.acquire().await.map_err(closed)?);
        Ok(())
    }
}

fn closed(_: AcquireError) -> Refusal {
    unavailable("this gtv-sync is stopping".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn who_waits_for_the_object_store_holds_up_nobody_else() {
        let turns = Turns::default();
        let take = || Turn::take(&turns).now_or_never().and_then(Result::ok);
        let mut checking: Vec<_> = (0..CHECKING_MAX)
            .map(|_| {
                let mut turn = take().expect("a turn");
                assert!(turn.may_check());
                turn.rest();
                turn
            })
            .collect();
        let mut next = take().expect("those who check do not work");
        assert!(!next.may_check(), "as many as may check");
        assert!(next.wait_to_check().now_or_never().is_none());
        let working: Vec<_> = (0..WORKING_MAX).map(|_| take().expect("who waits does not work")).collect();
        assert!(take().is_none(), "as many as may work");
        assert!(checking[0].work().now_or_never().is_none());
        drop(working);
        assert!(checking[0].work().now_or_never().is_some());
        checking.pop();
        assert!(next.wait_to_check().now_or_never().is_some());
    }
}
