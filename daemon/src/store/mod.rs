//! Layer 2: the SQLite database and the content-addressed files of the box; the only user of SQLite.
//!
//! Durability: WAL with `synchronous = FULL`. Every mutating call returns after COMMIT; events follow it. One thread
//! writes and groups what waits into one transaction; a few read-only connections answer questions. Files become
//! durable before the rows that name them and go after them.

mod alerts;
mod audit;
mod box_status;
mod check;
mod coverage;
mod deliveries;
mod detections;
pub mod disk_links;
mod error;
mod events;
mod evict;
mod find;
mod forget;
mod hits;
mod locks;
mod migrate;
mod objects;
mod outbox;
#[cfg(test)]
mod outbox_tests;
mod pick;
mod proofs;
mod readers;
mod recordings;
mod rows;
mod search;
mod segments;
mod similar;
mod sql;
mod state;
mod stream_logins;
#[cfg(test)]
mod tests;
mod timeline;
mod unfinished;
mod users;
mod watch_entries;
mod watch_index;
#[cfg(test)]
mod watch_tests;
mod watchlists;
mod whole;
mod writer;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::broadcast;

pub use alerts::AlertQuery;
pub use audit::{AuditQuery, append_audit_beside};
pub use check::{CheckOptions, Checked, Depth, Finding, FindingSeverity, InvariantReport, check, check_with};
pub use coverage::{COVERAGE_LOW, HOUR_US};
pub use deliveries::{AlertTarget, Delivery, TargetStatus};
pub use error::{Fault, StoreError};
pub use events::StoreEvent;
pub use find::{DetectionPage, Similar};
pub use hits::{AlertPolicy, HIT, WatchStatus};
pub use locks::LOCKS_MAX;
pub use objects::SpoolBytes;
pub use outbox::{Batch, Lane, OutboxStatus, TOLD_CAMERAS};
pub use pick::{Pick, Upload};
pub use rows::*;
pub use stream_logins::STREAM_LOGINS_MAX;
pub use unfinished::{Begun, Unfinished};
pub use users::Rotation;
pub use watch_entries::{ENTRIES_MAX, Imported, REASON_MAX};
pub use watchlists::{LISTS_MAX, NAME_MAX, WatchlistChange};
pub use whole::{Requested, UploadFile};

use crate::base::tasks::{OnExit, Tasks};

const DATABASE: &str = "gtv.db";
const LOCK: &str = "gtv.lock";
const BUSY: Duration = Duration::from_secs(5);
/// Events a slow listener may fall behind before it must read the rows again.
const EVENTS: usize = 1024;

/// The store of one data folder. Clones share it; the last one to go ends the writer.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    dir: PathBuf,
    /// None where the store was opened to read only.
    writer: Option<writer::Writer>,
    readers: readers::Readers,
    events: broadcast::Sender<StoreEvent>,
    watch: Arc<hits::Watch>,
    // Released after the writer has ended: fields drop in this order.
    _lock: Option<File>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("dir", &self.inner.dir).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens or makes the store in the data folder `dir`, alone, and brings its schema up to date.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        std::fs::create_dir_all(dir.join(objects::FOLDER))
            .map_err(|e| StoreError::file("make the data folder", dir, &e))?;
        let lock = lock(dir)?;
        objects::remove_leftovers(dir)?;
        let path = dir.join(DATABASE);
        let connection = open_for_writing(&path).map_err(|e| e.during("open the database", &path))?;
        let watch = hits::Watch::load(&connection).map_err(|e| e.during("load the watchlists", &path))?;
        let events = broadcast::Sender::new(EVENTS);
        let readers = readers::Readers::new(path.clone());
        let writer = writer::Writer::start(connection, path, events.clone())?;
        let watch = Arc::new(watch);
        let inner = Inner { dir: dir.to_owned(), writer: Some(writer), readers, events, watch, _lock: Some(lock) };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Opens an existing store to read, also beside a running daemon.
    pub fn open_read_only(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join(DATABASE);
        if !path.exists() {
            return Err(StoreError::not_found(format!("database {}", path.display())));
        }
        let connection = readers::open(&path).map_err(|e| e.during("open the database", &path))?;
        let version = migrate::verify(&connection, &path)?;
        if version != migrate::NEWEST {
            let detail = format!("has schema version {version}: start the daemon once, it upgrades the schema");
            return Err(StoreError::conflict(format!("database {}", path.display()), detail));
        }
        let readers = readers::Readers::new(path);
        let events = broadcast::Sender::new(1);
        let watch = Arc::default();
        Ok(Self { inner: Arc::new(Inner { dir: dir.to_owned(), writer: None, readers, events, watch, _lock: None }) })
    }

    /// The data folder.
    pub fn dir(&self) -> &Path {
        &self.inner.dir
    }

    /// What was committed from now on.
    pub fn events(&self) -> broadcast::Receiver<StoreEvent> {
        self.inner.events.subscribe()
    }

    /// Without its writer the daemon cannot keep anything: the process ends when the writer does.
    pub fn watch(&self, tasks: &Tasks) {
        let Some(writer) = &self.inner.writer else { return };
        let ended = writer.ended();
        tasks.spawn("store-writer", OnExit::EndProcess, move |token| {
            let ended = ended.clone();
            async move {
                tokio::select! {
                    () = ended.cancelled() => Err(StoreError::WriterEnded.into()),
                    () = token.cancelled() => Ok(()),
                }
            }
        });
    }

    /// Proves that the writer commits: the watchdog's question.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.write("answer the watchdog", |_| Ok(())).await
    }

    async fn write<T, F>(&self, doing: &'static str, run: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut writer::Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let Some(writer) = &self.inner.writer else {
            return Err(StoreError::conflict(doing, "the store was opened to read only"));
        };
        writer.call(run).await.map_err(|e| e.during(doing, &self.inner.dir))
    }

    async fn read<T, F>(&self, doing: &'static str, query: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.inner.readers.call(doing, query).await
    }
}

/// One daemon a data folder: the lock goes with the process, so a crash leaves none behind.
fn lock(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join(LOCK);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|e| StoreError::file("lock the data folder", &path, &e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(StoreError::InUse { path: dir.to_owned() }),
        Err(std::fs::TryLockError::Error(e)) => Err(StoreError::file("lock the data folder", &path, &e)),
    }
}

fn open_for_writing(path: &Path) -> Result<Connection, StoreError> {
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA foreign_keys = ON;
         PRAGMA journal_size_limit = 67108864;
         PRAGMA cache_size = -16000;
         PRAGMA temp_store = MEMORY;",
    )?;
    connection.set_prepared_statement_cache_capacity(128);
    migrate::migrate(&mut connection, path)?;
    // No planner statistics: taken while a table had one row, they made a search of ten million read them all. Every
    // query is written for its index. Earlier versions kept some.
    connection.execute_batch("DROP TABLE IF EXISTS sqlite_stat1; DROP TABLE IF EXISTS sqlite_stat4")?;
    Ok(connection)
}

/// Whether the data folder `dir` has a store.
pub fn exists(dir: &Path) -> bool {
    dir.join(DATABASE).exists()
}
