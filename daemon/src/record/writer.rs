//! The recorder's thread: appends groups of pictures, makes them durable together, then commits their rows (R2).

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::File;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::error::RecordError;
use super::group::{Collector, Group};
use super::recover;
use super::rotate::{self, Decision};
use super::segment::SegmentFile;
use super::{Key, RecorderState, Shared, store_stream};
use crate::base::error::Kind;
use crate::base::tasks::CancellationToken;
use crate::base::time::UtcMicros;
use crate::media::Fragment;
use crate::store::{InitRow, NewFragment, NewSegment};

/// Fragments taken from the queue at once; more wait for the next sync.
const BATCH: usize = 256;
/// A stream that brings nothing for this long has its file closed.
const IDLE: Duration = Duration::from_secs(30);
/// From this many files on, one sync of the file system is cheaper than one of each.
const SYNC_ALL_FROM: usize = 8;

pub struct Writer {
    shared: Arc<Shared>,
    runtime: Handle,
    streams: BTreeMap<Key, Stream>,
    known_inits: BTreeSet<[u8; 32]>,
}

struct Stream {
    collector: Collector,
    file: Option<SegmentFile>,
    /// Where the stored recording ends.
    last_end: Option<UtcMicros>,
    /// Something was stored since the daemon started.
    running: bool,
    /// Why the fragments before the next group are missing.
    lost: Option<String>,
    used: Instant,
}

/// A group that is in its file and waits for sync and row.
struct Written {
    key: Key,
    group: Group,
    start: UtcMicros,
    offset: u64,
    bytes: u64,
    gap: Option<(UtcMicros, String)>,
    /// The file that ended with the group before.
    closing: Option<SegmentFile>,
}

impl Writer {
    pub fn new(shared: Arc<Shared>, runtime: Handle) -> Self {
        Self { shared, runtime, streams: BTreeMap::new(), known_inits: BTreeSet::new() }
    }

    /// Until cancelled; what is queued then is still stored.
    pub fn run(&mut self, queue: &Receiver<Arc<Fragment>>, token: &CancellationToken, progress: impl Fn()) {
        self.streams.clear();
        if let Err(error) = self.runtime.block_on(recover::recover(&self.shared.store)) {
            self.shared.report(RecorderState::Failing, &error.to_string());
            tracing::error!(%error, "recordings of the last run could not be closed");
        }
        loop {
            let stopping = token.is_cancelled();
            let mut waiting = VecDeque::new();
            match queue.recv_timeout(if stopping { Duration::ZERO } else { Duration::from_millis(500) }) {
                Ok(fragment) => {
                    self.stage(fragment, &mut waiting);
                    for fragment in queue.try_iter().take(BATCH) {
                        self.stage(fragment, &mut waiting);
                    }
                }
                Err(RecvTimeoutError::Timeout) if !stopping => {}
                Err(_) => break,
            }
            self.close_idle(&mut waiting);
            self.store(waiting);
            progress();
        }
        let mut rest = VecDeque::new();
        for (key, stream) in &mut self.streams {
            rest.extend(stream.collector.take().map(|group| (key.clone(), group)));
        }
        self.store(rest);
        let files: Vec<SegmentFile> = self.streams.values_mut().filter_map(|stream| stream.file.take()).collect();
        self.close(files);
    }

    fn stage(&mut self, fragment: Arc<Fragment>, waiting: &mut VecDeque<(Key, Group)>) {
        self.shared.queue_room(&fragment);
        let key = Key { camera: fragment.camera.clone(), stream: fragment.stream };
        let last_end = self.shared.last_end(&key);
        let stream = self.streams.entry(key.clone()).or_insert_with(|| Stream {
            collector: Collector::default(),
            file: None,
            last_end,
            running: false,
            lost: None,
            used: Instant::now(),
        });
        stream.used = Instant::now();
        let at_once = stream.file.is_none();
        let groups = stream.collector.push(fragment, at_once);
        waiting.extend(groups.into_iter().flatten().map(|group| (key.clone(), group)));
    }

    /// In rounds with at most one group a stream, so that every round is one sync and one commit.
    fn store(&mut self, mut waiting: VecDeque<(Key, Group)>) {
        while !waiting.is_empty() {
            let mut round: BTreeMap<Key, Group> = BTreeMap::new();
            let mut later = VecDeque::new();
            for (key, group) in waiting {
                match round.entry(key) {
                    Entry::Occupied(taken) => later.push_back((taken.key().clone(), group)),
                    Entry::Vacant(free) => {
                        free.insert(group);
                    }
                }
            }
            let written = round.into_iter().filter_map(|(key, group)| self.append(key, group)).collect();
            self.commit(written);
            waiting = later;
        }
    }

