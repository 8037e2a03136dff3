//! Guards a camera against being locked out: a wrong password is tried once per configuration and then only after a
//! long wait, because cameras block an address after as few as three failures.

use std::time::{Duration, Instant};

use tokio::sync::Mutex;

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
    /// Awaits `connect` if a try is allowed. While the credentials are untested, one stream tries and the others wait for
    /// the answer. `Err(None)`: not tried, because they were refused.
    pub async fn attempt<T>(
        &self,
        connect: impl Future<Output = Result<T, MediaError>>,
    ) -> Result<T, Option<MediaError>> {
        let mut state = self.state.lock().await;
        let last_wait = match *state {
            State::Good => {
                drop(state);
                let result = connect.await;
                if let Err(MediaError::Unauthorised { .. }) = result {
                    *self.state.lock().await = refused(Duration::ZERO);
                }
                return result.map_err(Some);
            }
            State::Refused { until, .. } if Instant::now() < until => return Err(None),
            State::Refused { wait, .. } => wait,
            State::Untested => Duration::ZERO,
        };
        let result = connect.await;
        match &result {
            Ok(_) | Err(MediaError::NoSuchStream { .. } | MediaError::Unsupported { .. }) => *state = State::Good,
            Err(MediaError::Unauthorised { .. }) => *state = refused(last_wait),
            Err(_) => {}
        }
        result.map_err(Some)
    }

    /// How long until the next try, where the last was refused.
    pub async fn wait(&self) -> Option<Duration> {
        match *self.state.lock().await {
            State::Refused { until, .. } => Some(until.saturating_duration_since(Instant::now())),
            _ => None,
        }
    }
}

fn refused(last_wait: Duration) -> State {
    let wait = (last_wait * 2).clamp(FIRST_WAIT, LONGEST_WAIT);
    State::Refused { until: Instant::now() + wait, wait }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use super::*;

    fn unauthorised() -> MediaError {
        MediaError::Unauthorised { place: "camera".to_owned() }
    }

    #[tokio::test]
    async fn a_refused_password_is_tried_once() {
        let credentials = Credentials::default();
        assert_eq!(credentials.attempt(async { Err::<(), _>(unauthorised()) }).await, Err(Some(unauthorised())));
        let again = std::future::poll_fn(|_| -> Poll<Result<(), MediaError>> { panic!("a second try") });
        assert_eq!(credentials.attempt(again).await, Err(None));
        assert!(credentials.wait().await.unwrap() + Duration::from_secs(5) > FIRST_WAIT);
    }

    #[tokio::test]
    async fn other_failures_do_not_block() {
        let credentials = Credentials::default();
        let away = MediaError::Unreachable { place: "camera".to_owned(), cause: "away".to_owned() };
        let refuse = async || Err::<(), _>(unauthorised());
        assert_eq!(credentials.attempt(async { Err::<(), _>(away.clone()) }).await, Err(Some(away.clone())));
        assert_eq!(credentials.attempt(async { Ok(1) }).await, Ok(1));
        assert_eq!(credentials.attempt(refuse()).await, Err(Some(unauthorised())));
        assert_eq!(credentials.attempt(async { Ok(1) }).await, Err(None), "the password was changed in the camera");
    }
}
