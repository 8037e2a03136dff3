//! Any recorded span as one MP4 that starts at zero: its size and index are known before a byte of video is read, so
//! that a browser seeks in it with range requests.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, Stream as Chunks};
use serde::Serialize;

use super::error::RecordError;
use super::keys;
use crate::base::ids::CameraId;
use crate::base::time::UtcMicros;
use crate::media::fmp4::{self, Retimer, SIDX_MAX, SidxEntry};
use crate::store::{FragmentAt, InitRow, Store, Stream};

/// How far before the asked time a key frame is looked for: groups of pictures are cut at 4 s.
const LOOK_BACK_US: i64 = 120_000_000;

/// One piece of a playback: where it stands in the file's time and when it was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PlaybackEntry {
    /// Microseconds from the beginning of the file.
    pub media_us: i64,
    pub start: UtcMicros,
    pub duration_us: i64,
    pub frames: u32,
}

/// A recorded span that is ready to be read.
#[derive(Debug)]
pub struct Playback {
    /// With codecs, as the browser takes it.
    pub mime: String,
    /// Bytes of the whole file.
    pub length: u64,
    pub start: UtcMicros,
    pub end: UtcMicros,
    /// Where the next playback begins, if this one had to end early: other codec settings, or too many fragments.
    pub next: Option<UtcMicros>,
    head: Bytes,
    parts: Vec<Part>,
    retimer: Retimer,
    /// Only the key frames are shown.
    keys: bool,
}

#[derive(Debug)]
struct Part {
    path: PathBuf,
    /// In the segment file.
    offset: u64,
    stored: u64,
    /// In this playback.
    bytes: u64,
    position: u64,
    /// 1/90000 s.
    duration: u32,
    entry: PlaybackEntry,
}

/// A row that becomes a part, and what it takes in the file.
struct Piece<'a> {
    row: &'a FragmentAt,
    bytes: u64,
    duration_us: i64,
}

impl Playback {
    /// Begins with the key frame at or before `from`. Pauses in the recording are left out. `None`: nothing of the
    /// span is recorded.
    pub async fn open(
        store: &Store,
        camera: &CameraId,
        stream: Stream,
        from: UtcMicros,
        to: UtcMicros,
    ) -> Result<Option<Self>, RecordError> {
        let Some((rows, init, next)) = find(store, camera, stream, from, to).await? else { return Ok(None) };
        let pieces = rows.iter().map(|row| Piece { row, bytes: row.bytes, duration_us: row.duration_us }).collect();
        Ok(Some(Self::assemble(store, pieces, &init.data, init.mime, next, false)))
    }

    /// The same with nothing but the key frames, each standing until the next, and no sound: little to send and to
    /// decode, so that a browser plays it at many times the speed.
    pub async fn open_keys(
        store: &Store,
        camera: &CameraId,
        stream: Stream,
        from: UtcMicros,
        to: UtcMicros,
    ) -> Result<Option<Self>, RecordError> {
        let Some((rows, init, next)) = find(store, camera, stream, from, to).await? else { return Ok(None) };
        let groups = keys::groups(rows);
        let (dir, wanted) = (store.dir().to_owned(), groups.clone());
        let located = tokio::task::spawn_blocking(move || keys::locate(&dir, &wanted)).await;
        let pictures = located.map_err(|_| RecordError::Stopped)??;
        let head = fmp4::video_only(&init.data);
        let mime = keys::video_mime(&init.mime);
        let located: Vec<FragmentAt> = groups.iter().zip(&pictures).map(|((row, _), at)| keys::cut(row, at)).collect();
        let pieces = located
            .iter()
            .zip(&groups)
            .map(|(row, (_, duration_us))| Piece {
                row,
                bytes: fmp4::key_fragment_bytes(row.bytes),
                duration_us: *duration_us,
            })
            .collect();
        Ok(Some(Self::assemble(store, pieces, &head, mime, next, true)))
    }

    fn assemble(
        store: &Store,
        pieces: Vec<Piece<'_>>,
        init: &[u8],
        mime: String,
        next: Option<UtcMicros>,
        keys: bool,
    ) -> Self {
        let mut media_us = 0;
        let mut parts = Vec::with_capacity(pieces.len());
        let mut index = Vec::with_capacity(pieces.len());
        for Piece { row, bytes, duration_us } in pieces {
            // Ends are taken from the ticks, so that the index adds up exactly to the decode times.
            let duration = (ticks(media_us + duration_us) - ticks(media_us)) as u32;
            index.push(SidxEntry { bytes: bytes as u32, duration, key: row.key });
            parts.push(Part {
                path: store.dir().join(&row.path),
                offset: row.offset,
                stored: row.bytes,
                bytes,
                position: 0,
                duration,
                entry: PlaybackEntry { media_us, start: row.start, duration_us, frames: row.frames },
            });
            media_us += duration_us;
        }
        let mut head = fmp4::with_duration(init, media_us);
        head.extend_from_slice(&fmp4::sidx(&index));
        let mut length = head.len() as u64;
        for part in &mut parts {
            part.position = length;
            length += part.bytes;
        }
        let end = parts.last().map_or(UtcMicros(0), |part| part.entry.start.add_micros(part.entry.duration_us));
        Self {
            mime,
            length,
            start: parts.first().map_or(UtcMicros(0), |part| part.entry.start),
            end,
            next,
            retimer: Retimer::of(init),
            head: head.into(),
            parts,
            keys,
        }
    }

    /// Which recorded time each piece of the file shows; pauses lie between entries.
    pub fn entries(&self) -> impl Iterator<Item = PlaybackEntry> {
        self.parts.iter().map(|part| part.entry)
    }

