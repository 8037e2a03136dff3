//! Uploads without keys: the centre signs each request over the session, this box sends the bytes to the object store.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use gtv_protocol::{FinishUpload, SignUpload, SignedRequest, limits};
use tokio::sync::{mpsc, oneshot};

use super::http::{self, Paced};
use super::parts::{self, Fault, Part};
use super::source;
use crate::store::{Lane, ObjectRef};
use crate::sync::error::SyncError;
use crate::sync::pace::Pacer;

/// Answers are a few requests to the centre's own object store away.
const ANSWER: Duration = Duration::from_secs(60);
/// Half of the hour that signatures are good for.
const FRESH: Duration = Duration::from_secs(1800);

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

    /// The way of one object.
    pub(super) fn way<'a>(&'a self, object: &'a ObjectRef, lane: Lane) -> Result<Way<'a>, SyncError> {
        let ask = SignUpload {
            id: 0,
            bucket: object.bucket.as_str().to_owned(),
            sha256: source::digest(object)?,
            bytes: object.bytes,
            content_type: object.content_type.clone(),
            first_part: 0,
            parts: 0,
            upload: None,
        };
        Ok(Way { with: self, lane, ask, signed: VecDeque::new(), signed_at: Instant::now(), next: 0 })
    }

    /// The ETag of what was stored.
    async fn send(&self, lane: Lane, request: &SignedRequest, bytes: Bytes) -> Result<Option<String>, Fault> {
        let url = reqwest::Url::parse(&request.url).map_err(|e| unusable(&format!("a signed address: {e}")))?;
        let endpoint = url.origin().ascii_serialization();
        let bucket = url.path_segments().and_then(|mut path| path.next()).unwrap_or_default().to_owned();
        let down = |detail: String| SyncError::ObjectsUnavailable { endpoint: endpoint.clone(), detail };
        let paced = Paced { client: self.client.clone(), pacer: self.pacer.clone(), lane };
        let mut put = self.client.put(url).header("content-length", bytes.len());
        for (name, value) in &request.headers {
            put = put.header(name, value);
        }
        let put = put.build().map_err(|e| down(super::last_words(&e.without_url())))?;
        let answer = paced.send(put, bytes).await.map_err(|e| down(super::last_words(&e)))?;
        if answer.status().is_success() {
            let etag = answer.headers().get("etag").and_then(|etag| etag.to_str().ok());
            return Ok(etag.map(str::to_owned));
        }
        let detail: String = String::from_utf8_lossy(answer.body()).chars().take(300).collect();
        let detail = format!("{} {detail}", answer.status());
        if parts::is_unknown(&detail) {
            return Err(Fault::Unknown(detail));
        }
        Err(Fault::Failed(match answer.status().as_u16() {
            401 | 403 => SyncError::ObjectsRefused { endpoint, bucket, detail, vended: true },
            404 => SyncError::NoBucket { endpoint, bucket },
            _ => down(detail),
        }))
    }

    async fn sign(&self, ask: SignUpload) -> Result<gtv_protocol::SignedUpload, SyncError> {
        let (answer, given) = oneshot::channel();
        let signed = self.ask(Ask::Sign(ask, answer), given).await?;
        match signed.error {
            Some(error) => Err(unusable(&error)),
            None => Ok(signed),
        }
    }

    async fn finish(&self, ask: FinishUpload) -> Result<(), Fault> {
        let (answer, given) = oneshot::channel();
        let finished = self.ask(Ask::Finish(ask, answer), given).await?;
        match finished.error {
            None => Ok(()),
            Some(error) if finished.gone => Err(Fault::Unknown(error)),
            Some(error) => Err(Fault::Failed(unusable(&error))),
        }
    }

    async fn ask<T>(&self, ask: Ask, given: oneshot::Receiver<T>) -> Result<T, SyncError> {
        let gone = || unusable("the session ended; it goes on with the next one");
        self.signing.asks.send(ask).await.map_err(|_| gone())?;
        tokio::time::timeout(ANSWER, given).await.map_err(|_| unusable("no answer in 60 s"))?.map_err(|_| gone())
    }
}

/// One object on its way, and what was signed for it and not used.
pub(super) struct Way<'a> {
    with: &'a WithSignatures,
    lane: Lane,
    ask: SignUpload,
    signed: VecDeque<SignedRequest>,
    signed_at: Instant,
    /// The part that the first of these is for.
    next: u32,
}

impl Way<'_> {
    /// In one request.
    pub(super) async fn put(&self, bytes: Bytes) -> Result<(), SyncError> {
        let signed = self.with.sign(self.ask.clone()).await?;
        let request = signed.requests.first().ok_or_else(|| unusable("it signed nothing"))?;
        match self.with.send(self.lane, request, bytes).await {
            Ok(_) => Ok(()),
            Err(Fault::Failed(error)) => Err(error),
            Err(Fault::Unknown(detail)) => Err(unusable(&detail)),
        }
    }

    /// Has some parts signed, of an upload that it begins where there is none; the upload.
    async fn sign(&mut self, first_part: u32, of: u32, upload: Option<String>) -> Result<String, SyncError> {
        let parts = of.saturating_sub(first_part).clamp(1, limits::SIGNED_PARTS_MAX);
        let signed = self.with.sign(SignUpload { first_part, parts, upload, ..self.ask.clone() }).await?;
        (self.signed, self.signed_at, self.next) = (signed.requests.into(), Instant::now(), first_part);
        signed.upload.ok_or_else(|| unusable("it did not name the upload"))
    }

    fn finish(&self, upload: &str, parts: Vec<String>) -> FinishUpload {
        let (bucket, sha256) = (self.ask.bucket.clone(), self.ask.sha256);
        FinishUpload { id: 0, bucket, sha256, upload: upload.to_owned(), parts }
    }
}

impl parts::Server for Way<'_> {
    /// Only the centre knows where that is, and says so when it is elsewhere by now.
    fn place(&self) -> String {
        format!("signed by the centre, {}", self.ask.bucket)
    }

    async fn begin(&mut self, parts: u32) -> Result<String, SyncError> {
        self.sign(0, parts, None).await
    }

    async fn send(&mut self, part: Part<'_>, bytes: Bytes) -> Result<String, Fault> {
        if self.signed.is_empty() || self.next != part.number || self.signed_at.elapsed() > FRESH {
            self.sign(part.number, part.of, Some(part.upload.to_owned())).await?;
        }
        let request = self.signed.pop_front().ok_or_else(|| unusable("it signed nothing"))?;
        self.next += 1;
        let etag = self.with.send(self.lane, &request, bytes).await?;
        Ok(etag.ok_or_else(|| unusable("a part got no ETag"))?)
    }

    /// The centre looks whether the object is there already.
    async fn complete(&mut self, upload: &str, receipts: Vec<String>) -> Result<(), Fault> {
        self.with.finish(self.finish(upload, receipts)).await
    }

    async fn abort(&mut self, upload: &str) -> Result<(), SyncError> {
        match self.with.finish(self.finish(upload, Vec::new())).await {
            Err(Fault::Failed(error)) => Err(error),
            _ => Ok(()),
        }
    }
}

fn unusable(detail: &str) -> SyncError {
    let detail: String = detail.chars().take(300).collect();
    SyncError::ObjectsUnavailable { endpoint: "behind the centre, which signs uploads".to_owned(), detail }
}
