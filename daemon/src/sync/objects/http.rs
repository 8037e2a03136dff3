//! The HTTP client of uploads: object_store sends its requests through it, and each body leaves piece by piece as the
//! pacer of its lane allows.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use hyper::body::{Body, Frame};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse, HttpService,
};

use super::{CONNECT_TIMEOUT, REQUEST_TIMEOUT};
use crate::store::Lane;
use crate::sync::error::SyncError;
use crate::sync::pace::Pacer;

/// Connections are shared by all lanes.
pub(super) fn client(ca: Option<&[u8]>, allow_http: bool) -> Result<reqwest::Client, SyncError> {
    let failed = |e: reqwest::Error| SyncError::ObjectsAccess { detail: e.to_string() };
    let mut builder = reqwest::Client::builder()
        .https_only(!allow_http)
        .connect_timeout(CONNECT_TIMEOUT)
        .http1_only()
        .redirect(reqwest::redirect::Policy::none());
    if let Some(pem) = ca {
        for certificate in reqwest::Certificate::from_pem_bundle(pem).map_err(failed)? {
            builder = builder.add_root_certificate(certificate);
        }
    }
    builder.build().map_err(failed)
}

/// Hands object_store the shared client, with the lane whose bodies it sends.
#[derive(Clone, Debug)]
pub(super) struct Paced {
    pub client: reqwest::Client,
    pub pacer: Arc<Pacer>,
    pub lane: Lane,
}

impl HttpConnector for Paced {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Paced {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (parts, body) = request.into_parts();
        let url = reqwest::Url::parse(&parts.uri.to_string())
            .map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
        let mut request = reqwest::Request::new(parts.method, url);
        *request.headers_mut() = parts.headers;
        let body = whole(body).await?;
        *request.timeout_mut() = Some(REQUEST_TIMEOUT + self.pacer.expected(self.lane, body.len()));
        *request.body_mut() = Some(self.body(body));
        let response = self.client.execute(request).await.map_err(failed)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut answer = HttpResponse::new(response.bytes().await.map_err(failed)?.into());
        (*answer.status_mut(), *answer.headers_mut()) = (status, headers);
        Ok(answer)
    }
}

impl Paced {
    /// The body as a stream that waits for its turn before each piece.
    pub(super) fn body(&self, bytes: Bytes) -> reqwest::Body {
        if bytes.is_empty() {
            return bytes.into();
        }
        let (pacer, lane) = (self.pacer.clone(), self.lane);
        reqwest::Body::wrap_stream(stream::unfold(bytes, move |mut left| {
            let pacer = pacer.clone();
            async move {
                if left.is_empty() {
                    return None;
                }
                let piece = left.split_to(pacer.piece(lane).min(left.len()));
                pacer.pass(lane, piece.len()).await;
                Some((Ok::<_, std::convert::Infallible>(piece), left))
            }
        }))
    }
}

/// All of a body; what the uploads send is one piece already.
async fn whole(mut body: HttpRequestBody) -> Result<Bytes, HttpError> {
    let mut next = async || poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await.transpose();
    let data = |frame: Option<Frame<Bytes>>| frame.and_then(|frame| frame.into_data().ok());
    let Some(first) = data(next().await?) else { return Ok(Bytes::new()) };
    let mut more = BytesMut::new();
    while let Some(frame) = data(next().await?) {
        more.extend_from_slice(&frame);
    }
    if more.is_empty() {
        return Ok(first);
    }
    Ok([first, more.freeze()].concat().into())
}

fn failed(error: reqwest::Error) -> HttpError {
    let kind = if error.is_timeout() {
        HttpErrorKind::Timeout
    } else if error.is_connect() {
        HttpErrorKind::Connect
    } else {
        // The connection broke: what object_store sends may be sent again.
        HttpErrorKind::Interrupted
    };
    HttpError::new(kind, error.without_url())
}
