//! What buckets are asked to remove by themselves, on a real S3 server.

mod support;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::Method;
use object_store::ClientOptions;
use object_store::aws::{AwsAuthorizer, AwsCredential};
use object_store::client::{HttpConnector, HttpRequestBody, ReqwestConnector};
use sha2::{Digest, Sha256};
use std::process::Command;
use support::garage::{ACCESS_KEY, REGION, SECRET_KEY};
use support::moto::{self, Moto};
use support::process::run;
use support::{Center, Garage, Postgres};

/// The lifecycle rules of a bucket of Garage, after replacing them where there is a body.
async fn lifecycle(garage: &Garage, bucket: &str, body: &str) -> String {
    let credential = AwsCredential { key_id: ACCESS_KEY.into(), secret_key: SECRET_KEY.into(), token: None };
    lifecycle_at(&garage.endpoint(), REGION, &credential, bucket, body).await
}

async fn lifecycle_at(endpoint: &str, region: &str, credential: &AwsCredential, bucket: &str, body: &str) -> String {
    let client = ReqwestConnector::default().connect(&ClientOptions::new().with_allow_http(true)).unwrap();
    let methods = if body.is_empty() { vec![Method::GET] } else { vec![Method::PUT, Method::GET] };
    let mut answer = String::new();
    for method in methods {
        let body = if method == Method::PUT { body } else { "" };
        let mut request = http::Request::builder()
            .method(method)
            .uri(format!("{endpoint}/{bucket}?lifecycle"))
            .header("x-amz-checksum-sha256", BASE64_STANDARD.encode(Sha256::digest(body)))
            .body(HttpRequestBody::from(body.to_owned()))
            .unwrap();
        AwsAuthorizer::new(credential, "s3", region).try_authorize(&mut request, None).unwrap();
        let response = client.execute(request).await.unwrap();
        let status = response.status();
        answer = String::from_utf8(response.into_body().bytes().await.unwrap().to_vec()).unwrap();
        assert!(status.is_success(), "{status} {answer}");
    }
    answer
}

#[tokio::test]
async fn unfinished_uploads_go_after_a_week_and_rules_of_others_stay() {
    let (postgres, garage) = (Postgres::start_new(), Garage::start_empty());
    let keeping = Center::start_with(&postgres, &garage, &[("GTV_SYNC_RETENTION_DAYS", "0")]);
    for bucket in ["recordings", "snapshots", "lpr-images", "exports"] {
        let rules = lifecycle(&garage, bucket, "").await;
        assert!(rules.contains("<DaysAfterInitiation>7</DaysAfterInitiation>"), "{bucket}: {rules}");
        assert!(!rules.contains("<Expiration>"), "nothing expires: {rules}");
    }
    let own = "<LifecycleConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Rule><ID>own</ID>\
        <Filter></Filter><Status>Enabled</Status><Expiration><Days>5</Days></Expiration></Rule></LifecycleConfiguration>";
    lifecycle(&garage, "exports", own).await;
    let told = keeping.command_ok(&["provision"]);
    assert!(told.contains("removal of unfinished uploads (bucket exports has lifecycle rules of its own"), "{told}");
    let rules = lifecycle(&garage, "exports", "").await;
    assert!(rules.contains("<Days>5</Days>") && !rules.contains("DaysAfterInitiation"), "{rules}");

    let _expiring = Center::start_with(&postgres, &garage, &[("GTV_SYNC_RETENTION_DAYS", "30")]);
    for bucket in ["recordings", "exports"] {
        let rules = lifecycle(&garage, bucket, "").await;
        assert!(rules.contains("<Days>30</Days>"), "{bucket}: {rules}");
        assert!(rules.contains("<DaysAfterInitiation>7</DaysAfterInitiation>"), "{bucket}: {rules}");
    }
    // Its own rule from before is not somebody else's.
    keeping.command_ok(&["provision"]);
    assert!(!lifecycle(&garage, "recordings", "").await.contains("<Expiration>"));
}

/// Garage has no versions, so another implementation says what is asked of MinIO and AWS.
#[tokio::test]
async fn where_there_are_versions_the_old_ones_go_too() {
    let moto = Moto::start_new();
    let provision = |days: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gtv-sync"));
        command.arg("provision").env("GTV_SYNC_S3_ENDPOINT", moto.endpoint()).env("GTV_SYNC_S3_REGION", moto::REGION);
        command.env("GTV_SYNC_S3_ACCESS_KEY", &moto.access_key).env("GTV_SYNC_S3_SECRET_KEY", &moto.secret_key);
        command.env("GTV_SYNC_S3_ALLOW_HTTP", "true").env("GTV_SYNC_RETENTION_DAYS", days);
        run(command)
    };
    let key = AwsCredential { key_id: moto.access_key.clone(), secret_key: moto.secret_key.clone(), token: None };
    let rules = async |bucket| lifecycle_at(&moto.endpoint(), moto::REGION, &key, bucket, "").await;
    let told = provision("90");
    assert!(!told.contains("not available: removal of old versions"), "{told}");
    for bucket in ["recordings", "snapshots", "lpr-images", "exports"] {
        let rules = rules(bucket).await;
        assert!(rules.contains("<Days>90</Days>"), "{bucket}: {rules}");
        assert!(rules.contains("<NoncurrentDays>7</NoncurrentDays>"), "{bucket}: {rules}");
        assert!(rules.contains("<ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker>"), "{bucket}: {rules}");
    }
    // Kept for ever means also what was overwritten; and two rules of its own are not somebody else's.
    let told = provision("0");
    assert!(!told.contains("lifecycle rules of its own"), "{told}");
    let rules = rules("recordings").await;
    assert!(rules.contains("DaysAfterInitiation") && !rules.contains("Noncurrent"), "{rules}");
}
