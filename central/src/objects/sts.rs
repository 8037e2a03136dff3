//! Short-lived keys for one box, from the Security Token Service that S3 servers such as MinIO and AWS offer: AssumeRole
//! with a policy that allows writing under the box's own prefix and nothing else.

use super::client_options;
use crate::settings::S3Args;
use chrono::{DateTime, Utc};
use gtv_protocol::message::ObjectCredentials;
use http::Method;
use object_store::aws::{AwsAuthorizer, AwsCredential};
use object_store::client::{HttpClient, HttpConnector, HttpRequestBody, ReqwestConnector};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;
use uuid::Uuid;

/// What AssumeRole takes at least and at most, in seconds.
const SECONDS: std::ops::RangeInclusive<u32> = 900..=43_200;

#[derive(Debug, thiserror::Error)]
pub enum StsError {
    #[error("the token service at {endpoint} does not answer: {problem}; check --sts-endpoint")]
    Down { endpoint: String, problem: String },
    #[error(
        "the token service at {endpoint} refuses: {problem}; check the keys and --sts-role-arn, or choose \
         --box-s3-access presigned if this S3 server has no AssumeRole"
    )]
    Refused { endpoint: String, problem: String },
}

pub struct Sts {
    client: HttpClient,
    endpoint: String,
    region: String,
    role_arn: String,
    credential: AwsCredential,
}

impl Sts {
    pub fn new(settings: &S3Args, endpoint: String, role_arn: String) -> Result<Self, StsError> {
        let client = ReqwestConnector::default()
            .connect(&client_options(settings))
            .map_err(|e| StsError::Down { endpoint: endpoint.clone(), problem: e.to_string() })?;
        let credential = AwsCredential {
            key_id: settings.s3_access_key.clone(),
            secret_key: settings.s3_secret_key.clone(),
            token: None,
        };
        Ok(Self { client, endpoint, region: settings.s3_region.clone(), role_arn, credential })
    }

    /// For whoever did not wait longer than that.
    pub fn silent(&self, waited: Duration) -> StsError {
        StsError::Down { endpoint: self.endpoint.clone(), problem: format!("nothing came for {} s", waited.as_secs()) }
    }

    /// Keys that may write under `prefix` of `buckets`, and until when (microseconds since 1970).
    pub async fn assume_role(
        &self,
        box_id: Uuid,
        buckets: &BTreeMap<String, String>,
        prefix: &str,
        minutes: u32,
    ) -> Result<(ObjectCredentials, i64), StsError> {
        let down = |problem: String| StsError::Down { endpoint: self.endpoint.clone(), problem };
        let seconds = minutes.saturating_mul(60).clamp(*SECONDS.start(), *SECONDS.end());
        let body = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("Action", "AssumeRole")
            .append_pair("Version", "2011-06-15")
            .append_pair("RoleArn", &self.role_arn)
            .append_pair("RoleSessionName", &format!("box-{}", box_id.simple()))
            .append_pair("DurationSeconds", &seconds.to_string())
            .append_pair("Policy", &policy(buckets, prefix))
            .finish();
        let mut request = http::Request::builder()
            .method(Method::POST)
            .uri(&self.endpoint)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(HttpRequestBody::from(body))
            .map_err(|e| down(e.to_string()))?;
        AwsAuthorizer::new(&self.credential, "sts", &self.region)
            .try_authorize(&mut request, None)
            .map_err(|e| down(e.to_string()))?;
        let response = self.client.execute(request).await.map_err(|e| down(e.to_string()))?;
        let status = response.status();
        let answer = response.into_body().bytes().await.map_err(|e| down(e.to_string()))?;
        let answer = String::from_utf8_lossy(&answer);
        if !status.is_success() {
            let text = element(&answer, "Message").or(element(&answer, "Code")).unwrap_or("no reason given");
            let problem = format!("{status}, {}", text.chars().take(300).collect::<String>());
            return Err(StsError::Refused { endpoint: self.endpoint.clone(), problem });
        }
        read(&answer).ok_or_else(|| down("its answer has no credentials".to_owned()))
    }
}

/// Writing objects under the prefix, in one request or in parts; no reading, no listing, no deleting.
fn policy(buckets: &BTreeMap<String, String>, prefix: &str) -> String {
    let resources: Vec<_> = buckets.values().map(|bucket| format!("arn:aws:s3:::{bucket}/{prefix}*")).collect();
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Action": ["s3:PutObject", "s3:AbortMultipartUpload"],
            "Resource": resources,
        }],
    })
    .to_string()
}