    fn append(&mut self, key: Key, group: Group) -> Option<Written> {
        let segment_us = self.shared.record_config().segment.micros();
        let stream = self.streams.get_mut(&key)?;
        // The camera's pipeline dates nothing before the end of what is stored; this is the last guard of R3.
        let start = stream.last_end.map_or(group.start, |end| end.max(group.start));
        let first = group.first();
        let open =
            stream.file.as_ref().map(|file| rotate::Open { start: file.start, end: file.end, init_id: &file.init.id });
        let next = rotate::Next { start, key: first.key, init_id: &first.init.id };
        let decision =
            if stream.lost.is_some() && !first.key { Decision::Skip } else { rotate::decide(open, next, segment_us) };
        let mut closing = None;
        match decision {
            Decision::Append => {}
            Decision::Skip => {
                self.shared.count_drop(&group, "no_key_frame");
                return None;
            }
            Decision::Rotate => {
                closing = stream.file.take();
                match SegmentFile::create(self.shared.store.dir(), first, start) {
                    Ok(file) => stream.file = Some(file),
                    Err(error) => {
                        self.close(closing);
                        self.lose(&key, &group, &error);
                        return None;
                    }
                }
            }
        }
        let file = stream.file.as_mut()?;
        let offset = file.committed();
        match file.append(&group.fragments) {
            Ok(bytes) => {
                let gap = gap_before(stream, &group, start);
                Some(Written { key, group, start, offset, bytes, gap, closing })
            }
            Err(error) => {
                self.close(closing);
                self.lose(&key, &group, &error);
                None
            }
        }
    }

    /// Sync, then rows: the order of R2.
    fn commit(&mut self, written: Vec<Written>) {
        if written.is_empty() {
            return;
        }
        let started = Instant::now();
        let (synced, unsynced) = self.sync(written);
        for (item, error) in unsynced {
            self.give_up(item, &error);
        }
        metrics::histogram!("gtv_record_sync_seconds").record(started.elapsed().as_secs_f64());
        let mut rows = Vec::with_capacity(synced.len());
        let mut ready = Vec::with_capacity(synced.len());
        for item in synced {
            match self.row_of(&item) {
                Ok(row) => {
                    rows.push(row);
                    ready.push(item);
                }
                Err(error) => self.give_up(item, &error),
            }
        }
        if rows.is_empty() {
            return;
        }
        let stored = self.runtime.block_on(self.shared.store.commit_fragments(rows.clone()));
        match stored {
            Ok(()) => ready.into_iter().for_each(|item| self.done(item)),
            // One stream's conflict must not cost the others their rows.
            Err(error) if error.kind() == Kind::Conflict && ready.len() > 1 => {
                for (item, row) in ready.into_iter().zip(rows) {
                    match self.runtime.block_on(self.shared.store.commit_fragments(vec![row])) {
                        Ok(()) => self.done(item),
                        Err(error) => self.give_up(item, &error.into()),
                    }
                }
            }
            Err(error) => {
                for item in ready {
                    self.give_up(item, &error.clone().into());
                }
            }
        }
    }

    fn sync(&self, written: Vec<Written>) -> (Vec<Written>, Vec<(Written, RecordError)>) {
        let dir = self.shared.store.dir();
        if written.len() >= SYNC_ALL_FROM {
            // Covers the names of new files too. Linux reports write errors here since 5.8.
            let all = File::open(dir).and_then(|folder| rustix::fs::syncfs(&folder).map_err(Into::into));
            if all.is_ok() {
                return (written, Vec::new());
            }
        }
        let mut synced = Vec::new();
        let mut failed = Vec::new();
        for item in written {
            let file = self.streams.get(&item.key).and_then(|stream| stream.file.as_ref());
            match file.map_or(Err(RecordError::Stopped), SegmentFile::sync) {
                Ok(()) => synced.push(item),
                Err(error) => failed.push((item, error)),
            }
        }
        (synced, failed)
    }

