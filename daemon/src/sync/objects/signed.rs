//! Uploads without keys: the centre signs each request over the session, this box sends the bytes to the object store.

use std::sync::Arc;

use bytes::Bytes;
use gtv_protocol::{FinishUpload, SignUpload, SignedRequest, limits};
use tokio::sync::{mpsc, oneshot};

use super::http::{self, Paced};
use super::source::Source;
use super::{PART, REQUEST_TIMEOUT};
use crate::store::{Lane, ObjectRef};
use crate::sync::error::SyncError;
use crate::sync::pace::Pacer;

/// Answers are a few requests to the centre's own object store away.
const ANSWER: std::time::Duration = std::time::Duration::from_secs(60);

/// What an upload asks the centre; the session sends it and hands back what comes.
#[derive(Debug)]
pub(in crate::sync) enum Ask {
    Sign(SignUpload, oneshot::Sender<gtv_protocol::SignedUpload>),
    Finish(FinishUpload, oneshot::Sender<gtv_protocol::FinishedUpload>),
}

/// The way to the session that signs.
#[derive(Clone, Debug)]
pub(in crate::sync) struct Signing {
    pub session: uuid::Uuid,
    pub asks: mpsc::Sender<Ask>,
}

impl PartialEq for Signing {
    fn eq(&self, other: &Self) -> bool {
        self.session == other.session
    }
}

impl Eq for Signing {}

pub(super) struct WithSignatures {
    signing: Signing,
    /// The centre's addresses decide whether it is plain HTTP.
    client: reqwest::Client,
    pacer: Arc<Pacer>,
}

impl WithSignatures {
    pub(super) fn new(signing: Signing, ca: Option<&[u8]>, pacer: &Arc<Pacer>) -> Result<Self, SyncError> {
        Ok(Self { signing, client: http::client(ca, true)?, pacer: pacer.clone() })
    }

    pub(super) async fn put(&self, object: &ObjectRef, lane: Lane, mut source: Source) -> Result<(), SyncError> {
        let ask = SignUpload {
            id: 0,
            bucket: object.bucket.as_str().to_owned(),
            sha256: source.digest,
            bytes: object.bytes,
            content_type: object.content_type.clone(),
            first_part: 0,
            parts: 0,
            upload: None,
        };
        if object.bytes <= PART as u64 {
            let bytes = source.whole().await?;
            let signed = self.sign(ask).await?;
            let request = signed.requests.first().ok_or_else(|| unusable("it signed nothing"))?;
            return self.send(lane, request, bytes).await.map(|_| ());
        }
        let parts = u32::try_from(object.bytes.div_ceil(PART as u64)).unwrap_or(u32::MAX);
        let mut upload: Option<String> = None;
        let sent = async {
            let (mut etags, mut requests) = (Vec::new(), Vec::new().into_iter());
            while let Some(part) = source.next().await? {
                let request = if let Some(request) = requests.next() {
                    request
                } else {
                    // A few at a time, so that none expires before its turn.
                    let first_part = etags.len() as u32;
                    let wanted = parts.saturating_sub(first_part).min(limits::SIGNED_PARTS_MAX);
                    let ask = SignUpload { first_part, parts: wanted, upload: upload.clone(), ..ask.clone() };
                    let signed = self.sign(ask).await?;
                    upload = signed.upload;
                    requests = signed.requests.into_iter();
                    requests.next().ok_or_else(|| unusable("it signed too few parts"))?
                };
                etags.push(self.send(lane, &request, part).await?.ok_or_else(|| unusable("a part got no ETag"))?);
            }
            source.verify()?;
            Ok(etags)
        };
        let sent: Result<Vec<String>, SyncError> = sent.await;
        let Some(upload) = upload else { return sent.map(|_| ()) };
        let (bucket, sha256) = (ask.bucket, ask.sha256);
        match sent {
            Ok(parts) => self.finish(FinishUpload { id: 0, bucket, sha256, upload, parts }).await,
            Err(error) => {
                // Parts of an unfinished upload cost space until they are aborted; the error above is what matters.
                let _ = self.finish(FinishUpload { id: 0, bucket, sha256, upload, parts: Vec::new() }).await;
                Err(error)
            }
        }
    }

    /// The ETag of what was stored.
    async fn send(&self, lane: Lane, request: &SignedRequest, bytes: Bytes) -> Result<Option<String>, SyncError> {
        let url = reqwest::Url::parse(&request.url).map_err(|e| unusable(&format!("a signed address: {e}")))?;
        let endpoint = url.origin().ascii_serialization();
        let bucket = url.path_segments().and_then(|mut path| path.next()).unwrap_or_default().to_owned();
        let down = |detail: String| SyncError::ObjectsUnavailable { endpoint: endpoint.clone(), detail };
        let paced = Paced { client: self.client.clone(), pacer: self.pacer.clone(), lane };
        let mut put = self
            .client
            .put(url)
            .header("content-length", bytes.len())
            .timeout(REQUEST_TIMEOUT + self.pacer.expected(lane, bytes.len()));
        for (name, value) in &request.headers {
            put = put.header(name, value);
        }
        let response = put.body(paced.body(bytes)).send().await;
        let response = response.map_err(|e| down(super::last_words(&e.without_url())))?;
        let status = response.status();
        if status.is_success() {
            let etag = response.headers().get("etag").and_then(|etag| etag.to_str().ok());
            return Ok(etag.map(str::to_owned));
        }
        let detail: String = response.text().await.unwrap_or_default().chars().take(300).collect();
        let detail = format!("{status} {detail}");
        Err(match status.as_u16() {
            401 | 403 => SyncError::ObjectsRefused { endpoint, bucket, detail, vended: true },
            404 => SyncError::NoBucket { endpoint, bucket },
            _ => down(detail),
        })
    }

    async fn sign(&self, ask: SignUpload) -> Result<gtv_protocol::SignedUpload, SyncError> {
        let (answer, given) = oneshot::channel();
        let signed = self.ask(Ask::Sign(ask, answer), given).await?;
        match signed.error {
            Some(error) => Err(unusable(&error)),
            None => Ok(signed),
        }
    }

    async fn finish(&self, ask: FinishUpload) -> Result<(), SyncError> {
        let (answer, given) = oneshot::channel();
        let finished = self.ask(Ask::Finish(ask, answer), given).await?;
        finished.error.map_or(Ok(()), |error| Err(unusable(&error)))
    }

    async fn ask<T>(&self, ask: Ask, given: oneshot::Receiver<T>) -> Result<T, SyncError> {
        let gone = || unusable("the session ended; it goes on with the next one");
        self.signing.asks.send(ask).await.map_err(|_| gone())?;
        tokio::time::timeout(ANSWER, given).await.map_err(|_| unusable("no answer in 60 s"))?.map_err(|_| gone())
    }
}

fn unusable(detail: &str) -> SyncError {
    let detail: String = detail.chars().take(300).collect();
    SyncError::ObjectsUnavailable { endpoint: "behind the centre, which signs uploads".to_owned(), detail }
}
