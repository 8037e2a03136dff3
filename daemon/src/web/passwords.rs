//! Passwords: argon2id off the async threads, a bound on how many are hashed at once, and the rules for new ones.
use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use tokio::sync::Semaphore;

use super::error::{ApiError, ApiResult};
use crate::base::secret::Secret;

/// Each hash takes 19 MiB and a core for about 30 ms; two at once keep a login storm off the cameras.
const HASHES_AT_ONCE: usize = 2;
pub const PASSWORD_MIN: usize = 10;
/// Argon2 hashes any length; this keeps a request from being one.
pub const PASSWORD_MAX: usize = 256;

pub struct Passwords {
    permits: Semaphore,
    /// Verified when a name is unknown, so that the answer takes as long as for a known one.
    dummy: String,
}

impl Passwords {
    pub fn new() -> ApiResult<Self> {
        let dummy = hash_now("a password nobody has").map_err(|e| ApiError::internal("hashing a password", e))?;
        Ok(Self { permits: Semaphore::new(HASHES_AT_ONCE), dummy })
    }

    pub async fn hash(&self, password: Secret) -> ApiResult<String> {
        self.blocking(move || hash_now(password.expose()))
            .await?
            .map_err(|error| ApiError::internal("hashing a password", error))
    }

    /// False for a wrong password, an unknown user (`None`) and a stored hash that cannot be read.
    pub async fn verify(&self, password: Secret, stored: Option<String>) -> ApiResult<bool> {
        let known = stored.is_some();
        let stored = stored.unwrap_or_else(|| self.dummy.clone());
        let matches = self
            .blocking(move || {
                PasswordHash::new(&stored)
                    .is_ok_and(|hash| Argon2::default().verify_password(password.expose().as_bytes(), &hash).is_ok())
            })
            .await?;
        Ok(known && matches)
    }

    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> ApiResult<T> {
        let _permit = self.permits.acquire().await.map_err(|error| ApiError::internal("checking a password", error))?;
        tokio::task::spawn_blocking(work).await.map_err(|error| ApiError::internal("checking a password", error))
    }
}

fn hash_now(password: &str) -> Result<String, argon2::password_hash::Error> {
    Ok(Argon2::default().hash_password(password.as_bytes())?.to_string())
}

/// Whether a new password is good enough: length is what counts (NIST SP 800-63B 3.1.1.2).
pub fn acceptable(password: &Secret, username: &str) -> ApiResult<()> {
    let length = password.expose().chars().count();
    if length < PASSWORD_MIN {
        return Err(ApiError::invalid("password", format!("The password needs at least {PASSWORD_MIN} characters.")));
    }
    if length > PASSWORD_MAX {
        return Err(ApiError::invalid("password", format!("The password has more than {PASSWORD_MAX} characters.")));
    }
    let lower = password.expose().to_lowercase();
    let mut kinds: Vec<char> = lower.chars().collect();
    kinds.sort_unstable();
    kinds.dedup();
    if lower == username.to_lowercase() || kinds.len() < 4 {
        return Err(ApiError::invalid("password", "The password is too easy to guess."));
    }
    Ok(())
}

/// User names are what the audit log shows, so they stay plain: 2 to 64 of `a-z 0-9 . _ @ -`.
pub fn acceptable_username(username: &str) -> ApiResult<()> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._@-".contains(&b);
    if (2..=64).contains(&username.len()) && username.bytes().all(allowed) {
        return Ok(());
    }
    Err(ApiError::invalid("username", "A user name has 2 to 64 of the characters a-z, 0-9 and . _ @ -"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_of_a_known_user_passes() {
        let passwords = Passwords::new().unwrap();
        let hash = passwords.hash(Secret::new("correct horse")).await.unwrap();
        assert!(hash.starts_with("$argon2id$"), "{hash}");
        assert!(passwords.verify(Secret::new("correct horse"), Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify(Secret::new("wrong horse"), Some(hash)).await.unwrap());
        assert!(!passwords.verify(Secret::new("a password nobody has"), None).await.unwrap());
        assert!(!passwords.verify(Secret::new("x"), Some("not a hash".into())).await.unwrap());
    }

    #[test]
    fn weak_passwords_and_odd_names_are_refused() {
        for weak in ["short", "aaaaaaaaaaaa", "administrator"] {
            assert!(acceptable(&Secret::new(weak), "administrator").is_err(), "{weak}");
        }
        assert!(acceptable(&Secret::new("uma senha longa"), "ana").is_ok());
        assert!(acceptable_username("ana.lima@prefeitura").is_ok());
        for bad in ["", "a", "Ana", "ana lima", "ana\n"] {
            assert!(acceptable_username(bad).is_err(), "{bad:?}");
        }
    }
}
