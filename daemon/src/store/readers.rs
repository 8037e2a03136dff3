//! A few read-only connections shared by everything that asks, so that a slow search never delays a write.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};
use tokio::sync::Semaphore;

use super::error::{Fault, StoreError};

/// More readers than cores of a small box only cost memory.
const CONNECTIONS: usize = 4;
const BUSY: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub(super) struct Readers {
    path: PathBuf,
    idle: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, idle: Arc::default(), permits: Arc::new(Semaphore::new(CONNECTIONS)) }
    }

    /// Runs `query` in one read transaction (a consistent snapshot) on a blocking thread.
    pub(super) async fn call<T, F>(&self, doing: &'static str, query: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let permit = self.permits.clone().acquire_owned().await.map_err(|_| StoreError::WriterEnded)?;
        let readers = self.clone();
        let started = Instant::now();
        let answer = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let connection = readers.take()?;
            let answer = snapshot(&connection, query);
            readers.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            answer
        })
        .await
        .unwrap_or_else(|panic| {
            Err(StoreError::Database {
                fault: Fault::Other,
                doing: "",
                path: PathBuf::new(),
                detail: format!("the query panicked: {panic}"),
            })
        });
        metrics::histogram!("gtv_store_read_seconds", "query" => doing).record(started.elapsed().as_secs_f64());
        answer.map_err(|e| e.during(doing, &self.path))
    }

    fn take(&self) -> Result<Connection, StoreError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.map_or_else(|| open(&self.path), Ok)
    }
}

fn snapshot<T>(
    connection: &Connection,
    query: impl FnOnce(&Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    connection.execute_batch("BEGIN DEFERRED")?;
    let answer = query(connection);
    connection.execute_batch("ROLLBACK")?;
    answer
}

/// A read-only connection on an existing database.
pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    // With 2 MB the inner pages of ten million rows' indexes did not stay: a search for like plates took five times as long.
    connection.execute_batch("PRAGMA query_only = 1; PRAGMA cache_size = -8000; PRAGMA mmap_size = 0")?;
    Ok(connection)
}
