//! Who this box is: its id and its Ed25519 key, made at first start and kept in `data_dir/keys`.

use std::path::Path;

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use uuid::Uuid;
use zeroize::Zeroize;

use crate::base::atomic_file;
use crate::base::ids::BoxId;

/// Why the identity cannot be read or made.
#[derive(Debug, thiserror::Error)]
#[error("identity of the box, {path}: {message}; restore the file from the backup of the box")]
pub struct IdentityError {
    pub path: String,
    pub message: String,
}

/// The id and the signing key of this box.
#[derive(Clone)]
pub struct Identity {
    pub box_id: BoxId,
    key: SigningKey,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("box_id", &self.box_id).finish_non_exhaustive()
    }
}

impl Identity {
    /// Reads `keys/box.key` and `keys/box.id`, or makes them where neither exists.
    pub fn open_or_create(data_dir: &Path) -> Result<Self, IdentityError> {
        let key_path = data_dir.join("keys/box.key");
        let id_path = data_dir.join("keys/box.id");
        let failed = |path: &Path, message: String| IdentityError { path: path.display().to_string(), message };
        if !key_path.exists() && !id_path.exists() {
            let mut seed: [u8; 32] = rand::random();
            let written = atomic_file::write_private(&key_path, &seed);
            seed.zeroize();
            written.map_err(|e| failed(&key_path, e.to_string()))?;
        }
        // The id is written second: a cut between the two leaves a key without an id, which is completed here.
        if !id_path.exists() {
            let id = BoxId::new().to_string();
            atomic_file::write(&id_path, id.as_bytes()).map_err(|e| failed(&id_path, e.to_string()))?;
        }
        let mut seed = std::fs::read(&key_path).map_err(|e| failed(&key_path, e.to_string()))?;
        let length = seed.len();
        let array: Result<[u8; 32], _> = seed.as_slice().try_into();
        seed.zeroize();
        let array = array.map_err(|_| failed(&key_path, format!("has {length} bytes instead of 32")))?;
        let text = std::fs::read_to_string(&id_path).map_err(|e| failed(&id_path, e.to_string()))?;
        let id = Uuid::parse_str(text.trim()).map_err(|e| failed(&id_path, e.to_string()))?;
        Ok(Self { box_id: BoxId(id), key: SigningKey::from_bytes(&array) })
    }

    pub fn public_key(&self) -> VerifyingKey {
        self.key.verifying_key()
    }

    /// An Ed25519 signature (RFC 8032) of `message`.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message).to_bytes()
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signature, Verifier};

    use super::*;

    #[test]
    fn stays_the_same_box() {
        let folder = tempfile::tempdir().unwrap();
        let first = Identity::open_or_create(folder.path()).unwrap();
        let second = Identity::open_or_create(folder.path()).unwrap();
        assert_eq!(first.box_id, second.box_id);
        let signature = Signature::from_bytes(&first.sign(b"evidence"));
        second.public_key().verify(b"evidence", &signature).unwrap();
    }

    #[test]
    fn a_lost_key_is_an_error_not_a_new_box() {
        let folder = tempfile::tempdir().unwrap();
        Identity::open_or_create(folder.path()).unwrap();
        std::fs::remove_file(folder.path().join("keys/box.key")).unwrap();
        assert!(Identity::open_or_create(folder.path()).unwrap_err().to_string().contains("box.key"));
    }
}
