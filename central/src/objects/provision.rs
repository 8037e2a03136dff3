//! Makes the buckets and asks for versioning, expiry and encryption at rest. Not every S3 server has all of these:
//! what is refused is reported, and the service runs without it.

use super::{BUCKETS, Objects, ObjectsError, client_options};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::{Method, StatusCode};
use object_store::aws::{AwsAuthorizer, AwsCredential};
use object_store::client::{HttpClient, HttpConnector, HttpRequestBody, ReqwestConnector};
use sha2::{Digest, Sha256};

const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

const VERSIONING: &str = "versioning";
const EXPIRY: &str = "expiry";
const OLD_VERSIONS: &str = "removal of old versions";
/// How the ids of our own rules begin.
const RULE: &str = "gtv-";
/// Where there are versions, what expires or is overwritten is still there as an old one. It goes when it has been one for
/// so many days: time to restore what somebody overwrote or deleted.
const OLD_VERSION_DAYS: u32 = 7;
/// Uploads in parts that nobody finished. Boxes begin anew a day before, and go on until then.
const UNFINISHED: &str = "removal of unfinished uploads";
const ABORT_AFTER: &str =
    "<AbortIncompleteMultipartUpload><DaysAfterInitiation>7</DaysAfterInitiation></AbortIncompleteMultipartUpload>";

/// What provisioning did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Provisioned {
    pub created: Vec<String>,
    /// Feature and the server's answer, each once.
    pub refused: Vec<(&'static str, String)>,
}

impl Provisioned {
    fn refuse(&mut self, feature: &'static str, why: String) {
        if self.refused.iter().all(|(refused, _)| *refused != feature) {
            self.refused.push((feature, why));
        }
    }
}

impl Objects {
    /// Safe to repeat.
    pub async fn provision(&self) -> Result<Provisioned, ObjectsError> {
        let client = ReqwestConnector::default()
            .connect(&client_options(&self.settings))
            .map_err(|e| ObjectsError::Settings { bucket: "(all)".to_owned(), problem: e.to_string() })?;
        let mut done = Provisioned::default();
        for bucket in BUCKETS.map(|name| format!("{}{name}", self.settings.bucket_prefix)) {
            self.ensure_bucket(&client, &bucket, &mut done).await?;
            let has_versions = self.ask(&client, &bucket, VERSIONING, VERSIONING, versioning(), &mut done).await?;
            self.ask(&client, &bucket, "encryption at rest", "encryption", encryption(), &mut done).await?;
            self.ask_for_removal(&client, &bucket, has_versions, &mut done).await?;
        }
        Ok(done)
    }

    async fn ask_for_removal(
        &self,
        client: &HttpClient,
        bucket: &str,
        has_versions: bool,
        done: &mut Provisioned,
    ) -> Result<(), ObjectsError> {
        let days = self.settings.retention_days;
        if days == 0 {
            if !self.has_rules_of_its_own(client, bucket, done).await? {
                self.ask(client, bucket, UNFINISHED, "lifecycle", lifecycle(0, false), done).await?;
            }
            return Ok(());
        }
        if has_versions && self.ask(client, bucket, OLD_VERSIONS, "lifecycle", lifecycle(days, true), done).await? {
            return Ok(());
        }
        self.ask(client, bucket, EXPIRY, "lifecycle", lifecycle(days, false), done).await?;
        Ok(())
    }

    /// True if the server does it.
    async fn ask(
        &self,
        client: &HttpClient,
        bucket: &str,
        feature: &'static str,
        query: &str,
        body: String,
        done: &mut Provisioned,
    ) -> Result<bool, ObjectsError> {
        let (status, answer) = self.request(client, Method::PUT, bucket, query, body).await?;
        if !status.is_success() {
            done.refuse(feature, explain(status, &answer));
        }
        Ok(status.is_success())
    }

    async fn ensure_bucket(
        &self,
        client: &HttpClient,
        bucket: &str,
        done: &mut Provisioned,
    ) -> Result<(), ObjectsError> {
        let (status, _) = self.request(client, Method::HEAD, bucket, "", String::new()).await?;
        if status.is_success() {
            return Ok(());
        }
        let region = &self.settings.s3_region;
        // us-east-1 is the one region that must not be named.
        let body = if region == "us-east-1" {
            String::new()
        } else {
            let place = format!("<LocationConstraint>{region}</LocationConstraint>");
            format!("<CreateBucketConfiguration xmlns=\"{NAMESPACE}\">{place}</CreateBucketConfiguration>")
        };
        let (status, answer) = self.request(client, Method::PUT, bucket, "", body).await?;
        if status.is_success() {
            done.created.push(bucket.to_owned());
        } else if !answer.contains("BucketAlreadyOwnedByYou") {
            return Err(ObjectsError::Bucket { bucket: bucket.to_owned(), problem: explain(status, &answer) });
        }
        Ok(())
    }

