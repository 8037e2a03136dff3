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
use super::{Key, Queued, Shared, store_stream};
use crate::base::error::Kind;
use crate::base::tasks::CancellationToken;
use crate::base::time::UtcMicros;
use crate::store::disk_links::{LINKS, disk_of};
use crate::store::{InitRow, Interval, NewFragment, NewSegment};

/// Fragments taken from the queue at once; more wait for the next sync.
const BATCH: usize = 256;
/// A stream that brings nothing for this long has its file closed.
const IDLE: Duration = Duration::from_secs(30);
/// Files left open by a failure are looked at this often.
const RECOVER_EVERY: Duration = Duration::from_secs(10);
/// From this many files on, one sync of the file system is cheaper than one of each.
const SYNC_ALL_FROM: usize = 8;

pub struct Writer {
    shared: Arc<Shared>,
    runtime: Handle,
    streams: BTreeMap<Key, Stream>,
    known_inits: BTreeSet<[u8; 32]>,
    /// Files were left open by a failure, and when they were looked at last.
    abandoned: Option<Instant>,
}

struct Stream {
    collector: Collector,
    file: Option<SegmentFile>,
    /// Where the stored recording ends.
    last_end: Option<UtcMicros>,
    /// Something was stored since the daemon started.
    running: bool,
    /// Since when fragments before the next group are missing, and why.
    lost: Option<(UtcMicros, String)>,
    /// Of what lies before the fragment that begins at this time, only these spans were wanted.
    pause: Option<(UtcMicros, Vec<Interval>)>,
    used: Instant,
}

/// A group that is in its file and waits for sync and row.
struct Written {
    key: Key,
    group: Group,
    start: UtcMicros,
    offset: u64,
    bytes: u64,
    gaps: Vec<(Interval, String)>,
    /// The file that ended with the group before.
    closing: Option<SegmentFile>,
}

impl Writer {
    pub fn new(shared: Arc<Shared>, runtime: Handle) -> Self {
        Self { shared, runtime, streams: BTreeMap::new(), known_inits: BTreeSet::new(), abandoned: None }
    }

