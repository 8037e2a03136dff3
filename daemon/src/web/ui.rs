//! The page itself: built into the binary, or read from a folder while somebody works on it.
use std::borrow::Cow;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::{StatusCode, header};
use rust_embed::RustEmbed;
use sha2::{Digest, Sha256};
use warp::reply::Response;

use super::error::{ApiError, ApiResult};
use super::reply;
use super::request::Req;

#[derive(RustEmbed)]
#[folder = "ui/dist"]
#[allow_missing = true]
struct Embedded;

const INDEX: &str = "index.html";
const MISSING: &str = "This gtv-edge was built without its page. Build it with `npm ci && npm run build` in \
                       daemon/ui and build gtv-edge again, or point web.ui_dir at a built page. The API works.";

pub struct Ui {
    folder: Option<PathBuf>,
}

struct Asset {
    body: Bytes,
    etag: String,
    gzip: bool,
}

impl Ui {
    pub fn new(folder: Option<PathBuf>) -> Self {
        Self { folder }
    }

    /// The file of that path; paths of the page's own navigation get its start document.
    pub async fn serve(&self, req: &Req) -> ApiResult<Response> {
        let path = req.path.trim_start_matches('/');
        let name = if path.is_empty() || !path.rsplit('/').next().unwrap_or(path).contains('.') { INDEX } else { path };
        if !is_plain(name) {
            return Err(ApiError::not_found("This file"));
        }
        let gzip = req.header(header::ACCEPT_ENCODING).is_some_and(|accepted| accepted.contains("gzip"));
        match self.load(name, gzip).await {
            Some(asset) => Ok(answer(req, name, asset)),
            None if name == INDEX => Ok(reply::text(StatusCode::SERVICE_UNAVAILABLE, MISSING)),
            None => Err(ApiError::not_found("This file of the page")),
        }
    }

    /// The build puts a compressed copy beside each file that gains from it.
    async fn load(&self, name: &str, gzip: bool) -> Option<Asset> {
        if gzip && let Some(asset) = self.read(&format!("{name}.gz")).await {
            return Some(Asset { gzip: true, ..asset });
        }
        self.read(name).await
    }

    async fn read(&self, name: &str) -> Option<Asset> {
        if let Some(folder) = &self.folder {
            let body: Bytes = tokio::fs::read(folder.join(Path::new(name))).await.ok()?.into();
            let etag = hex::encode(Sha256::digest(&body));
            return Some(Asset { body, etag, gzip: false });
        }
        let file = Embedded::get(name)?;
        let body = match file.data {
            Cow::Borrowed(data) => Bytes::from_static(data),
            Cow::Owned(data) => data.into(),
        };
        Some(Asset { body, etag: hex::encode(file.metadata.sha256_hash()), gzip: false })
    }
}

/// No step out of the folder, nothing hidden.
fn is_plain(name: &str) -> bool {
    name.split('/').all(|part| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    })
}

fn answer(req: &Req, name: &str, asset: Asset) -> Response {
    let etag = format!("\"{}\"", asset.etag.get(..32).unwrap_or(&asset.etag));
    let unchanged = req.header(header::IF_NONE_MATCH).is_some_and(|tags| reply::matches_etag(tags, &etag));
    let mut response = if unchanged {
        let mut response = Response::default();
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        reply::bytes(StatusCode::OK, content_type(name), asset.body)
    };
    reply::set(&mut response, header::ETAG, &etag);
    reply::set(&mut response, header::VARY, "accept-encoding");
    if asset.gzip && !unchanged {
        reply::set(&mut response, header::CONTENT_ENCODING, "gzip");
    }
    // Names under assets/ carry a hash of their content; everything else is asked for again.
    let cache = if name.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
    reply::set(&mut response, header::CACHE_CONTROL, cache);
    response
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("json" | "webmanifest") => "application/json",
        Some("woff2") => "font/woff2",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_cannot_leave_the_folder() {
        assert!(is_plain("assets/index-B3x_9.js"));
        for bad in ["../x", "a/../b", "a//b", ".env", "assets/.x", "a%2e", "a\\b", ""] {
            assert!(!is_plain(bad), "{bad}");
        }
    }
}
