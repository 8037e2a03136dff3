//! Secrets: redacted wherever they are printed, sealed at rest with a key that never leaves the box (T2).

use std::fmt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use chacha20poly1305::aead::{Aead, KeyInit};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use crate::base::atomic_file;

const SEALED_PREFIX: &str = "enc:";
const KEY_LEN: usize = 32;
const NONCE_LEN: usize = 24;

/// A password or token. `Debug` and `Display` never show it.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself; the only way to reach it, so that each use can be found by its name.
    pub fn expose(&self) -> &str {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn is_sealed(&self) -> bool {
        self.0.starts_with(SEALED_PREFIX)
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "(none)" } else { "(secret)" })
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What can go wrong with sealed secrets.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("key file {path}: {source}; restore it from the backup of the box or enter the passwords again")]
    KeyFile { path: String, source: std::io::Error },
    #[error(
        "key file {path} has {found} bytes instead of {KEY_LEN}: restore it or remove it and enter the passwords again"
    )]
    KeyLength { path: String, found: usize },
    #[error("a stored secret cannot be opened with this box's key: enter it again on the page")]
    Open,
}

/// Seals and opens secrets with the key in `data_dir/keys/secret.key` (made at first use, mode 0600).
#[derive(Clone)]
pub struct SecretBox {
    cipher: XChaCha20Poly1305,
}

impl fmt::Debug for SecretBox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBox")
    }
}

impl SecretBox {
    pub fn open_or_create(data_dir: &Path) -> Result<Self, SecretError> {
        let path = data_dir.join("keys/secret.key");
        let failed = |source| SecretError::KeyFile { path: path.display().to_string(), source };
        let mut key = match std::fs::read(&path) {
            Ok(key) => key,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let key: [u8; KEY_LEN] = rand::random();
                atomic_file::write_private(&path, &key).map_err(failed)?;
                key.to_vec()
            }
            Err(error) => return Err(failed(error)),
        };
        let cipher = XChaCha20Poly1305::new_from_slice(&key)
            .map_err(|_| SecretError::KeyLength { path: path.display().to_string(), found: key.len() })?;
        key.zeroize();
        Ok(Self { cipher })
    }

    /// `enc:` and base64 of nonce and ciphertext.
    pub fn seal(&self, secret: &Secret) -> Secret {
        if secret.is_empty() || secret.is_sealed() {
            return secret.clone();
        }
        let nonce: [u8; NONCE_LEN] = rand::random();
        let sealed = self
            .cipher
            .encrypt(&XNonce::from(nonce), secret.expose().as_bytes())
            .expect("encryption of a short text into memory cannot fail");
        let mut bytes = nonce.to_vec();
        bytes.extend_from_slice(&sealed);
        Secret(format!("{SEALED_PREFIX}{}", BASE64.encode(bytes)))
    }

    /// The plain secret; one that was never sealed comes back as it is.
    pub fn open(&self, secret: &Secret) -> Result<Secret, SecretError> {
        let Some(encoded) = secret.0.strip_prefix(SEALED_PREFIX) else {
            return Ok(secret.clone());
        };
        let bytes = BASE64.decode(encoded).map_err(|_| SecretError::Open)?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE_LEN>().ok_or(SecretError::Open)?;
        let plain = self.cipher.decrypt(&XNonce::from(*nonce), sealed).map_err(|_| SecretError::Open)?;
        String::from_utf8(plain).map(Secret).map_err(|_| SecretError::Open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seals_with_a_key_that_stays() {
        let folder = tempfile::tempdir().unwrap();
        let first = SecretBox::open_or_create(folder.path()).unwrap();
        let sealed = first.seal(&Secret::new("câmera 123"));
        assert!(sealed.is_sealed() && !sealed.expose().contains("123"));
        assert_eq!(first.seal(&sealed), sealed);
        let second = SecretBox::open_or_create(folder.path()).unwrap();
        assert_eq!(second.open(&sealed).unwrap().expose(), "câmera 123");
        assert!(second.open(&Secret::new("enc:AAAA")).is_err());
        assert!(second.open(&Secret::new("enc:not base64!")).is_err());
        assert_eq!(format!("{sealed:?} {sealed}"), "(secret) (secret)");
    }
}
