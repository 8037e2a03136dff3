//! Uploads by boxes that have no credentials: requests signed for one object under the box's own prefix, and the
//! beginning and the end of uploads in parts, which only this service may ask for.

use super::{Objects, ObjectsError};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use gtv_protocol::{FinishUpload, SignUpload, SignedRequest, SignedUpload, record};
use http::{HeaderName, HeaderValue, Method};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::signer::{SignedUrlOptions, Signer};
use object_store::{Attribute, Attributes, ObjectStoreExt, PutMultipartOptions};
use std::time::Duration;
use uuid::Uuid;

/// Long enough for a part over a slow uplink; the box asks again for what it did not get to.
pub const VALID_FOR: Duration = Duration::from_secs(3600);

impl Objects {
    /// Signs what a box asks for. `reached` has the address at which boxes reach the store, which is part of a signature.
    pub async fn sign(&self, reached: &Self, box_id: Uuid, ask: &SignUpload) -> Result<SignedUpload, ObjectsError> {
        let (Some(inner), Some(outer)) = (self.store(&ask.bucket), reached.store(&ask.bucket)) else {
            return Err(no_such(&ask.bucket));
        };
        let path = Path::from(record::object_key(box_id, &ask.sha256));
        let mut requests = Vec::new();
        if ask.parts == 0 {
            // The store verifies both: what was signed cannot carry other bytes.
            let checksum = BASE64_STANDARD.encode(ask.sha256.as_bytes());
            let headers = [("content-type", ask.content_type.as_str()), ("x-amz-checksum-sha256", &checksum)];
            let mut options = SignedUrlOptions::new();
            for (name, value) in headers {
                let value = HeaderValue::from_str(value).map_err(|e| ObjectsError::Settings {
                    bucket: ask.bucket.clone(),
                    problem: format!("{name}: {e}"),
                })?;
                options = options.with_signed_header(HeaderName::from_static(name), value);
            }
            let url =
                outer.signed_url_opts(Method::PUT, &path, VALID_FOR, &options).await.map_err(|e| self.down(&e))?;
            let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
            requests.push(SignedRequest { url: url.to_string(), headers: headers.into() });
            return Ok(SignedUpload { id: ask.id, requests, upload: None, error: None });
        }
        let upload = if let Some(upload) = &ask.upload {
            upload.clone()
        } else {
            let mut attributes = Attributes::new();
            attributes.insert(Attribute::ContentType, ask.content_type.clone().into());
            let options = PutMultipartOptions { attributes, ..PutMultipartOptions::default() };
            inner.create_multipart_opts(&path, options).await.map_err(|e| self.down(&e))?
        };
        for part in ask.first_part..ask.first_part.saturating_add(ask.parts) {
            // S3 counts parts from 1.
            let query = [("partNumber", (part + 1).to_string()), ("uploadId", upload.clone())];
            let options = SignedUrlOptions::new().with_query(query);
            let url =
                outer.signed_url_opts(Method::PUT, &path, VALID_FOR, &options).await.map_err(|e| self.down(&e))?;
            requests.push(SignedRequest { url: url.to_string(), headers: [].into() });
        }
        Ok(SignedUpload { id: ask.id, requests, upload: Some(upload), error: None })
    }

    /// Puts the parts together, or throws them away.
    pub async fn finish(&self, box_id: Uuid, ask: &FinishUpload) -> Result<Finished, ObjectsError> {
        let store = self.store(&ask.bucket).ok_or_else(|| no_such(&ask.bucket))?;
        let path = Path::from(record::object_key(box_id, &ask.sha256));
        if ask.parts.is_empty() {
            return match store.abort_multipart(&path, &ask.upload).await {
                Err(e) if !is_unknown(&e) => Err(self.down(&e)),
                _ => Ok(Finished::Done),
            };
        }
        let parts = ask.parts.iter().map(|etag| PartId { content_id: etag.clone() }).collect();
        match store.complete_multipart(&path, &ask.upload, parts).await {
            Ok(_) => Ok(Finished::Done),
            // It may have been put together before, and the box never heard of it.
            Err(unknown) if is_unknown(&unknown) => match store.head(&path).await {
                Ok(_) => Ok(Finished::Done),
                Err(object_store::Error::NotFound { .. }) => Ok(Finished::Gone(unknown.to_string())),
                Err(e) => Err(self.down(&e)),
            },
            Err(e) => Err(self.down(&e)),
        }
    }
}

/// What became of an upload in parts.
#[derive(Debug, PartialEq, Eq)]
pub enum Finished {
    Done,
    /// The store does not know it, or not all of its parts: aborted meanwhile, or never there. In the store's words.
    Gone(String),
}

/// The store names the upload or a part as unknown; object_store has no kind of error for that.
fn is_unknown(error: &object_store::Error) -> bool {
    let text = error.to_string();
    ["NoSuchUpload", "InvalidPart"].iter().any(|code| text.contains(code))
}

fn no_such(bucket: &str) -> ObjectsError {
    let problem = "there is no such bucket; update the older of box and center".to_owned();
    ObjectsError::Settings { bucket: bucket.chars().take(64).collect(), problem }
}
