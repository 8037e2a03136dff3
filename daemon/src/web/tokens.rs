//! Access tokens: short-lived signed JWTs, as a header for programs and a cookie for pictures, video and WebSockets.
use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::base::time::UtcMicros;

/// What a user may do; each role includes the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sees live video, plates and recordings.
    Viewer,
    /// Also adds and changes cameras.
    Operator,
    /// Also manages users and reads the audit log.
    Administrator,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Operator => "operator",
            Role::Administrator => "administrator",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Role::Viewer, Role::Operator, Role::Administrator].into_iter().find(|r| r.as_str() == text).ok_or(())
    }
}

/// Who sends a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub user_id: Uuid,
    pub username: String,
    pub role: Role,
    /// The login this token descends from; logging out ends all of its tokens.
    pub session: Uuid,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    sub: Uuid,
    name: String,
    role: Role,
    sid: Uuid,
    iat: u64,
    exp: u64,
}

/// Signs and reads access tokens. The key lives in memory only: after a restart the page gets a new
/// access token with its refresh token, which is in the store.
pub struct Tokens {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
    pub lifetime: Duration,
    /// Sessions that ended while their access tokens were still valid, until they expire.
    revoked: Mutex<HashMap<Revoked, i64>>,
}

#[derive(PartialEq, Eq, Hash)]
enum Revoked {
    Session(Uuid),
    User(Uuid),
}

impl Tokens {
    pub fn new(lifetime: Duration) -> Self {
        let key: [u8; 32] = rand::random();
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = 0;
        Self {
            encoding: EncodingKey::from_secret(&key),
            decoding: DecodingKey::from_secret(&key),
            validation,
            lifetime,
            revoked: Mutex::default(),
        }
    }

    pub fn issue(&self, who: &Identity, now: UtcMicros) -> Result<String, jsonwebtoken::errors::Error> {
        let iat = u64::try_from(now.0 / 1_000_000).unwrap_or(0);
        let claims = Claims {
            sub: who.user_id,
            name: who.username.clone(),
            role: who.role,
            sid: who.session,
            iat,
            exp: iat + self.lifetime.as_secs(),
        };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.encoding)
    }

    pub fn verify(&self, token: &str) -> Option<Identity> {
        let claims = jsonwebtoken::decode::<Claims>(token, &self.decoding, &self.validation).ok()?.claims;
        let who = Identity { user_id: claims.sub, username: claims.name, role: claims.role, session: claims.sid };
        (!self.is_revoked(&who, i64::try_from(claims.iat).ok()?)).then_some(who)
    }

    /// Ends a session's access tokens that were issued up to now.
    pub fn revoke_session(&self, session: Uuid, now: UtcMicros) {
        self.revoke(Revoked::Session(session), now);
    }

    /// Ends all access tokens of a user that were issued up to now.
    pub fn revoke_user(&self, user_id: Uuid, now: UtcMicros) {
        self.revoke(Revoked::User(user_id), now);
    }

    fn revoke(&self, key: Revoked, now: UtcMicros) {
        let now_s = now.0 / 1_000_000;
        let life_s = i64::try_from(self.lifetime.as_secs()).unwrap_or(i64::MAX);
        let mut revoked = self.revoked.lock().unwrap_or_else(PoisonError::into_inner);
        revoked.retain(|_, at| at.saturating_add(life_s) >= now_s);
        revoked.insert(key, now_s);
    }

    /// Whether a token of this identity, issued at `issued_s`, has been ended since.
    pub fn is_revoked(&self, who: &Identity, issued_s: i64) -> bool {
        let revoked = self.revoked.lock().unwrap_or_else(PoisonError::into_inner);
        let session = revoked.contains_key(&Revoked::Session(who.session));
        let user = revoked.get(&Revoked::User(who.user_id)).is_some_and(|at| issued_s <= *at);
        session || user
    }
}

/// A random token for a cookie: 256 bits, text.
pub fn random_token() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

/// What the store keeps of a random token. The token has 256 bits of its own, so a fast hash is enough.
pub fn token_hash(token: &str) -> String {
    hex::encode(Sha256::digest(token.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: Uuid = Uuid::from_u128(7);
    const SESSION: Uuid = Uuid::from_u128(1);

    fn who() -> Identity {
        Identity { user_id: USER, username: "ana".into(), role: Role::Operator, session: SESSION }
    }

    #[test]
    fn a_token_says_who_it_was_issued_to() {
        let tokens = Tokens::new(Duration::from_secs(900));
        let token = tokens.issue(&who(), UtcMicros::now()).unwrap();
        assert_eq!(tokens.verify(&token), Some(who()));
        assert_eq!(Tokens::new(Duration::from_secs(900)).verify(&token), None, "another key");
    }

    #[test]
    fn expired_revoked_and_foreign_tokens_are_refused() {
        let tokens = Tokens::new(Duration::from_secs(900));
        let now = UtcMicros::now();
        let old = tokens.issue(&who(), now.add_micros(-1_000 * 1_000_000)).unwrap();
        assert_eq!(tokens.verify(&old), None);
        let token = tokens.issue(&who(), now).unwrap();
        tokens.revoke_session(Uuid::from_u128(2), now);
        assert!(tokens.verify(&token).is_some());
        tokens.revoke_session(SESSION, now);
        assert_eq!(tokens.verify(&token), None);
        assert_eq!(tokens.verify("a.b.c"), None);
        assert_eq!(tokens.verify(""), None);
    }

    #[test]
    fn ending_a_user_spares_tokens_issued_later() {
        let tokens = Tokens::new(Duration::from_secs(900));
        let now = UtcMicros::now();
        let before = tokens.issue(&who(), now).unwrap();
        tokens.revoke_user(USER, now);
        assert_eq!(tokens.verify(&before), None);
        let after = tokens.issue(&who(), now.add_micros(2_000_000)).unwrap();
        assert!(tokens.verify(&after).is_some());
    }

    #[test]
    fn roles_are_ordered_and_read_back() {
        assert!(Role::Viewer < Role::Operator && Role::Operator < Role::Administrator);
        for role in [Role::Viewer, Role::Operator, Role::Administrator] {
            assert_eq!(role.as_str().parse(), Ok(role));
        }
    }
}
