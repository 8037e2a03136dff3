//! Who asks: a JWT (HS256) that names a person, one prefeitura and a role. The administration of the city, or
//! `gtv-sync token`, issues it; whoever has the secret may.

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Shorter secrets can be guessed from one token.
pub const SECRET_BYTES_MIN: usize = 32;

/// What a person may ask; each role includes the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Boxes, cameras, and how complete recording and delivery are.
    Viewer,
    /// Also plates, alerts and video.
    Investigator,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Investigator => "investigator",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The person.
    pub sub: String,
    /// Slug of the one prefeitura that may be asked about.
    pub prefeitura: String,
    pub role: Role,
    /// Seconds since 1970.
    pub exp: u64,
}

pub struct Tokens {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
}

impl Tokens {
    pub fn new(secret: &str) -> Result<Self, String> {
        if secret.len() < SECRET_BYTES_MIN {
            return Err(format!(
                "the secret of the API has {} bytes; give it {SECRET_BYTES_MIN} or more",
                secret.len()
            ));
        }
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = 0;
        validation.set_required_spec_claims(&["exp", "sub"]);
        let (encoding, decoding) =
            (EncodingKey::from_secret(secret.as_bytes()), DecodingKey::from_secret(secret.as_bytes()));
        Ok(Self { encoding, decoding, validation })
    }

    pub fn issue(&self, claims: &Claims) -> Result<String, jsonwebtoken::errors::Error> {
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &self.encoding)
    }

    /// The claims of `Authorization: Bearer <token>`, and the token's SHA-256, by which it may have been revoked.
    pub fn verify(&self, authorization: &str) -> Option<(Claims, [u8; 32])> {
        let token = authorization.strip_prefix("Bearer ")?.trim();
        Some((self.read(token)?, Sha256::digest(token.as_bytes()).into()))
    }

    /// What stands for a plate where it must not be read: without the secret it cannot be found by trying all plates. No
    /// token can be made of it, because the text that is signed for a token has no colon.
    pub fn plate_hmac(&self, plate: &str) -> Result<String, jsonwebtoken::errors::Error> {
        jsonwebtoken::crypto::sign(format!("plate:{plate}").as_bytes(), &self.encoding, Algorithm::HS256)
    }

    fn read(&self, token: &str) -> Option<Claims> {
        Some(jsonwebtoken::decode::<Claims>(token, &self.decoding, &self.validation).ok()?.claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(exp: u64) -> Claims {
        Claims { sub: "ana".into(), prefeitura: "sao-paulo".into(), role: Role::Investigator, exp }
    }

    #[test]
    fn only_fresh_tokens_of_this_secret_count() {
        let tokens = Tokens::new("0123456789abcdef0123456789abcdef").unwrap();
        let bearer = |tokens: &Tokens, exp| format!("Bearer {}", tokens.issue(&claims(exp)).unwrap());
        let fresh = bearer(&tokens, 4_000_000_000);
        let (read, sha256) = tokens.verify(&fresh).unwrap();
        assert_eq!(read, claims(4_000_000_000));
        assert_eq!(sha256, <[u8; 32]>::from(Sha256::digest(&fresh["Bearer ".len()..])));
        assert_eq!(tokens.verify(&bearer(&tokens, 1_000_000_000)), None, "expired");
        let other = Tokens::new("fedcba9876543210fedcba9876543210").unwrap();
        assert_eq!(tokens.verify(&bearer(&other, 4_000_000_000)), None, "another secret");
        // {"alg":"none"}
        let none =
            "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIiwicHJlZmVpdHVyYSI6ImEiLCJyb2xlIjoidmlld2VyIiwiZXhwIjo0ZTl9.";
        assert_eq!(tokens.verify(none), None);
        assert_eq!(tokens.verify("ana"), None);
        assert!(Tokens::new("short").is_err());
    }
}
