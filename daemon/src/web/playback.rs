//! Recorded fragments as one seekable MP4: initialization part, index, then the fragments moved to run from zero.
//!
//! Nothing is copied beforehand: the layout follows from the rows, and a range request reads only the fragments it
//! touches. The bytes for one set of rows are always the same, so ranges of different requests fit together.
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use http::header;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use warp::reply::Response;

use super::error::ApiResult;
use super::reply::{self, Resolved};
use super::request::Req;
use crate::base::ids::CameraId;
use crate::base::time::UtcMicros;
use crate::media::StreamKind;
use crate::media::fmp4::{Retimer, SIDX_MAX, SidxEntry, sidx, with_duration};
use crate::store::{FragmentAt, Store, Stream};

/// How far before the asked time the key frame may lie; cameras send one every few seconds.
const KEY_SEARCH_US: i64 = 12 * 1_000_000;

/// A stretch of recording, ready to be sent.
pub struct Film {
    mime: String,
    /// Initialization segment and index.
    head: Bytes,
    retimer: Retimer,
    pieces: Arc<[Piece]>,
    total: u64,
    etag: String,
}

#[derive(Debug, Clone)]
struct Piece {
    path: PathBuf,
    offset: u64,
    bytes: u64,
    /// Where it lies in the film.
    at: u64,
    /// When it plays, from the start of the film, in 1/90000 s.
    ticks: i64,
    /// Which fragment of the film it is, from 1.
    number: u32,
}

/// The recording of a stream from the key frame before `from`; `None` when nothing is there.
pub async fn find(
    store: &Store,
    camera: &CameraId,
    stream: StreamKind,
    from: UtcMicros,
    to: UtcMicros,
) -> ApiResult<Option<Film>> {
    let rows = store.fragments_between(camera, stored(stream), from.add_micros(-KEY_SEARCH_US), to).await?;
    let rows = choose(rows, from);
    let Some(first) = rows.first() else {
        return Ok(None);
    };
    let Some(init) = store.init(&first.init_id).await? else {
        return Ok(None);
    };
    let start = first.start;
    let ends = rows
        .iter()
        .skip(1)
        .map(|next| next.start)
        .chain(rows.last().map(|last| last.start.add_micros(last.duration_us)));
    let times: Vec<(i64, i64)> =
        rows.iter().map(|row| row.start.since(start)).zip(ends.map(|end| end.since(start))).collect();
    let entries: Vec<SidxEntry> = rows
        .iter()
        .zip(&times)
        .map(|(row, &(from, to))| SidxEntry {
            bytes: u32::try_from(row.bytes).unwrap_or(u32::MAX),
            // A gap belongs to the fragment before it, so that the index and the decode times agree.
            duration: u32::try_from(ticks(to) - ticks(from)).unwrap_or(0),
            key: row.key,
        })
        .collect();
    let mut head = with_duration(&init.data, times.last().map_or(0, |(_, to)| *to));
    head.extend_from_slice(&sidx(&entries));
    let mut at = head.len() as u64;
    let mut hash = Sha256::new();
    hash.update(&head);
    let mut pieces = Vec::with_capacity(rows.len());
    for (number, row) in rows.iter().enumerate() {
        hash.update(row.offset.to_be_bytes());
        hash.update(row.start.0.to_be_bytes());
        let piece = Piece {
            path: store.dir().join(&row.path),
            offset: row.offset,
            bytes: row.bytes,
            at,
            ticks: ticks(row.start.since(start)),
            number: number as u32 + 1,
        };
        at += row.bytes;
        pieces.push(piece);
    }
    let etag = format!("\"{}\"", hex::encode(hash.finalize().get(..16).unwrap_or_default()));
    Ok(Some(Film {
        mime: init.mime,
        head: head.into(),
        retimer: Retimer::of(&init.data),
        pieces: pieces.into(),
        total: at,
        etag,
    }))
}

/// Microseconds as ticks of the video track.
fn ticks(micros: i64) -> i64 {
    micros * 9 / 100
}

