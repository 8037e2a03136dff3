//! What buckets are asked to remove by themselves, on a real S3 server.

mod support;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::Method;
use object_store::ClientOptions;
use object_store::aws::{AwsAuthorizer, AwsCredential};
use object_store::client::{HttpConnector, HttpRequestBody, ReqwestConnector};
use sha2::{Digest, Sha256};
use support::garage::{ACCESS_KEY, REGION, SECRET_KEY};
use support::{Center, Garage, Postgres};

/// The lifecycle rules of a bucket, after replacing them where there is a body.
async fn lifecycle(garage: &Garage, bucket: &str, body: &str) -> String {
    let client = ReqwestConnector::default().connect(&ClientOptions::new().with_allow_http(true)).unwrap();
    let credential = AwsCredential { key_id: ACCESS_KEY.into(), secret_key: SECRET_KEY.into(), token: None };
    let methods = if body.is_empty() { vec![Method::GET] } else { vec![Method::PUT, Method::GET] };
    let mut answer = String::new();
    for method in methods {
        let body = if method == Method::PUT { body } else { "" };
        let mut request = http::Request::builder()
            .method(method)
            .uri(format!("{}/{bucket}?lifecycle", garage.endpoint()))
            .header("x-amz-checksum-sha256", BASE64_STANDARD.encode(Sha256::digest(body)))
            .body(HttpRequestBody::from(body.to_owned()))
            .unwrap();
        AwsAuthorizer::new(&credential, "s3", REGION).try_authorize(&mut request, None).unwrap();
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
