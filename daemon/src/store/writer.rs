//! The one thread that writes. Calls queue up (bounded), are applied each in a savepoint of one transaction, and are
//! answered after its COMMIT, so that a burst of calls costs one fsync and a failed call harms no other.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::error::StoreError;
use super::events::StoreEvent;

/// Calls that may wait for the writer; a caller beyond that waits for a place.
const QUEUE: usize = 1024;
/// Bounds on one transaction, so that the first caller of a burst is not kept waiting for the last.
const GROUP: usize = 512;
const GROUP_TIME: Duration = Duration::from_millis(50);

/// What a write sees: the connection inside the transaction, and a place for events to publish after COMMIT.
pub(super) struct Tx<'a> {
    connection: &'a Connection,
    events: &'a mut Vec<StoreEvent>,
}

impl Tx<'_> {
    pub(super) fn publish(&mut self, event: StoreEvent) {
        self.events.push(event);
    }
}

impl std::ops::Deref for Tx<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection
    }
}

trait Job: Send {
    /// Runs inside the savepoint, which is rolled back when it fails.
    fn apply(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError>;
    fn answer(self: Box<Self>, commit: Result<(), StoreError>);
}

struct Call<T, F> {
    run: Option<F>,
    value: Option<T>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Job for Call<T, F>
where
    T: Send,
    F: FnOnce(&mut Tx<'_>) -> Result<T, StoreError> + Send,
{
    fn apply(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        let run = self.run.take().ok_or(StoreError::WriterEnded)?;
        self.value = Some(run(tx)?);
        Ok(())
    }

    fn answer(self: Box<Self>, commit: Result<(), StoreError>) {
        let Self { value, reply, .. } = *self;
        let answer = commit.and_then(|()| value.ok_or(StoreError::WriterEnded));
        // A caller that gave up (its task was cancelled) does not need the answer; the write stands.
        let _ = reply.send(answer);
    }
}

/// The handle of the writer thread; dropping it ends the thread after what is queued.
pub(super) struct Writer {
    queue: Option<mpsc::Sender<Box<dyn Job>>>,
    thread: Option<std::thread::JoinHandle<()>>,
    ended: CancellationToken,
}

impl Writer {
    pub(super) fn start(
        connection: Connection,
        path: PathBuf,
        events: broadcast::Sender<StoreEvent>,
    ) -> Result<Self, StoreError> {
        let (sender, queue) = mpsc::channel(QUEUE);
        let ended = CancellationToken::new();
        let on_exit = ended.clone().drop_guard();
        let place = path.clone();
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || {
                let _on_exit = on_exit;
                Thread { connection, path, events }.run(queue);
            })
            .map_err(|e| StoreError::file("start the writer thread", &place, &e))?;
        Ok(Self { queue: Some(sender), thread: Some(thread), ended })
    }

    /// Cancelled when the thread has ended, for whatever reason.
    pub(super) fn ended(&self) -> CancellationToken {
        self.ended.clone()
    }

    pub(super) async fn call<T, F>(&self, run: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let queue = self.queue.as_ref().ok_or(StoreError::WriterEnded)?;
        let call = Call { run: Some(run), value: None, reply };
        queue.send(Box::new(call)).await.map_err(|_| StoreError::WriterEnded)?;
        answer.await.map_err(|_| StoreError::WriterEnded)?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            // Joined so that the folder is free for the next opener when the last handle is gone. A panic of the
            // thread was already told through `ended`.
            let _ = thread.join();
        }
    }
}

struct Thread {
    connection: Connection,
    path: PathBuf,
    events: broadcast::Sender<StoreEvent>,
}

impl Thread {
    fn run(mut self, mut queue: mpsc::Receiver<Box<dyn Job>>) {
        while let Some(first) = queue.blocking_recv() {
            self.group(first, &mut queue);
            metrics::gauge!("gtv_store_queue_depth").set(queue.len() as f64);
        }
    }

