//! The WebSocket to the centre: dialing over TLS (plain for a loopback centre only), the handshake in which the box
//! proves its key, and whole messages in and out.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::SplitSink;
use futures_util::{SinkExt, StreamExt};
use gtv_protocol::hex_bytes::HexBytes;
use gtv_protocol::{Batch, Hello, Message, Proof, VersionRange, Welcome, auth, codec, limits};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message as Frame};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config};
use tokio_util::task::AbortOnDropHandle;

use super::error::SyncError;
use crate::base::identity::Identity;
use crate::base::time::UtcMicros;
use crate::store::{self, OutboxStatus};

const DIAL: Duration = Duration::from_secs(15);
const ANSWER: Duration = Duration::from_secs(20);
const SEND: Duration = Duration::from_secs(60);
/// Messages that came and were not looked at yet; beyond that nothing is read.
const INBOX: usize = 32;
/// A clock that is further off than this makes certificates and evidence doubtful.
const CLOCK_OFF_US: u64 = 60_000_000;

/// What the box says about itself in its Hello.
#[derive(Clone, Debug)]
pub(super) struct Introduction {
    pub name: String,
    pub prefeitura: String,
    pub site: String,
    pub enrol_code: Option<String>,
}

/// TLS with the system's authorities and, where given, one more.
pub(super) fn tls(ca: Option<(&Path, &[u8])>) -> Result<Arc<ClientConfig>, SyncError> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    for error in native.errors {
        tracing::warn!(%error, "a certificate authority of the system cannot be read");
    }
    roots.add_parsable_certificates(native.certs);
    if let Some((path, pem)) = ca {
        let failed = |detail: String| SyncError::CaFile { path: path.display().to_string(), detail };
        let mut found = 0;
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|e| failed(e.to_string()))?;
            roots.add(certificate).map_err(|e| failed(e.to_string()))?;
            found += 1;
        }
        if found == 0 {
            return Err(failed("it holds no certificate".to_owned()));
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| SyncError::Protocol { url: String::new(), detail: e.to_string() })?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// An open connection. A task of its own reads it, so that the time of an answer is the network's and the centre's, not
/// that of what the session was busy with.
pub(super) struct Link {
    url: String,
    sending: SplitSink<Socket, Frame>,
    inbox: mpsc::Receiver<(Instant, Option<Result<Frame, tungstenite::Error>>)>,
    arrived: Instant,
    /// The centre's clock as its challenge told, and when that came.
    centre_clock: (UtcMicros, Instant),
    _reader: AbortOnDropHandle<()>,
}

impl Link {
    /// Connects and proves who the box is; the centre's Welcome says from where to go on.
    pub(super) async fn open(
        url: &str,
        tls: Arc<ClientConfig>,
        identity: &Identity,
        introduction: &Introduction,
        outbox: OutboxStatus,
    ) -> Result<(Self, Box<Welcome>), SyncError> {
        let config = WebSocketConfig::default()
            .max_message_size(Some(limits::FRAME_BYTES_MAX))
            .max_frame_size(Some(limits::FRAME_BYTES_MAX));
        let dial = connect_async_tls_with_config(url, Some(config), true, Some(Connector::Rustls(tls)));
        let unreachable = |detail: String| SyncError::Unreachable { url: url.to_owned(), detail };
        let (socket, _) = tokio::time::timeout(DIAL, dial)
            .await
            .map_err(|_| unreachable(format!("no answer in {} s", DIAL.as_secs())))?
            .map_err(|error| dial_error(url, error))?;
        let (sending, mut receiving) = socket.split();
        let (messages, inbox) = mpsc::channel(INBOX);
        let reader = tokio::spawn(async move {
            loop {
                let frame = receiving.next().await;
                let more = matches!(frame, Some(Ok(_)));
                if messages.send((Instant::now(), frame)).await.is_err() || !more {
                    return;
                }
            }
        });
        let arrived = Instant::now();
        let mut link = Self {
            url: url.to_owned(),
            sending,
            inbox,
            arrived,
            centre_clock: (UtcMicros::now(), arrived),
            _reader: AbortOnDropHandle::new(reader),
        };
        let welcome = tokio::time::timeout(ANSWER, link.shake_hands(identity, introduction, outbox))
            .await
            .map_err(|_| link.silent("it does not answer the greeting"))??;
        Ok((link, welcome))
    }

