//! The WebSocket as a stream of frames: timeouts, close codes, and nothing of the protocol's meaning.

use futures_util::{SinkExt, StreamExt};
use gtv_protocol::{Message, Refusal, encode};
use std::time::Duration;
use warp::ws::{Message as Frame, WebSocket};

const SEND_TIMEOUT: Duration = Duration::from_secs(30);
/// RFC 6455 close codes.
const CLOSE_POLICY: u16 = 1008;
const CLOSE_TRY_LATER: u16 = 1013;

/// Why a session is over.
pub enum End {
    /// By the box, or by the network.
    Closed(String),
    /// By us; the refusal is still to be sent.
    Refused(Refusal),
}

pub struct Socket {
    inner: WebSocket,
}

impl Socket {
    pub fn new(inner: WebSocket) -> Self {
        Self { inner }
    }

    /// The next binary message.
    pub async fn receive(&mut self, timeout: Duration) -> Result<Vec<u8>, End> {
        let receive = async {
            loop {
                match self.inner.next().await {
                    None => return Err(End::Closed("connection ended".to_owned())),
                    Some(Err(e)) => return Err(End::Closed(format!("connection failed: {e}"))),
                    Some(Ok(frame)) if frame.is_binary() => return Ok(frame.into_bytes().to_vec()),
                    Some(Ok(frame)) if frame.is_close() => return Err(End::Closed("box closed".to_owned())),
                    Some(Ok(frame)) if frame.is_text() => {
                        return Err(End::Refused(super::bad_message("text messages are not part of it".to_owned())));
                    }
                    // Ping and pong frames are answered by the library.
                    Some(Ok(_)) => {}
                }
            }
        };
        tokio::time::timeout(timeout, receive)
            .await
            .unwrap_or_else(|_| Err(End::Closed(format!("nothing came for {} s", timeout.as_secs()))))
    }

    pub async fn send(&mut self, message: &Message) -> Result<(), End> {
        let frame = encode(message).map_err(|e| End::Closed(format!("own message: {e}")))?;
        match tokio::time::timeout(SEND_TIMEOUT, self.inner.send(Frame::binary(frame))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(e)) => Err(End::Closed(format!("connection failed: {e}"))),
            Err(_) => Err(End::Closed(format!("the box took nothing for {} s", SEND_TIMEOUT.as_secs()))),
        }
    }

    /// Says why, then closes. Failures are of no interest: the session is over either way.
    pub async fn refuse(&mut self, refusal: Refusal) {
        let code = if refusal.code.retry() { CLOSE_TRY_LATER } else { CLOSE_POLICY };
        let reason = refusal.code.as_str();
        if self.send(&Message::Refusal(refusal)).await.is_ok() {
            let close = async {
                let _ = self.inner.send(Frame::close_with(code, reason)).await;
                let _ = SinkExt::close(&mut self.inner).await;
            };
            let _ = tokio::time::timeout(Duration::from_secs(2), close).await;
        }
    }
}
