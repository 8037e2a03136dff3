//! Exports that were asked for and may be fetched for a while, and their way to the browser without a temporary file.
use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use uuid::Uuid;

use crate::base::identity::Identity;
use crate::evidence::{self, EvidenceError, Plan, Request};
use crate::store::{AuditEntry, Store};

/// How long a link works; a download that has begun goes on.
pub const LIFETIME: Duration = Duration::from_secs(600);
const KEPT: usize = 64;
/// Reading back must not slow recording down.
const AT_ONCE: usize = 2;
const CHUNK: usize = 256 * 1024;
/// Chunks that wait for a slow browser.
const QUEUE: usize = 4;

pub struct Exports {
    tickets: Mutex<VecDeque<(Instant, Arc<Ticket>)>>,
    running: Arc<Semaphore>,
}

/// An export that somebody asked for, with a reason that is written down.
pub struct Ticket {
    pub id: Uuid,
    pub user: Uuid,
    pub request: Request,
}

impl Default for Exports {
    fn default() -> Self {
        Self { tickets: Mutex::default(), running: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

impl Exports {
    pub fn add(&self, user: Uuid, request: Request) -> Arc<Ticket> {
        let ticket = Arc::new(Ticket { id: Uuid::now_v7(), user, request });
        let mut tickets = self.tickets.lock().unwrap_or_else(PoisonError::into_inner);
        tickets.push_front((Instant::now(), ticket.clone()));
        tickets.truncate(KEPT);
        ticket
    }

    /// Only whoever asked for an export may fetch it.
    pub fn find(&self, id: &str, user: Uuid) -> Option<Arc<Ticket>> {
        let id: Uuid = id.parse().ok()?;
        let mut tickets = self.tickets.lock().unwrap_or_else(PoisonError::into_inner);
        tickets.retain(|(since, _)| since.elapsed() < LIFETIME);
        tickets.iter().find(|(_, ticket)| ticket.id == id && ticket.user == user).map(|(_, ticket)| ticket.clone())
    }

    pub fn try_begin(&self) -> Option<OwnedSemaphorePermit> {
        self.running.clone().try_acquire_owned().ok()
    }
}

/// Writes the ZIP file into the channel, and into the audit log how it ended; `entry` has all but action and detail.
pub fn send(
    plan: Plan,
    identity: Identity,
    store: Store,
    entry: AuditEntry,
    permit: OwnedSemaphorePermit,
) -> mpsc::Receiver<io::Result<Bytes>> {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let runtime = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let mut out = Chunks { sender, buffer: BytesMut::with_capacity(CHUNK) };
        let sent = evidence::bundle(&plan, &identity, &mut out).and_then(|sha256| {
            out.flush()?;
            Ok(sha256)
        });
        let (action, detail) = match &sent {
            Ok(sha256) => ("evidence.delivered", serde_json::json!({ "outcome": "done", "sha256": sha256 })),
            Err(error) => {
                tracing::warn!(%error, "an export broke off");
                ("evidence.broken-off", serde_json::json!({ "outcome": "refused", "why": error.to_string() }))
            }
        };
        if let Err(EvidenceError::File { .. } | EvidenceError::Store(_)) = &sent {
            // The head is out: breaking off is all that tells the browser that this file is not whole.
            let _ = out.sender.blocking_send(Err(io::Error::other("the export broke off")));
        }
        let entry = AuditEntry { action: action.to_owned(), detail, ..entry };
        if let Err(error) = runtime.block_on(store.append_audit(entry)) {
            tracing::error!(%error, "the end of an export could not be written down");
        }
    });
    receiver
}

/// A writer whose bytes go to an answer; it waits for the browser.
struct Chunks {
    sender: mpsc::Sender<io::Result<Bytes>>,
    buffer: BytesMut,
}

impl Write for Chunks {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let taken = data.len().min(CHUNK - self.buffer.len());
        self.buffer.extend_from_slice(&data[..taken]);
        if self.buffer.len() >= CHUNK {
            self.flush()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::replace(&mut self.buffer, BytesMut::with_capacity(CHUNK)).freeze();
        let gone = |_| io::Error::new(io::ErrorKind::BrokenPipe, "the browser has gone");
        self.sender.blocking_send(Ok(chunk)).map_err(gone)
    }
}
