//! What `gtv-edge` (the box) and `gtv-sync` (the center) say to each other, and the rules both sides check.
//!
//! One WebSocket, dialed by the box, carries binary frames (`codec`). The order of a session:
//!
//! ```text
//! box    Hello      who I am, which versions I speak, where my chain stands
//! center Challenge  a fresh nonce
//! box    Proof      Ed25519 signature over nonce and Hello
//! center Welcome    chosen version, last committed position, limits, where objects go
//! box    Batch*     zstd JSON records, signed at their head
//! center Ack        highest contiguous committed position, sent only after COMMIT
//!        Reject     the first record of a batch that was not committed, and why
//! ```
//!
//! Between these the box may ask for the right to upload: `RenewAccess` for fresh credentials, or `SignUpload` and
//! `FinishUpload` for one object where the center signs each upload.
//!
//! Each record is numbered `(epoch, seq)` and carries a SHA-256 over its predecessor's hash and its own bytes
//! (`record::chain_hash`), so a lost, reordered, duplicated or altered record is noticed and named (`chain`).
//! `seq` starts with 1 in each epoch; an epoch is the creation time of the box's database, so a box that lost its
//! database starts a new chain instead of forking the old one.

pub mod auth;
pub mod body;
pub mod chain;
pub mod codec;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod hex_bytes;
pub mod limits;
pub mod merkle;
pub mod message;
pub mod record;
pub mod status;

pub use body::{Body, BodyError, Kind, PlateText};
pub use chain::{ChainFault, Position};
pub use codec::{CodecError, decode, decode_control, encode};
pub use hex_bytes::{Hash, Nonce, PublicKey, Signature};
pub use message::{
    Ack, Batch, Challenge, FinishUpload, FinishedUpload, Hello, Message, ObjectAccess, Proof, Refusal, RefusalCode,
    Reject, RejectCode, SessionLimits, SignUpload, SignedRequest, SignedUpload, UnavailableObject, VersionRange,
    Welcome,
};
pub use record::{Draft, ObjectRef, Record, RecordError};

/// Path of the WebSocket endpoint at the center.
pub const SYNC_PATH: &str = "/sync/v1";
/// Oldest message version this build speaks.
pub const VERSION_MIN: u16 = 1;
/// Newest message version this build speaks.
pub const VERSION_MAX: u16 = 1;