    /// Until cancelled; what is queued then is still stored.
    pub fn run(&mut self, queue: &Receiver<Queued>, token: &CancellationToken, progress: impl Fn()) {
        self.streams.clear();
        self.recover();
        loop {
            let stopping = token.is_cancelled();
            let mut waiting = VecDeque::new();
            match queue.recv_timeout(if stopping { Duration::ZERO } else { Duration::from_millis(500) }) {
                Ok(first) => {
                    self.stage(first, &mut waiting);
                    for queued in queue.try_iter().take(BATCH) {
                        self.stage(queued, &mut waiting);
                    }
                }
                Err(RecvTimeoutError::Timeout) if !stopping => {}
                Err(_) => break,
            }
            self.close_idle(&mut waiting);
            self.store(waiting);
            if self.abandoned.is_some_and(|at| at.elapsed() > RECOVER_EVERY) {
                self.recover();
            }
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

    /// Closes what the last run or a failure left open, as soon as the disk lets it.
    fn recover(&mut self) {
        let writing: Vec<i64> =
            self.streams.values().filter_map(|stream| stream.file.as_ref().and_then(|file| file.id)).collect();
        self.abandoned = match self.runtime.block_on(recover::recover_but(&self.shared.store, &writing)) {
            Ok(found) if found.waiting > 0 => Some(Instant::now()),
            Ok(_) => None,
            Err(error) => {
                tracing::error!(%error, "recordings that were left open could not be closed; they are tried again");
                Some(Instant::now())
            }
        };
    }

    fn stage(&mut self, Queued { fragment, pause }: Queued, waiting: &mut VecDeque<(Key, Group)>) {
        self.shared.queue_room(&fragment);
        let key = Key { camera: fragment.camera.clone(), stream: fragment.stream };
        let last_end = self.shared.last_end(&key);
        let stream = self.streams.entry(key.clone()).or_insert_with(|| Stream {
            collector: Collector::default(),
            file: None,
            last_end,
            running: false,
            lost: None,
            pause: None,
            used: Instant::now(),
        });
        stream.used = Instant::now();
        if let Some(spans) = pause {
            stream.pause = Some((fragment.start, spans));
        }
        if let Some(since) = self.shared.take_overflow(&key, fragment.start) {
            stream.lost.get_or_insert((since, "fragments were lost before they could be stored".to_owned()));
        }
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
        let open = stream.file.as_ref().map(|file| rotate::Open {
            start: file.start,
            end: file.end,
            bytes: file.committed(),
            init_id: &file.init.id,
        });
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
                let path = rotate::path(key.camera.as_str(), key.stream.as_str(), start);
                let name = format!("{}{path}", self.shared.disks.choose());
                match SegmentFile::create(self.shared.store.dir(), name.clone(), first, start) {
                    Ok(file) => stream.file = Some(file),
                    Err(error) => {
                        self.shared.disks.failed(&name, &error);
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
                let gaps = gaps_before(stream, &group, start);
                Some(Written { key, group, start, offset, bytes, gaps, closing })
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
        let mut by_disk: BTreeMap<String, Vec<Written>> = BTreeMap::new();
        for item in written {
            let file = self.streams.get(&item.key).and_then(|stream| stream.file.as_ref());
            let disk = file.map_or("", |file| disk_of(&file.name)).to_owned();
            by_disk.entry(disk).or_default().push(item);
        }
        let (mut synced, mut failed) = (Vec::new(), Vec::new());
        for (disk, items) in by_disk {
            if items.len() >= SYNC_ALL_FROM && self.sync_disk(&disk) {
                synced.extend(items);
                continue;
            }
            for item in items {
                let file = self.streams.get(&item.key).and_then(|stream| stream.file.as_ref());
                match file.map_or(Err(RecordError::Stopped), SegmentFile::sync) {
                    Ok(()) => synced.push(item),
                    Err(error) => failed.push((item, error)),
                }
            }
        }
        (synced, failed)
    }

    /// Covers the names of new files too. Linux reports write errors here since 5.8.
    fn sync_disk(&self, disk: &str) -> bool {
        let dir = self.shared.store.dir();
        let root = if disk.is_empty() { dir.to_owned() } else { dir.join(LINKS).join(disk) };
        File::open(root).and_then(|folder| rustix::fs::syncfs(&folder).map_err(Into::into)).is_ok()
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
                clocks: file.clocks,
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
        let Written { key, group, bytes, gaps, closing, start, .. } = item;
        let end = group.end.max(start.add_micros(1));
        if let Some(stream) = self.streams.get_mut(&key) {
            stream.last_end = Some(end);
            stream.running = true;
            stream.lost = None;
            if stream.pause.as_ref().is_some_and(|(resumed, _)| *resumed <= group.start) {
                stream.pause = None;
            }
            if let Some(file) = &mut stream.file {
                file.commit(&group.fragments, end);
            }
        }
        self.shared.stored(&key, end, group.frames(), bytes);
        for ((from, to), reason) in gaps {
            let noted = self.shared.store.put_gap(&key.camera, store_stream(key.stream), from, to, &reason);
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
        let reason = match error.kind() {
            Kind::Full => "the disk was full".to_owned(),
            _ => "the recording could not be written".to_owned(),
        };
        let since = stream.lost.as_ref().map_or(group.start, |(since, _)| *since);
        stream.lost = Some((since, reason));
        let Some(mut file) = stream.file.take() else { return };
        self.shared.disks.failed(&file.name, error);
        match file.take_back() {
            Ok(()) if file.id.is_some() => stream.file = Some(file),
            Ok(()) => {}
            // Another file goes on; recovery closes this one when the disk works again.
            Err(error) => {
                self.abandoned = Some(Instant::now());
                tracing::error!(%error, "a damaged recording is left to recovery");
            }
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

    fn close(&mut self, files: impl IntoIterator<Item = SegmentFile>) {
        for file in files {
            let Some(id) = file.id else { continue };
            if file.is_empty() {
                // Recovery forgets it.
                self.abandoned = Some(Instant::now());
            } else if let Err(error) = self.runtime.block_on(self.shared.store.close_segment(id, &file.sha256())) {
                tracing::error!(segment = file.name, %error, "a recording could not be closed; recovery does it");
                self.abandoned = Some(Instant::now());
            }
        }
    }
}

/// What is missing before the group and why.
fn gaps_before(stream: &Stream, group: &Group, start: UtcMicros) -> Vec<(Interval, String)> {
    let Some(last_end) = stream.last_end else {
        // Nothing is stored yet: what was lost since then is missing all the same.
        let lost = stream.lost.iter().filter(|(since, _)| *since < start);
        return lost.map(|(since, reason)| ((*since, start), reason.clone())).collect();
    };
    let pause = stream.pause.as_ref().filter(|(resumed, _)| *resumed <= group.start);
    let reason = match (&stream.lost, &group.first().gap) {
        (Some((_, lost)), _) => lost.clone(),
        (None, Some(gap)) => gap.to_string(),
        (None, None) if stream.running => "fragments were lost before they could be stored".to_owned(),
        (None, None) => "the box was off or this stream was not being recorded".to_owned(),
    };
    let mut spans = match pause {
        Some((_, wanted)) => wanted.clone(),
        None => vec![(last_end, start)],
    };
    if let (Some(_), Some((since, _))) = (pause, &stream.lost) {
        spans.push((last_end.max(*since), start));
    }
    let tolerated = if stream.lost.is_some() { 0 } else { rotate::JOINS_US };
    spans.retain(|(from, to)| to.since(*from) > tolerated);
    spans.into_iter().map(|span| (span, reason.clone())).collect()
}
