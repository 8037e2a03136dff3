//! A large body goes into a file without a name before anything is done with it: memory stays small, a transfer that
//! breaks off changes nothing, and a crash leaves nothing behind.
use std::fs::File;
use std::io::{Seek, Write};
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use bytes::Buf;
use futures_util::{Stream, StreamExt};
use http::StatusCode;

use super::error::{ApiError, ApiResult};

/// A million lines of plate, reason and two times.
pub const UPLOAD_MAX: u64 = 128 * 1024 * 1024;
/// Without a byte for this long the sender is gone.
const IDLE_MAX: Duration = Duration::from_secs(15);

/// Takes the whole body; the file is at its beginning.
pub async fn spool<S, B>(folder: &Path, body: S) -> ApiResult<File>
where
    S: Stream<Item = Result<B, warp::Error>> + Send,
    B: Buf,
{
    let mut body = pin!(body);
    let kept = |error: std::io::Error| {
        tracing::error!(%error, "an upload cannot be kept");
        ApiError::of_kind(
            crate::base::error::Kind::Full,
            "The box cannot keep what was sent.",
            "Free disk space or lower the recording limits.",
        )
    };
    let mut file = tempfile::tempfile_in(folder).map_err(kept)?;
    let mut taken = 0;
    loop {
        let chunk = tokio::time::timeout(IDLE_MAX, body.next()).await.map_err(|_| broken_off())?;
        let Some(chunk) = chunk else { break };
        let mut chunk = chunk.map_err(|_| broken_off())?;
        taken += chunk.remaining() as u64;
        if taken > UPLOAD_MAX {
            return Err(ApiError::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too_large",
                format!("The file is larger than {} MiB.", UPLOAD_MAX / 1024 / 1024),
                "Split it; the parts add up where they do not replace.",
            ));
        }
        while chunk.has_remaining() {
            // Into the page cache: a few microseconds for the kilobytes of a chunk.
            let written = file.write(chunk.chunk()).map_err(kept)?;
            chunk.advance(written);
        }
    }
    file.rewind().map_err(kept)?;
    Ok(file)
}

fn broken_off() -> ApiError {
    ApiError::invalid("body", "The body of the request broke off; nothing was changed.")
}
