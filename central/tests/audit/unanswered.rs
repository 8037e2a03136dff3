//! S3 does not answer: the audit tells all that it could see, what it could not, and that it is not complete.

use crate::{Stage, stage};
use gtv_protocol::ObjectRef;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Stands before S3 and cuts the connection on which somebody asks for this object; returns its address.
async fn silent_about(stage: &Stage, object: &ObjectRef) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (s3, key) = (stage.garage.endpoint().replace("http://", ""), object.key.clone());
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (s3, key) = (TcpStream::connect(&s3).await.unwrap(), key.clone());
            tokio::spawn(async move {
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_s3, mut to_s3) = s3.into_split();
                let answers = tokio::spawn(async move { tokio::io::copy(&mut from_s3, &mut to_client).await });
                let mut bytes = [0; 16 << 10];
                while let Ok(count @ 1..) = from_client.read(&mut bytes).await {
                    if String::from_utf8_lossy(&bytes[..count]).contains(&key) {
                        break;
                    }
                    if to_s3.write_all(&bytes[..count]).await.is_err() {
                        break;
                    }
                }
                answers.abort();
            });
        }
    });
    endpoint
}

impl Stage {
    /// The exit code and the report of an audit through this address of S3.
    fn audit_through(&self, endpoint: &str) -> (Option<i32>, Value) {
        let arguments = ["audit", "--objects", "--json", "--s3-endpoint", endpoint];
        let (status, text) = tokio::task::block_in_place(|| self.center.command(&arguments));
        (status.code(), serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}")))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_object_without_an_answer_does_not_end_the_audit() {
    let stage = stage().await;
    let endpoint = silent_about(&stage, &stage.crops[3]).await;
    let (code, report) = stage.audit_through(&endpoint);
    assert_eq!((code, &report["objects_unchecked"]), (Some(70), &1.into()), "{report}");
    assert!(report["unchecked_because"].as_str().unwrap().contains(&stage.crops[3].key), "{report}");
    let objects = &report["hours"][0]["objects"];
    assert_eq!((&objects["held"], &objects["unchecked"]), (&5.into(), &1.into()), "{report}");

    let gone = Path::from(stage.crops[1].key.as_str());
    crate::s3(&stage.garage, "lpr-images").delete(&gone).await.unwrap();
    let (code, report) = stage.audit_through(&endpoint);
    assert_eq!((code, &report["objects_unchecked"]), (Some(1), &1.into()), "{report}");
    assert_eq!(report["findings"][0]["fault"], "object_missing", "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_s3_chains_and_rows_are_audited() {
    let stage = stage().await;
    stage.run("UPDATE ai.detections SET plate = 'ZZZ9Z99' WHERE seq = 2").await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let (code, report) = stage.audit_through(&endpoint);
    assert_eq!((code, &report["objects_unchecked"]), (Some(1), &6.into()), "{report}");
    assert_eq!(report["findings"][0]["fault"], "row_altered", "{report}");
}