    async fn shake_hands(
        &mut self,
        identity: &Identity,
        introduction: &Introduction,
        outbox: OutboxStatus,
    ) -> Result<Box<Welcome>, SyncError> {
        let hello = Message::Hello(Hello {
            versions: VersionRange::ours(),
            box_id: identity.box_id.0,
            public_key: HexBytes(identity.public_key().to_bytes()),
            name: introduction.name.clone(),
            prefeitura: introduction.prefeitura.clone(),
            site: introduction.site.clone(),
            software: format!("gtv-edge {}", env!("CARGO_PKG_VERSION")),
            epoch: outbox.last.epoch,
            last_seq: outbox.last.seq,
            enrol_code: introduction.enrol_code.clone(),
        });
        let frame = self.encode(&hello)?;
        self.send_frame(frame.clone()).await?;
        let challenge = match self.receive().await? {
            Message::Challenge(challenge) => challenge,
            other => return Err(self.unexpected("a challenge", &other)),
        };
        self.centre_clock = (UtcMicros(challenge.server_time_us), self.arrived);
        let off = UtcMicros::now().0.abs_diff(challenge.server_time_us);
        metrics::gauge!("gtv_sync_clock_offset_seconds").set(off as f64 / 1e6);
        if off > CLOCK_OFF_US {
            tracing::warn!(offset_s = off / 1_000_000, "the clocks of box and centre differ; check NTP on the box");
        }
        let signature = HexBytes(identity.sign(&auth::challenge_payload(&challenge.nonce, &frame)));
        self.send(&Message::Proof(Proof { signature })).await?;
        match self.receive().await? {
            Message::Welcome(welcome) => Ok(welcome),
            other => Err(self.unexpected("a welcome", &other)),
        }
    }

    pub(super) async fn send(&mut self, message: &Message) -> Result<(), SyncError> {
        let frame = self.encode(message)?;
        self.send_frame(frame).await
    }

    /// Signs and sends consecutive records; returns the number of the last one and the bytes sent.
    pub(super) async fn send_batch(
        &mut self,
        identity: &Identity,
        batch: store::Batch,
    ) -> Result<(u64, usize), SyncError> {
        let Some(head) = batch.records.last() else { return Err(self.protocol("an empty batch was built")) };
        let (seq, count) = (head.seq, batch.records.len());
        let lost = auth::lost_digest(&batch.unavailable);
        let payload = auth::batch_payload(identity.box_id.0, head.epoch, seq, &head.hash, &lost);
        let signature = HexBytes(identity.sign(&payload));
        let message = Message::Batch(Batch { records: batch.records, unavailable: batch.unavailable, signature });
        let frame = self.encode(&message)?;
        let bytes = frame.len();
        metrics::counter!("gtv_sync_sent_bytes_total").increment(bytes as u64);
        metrics::counter!("gtv_sync_sent_records_total").increment(count as u64);
        self.send_frame(frame).await?;
        Ok((seq, bytes))
    }

    /// The next message; a refusal is an error. May be dropped while it waits without losing anything.
    pub(super) async fn receive(&mut self) -> Result<Message, SyncError> {
        loop {
            let frame = match self.inbox.recv().await {
                Some((at, Some(Ok(frame)))) => {
                    self.arrived = at;
                    frame
                }
                Some((_, Some(Err(error)))) => {
                    return Err(SyncError::Unreachable { url: self.url.clone(), detail: error.to_string() });
                }
                Some((_, None)) | None => {
                    let detail = "it closed the connection".to_owned();
                    return Err(SyncError::Unreachable { url: self.url.clone(), detail });
                }
            };
            match frame {
                Frame::Binary(bytes) => match codec::decode(&bytes).map_err(|e| self.protocol(&e.to_string()))? {
                    Message::Refusal(refusal) => {
                        return Err(SyncError::Refused {
                            code: refusal.code,
                            message: refusal.message.chars().take(500).collect(),
                            retry_after_s: refusal.retry_after_s,
                            newest_epoch: refusal.newest.map(|position| position.epoch),
                        });
                    }
                    message => return Ok(message),
                },
                Frame::Close(_) => {
                    let detail = "it closed the session".to_owned();
                    return Err(SyncError::Unreachable { url: self.url.clone(), detail });
                }
                Frame::Text(_) => return Err(self.protocol("it sent a text frame")),
                Frame::Ping(_) | Frame::Pong(_) | Frame::Frame(_) => {}
            }
        }
    }