    /// Without `--retention-days` somebody else may have written the rules of a bucket: those are not replaced.
    async fn has_rules_of_its_own(
        &self,
        client: &HttpClient,
        bucket: &str,
        done: &mut Provisioned,
    ) -> Result<bool, ObjectsError> {
        let (status, rules) = self.request(client, Method::GET, bucket, "lifecycle", String::new()).await?;
        let ours = rules.matches("<Rule>").count() == rules.matches(&format!("<ID>{RULE}")).count();
        if !status.is_success() || !rules.contains("<Rule>") || ours {
            return Ok(false);
        }
        if !rules.contains("AbortIncompleteMultipartUpload") {
            let why = format!("bucket {bucket} has lifecycle rules of its own; add one that aborts multipart uploads");
            done.refuse(UNFINISHED, why);
        }
        Ok(true)
    }

    async fn request(
        &self,
        client: &HttpClient,
        method: Method,
        bucket: &str,
        query: &str,
        body: String,
    ) -> Result<(StatusCode, String), ObjectsError> {
        let settings = &self.settings;
        let mark = if query.is_empty() { "" } else { "?" };
        let uri = format!("{}/{bucket}{mark}{query}", settings.s3_endpoint.trim_end_matches('/'));
        // AWS wants a checksum on configuration requests; SHA-256 is one of those it takes instead of MD5.
        let checksum = BASE64_STANDARD.encode(Sha256::digest(body.as_bytes()));
        let mut builder = http::Request::builder().method(method).uri(&uri);
        if !body.is_empty() {
            builder = builder.header("x-amz-checksum-sha256", checksum).header("content-type", "application/xml");
        }
        let wrong = |problem: String| ObjectsError::Settings { bucket: bucket.to_owned(), problem };
        let mut request = builder.body(HttpRequestBody::from(body)).map_err(|e| wrong(e.to_string()))?;
        let credential = AwsCredential {
            key_id: settings.s3_access_key.clone(),
            secret_key: settings.s3_secret_key.clone(),
            token: None,
        };
        AwsAuthorizer::new(&credential, "s3", &settings.s3_region)
            .try_authorize(&mut request, None)
            .map_err(|e| wrong(e.to_string()))?;
        let response = client.execute(request).await.map_err(|e| self.down(&e))?;
        let status = response.status();
        let answer = response.into_body().bytes().await.map_err(|e| self.down(&e))?;
        Ok((status, String::from_utf8_lossy(&answer).into_owned()))
    }
}

fn versioning() -> String {
    format!("<VersioningConfiguration xmlns=\"{NAMESPACE}\"><Status>Enabled</Status></VersioningConfiguration>")
}

fn encryption() -> String {
    format!(
        "<ServerSideEncryptionConfiguration xmlns=\"{NAMESPACE}\"><Rule><ApplyServerSideEncryptionByDefault>\
         <SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule>\
         </ServerSideEncryptionConfiguration>"
    )
}

/// Removal of what nobody finished, of what is older than `days` (0: never) and of its old versions.
fn lifecycle(days: u32, has_versions: bool) -> String {
    let rule = |id: &str, what: &str| {
        format!("<Rule><ID>{RULE}{id}</ID><Filter></Filter><Status>Enabled</Status>{what}</Rule>")
    };
    let expiration = if days == 0 { String::new() } else { format!("<Expiration><Days>{days}</Days></Expiration>") };
    let (mut old, mut markers) = (String::new(), String::new());
    if has_versions {
        old = format!(
            "<NoncurrentVersionExpiration><NoncurrentDays>{OLD_VERSION_DAYS}</NoncurrentDays>\
             </NoncurrentVersionExpiration>"
        );
        // The mark that is left of what expired must not stand in a rule with a number of days.
        markers = rule(
            "delete-markers",
            "<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>",
        );
    }
    let retention = rule("retention", &format!("{expiration}{old}{ABORT_AFTER}"));
    format!("<LifecycleConfiguration xmlns=\"{NAMESPACE}\">{retention}{markers}</LifecycleConfiguration>")
}

/// Status and the `Code` and `Message` of an S3 error document.
fn explain(status: StatusCode, answer: &str) -> String {
    let element = |name: &str| {
        let (_, rest) = answer.split_once(&format!("<{name}>"))?;
        rest.split_once(&format!("</{name}>")).map(|(text, _)| text)
    };
    match (element("Code"), element("Message")) {
        (Some(code), Some(message)) => format!("{status}, {code}: {message}"),
        (Some(code), None) => format!("{status}, {code}"),
        _ => status.to_string(),
    }
}