    /// The bytes of the file inside `range`, in pieces of at most a group of pictures.
    pub fn read(self: Arc<Self>, range: Range<u64>) -> impl Chunks<Item = Result<Bytes, RecordError>> + Send + 'static {
        let end = range.end.min(self.length);
        stream::try_unfold((self, range.start), move |(playback, at)| async move {
            if at >= end {
                return Ok(None);
            }
            let chunk = playback.clone().chunk(at).await?;
            let keep = usize::try_from(end - at).unwrap_or(usize::MAX).min(chunk.len());
            let chunk = chunk.slice(..keep);
            let next = at + chunk.len() as u64;
            Ok(Some((chunk, (playback, next))))
        })
    }

    /// Everything, as parts that follow each other.
    pub async fn read_all(self: Arc<Self>) -> Result<Vec<Bytes>, RecordError> {
        let mut all = Vec::with_capacity(self.parts.len() + 1);
        let mut at = 0;
        while at < self.length {
            let chunk = self.clone().chunk(at).await?;
            at += chunk.len() as u64;
            all.push(chunk);
        }
        Ok(all)
    }

    /// What follows from position `at` on, at least a byte.
    async fn chunk(self: Arc<Self>, at: u64) -> Result<Bytes, RecordError> {
        let head = self.head.len() as u64;
        if at < head {
            return Ok(self.head.slice(at as usize..));
        }
        let index = self.parts.partition_point(|part| part.position <= at) - 1;
        let playback = self.clone();
        let data =
            tokio::task::spawn_blocking(move || playback.load(index)).await.map_err(|_| RecordError::Stopped)??;
        Ok(data.slice((at - self.parts[index].position) as usize..))
    }

    fn load(&self, index: usize) -> Result<Bytes, RecordError> {
        let part = &self.parts[index];
        let failed = |error| RecordError::file("read the recording", &part.path, error);
        let mut data = vec![0; part.stored as usize];
        File::open(&part.path).and_then(|file| file.read_exact_at(&mut data, part.offset)).map_err(failed)?;
        let sequence = u32::try_from(index + 1).unwrap_or(u32::MAX);
        if self.keys {
            return Ok(fmp4::key_fragment(sequence, data.into(), ticks(part.entry.media_us), part.duration));
        }
        if !self.retimer.retime(&mut data, ticks(part.entry.media_us), sequence) {
            return Err(RecordError::Damaged { path: part.path.display().to_string(), offset: part.offset });
        }
        Ok(data.into())
    }
}

/// The rows of a playback with their decoder settings, and where the next playback begins.
async fn find(
    store: &Store,
    camera: &CameraId,
    stream: Stream,
    from: UtcMicros,
    to: UtcMicros,
) -> Result<Option<(Vec<FragmentAt>, InitRow, Option<UtcMicros>)>, RecordError> {
    let rows = store.fragments_between(camera, stream, from.add_micros(-LOOK_BACK_US), to).await?;
    let mut rows = from_key_frame(rows, from);
    let Some(first) = rows.first() else { return Ok(None) };
    let init = store.init(&first.init_id).await?.ok_or_else(|| RecordError::NoInit { id: first.init_id.clone() })?;
    let same = rows.iter().take(SIDX_MAX).take_while(|row| row.init_id == init.id).count();
    let next = rows.get(same).map(|row| row.start);
    rows.truncate(same);
    Ok(Some((rows, init, next)))
}

/// 1/90000 s.
fn ticks(micros: i64) -> i64 {
    micros * 9 / 100
}

/// Drops what lies before the last key frame at or before `from`, and what cannot be decoded.
fn from_key_frame(rows: Vec<FragmentAt>, from: UtcMicros) -> Vec<FragmentAt> {
    let keys = rows.iter().enumerate().filter(|(_, row)| row.key);
    let before = keys.clone().take_while(|(_, row)| row.start <= from).last();
    // A key frame before a pause shows nothing of the asked span.
    let reaches = |index: usize| {
        let group_end = rows[index..].iter().take_while(|row| !row.key || row.start == rows[index].start).last();
        group_end.is_some_and(|row| row.start.add_micros(row.duration_us) > from)
    };
    let begin = match before {
        Some((index, _)) if reaches(index) => Some(index),
        _ => keys.clone().find(|(_, row)| row.start >= from).map(|(index, _)| index),
    };
    begin.map_or_else(Vec::new, |index| rows.into_iter().skip(index).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(start: i64, duration_us: i64, key: bool) -> FragmentAt {
        FragmentAt {
            segment_id: 1,
            path: String::new(),
            offset: 0,
            bytes: 1,
            start: UtcMicros(start),
            duration_us,
            init_id: String::new(),
            key,
            frames: 1,
        }
    }

    #[test]
    fn begins_with_the_key_frame_that_shows_the_asked_time() {
        let rows = vec![row(0, 10, true), row(10, 10, false), row(20, 10, true), row(90, 10, true)];
        let starts = |from: i64| -> Vec<i64> {
            from_key_frame(rows.clone(), UtcMicros(from)).iter().map(|row| row.start.0).collect()
        };
        assert_eq!(starts(0), [0, 10, 20, 90]);
        assert_eq!(starts(15), [0, 10, 20, 90]);
        assert_eq!(starts(20), [20, 90]);
        assert_eq!(starts(50), [90], "nothing was recorded at 50");
        assert_eq!(starts(200), [0i64; 0]);
        assert!(from_key_frame(vec![row(0, 10, false)], UtcMicros(0)).is_empty());
    }
}
