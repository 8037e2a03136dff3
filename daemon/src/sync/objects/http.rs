//! The HTTP client of uploads: object_store sends its requests through it, and each body leaves piece by piece as the
//! pacer of its lane allows.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use hyper::body::{Body, Frame};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse, HttpService,
};
use tokio::sync::watch;

use crate::store::Lane;
use crate::sync::error::SyncError;
use crate::sync::pace::Pacer;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A piece of a body leaves, or the answer comes, within this time. The system holds some megabytes of a body, which take
/// that long on the slowest uplinks.
const STALLED: Duration = Duration::from_secs(300);

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
        let answer = self.send(request, whole(body).await?).await.map_err(Broken::into_http)?;
        Ok(answer.map(Into::into))
    }
}

impl Paced {
    /// Sends a request with that body and reads the answer. However slow the uplink is, it is given up only when nothing
    /// moves any more.
    pub(super) async fn send(
        &self,
        mut request: reqwest::Request,
        body: Bytes,
    ) -> Result<http::Response<Bytes>, Broken> {
        let (moved, moves) = watch::channel(());
        *request.body_mut() = Some(self.body(body, moved));
        let answer = async {
            let response = self.client.execute(request).await?;
            let (status, headers) = (response.status(), response.headers().clone());
            let mut answer = http::Response::new(response.bytes().await?);
            (*answer.status_mut(), *answer.headers_mut()) = (status, headers);
            Ok(answer)
        };
        while_it_moves(answer, moves, STALLED).await
    }

    /// The body as a stream that waits for its turn before each piece, and tells of each.
    fn body(&self, bytes: Bytes, moved: watch::Sender<()>) -> reqwest::Body {
        if bytes.is_empty() {
            return bytes.into();
        }
        let (pacer, lane) = (self.pacer.clone(), self.lane);
        reqwest::Body::wrap_stream(stream::unfold((bytes, moved), move |(mut left, moved)| {
            let pacer = pacer.clone();
            async move {
                if left.is_empty() {
                    return None;
                }
                let piece = left.split_to(pacer.piece(lane).min(left.len()));
                pacer.pass(lane, piece.len()).await;
                moved.send_replace(());
                Some((Ok::<_, std::convert::Infallible>(piece), (left, moved)))
            }
        }))
    }
}

/// What `answer` gives, unless nothing moves for so long.
async fn while_it_moves<T>(
    answer: impl Future<Output = Result<T, Broken>>,
    mut moves: watch::Receiver<()>,
    stalled: Duration,
) -> Result<T, Broken> {
    let mut answer = std::pin::pin!(answer);
    loop {
        tokio::select! {
            answer = &mut answer => return answer,
            // Nothing more is told when the last piece has left.
            Ok(()) = moves.changed() => {}
            () = tokio::time::sleep(stalled) => return Err(Broken::Stalled),
        }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("nothing moved for {} s", STALLED.as_secs())]
    Stalled,
    #[error(transparent)]
    Http(#[from] reqwest::Error),
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

impl Broken {
    fn into_http(self) -> HttpError {
        match self {
            Self::Stalled => HttpError::new(HttpErrorKind::Timeout, self),
            Self::Http(error) => {
                let kind = if error.is_connect() {
                    HttpErrorKind::Connect
                } else {
                    // The connection broke: what object_store sends may be sent again.
                    HttpErrorKind::Interrupted
                };
                HttpError::new(kind, error.without_url())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_what_does_not_move_is_given_up() {
        let (moved, moves) = watch::channel(());
        let stalled = Duration::from_secs(2);
        // Longer than that altogether, a piece now and then, and the answer a while after the last one.
        let slow = async {
            for _ in 0..11 {
                tokio::time::sleep(Duration::from_millis(200)).await;
                moved.send_replace(());
            }
            drop(moved);
            tokio::time::sleep(Duration::from_millis(200)).await;
            Ok("stored")
        };
        assert!(matches!(while_it_moves(slow, moves, stalled).await, Ok("stored")));
        let (_moved, moves) = watch::channel(());
        let deaf = while_it_moves(std::future::pending::<Result<(), _>>(), moves, Duration::from_millis(20)).await;
        assert!(matches!(deaf, Err(Broken::Stalled)), "{deaf:?}");
    }
}