fn read(answer: &str) -> Option<(ObjectCredentials, i64)> {
    let text = |name| element(answer, name).map(str::to_owned);
    let expires: DateTime<Utc> = element(answer, "Expiration")?.parse().ok()?;
    let credentials = ObjectCredentials {
        access_key: text("AccessKeyId")?,
        secret_key: text("SecretAccessKey")?,
        session_token: Some(text("SessionToken")?),
    };
    Some((credentials, expires.timestamp_micros()))
}

/// The text of an element without attributes and children; what these answers hold needs no more of XML.
fn element<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = answer.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(text, _)| text.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    /// As the AWS reference shows it.
    const ANSWER: &str = r#"<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <AssumeRoleResult>
    <AssumedRoleUser><Arn>arn:aws:sts::123456789012:assumed-role/demo/TestAR</Arn></AssumedRoleUser>
    <Credentials>
      <AccessKeyId>ASIAIOSFODNN7EXAMPLE</AccessKeyId>
      <SecretAccessKey>wJalrXUtnFEMI/K7MDENG/bPxRfiCYzEXAMPLEKEY</SecretAccessKey>
      <SessionToken>
       AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQW
      </SessionToken>
      <Expiration>2030-11-09T13:34:41Z</Expiration>
    </Credentials>
  </AssumeRoleResult>
</AssumeRoleResponse>"#;

    /// Answers one request and returns what it was.
    fn server(status: &'static str, answer: &'static str) -> (String, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut piece = [0; 4096];
            loop {
                let length = stream.read(&mut piece).unwrap();
                request.extend_from_slice(&piece[..length]);
                let text = String::from_utf8_lossy(&request);
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let wanted = head.to_lowercase();
                let wanted = wanted.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
                if wanted.and_then(|n| n.parse().ok()) == Some(body.len()) {
                    break;
                }
            }
            let length = answer.len();
            write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{answer}")
                .unwrap();
            String::from_utf8(request).unwrap()
        });
        (endpoint, thread)
    }

    async fn ask(endpoint: String) -> Result<(ObjectCredentials, i64), StsError> {
        let settings = S3Args {
            s3_endpoint: endpoint.clone(),
            s3_region: "us-east-1".to_owned(),
            s3_access_key: "KEY".to_owned(),
            s3_secret_key: "SECRET".to_owned(),
            s3_allow_http: true,
            bucket_prefix: String::new(),
            retention_days: 0,
            object_read_bytes: 0,
        };
        let sts = Sts::new(&settings, endpoint, "arn:aws:iam::1:role/boxes".to_owned()).unwrap();
        let buckets = [("exports".to_owned(), "city-exports".to_owned())].into();
        sts.assume_role(Uuid::from_u128(7), &buckets, "boxes/7/", 1).await
    }

    #[tokio::test]
    async fn keys_are_asked_for_one_prefix_and_read() {
        let (endpoint, server) = server("200 OK", ANSWER);
        let (credentials, expires_us) = ask(endpoint).await.unwrap();
        assert_eq!(credentials.access_key, "ASIAIOSFODNN7EXAMPLE");
        assert_eq!(credentials.secret_key, "wJalrXUtnFEMI/K7MDENG/bPxRfiCYzEXAMPLEKEY");
        assert!(credentials.session_token.unwrap().starts_with("AQoDYXdzEPT//"));
        assert_eq!(expires_us, 1_920_461_681_000_000);
        let request = server.join().unwrap();
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("/us-east-1/sts/aws4_request"), "{head}");
        let fields: BTreeMap<String, String> = url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
        assert_eq!(fields["Action"], "AssumeRole");
        assert_eq!(fields["DurationSeconds"], "900", "what the service takes at least");
        let policy: serde_json::Value = serde_json::from_str(&fields["Policy"]).unwrap();
        assert_eq!(policy["Statement"][0]["Resource"], json!(["arn:aws:s3:::city-exports/boxes/7/*"]));
    }

    #[tokio::test]
    async fn a_refusal_names_its_reason_and_the_other_way() {
        let answer =
            "<ErrorResponse><Error><Code>AccessDenied</Code><Message>no such role</Message></Error></ErrorResponse>";
        let (endpoint, _server) = server("403 Forbidden", answer);
        let error = ask(endpoint).await.unwrap_err().to_string();
        assert!(error.contains("no such role") && error.contains("presigned"), "{error}");
        let (endpoint, _server) = server("200 OK", "<html>hello</html>");
        assert!(ask(endpoint).await.unwrap_err().to_string().contains("no credentials"));
    }
}
