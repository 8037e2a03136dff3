//! WebSockets: one loop that sends what a source yields, answers pings, and closes with a code and a reason.
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, Stream, StreamExt};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use warp::ws::{Message, WebSocket, Ws};

/// Clients have nothing to say here beyond control frames.
const MESSAGE_MAX: usize = 4 * 1024;
const PING_EVERY: Duration = Duration::from_secs(15);
const SILENCE_MAX: Duration = Duration::from_secs(45);
/// A viewer that cannot take a message for this long is cut, so that it never holds anything up.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// Close codes (RFC 6455 7.4.1; 4000 and above are ours, the status of HTTP plus 4000).
pub const NORMAL: u16 = 1000;
pub const GOING_AWAY: u16 = 1001;
const PROTOCOL_ERROR: u16 = 1002;
const UNSUPPORTED: u16 = 1003;
const INVALID_DATA: u16 = 1007;
const TOO_BIG: u16 = 1009;
pub const UNAUTHORISED: u16 = 4401;
const TOO_SLOW: u16 = 4408;

/// What a source hands to its socket.
pub enum Out {
    Text(String),
    Binary(Bytes),
    Close(u16, String),
}

impl Out {
    pub fn json(value: &impl serde::Serialize) -> Self {
        Out::Text(serde_json::to_string(value).unwrap_or_default())
    }
}

pub fn limited(ws: Ws) -> Ws {
    ws.max_message_size(MESSAGE_MAX).max_frame_size(MESSAGE_MAX)
}

/// Runs the socket until one side ends it. `still_allowed` is asked at every ping.
pub async fn pump<S>(mut ws: WebSocket, source: S, still_allowed: impl Fn() -> bool + Send, stop: CancellationToken)
where
    S: Stream<Item = Out> + Send,
{
    let gauge = metrics::gauge!("gtv_web_sockets");
    gauge.increment(1.0);
    let (code, reason) = exchange(&mut ws, source, still_allowed, stop).await;
    gauge.decrement(1.0);
    // Control frames hold 125 bytes: two of code, the rest of reason (RFC 6455 5.5).
    let reason = cut(&reason, 120).to_owned();
    let closing = async {
        ws.send(Message::close_with(code, reason)).await?;
        while let Some(Ok(message)) = ws.next().await {
            if message.is_close() {
                break;
            }
        }
        ws.close().await
    };
    // The peer may be gone already; then there is nobody to tell.
    let _ = timeout(Duration::from_secs(2), closing).await;
}

async fn exchange<S>(
    ws: &mut WebSocket,
    source: S,
    still_allowed: impl Fn() -> bool + Send,
    stop: CancellationToken,
) -> (u16, String)
where
    S: Stream<Item = Out> + Send,
{
    let mut source = std::pin::pin!(source);
    let mut ping = interval(PING_EVERY);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heard = Instant::now();
    loop {
        let message = tokio::select! {
            () = stop.cancelled() => return (GOING_AWAY, "The box is restarting.".into()),
            out = source.next() => match out {
                None => return (NORMAL, "The stream has ended.".into()),
                Some(Out::Close(code, reason)) => return (code, reason),
                Some(Out::Text(text)) => Message::text(text),
                Some(Out::Binary(data)) => Message::binary(data),
            },
            received = ws.next() => match received {
                None => return (NORMAL, String::new()),
                Some(Err(error)) => return fault(&error),
                Some(Ok(message)) if message.is_close() => return (NORMAL, String::new()),
                Some(Ok(message)) if message.is_ping() || message.is_pong() => {
                    heard = Instant::now();
                    continue;
                }
                Some(Ok(_)) => {
                    return (UNSUPPORTED, "This socket takes no messages; close it when done.".into());
                }
            },
            _ = ping.tick() => {
                if !still_allowed() {
                    return (UNAUTHORISED, "The session has ended; log in again.".into());
                }
                if heard.elapsed() > SILENCE_MAX {
                    return (TOO_SLOW, "The client stopped answering.".into());
                }
                Message::ping(Bytes::new())
            }
        };
        match timeout(SEND_TIMEOUT, ws.send(message)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return (NORMAL, String::new()),
            Err(_) => {
                crate::base::metrics::dropped("web", "slow_socket", 1);
                return (TOO_SLOW, "The connection is too slow for this stream.".into());
            }
        }
    }
}

/// The close code for what the peer sent. warp hides the error's type, so its text has to do.
fn fault(error: &warp::Error) -> (u16, String) {
    let text = error.to_string();
    let lower = text.to_lowercase();
    let code = if lower.contains("too long") || lower.contains("too big") || lower.contains("capacity") {
        TOO_BIG
    } else if lower.contains("utf-8") || lower.contains("utf8") {
        INVALID_DATA
    } else {
        PROTOCOL_ERROR
    };
    tracing::debug!(error = %text, "invalid WebSocket frame");
    (code, format!("Invalid frame: {text}"))
}

/// The longest start of `text` that is whole characters and fits.
fn cut(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.get(..end).unwrap_or_default()
}
