//! Recorded video as an answer: any part of a playback, streamed from the segment files.
use std::sync::Arc;

use futures_util::StreamExt;
use http::header;
use sha2::{Digest, Sha256};
use warp::reply::Response;

use super::error::ApiError;
use super::reply::{self, Resolved};
use super::request::Req;
use crate::record::{Playback, RecordError};

/// The whole file or the range that was asked for.
pub fn answer(req: &Req, playback: Playback) -> Response {
    let (part, mut head) = match reply::resolve_range(req, &etag(&playback), playback.length) {
        Resolved::Send(part, head) => (part, head),
        Resolved::Done(response) => return response,
    };
    reply::set(&mut head, header::CONTENT_TYPE, &playback.mime);
    reply::set(&mut head, header::CACHE_CONTROL, "private, no-cache");
    let body = Arc::new(playback).read(part).map(|chunk| {
        chunk.map_err(|error| {
            // The head is out: all that is left is to break off, and to say why in the log.
            tracing::warn!(%error, "playback broke off");
            std::io::Error::other(error)
        })
    });
    reply::with_body(head, reply::stream(Box::pin(body)))
}

/// Fragments never change once they are recorded, so which ones there are says what the bytes are.
fn etag(playback: &Playback) -> String {
    let mut hash = Sha256::new();
    hash.update(playback.mime.as_bytes());
    hash.update(playback.length.to_be_bytes());
    for entry in playback.entries() {
        hash.update(entry.start.0.to_be_bytes());
        hash.update(entry.duration_us.to_be_bytes());
    }
    format!("\"{}\"", hex::encode(hash.finalize().get(..16).unwrap_or_default()))
}

impl From<RecordError> for ApiError {
    fn from(error: RecordError) -> Self {
        let kind = error.kind();
        tracing::warn!(%error, "a recording cannot be played");
        Self::of_kind(kind, error.to_string(), super::error::kind_remedy(kind))
    }
}
