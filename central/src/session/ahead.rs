//! Reads what a box sends while its last message is worked on, and answers its pings meanwhile: a box takes the time of
//! an answer for how full its uplink is, and the center's own work must not look like that.

use super::socket::{End, Socket};
use gtv_protocol::{Message, decode_control};
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

/// Frames that came, in order.
#[derive(Default)]
pub struct Ahead {
    frames: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Why nothing more will come.
    end: Option<End>,
}

impl Ahead {
    /// The next message; nothing where it was a ping, which is answered.
    pub async fn next(&mut self, socket: &mut Socket) -> Result<Option<Vec<u8>>, End> {
        if let Some(frame) = self.frames.pop_front() {
            self.bytes -= frame.len();
            return Ok(Some(frame));
        }
        if let Some(end) = self.end.take() {
            return Err(end);
        }
        let frame = socket.receive(IDLE_TIMEOUT).await?;
        let Some(pong) = ping(&frame) else { return Ok(Some(frame)) };
        socket.send(&pong).await?;
        Ok(None)
    }

    /// Does `work` to its end, whatever becomes of the connection: what was begun is committed.
    pub async fn read_while<T>(&mut self, socket: &mut Socket, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            let room = self.end.is_none() && self.bytes < BYTES_MAX && self.frames.len() < FRAMES_MAX;
            tokio::select! {
                done = &mut work => return done,
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
