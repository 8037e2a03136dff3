//! Recorded video as an answer: any part of a playback, streamed from the segment files.
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt;
use http::header;
use sha2::{Digest, Sha256};
use warp::reply::Response;

use super::error::ApiError;
use super::reply::{self, Resolved};
use super::request::Req;
use crate::base::ids::CameraId;
use crate::base::time::UtcMicros;
use crate::record::{Playback, RecordError};
use crate::store::{Store, Stream};

/// Playbacks of key frames that are kept: a browser asks for one in several ranges.
const KEPT: usize = 16;
/// A span that ends later than this may still grow.
const SETTLED_US: i64 = 30_000_000;

type Asked = (CameraId, Stream, UtcMicros, UtcMicros);

/// Playbacks of key frames, which are costly to open, the last used first.
#[derive(Default)]
pub struct FastPlaybacks(Mutex<VecDeque<(Asked, Arc<Playback>)>>);

impl FastPlaybacks {
    pub async fn open(
        &self,
        store: &Store,
        camera: &CameraId,
        stream: Stream,
        from: UtcMicros,
        to: UtcMicros,
    ) -> Result<Option<Arc<Playback>>, RecordError> {
        let asked = (camera.clone(), stream, from, to);
        if let Some(known) = self.take(&asked) {
            self.keep(asked, known.clone());
            return Ok(Some(known));
        }
        let Some(found) = Playback::open_keys(store, camera, stream, from, to).await? else { return Ok(None) };
        let found = Arc::new(found);
        if UtcMicros::now().since(to) > SETTLED_US {
            self.keep(asked, found.clone());
        }
        Ok(Some(found))
    }

    fn take(&self, asked: &Asked) -> Option<Arc<Playback>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let index = kept.iter().position(|(key, _)| key == asked)?;
        kept.remove(index).map(|(_, playback)| playback)
    }

    fn keep(&self, asked: Asked, playback: Arc<Playback>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_front((asked, playback));
        kept.truncate(KEPT);
    }
}

/// The whole file or the range that was asked for.
pub fn answer(req: &Req, playback: Arc<Playback>) -> Response {
    let (part, mut head) = match reply::resolve_range(req, &etag(&playback), playback.length) {
        Resolved::Send(part, head) => (part, head),
        Resolved::Done(response) => return response,
    };
    reply::set(&mut head, header::CONTENT_TYPE, &playback.mime);
    reply::set(&mut head, header::CACHE_CONTROL, "private, no-cache");
    let body = playback.read(part).map(|chunk| {
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
