//! Bounds on everything that arrives from the other side. Both sides refuse what exceeds them.

/// Bytes of one WebSocket message.
pub const FRAME_BYTES_MAX: usize = 4 << 20;
/// Bytes of a Hello or a Proof, before which the other side is a stranger.
pub const GREETING_BYTES_MAX: usize = 16 << 10;
/// Bytes of one batch after decompression.
pub const BATCH_RAW_BYTES_MAX: usize = 16 << 20;
/// Records in one batch.
pub const BATCH_RECORDS_MAX: usize = 1000;
/// Batches a box may have sent without an acknowledgement.
pub const BATCHES_IN_FLIGHT_MAX: usize = 4;
/// Bytes of one record's body (JSON text).
pub const BODY_BYTES_MAX: usize = 64 << 10;
/// Objects one record may name.
pub const OBJECTS_PER_RECORD_MAX: usize = 8;
/// Objects one batch may declare as lost for good.
pub const UNAVAILABLE_MAX: usize = BATCH_RECORDS_MAX * OBJECTS_PER_RECORD_MAX;
/// Bytes of one object (a closed recording segment is the largest).
pub const OBJECT_BYTES_MAX: u64 = 8 << 30;
/// Parts of one object (each but the last has at least 5 MiB), and of these signed at a time.
pub const UPLOAD_PARTS_MAX: u32 = 1024;
pub const SIGNED_PARTS_MAX: u32 = 32;
/// Bytes of an identifier: camera, kind, bucket, prefeitura.
pub const ID_BYTES_MAX: usize = 64;
/// Bytes of a record's id, which may be put together of several identifiers and a time.
pub const RECORD_ID_BYTES_MAX: usize = 200;
/// Bytes of an object key.
pub const KEY_BYTES_MAX: usize = 256;
/// Bytes of a name, reason, MIME type or other short text.
pub const TEXT_BYTES_MAX: usize = 512;
/// Alternatives of one detection.
pub const ALTERNATIVES_MAX: usize = 32;
/// 2200-01-01: later times are a broken clock, not data (microseconds since 1970).
pub const TIME_US_MAX: i64 = 7_258_118_400_000_000;
/// Window log of zstd: bounds the decoder's memory to 8 MiB.
pub const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// Records under one signed root.
pub const PROOF_RECORDS_MAX: u64 = 100_000;
/// Hours that one proof counts.
pub const PROOF_HOURS_MAX: usize = 500;
/// Cameras, and their starts and stops, in one status of a box.
pub const STATUS_CAMERAS_MAX: usize = 200;
pub const STATUS_CHANGES_MAX: usize = 200;
