//! Frames on the wire: one tag byte, then JSON (`0x01`) or a zstd-compressed JSON batch (`0x02`).
//! Decoding never panics and never allocates more than the bounds of `limits` allow.

use crate::limits;
use crate::message::{Batch, Message};
use crate::record::RecordError;
use std::io::Read;

const TAG_CONTROL: u8 = 1;
pub(crate) const TAG_BATCH: u8 = 2;
/// zstd's default: detections compress about 8 to 1 at negligible cost.
const ZSTD_LEVEL: i32 = 3;

#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    #[error("the frame has {found} bytes, at most {max} are allowed; send smaller batches")]
    FrameTooLarge { found: usize, max: usize },
    #[error("the frame is empty")]
    Empty,
    #[error("frame tag {0} is not known to this version")]
    UnknownTag(u8),
    #[error(
        "expected a message of at most {max} bytes that is no batch, the frame has {found} bytes and tag {tag}; send \
         batches after the Welcome"
    )]
    NotControl { found: usize, tag: u8, max: usize },
    #[error("the batch holds more than {max} bytes after decompression; send smaller batches")]
    BatchTooLarge { max: usize },
    #[error("the batch has {found} {what}, 1 to {max} are allowed")]
    BatchCount { what: &'static str, found: usize, max: usize },
    #[error("the batch does not decompress: {0}")]
    Decompress(std::io::Error),
    #[error("the batch does not compress: {0}")]
    Compress(std::io::Error),
    #[error("the message is not readable: {0}")]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// Turns a message into the bytes of one binary WebSocket message.
pub fn encode(message: &Message) -> Result<Vec<u8>, CodecError> {
    let frame = if let Message::Batch(batch) = message {
        check_batch(batch)?;
        let json = serde_json::to_vec(batch)?;
        if json.len() > limits::BATCH_RAW_BYTES_MAX {
            return Err(CodecError::BatchTooLarge { max: limits::BATCH_RAW_BYTES_MAX });
        }
        let mut frame = vec![TAG_BATCH];
        zstd::stream::copy_encode(json.as_slice(), &mut frame, ZSTD_LEVEL).map_err(CodecError::Compress)?;
        frame
    } else {
        let mut frame = vec![TAG_CONTROL];
        serde_json::to_writer(&mut frame, message)?;
        frame
    };
    check_frame(&frame)?;
    Ok(frame)
}

/// Reads one binary WebSocket message from the other side.
pub fn decode(frame: &[u8]) -> Result<Message, CodecError> {
    check_frame(frame)?;
    match frame.split_first() {
        None => Err(CodecError::Empty),
        Some((&TAG_CONTROL, json)) => Ok(serde_json::from_slice(json)?),
        Some((&TAG_BATCH, packed)) => {
            let batch: Batch = serde_json::from_slice(&decompress(packed)?)?;
            check_batch(&batch)?;
            Ok(Message::Batch(batch))
        }
        Some((&tag, _)) => Err(CodecError::UnknownTag(tag)),
    }
}

/// Reads a message that may not be a batch: of a stranger nothing is decompressed, and nothing longer is parsed.
pub fn decode_control(frame: &[u8], bytes_max: usize) -> Result<Message, CodecError> {
    match frame.split_first() {
        None => Err(CodecError::Empty),
        Some((&TAG_CONTROL, json)) if frame.len() <= bytes_max => Ok(serde_json::from_slice(json)?),
        Some((&tag, _)) => Err(CodecError::NotControl { found: frame.len(), tag, max: bytes_max }),
    }
}

fn decompress(packed: &[u8]) -> Result<Vec<u8>, CodecError> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(packed).map_err(CodecError::Decompress)?;
    decoder.window_log_max(limits::ZSTD_WINDOW_LOG_MAX).map_err(CodecError::Decompress)?;
    let mut json = Vec::new();
    decoder.take(limits::BATCH_RAW_BYTES_MAX as u64 + 1).read_to_end(&mut json).map_err(CodecError::Decompress)?;
    if json.len() > limits::BATCH_RAW_BYTES_MAX {
        return Err(CodecError::BatchTooLarge { max: limits::BATCH_RAW_BYTES_MAX });
    }
    Ok(json)
}

fn check_frame(frame: &[u8]) -> Result<(), CodecError> {
    let (found, max) = (frame.len(), limits::FRAME_BYTES_MAX);
    if found > max { Err(CodecError::FrameTooLarge { found, max }) } else { Ok(()) }
}

fn check_batch(batch: &Batch) -> Result<(), CodecError> {
    let count = |what, found: usize, min: usize, max: usize| {
        if (min..=max).contains(&found) { Ok(()) } else { Err(CodecError::BatchCount { what, found, max }) }
    };
    count("records", batch.records.len(), 1, limits::BATCH_RECORDS_MAX)?;
    count("unavailable objects", batch.unavailable.len(), 0, limits::UNAVAILABLE_MAX)?;
    for lost in &batch.unavailable {
        count("bytes in a reason", lost.reason.len(), 1, limits::TEXT_BYTES_MAX)?;
    }
    batch.records.iter().try_for_each(|record| Ok(record.validate()?))
}