fn stored(stream: StreamKind) -> Stream {
    match stream {
        StreamKind::Main => Stream::Main,
        StreamKind::Sub => Stream::Sub,
    }
}

/// Pure. From the last key frame at or before `from` (or the first after it) as long as the codec settings stay.
fn choose(rows: Vec<FragmentAt>, from: UtcMicros) -> Vec<FragmentAt> {
    let covering = rows.iter().rposition(|row| row.key && row.start <= from);
    let reaches = |index: &usize| {
        let broken = rows
            .iter()
            .skip(*index)
            .take_while(|row| row.start <= from)
            .any(|row| rows.get(*index).is_some_and(|key| key.init_id != row.init_id));
        let last = rows.iter().skip(*index).rfind(|row| row.start <= from);
        !broken && last.is_some_and(|row| row.start.add_micros(row.duration_us) > from)
    };
    let start = covering.filter(reaches).or_else(|| rows.iter().position(|row| row.key && row.start >= from));
    let Some(start) = start else {
        return Vec::new();
    };
    let init = rows.get(start).map(|row| row.init_id.clone());
    rows.into_iter().skip(start).take_while(|row| Some(&row.init_id) == init.as_ref()).take(SIDX_MAX).collect()
}

impl Film {
    /// The whole film or the range that was asked for.
    pub fn answer(&self, req: &Req) -> Response {
        let (part, mut head) = match reply::resolve_range(req, &self.etag, self.total) {
            Resolved::Send(part, head) => (part, head),
            Resolved::Done(response) => return response,
        };
        reply::set(&mut head, header::CONTENT_TYPE, &self.mime);
        reply::set(&mut head, header::CACHE_CONTROL, "private, no-cache");
        let state = Reader {
            head: self.head.clone(),
            retimer: self.retimer,
            pieces: self.pieces.clone(),
            next: part.start,
            end: part.end,
        };
        let body = stream::try_unfold(state, |mut reader| async move {
            let chunk = reader.chunk().await?;
            Ok(chunk.map(|chunk| (chunk, reader)))
        });
        reply::with_body(head, reply::stream(Box::pin(body)))
    }
}

struct Reader {
    head: Bytes,
    retimer: Retimer,
    pieces: Arc<[Piece]>,
    next: u64,
    end: u64,
}

impl Reader {
    /// The next stretch: what is left of the head, or of one fragment.
    async fn chunk(&mut self) -> std::io::Result<Option<Bytes>> {
        if self.next >= self.end {
            return Ok(None);
        }
        let head_len = self.head.len() as u64;
        let (data, at) = if self.next < head_len {
            (self.head.clone(), 0)
        } else {
            let index = self.pieces.partition_point(|piece| piece.at + piece.bytes <= self.next);
            let Some(piece) = self.pieces.get(index) else {
                return Ok(None);
            };
            (read_piece(piece, self.retimer).await?, piece.at)
        };
        let from = usize::try_from(self.next - at).map_err(std::io::Error::other)?;
        let to = usize::try_from((self.end - at).min(data.len() as u64)).map_err(std::io::Error::other)?;
        self.next = at + to as u64;
        Ok(Some(slice(&data, from..to)))
    }
}

fn slice(data: &Bytes, range: Range<usize>) -> Bytes {
    if range.start <= range.end && range.end <= data.len() { data.slice(range) } else { Bytes::new() }
}

/// One fragment from its file, moved to its time in the film.
async fn read_piece(piece: &Piece, retimer: Retimer) -> std::io::Result<Bytes> {
    let mut file = tokio::fs::File::open(&piece.path).await?;
    file.seek(std::io::SeekFrom::Start(piece.offset)).await?;
    let len = usize::try_from(piece.bytes).map_err(std::io::Error::other)?;
    let mut data = vec![0; len];
    file.read_exact(&mut data).await?;
    if !retimer.retime(&mut data, piece.ticks, piece.number) {
        tracing::warn!(path = %piece.path.display(), offset = piece.offset, "a recorded fragment has no readable times");
    }
    Ok(data.into())
}
