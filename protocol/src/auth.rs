//! Signatures: a box proves at the start of a session that it holds its Ed25519 key, and signs each batch at its head,
//! so that nobody at the center can later rewrite a chain and its hashes.

use crate::body::Proof;
use crate::hex_bytes::{Hash, HexBytes, Nonce, PublicKey, Signature};
use crate::message::{Batch, UnavailableObject};
use crate::record::Record;
use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// What the box signs to begin a session: `"gtv-auth-v1\0" | nonce | SHA-256 of the encoded Hello frame`.
pub fn challenge_payload(nonce: &Nonce, hello_frame: &[u8]) -> Vec<u8> {
    let mut payload = b"gtv-auth-v1\0".to_vec();
    payload.extend_from_slice(nonce.as_bytes());
    payload.extend_from_slice(&Sha256::digest(hello_frame));
    payload
}

/// What the box signs for a batch: `"gtv-batch-v1\0" | box id | epoch | seq and hash of the last record
/// | SHA-256 over the lost objects (sha256, u32 length and text of the reason, each)`.
pub fn batch_payload(box_id: Uuid, epoch: i64, seq: u64, hash: &Hash, lost: &Hash) -> Vec<u8> {
    let mut payload = b"gtv-batch-v1\0".to_vec();
    payload.extend_from_slice(box_id.as_bytes());
    payload.extend_from_slice(&epoch.to_be_bytes());
    payload.extend_from_slice(&seq.to_be_bytes());
    payload.extend_from_slice(hash.as_bytes());
    payload.extend_from_slice(lost.as_bytes());
    payload
}

/// What the box signs for a Merkle root: `"gtv-proof-v1\0" | box id | epoch | first and last seq | root | ledger
/// | hour count u32 | per hour: start_us, records, objects, evicted`, all numbers big-endian.
pub fn proof_payload(box_id: Uuid, proof: &Proof) -> Vec<u8> {
    let mut payload = b"gtv-proof-v1\0".to_vec();
    payload.extend_from_slice(box_id.as_bytes());
    payload.extend_from_slice(&proof.epoch.to_be_bytes());
    payload.extend_from_slice(&proof.first_seq.to_be_bytes());
    payload.extend_from_slice(&proof.last_seq.to_be_bytes());
    payload.extend_from_slice(proof.root.as_bytes());
    payload.extend_from_slice(proof.ledger.as_bytes());
    payload.extend_from_slice(&(proof.hours.len() as u32).to_be_bytes());
    for hour in &proof.hours {
        payload.extend_from_slice(&hour.start_us.to_be_bytes());
        for count in [hour.records, hour.objects, hour.evicted] {
            payload.extend_from_slice(&count.to_be_bytes());
        }
    }
    payload
}

pub fn verify_proof(key: &PublicKey, box_id: Uuid, proof: &Proof) -> bool {
    verify(key, &proof_payload(box_id, proof), &proof.signature)
}

/// Digest of the lost objects that enters `batch_payload`.
pub fn lost_digest(unavailable: &[UnavailableObject]) -> Hash {
    let mut sha = Sha256::new();
    for lost in unavailable {
        sha.update(lost.sha256.as_bytes());
        sha.update((lost.reason.len() as u32).to_be_bytes());
        sha.update(lost.reason.as_bytes());
    }
    HexBytes(sha.finalize().into())
}

pub fn sign(key: &SigningKey, payload: &[u8]) -> Signature {
    HexBytes(key.sign(payload).to_bytes())
}

/// Strict verification: weak keys and malleable signatures are refused.
pub fn verify(key: &PublicKey, payload: &[u8], signature: &Signature) -> bool {
    let signature = ed25519_dalek::Signature::from_bytes(signature.as_bytes());
    VerifyingKey::from_bytes(key.as_bytes()).is_ok_and(|key| key.verify_strict(payload, &signature).is_ok())
}

pub fn public_key(key: &SigningKey) -> PublicKey {
    HexBytes(key.verifying_key().to_bytes())
}

/// Signs consecutive records as one batch; `None` if there are none.
pub fn sign_batch(
    key: &SigningKey,
    box_id: Uuid,
    records: Vec<Record>,
    unavailable: Vec<UnavailableObject>,
) -> Option<Batch> {
    let head = records.last()?;
    let payload = batch_payload(box_id, head.epoch, head.seq, &head.hash, &lost_digest(&unavailable));
    Some(Batch { signature: sign(key, &payload), records, unavailable })
}

pub fn verify_batch(key: &PublicKey, box_id: Uuid, batch: &Batch) -> bool {
    batch.records.last().is_some_and(|head| {
        let payload = batch_payload(box_id, head.epoch, head.seq, &head.hash, &lost_digest(&batch.unavailable));
        verify(key, &payload, &batch.signature)
    })
}
