//! Reads what a box sends while its last message is worked on, and answers its pings meanwhile: a box takes the time of
//! an answer for how full its uplink is, and the center's own work must not look like that. Answers that wait for
//! another server leave when they are there.

use super::socket::{End, Socket};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use gtv_protocol::{Message, Refusal, decode_control};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

/// A box pings every 15 s.
const IDLE_TIMEOUT: Duration = Duration::from_secs(120);
/// Bytes that may wait for their turn; beyond that nothing is read, and TCP tells the box.
const BYTES_MAX: usize = 1 << 20;
const FRAMES_MAX: usize = 32;
/// No ping is longer.
const PING_BYTES_MAX: usize = 128;
/// Answers that may wait for another server; with as many, the next message waits too. A box uploads 16 files at a time.
const PROMISES_MAX: usize = 32;

type Promise<'a> = BoxFuture<'a, Result<Message, Refusal>>;

/// Frames that came, in order, and answers under way, in whatever order.
#[derive(Default)]
pub struct Ahead<'a> {
    frames: VecDeque<Vec<u8>>,
    bytes: usize,
    promises: FuturesUnordered<Promise<'a>>,
    /// Why nothing more will come.
    end: Option<End>,
}

impl<'a> Ahead<'a> {
    /// The next message; nothing where it was a ping, which is answered, or where an answer left.
    pub async fn next(&mut self, socket: &mut Socket) -> Result<Option<Vec<u8>>, End> {
        let room = self.promises.len() < PROMISES_MAX;
        if room && let Some(frame) = self.frames.pop_front() {
            self.bytes -= frame.len();
            return Ok(Some(frame));
        }
        if let Some(end) = self.end.take() {
            return Err(end);
        }
        let reply = tokio::select! {
            Some(answer) = self.promises.next() => answer.map_err(End::Refused)?,
            frame = socket.receive(IDLE_TIMEOUT), if room => {
                let frame = frame?;
                let Some(pong) = ping(&frame) else { return Ok(Some(frame)) };
                pong
            }
        };
        socket.send(&reply).await?;
        Ok(None)
    }

    /// Sends this answer as soon as it is there. It is of no use to anybody once the session is over.
    pub fn promise(&mut self, answer: Promise<'a>) {
        self.promises.push(answer);
    }

    /// Does `work` to its end, whatever becomes of the connection: what was begun is committed.
    pub async fn read_while<T>(&mut self, socket: &mut Socket, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            let room = self.end.is_none() && self.bytes < BYTES_MAX && self.frames.len() < FRAMES_MAX;
            tokio::select! {
                done = &mut work => return done,
                Some(answer) = self.promises.next(), if self.end.is_none() => self.end = match answer {
                    Ok(reply) => socket.send(&reply).await.err(),
                    Err(refusal) => Some(End::Refused(refusal)),
                },
                frame = socket.receive(IDLE_TIMEOUT), if room => self.keep(frame, socket).await,
            }
        }
    }

    async fn keep(&mut self, frame: Result<Vec<u8>, End>, socket: &mut Socket) {
        match frame {
            Err(end) => self.end = Some(end),
            Ok(frame) => {
                if let Some(pong) = ping(&frame) {
                    self.end = socket.send(&pong).await.err();
                } else {
                    self.bytes += frame.len();
                    self.frames.push_back(frame);
                }
            }
        }
    }
}

/// The answer, if that is what the frame is.
fn ping(frame: &[u8]) -> Option<Message> {
    match decode_control(frame, PING_BYTES_MAX) {
        Ok(Message::Ping { id }) => Some(Message::Pong { id }),
        _ => None,
    }
}
