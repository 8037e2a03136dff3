//! One credential try a device: cameras lock a user out after a few wrong passwords, often for everybody.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Credentials, OnvifError};

/// Longer than the lock-out of the common brands (Hikvision 30 min after 7 tries, Intelbras and Dahua 5 min after 5),
/// divided by their number of tries.
const HOLD: Duration = Duration::from_secs(300);
/// Enough for a site; the oldest are forgotten first.
const MAX_REMEMBERED: usize = 1024;

/// Remembers which credentials a host has refused.
#[derive(Debug, Default)]
pub struct LockoutGuard {
    refused: Mutex<HashMap<(String, [u8; 32]), Instant>>,
}

impl LockoutGuard {
    /// Whether `host` may be asked with these credentials at `now`.
    pub fn check(&self, host: &str, credentials: &Credentials, now: Instant) -> Result<(), OnvifError> {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(at) = refused.get(&(host.to_owned(), fingerprint(credentials))) else { return Ok(()) };
        let ago = now.saturating_duration_since(*at);
        if ago >= HOLD {
            return Ok(());
        }
        let wait_s = HOLD.saturating_sub(ago).as_secs() + 1;
        Err(OnvifError::HeldBack { host: host.to_owned(), ago_s: ago.as_secs(), wait_s })
    }

    pub fn refused(&self, host: &str, credentials: &Credentials, now: Instant) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.retain(|_, at| now.saturating_duration_since(*at) < HOLD);
        if refused.len() >= MAX_REMEMBERED {
            let oldest = refused.iter().min_by_key(|(_, at)| **at).map(|(key, _)| key.clone());
            oldest.map(|key| refused.remove(&key));
        }
        refused.insert((host.to_owned(), fingerprint(credentials)), now);
    }
}

/// The password itself is not kept.
fn fingerprint(credentials: &Credentials) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(credentials.username.as_bytes());
    hasher.update(&[0]);
    hasher.update(credentials.password.expose().as_bytes());
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::secret::Secret;

    #[test]
    fn holds_back_the_same_credentials_only() {
        let guard = LockoutGuard::default();
        let wrong = Credentials { username: "admin".into(), password: Secret::new("guess") };
        let other = Credentials { username: "admin".into(), password: Secret::new("another") };
        let now = Instant::now();
        guard.refused("10.0.0.2", &wrong, now);
        assert!(matches!(guard.check("10.0.0.2", &wrong, now), Err(OnvifError::HeldBack { .. })));
        assert!(guard.check("10.0.0.2", &other, now).is_ok());
        assert!(guard.check("10.0.0.3", &wrong, now).is_ok());
        assert!(guard.check("10.0.0.2", &wrong, now + HOLD).is_ok());
    }
}
