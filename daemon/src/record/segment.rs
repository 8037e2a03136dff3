//! One segment file: head (init segment) and groups of pictures, appended; taken back when their rows fail.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::error::RecordError;
use crate::base::box_clock;
use crate::base::clocks::Clocks;
use crate::base::time::UtcMicros;
use crate::media::{Fragment, InitSegment};

/// The file that a stream is being written to.
pub struct SegmentFile {
    /// Row id, once it has one.
    pub id: Option<i64>,
    /// Relative to the data folder.
    pub name: String,
    pub init: Arc<InitSegment>,
    pub start: UtcMicros,
    pub end: UtcMicros,
    /// Of the first frame.
    pub clocks: Option<Clocks>,
    path: PathBuf,
    file: File,
    /// Bytes that rows account for.
    committed: u64,
    /// Over the committed bytes.
    digest: Sha256,
    /// Over the appended bytes too.
    appended: Sha256,
}

/// Bytes hashed and written in turn: what was just hashed is still in the cache when the kernel copies it.
const PIECE: usize = 128 << 10;

impl SegmentFile {
    /// Makes the file and writes its head; durable with the first [`SegmentFile::sync`]. `name` is relative to the data
    /// folder.
    pub fn create(data_dir: &Path, name: String, first: &Fragment, start: UtcMicros) -> Result<Self, RecordError> {
        let path = data_dir.join(&name);
        let failed = |source| RecordError::file("make the recording", &path, source);
        if let Some(folder) = path.parent()
            && !folder.is_dir()
        {
            make_folder(folder).map_err(failed)?;
        }
        // What a crash left here has no row: recovery removes such files, and this one replaces them.
        let mut file = File::options().write(true).create(true).truncate(true).open(&path).map_err(failed)?;
        if let Err(error) = file.write_all(&first.init.data) {
            let _ = fs::remove_file(&path);
            return Err(failed(error));
        }
        let digest = Sha256::new_with_prefix(&first.init.data);
        let (appended, committed) = (digest.clone(), first.init.data.len() as u64);
        Ok(Self {
            id: None,
            name,
            init: first.init.clone(),
            start,
            end: start,
            clocks: first.clocks.map(|clocks| Clocks { box_clock: box_clock::read(), ..clocks }),
            path,
            file,
            committed,
            digest,
            appended,
        })
    }

    /// Bytes of the head, before the first group.
    pub fn head_bytes(&self) -> u64 {
        self.init.data.len() as u64
    }

    /// No group of it has a row.
    pub fn is_empty(&self) -> bool {
        self.end == self.start
    }

    /// Where the next group begins.
    pub fn committed(&self) -> u64 {
        self.committed
    }

    /// Appends without making durable; returns the bytes written. What a failure leaves behind is taken back.
    pub fn append(&mut self, group: &[Arc<Fragment>]) -> Result<u64, RecordError> {
        self.appended.clone_from(&self.digest);
        for piece in group.iter().flat_map(|fragment| fragment.data.chunks(PIECE)) {
            self.appended.update(piece);
            self.file.write_all(piece).map_err(|error| RecordError::file("write the recording", &self.path, error))?;
        }
        Ok(group.iter().map(|fragment| fragment.data.len() as u64).sum())
    }

    pub fn sync(&self) -> Result<(), RecordError> {
        let failed = |error| RecordError::file("sync the recording", &self.path, error);
        self.file.sync_data().map_err(failed)?;
        if self.id.is_none()
            && let Some(folder) = self.path.parent()
        {
            // The name of a new file is part of its folder.
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        }
        Ok(())
    }

    /// The group has its row.
    pub fn commit(&mut self, group: &[Arc<Fragment>], end: UtcMicros) {
        self.digest.clone_from(&self.appended);
        self.committed += group.iter().map(|fragment| fragment.data.len() as u64).sum::<u64>();
        self.end = end;
    }

    /// Takes back what has no row, so that the next group stands where its row says. A file without any row goes.
    pub fn take_back(&mut self) -> Result<(), RecordError> {
        use std::io::{Seek, SeekFrom};

        let result = if self.id.is_none() {
            fs::remove_file(&self.path)
        } else {
            self.file.set_len(self.committed).and_then(|()| self.file.seek(SeekFrom::Start(self.committed)).map(|_| ()))
        };
        result.map_err(|error| RecordError::file("take back a part of the recording", &self.path, error))
    }

    /// Of the committed bytes, lower-case hex.
    pub fn sha256(&self) -> String {
        hex::encode(self.digest.clone().finalize())
    }
}

/// Makes the folder and its parents, each durable in the one above.
fn make_folder(folder: &Path) -> io::Result<()> {
    let Some(parent) = folder.parent() else { return Ok(()) };
    if !parent.is_dir() {
        make_folder(parent)?;
    }
    match fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    File::open(parent)?.sync_all()
}
