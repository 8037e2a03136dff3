//! Guards a camera against being locked out: a wrong password is tried once per configuration and then only after a
//! long wait, because cameras block an address after as few as three failures.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::media::MediaError;

/// Longer than the 5 to 30 minutes for which cameras count failures.
const FIRST_WAIT: Duration = Duration::from_secs(45 * 60);
const LONGEST_WAIT: Duration = Duration::from_secs(6 * 3600);

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Untested,
    Good,
    Refused {
        until: Instant,
        wait: Duration,
    },
}

/// What is known of one camera's credentials; shared by its streams.
#[derive(Debug, Default)]
pub struct Credentials {
    state: Mutex<State>,
}

impl Credentials {
    /// Runs `connect` if a try is allowed. While the credentials are untested, one stream tries and the others wait for
    /// the answer. `Err(None)`: not tried, because they were refused.
    pub fn attempt<T>(&self, connect: impl FnOnce() -> Result<T, MediaError>) -> Result<T, Option<MediaError>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let last_wait = match *state {
            State::Good => {
                drop(state);
                let result = connect();
                if let Err(MediaError::Unauthorised { .. }) = result {
                    self.refuse(Duration::ZERO);
                }
                return result.map_err(Some);
            }
            State::Refused { until, .. } if Instant::now() < until => return Err(None),
            State::Refused { wait, .. } => wait,
            State::Untested => Duration::ZERO,
        };
        let result = connect();
        match &result {
            Ok(_) | Err(MediaError::NoSuchStream { .. } | MediaError::Unsupported { .. }) => *state = State::Good,
            Err(MediaError::Unauthorised { .. }) => *state = refused(last_wait),
            Err(_) => {}
        }
        result.map_err(Some)
    }

    /// How long until the next try, where the last was refused.
    pub fn wait(&self) -> Option<Duration> {
        match *self.state.lock().unwrap_or_else(PoisonError::into_inner) {
            State::Refused { until, .. } => Some(until.saturating_duration_since(Instant::now())),
            _ => None,
        }
    }

    fn refuse(&self, last_wait: Duration) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = refused(last_wait);
    }
}

fn refused(last_wait: Duration) -> State {
    let wait = (last_wait * 2).clamp(FIRST_WAIT, LONGEST_WAIT);
    State::Refused { until: Instant::now() + wait, wait }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unauthorised() -> MediaError {
        MediaError::Unauthorised { place: "camera".to_owned() }
    }

    #[test]
    fn a_refused_password_is_tried_once() {
        let credentials = Credentials::default();
        assert_eq!(credentials.attempt(|| Err::<(), _>(unauthorised())), Err(Some(unauthorised())));
        assert_eq!(credentials.attempt(|| -> Result<(), _> { panic!("a second try") }), Err(None));
        assert!(credentials.wait().unwrap() + Duration::from_secs(5) > FIRST_WAIT);
    }

    #[test]
    fn other_failures_do_not_block() {
        let credentials = Credentials::default();
        let away = MediaError::Unreachable { place: "camera".to_owned(), cause: "away".to_owned() };
        assert_eq!(credentials.attempt(|| Err::<(), _>(away.clone())), Err(Some(away)));
        assert_eq!(credentials.attempt(|| Ok(1)), Ok(1));
        assert_eq!(credentials.attempt(|| Err::<(), _>(unauthorised())), Err(Some(unauthorised())));
        assert_eq!(credentials.attempt(|| Ok(1)), Err(None), "the password was changed in the camera");
    }
}