    /// When the message that `receive` gave last came in.
    pub(super) fn arrived(&self) -> Instant {
        self.arrived
    }

    /// What the centre's clock shows now.
    pub(super) fn centre_time(&self) -> UtcMicros {
        let (told, at) = self.centre_clock;
        UtcMicros(told.0.saturating_add_unsigned(at.elapsed().as_micros() as u64))
    }

    /// Says goodbye; the centre notices a lost connection anyway.
    pub(super) async fn close(mut self) {
        let _ = tokio::time::timeout(Duration::from_secs(2), self.sending.close()).await;
    }

    pub(super) fn silent(&self, detail: &str) -> SyncError {
        SyncError::Silent { url: self.url.clone(), detail: detail.to_owned() }
    }

    pub(super) fn protocol(&self, detail: &str) -> SyncError {
        SyncError::Protocol { url: self.url.clone(), detail: detail.to_owned() }
    }

    fn unexpected(&self, wanted: &str, got: &Message) -> SyncError {
        let name = match got {
            Message::Hello(_) => "a greeting",
            Message::Challenge(_) => "a challenge",
            Message::Proof(_) => "a proof",
            Message::Welcome(_) => "a welcome",
            Message::Ack(_) => "an acknowledgement",
            Message::Reject(_) => "a rejection",
            _ => "another message",
        };
        self.protocol(&format!("{name} came where {wanted} belongs"))
    }

    fn encode(&self, message: &Message) -> Result<Vec<u8>, SyncError> {
        codec::encode(message).map_err(|e| self.protocol(&e.to_string()))
    }

    async fn send_frame(&mut self, frame: Vec<u8>) -> Result<(), SyncError> {
        let sent = tokio::time::timeout(SEND, self.sending.send(Frame::Binary(frame.into()))).await;
        match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(SyncError::Unreachable { url: self.url.clone(), detail: error.to_string() }),
            Err(_) => Err(self.silent("it takes no data")),
        }
    }
}

fn dial_error(url: &str, error: tungstenite::Error) -> SyncError {
    let (url, detail) = (url.to_owned(), error.to_string());
    let certificate = match &error {
        tungstenite::Error::Tls(_) => true,
        tungstenite::Error::Io(io) => {
            io.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>)
        }
        _ => false,
    };
    if certificate { SyncError::Certificate { url, detail } } else { SyncError::Unreachable { url, detail } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_named() {
        let error = tls(Some((Path::new("/etc/ca.pem"), b"no pem"))).unwrap_err().to_string();
        assert!(error.contains("/etc/ca.pem") && error.contains("no certificate"), "{error}");
        tls(None).unwrap();
    }

    #[tokio::test]
    async fn nobody_at_the_address_is_told_with_the_remedy() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/sync/v1", listener.local_addr().unwrap());
        drop(listener);
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity::open_or_create(folder.path()).unwrap();
        let store = crate::store::Store::open(folder.path()).unwrap();
        let outbox = store.outbox_status(identity.box_id).await.unwrap();
        let introduction = Introduction {
            name: "box".to_owned(),
            prefeitura: "demo".to_owned(),
            site: String::new(),
            enrol_code: None,
        };
        let opened = Link::open(&url, tls(None).unwrap(), &identity, &introduction, outbox).await;
        let error = opened.err().unwrap().to_string();
        assert!(error.contains(&url) && error.contains("sync.url"), "{error}");
    }
}