    /// One transaction over `first` and what else is waiting.
    fn group(&mut self, first: Box<dyn Job>, queue: &mut mpsc::Receiver<Box<dyn Job>>) {
        let started = Instant::now();
        let place = |e: StoreError| e.during("commit", &self.path);
        if let Err(error) = self.connection.execute_batch("BEGIN IMMEDIATE") {
            first.answer(Err(place(error.into())));
            return;
        }
        let mut events = Vec::new();
        let mut applied = Vec::new();
        let mut next = Some(first);
        while let Some(mut job) = next.take() {
            match apply(&self.connection, &mut *job, &mut events) {
                Ok(()) => applied.push(job),
                Err(error) => {
                    let error = place(error);
                    // SQLite rolls the whole transaction back by itself on some errors (disk full, I/O).
                    if self.connection.is_autocommit() {
                        for earlier in applied.drain(..) {
                            earlier.answer(Err(error.clone()));
                        }
                        job.answer(Err(error));
                        return;
                    }
                    job.answer(Err(error));
                }
            }
            if applied.len() < GROUP && started.elapsed() < GROUP_TIME {
                next = queue.try_recv().ok();
            }
        }
        let committed = self.connection.execute_batch("COMMIT").map_err(|e| place(e.into()));
        if committed.is_err() && !self.connection.is_autocommit() {
            // Nothing can be done about a rollback that fails; the next BEGIN reports it.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        metrics::histogram!("gtv_store_commit_seconds").record(started.elapsed().as_secs_f64());
        metrics::counter!("gtv_store_writes_total").increment(applied.len() as u64);
        if committed.is_ok() {
            for event in events {
                // Nobody listening is fine.
                let _ = self.events.send(event);
            }
        }
        for job in applied {
            job.answer(committed.clone());
        }
    }
}

fn apply(connection: &Connection, job: &mut dyn Job, events: &mut Vec<StoreEvent>) -> Result<(), StoreError> {
    let kept = events.len();
    connection.execute_batch("SAVEPOINT call")?;
    let result = job.apply(&mut Tx { connection, events });
    if result.is_ok() {
        connection.execute_batch("RELEASE call")?;
    } else {
        events.truncate(kept);
        if !connection.is_autocommit() {
            connection.execute_batch("ROLLBACK TO call; RELEASE call")?;
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> (Writer, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.db");
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (a INTEGER UNIQUE)").unwrap();
        (Writer::start(connection, path, broadcast::channel(8).0).unwrap(), folder)
    }

    fn insert(tx: &mut Tx<'_>, a: i64) -> Result<(), StoreError> {
        tx.execute("INSERT INTO t VALUES (?1)", [a])?;
        Ok(())
    }

    #[tokio::test]
    async fn one_failing_call_of_a_group_harms_no_other() {
        let (writer, _folder) = start();
        let calls = (0..50i64).map(|i| {
            writer.call(move |tx| {
                insert(tx, 1000 + i)?;
                insert(tx, if i % 5 == 0 { 7 } else { i + 10 })
            })
        });
        let results = futures_util::future::join_all(calls).await;
        // Five writes of 7 would collide: the first of the ten stands.
        assert_eq!(results.iter().filter(|r| r.is_err()).count(), 9);
        let rows: i64 = writer.call(|tx| Ok(tx.query_one("SELECT count(*) FROM t", [], |r| r.get(0))?)).await.unwrap();
        assert_eq!(rows, 2 * 41);
    }

    #[tokio::test]
    async fn a_full_database_fails_the_group_and_later_writes_go_on() {
        let (writer, _folder) = start();
        writer.call(|tx| Ok(tx.execute_batch("PRAGMA max_page_count = 12")?)).await.unwrap();
        let big = writer
            .call(|tx| {
                for i in 0..100_000 {
                    insert(tx, i)?;
                }
                Ok(())
            })
            .await
            .unwrap_err();
        assert_eq!(big.kind(), crate::base::error::Kind::Full, "{big}");
        writer.call(|tx| insert(tx, -1)).await.unwrap();
    }

    #[tokio::test]
    async fn a_panic_ends_the_writer_and_every_caller_is_told() {
        let (writer, _folder) = start();
        let ended = writer.ended();
        let answer = writer.call(|_| -> Result<(), StoreError> { panic!("defect") }).await;
        assert!(matches!(answer, Err(StoreError::WriterEnded)));
        ended.cancelled().await;
        assert!(matches!(writer.call(|tx| insert(tx, 1)).await, Err(StoreError::WriterEnded)));
    }
}