    /// A new file gets its segment row first.
    fn row_of(&mut self, item: &Written) -> Result<NewFragment, RecordError> {
        let Written { key, group, start, offset, bytes, .. } = item;
        let first = group.first();
        let Some(file) = self.streams.get_mut(key).and_then(|stream| stream.file.as_mut()) else {
            return Err(RecordError::Stopped);
        };
        let segment_id = if let Some(id) = file.id {
            id
        } else {
            if !self.known_inits.contains(&first.init.id) {
                let init = InitRow {
                    id: first.init.id_hex(),
                    data: first.init.data.to_vec(),
                    mime: first.init.mime.clone(),
                    codec: first.init.video_codec.to_string(),
                    width: first.init.width,
                    height: first.init.height,
                };
                self.runtime.block_on(self.shared.store.put_init(&init))?;
                self.known_inits.insert(first.init.id);
            }
            let new = NewSegment {
                camera: key.camera.clone(),
                stream: store_stream(key.stream),
                path: file.name.clone(),
                init_id: first.init.id_hex(),
                start: *start,
                head_bytes: file.head_bytes(),
            };
            let id = self.runtime.block_on(self.shared.store.open_segment(new))?;
            file.id = Some(id);
            id
        };
        Ok(NewFragment {
            segment_id,
            offset: *offset,
            bytes: *bytes,
            start: *start,
            duration_us: group.end.since(*start).max(1),
            frames: group.frames(),
            key: first.key,
        })
    }

    fn done(&mut self, item: Written) {
        let Written { key, group, start, bytes, gap, closing, .. } = item;
        let end = group.end.max(start.add_micros(1));
        if let Some(stream) = self.streams.get_mut(&key) {
            stream.last_end = Some(end);
            stream.running = true;
            stream.lost = None;
            if let Some(file) = &mut stream.file {
                file.commit(&group.fragments, end);
            }
        }
        self.shared.stored(&key, end, group.frames(), bytes);
        if let Some((from, reason)) = gap {
            let noted = self.shared.store.put_gap(&key.camera, store_stream(key.stream), from, start, &reason);
            if let Err(error) = self.runtime.block_on(noted) {
                tracing::error!(camera = %key.camera, %error, "a gap could not be noted");
            }
        }
        self.close(closing);
    }

    /// The group is on disk at most in part, or has no row: as if it had never come.
    fn give_up(&mut self, mut item: Written, error: &RecordError) {
        self.close(item.closing.take());
        self.lose(&item.key, &item.group, error);
    }

    fn lose(&mut self, key: &Key, group: &Group, error: &RecordError) {
        self.shared.count_drop(group, if error.kind() == Kind::Full { "disk_full" } else { "write_failed" });
        self.shared.report_loss(error);
        let Some(stream) = self.streams.get_mut(key) else { return };
        stream.lost = Some(match error.kind() {
            Kind::Full => "the disk was full".to_owned(),
            _ => "the recording could not be written".to_owned(),
        });
        let Some(mut file) = stream.file.take() else { return };
        match file.take_back() {
            Ok(()) if file.id.is_some() => stream.file = Some(file),
            Ok(()) => {}
            // Recovery at the next start closes it; until then another file goes on.
            Err(error) => tracing::error!(%error, "a damaged recording is left to recovery"),
        }
    }

    fn close_idle(&mut self, waiting: &mut VecDeque<(Key, Group)>) {
        let mut idle = Vec::new();
        for (key, stream) in &mut self.streams {
            if stream.used.elapsed() < IDLE {
                continue;
            }
            match stream.collector.take() {
                Some(group) => waiting.push_back((key.clone(), group)),
                None => idle.extend(stream.file.take()),
            }
        }
        self.close(idle);
    }

    fn close(&self, files: impl IntoIterator<Item = SegmentFile>) {
        for file in files {
            let Some(id) = file.id else { continue };
            if let Err(error) = self.runtime.block_on(self.shared.store.close_segment(id, &file.sha256())) {
                tracing::error!(segment = file.name, %error, "a recording could not be closed; the next start does it");
            }
        }
    }
}

/// A pause before the group and why there was one.
fn gap_before(stream: &Stream, group: &Group, start: UtcMicros) -> Option<(UtcMicros, String)> {
    let from = stream.last_end?;
    let tolerated = if stream.lost.is_some() { 0 } else { rotate::JOINS_US };
    if start.since(from) <= tolerated {
        return None;
    }
    let reason = match (&stream.lost, &group.first().gap) {
        (Some(lost), _) => lost.clone(),
        (None, Some(gap)) => gap.to_string(),
        (None, None) if stream.running => "fragments were lost before they could be stored".to_owned(),
        (None, None) => "the box was off or this stream was not being recorded".to_owned(),
    };
    Some((from, reason))
}
