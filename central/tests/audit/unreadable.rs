//! Records that PostgreSQL cannot read: a box may send them and an attacker may make them. Neither ends the audit, nor
//! hides what became of the other records.

use crate::client::{EPOCH, Uplink, detection};
use crate::{named, stage};
use gtv_protocol::{Body, Draft};
use uuid::Uuid;

/// More than PostgreSQL's stack has room for, from some tens of thousands on.
fn deep(levels: usize) -> String {
    format!("{}{}", "[".repeat(levels), "]".repeat(levels))
}

#[tokio::test]
async fn a_box_cannot_blind_the_audit() {
    let mut stage = stage().await;
    let good = detection("EEE1E11", None).to_raw().unwrap().get().to_owned();
    let with = |field: &str| format!("{{{field},{}", &good[1..]);
    let id = || Uuid::now_v7().to_string();
    let told = [
        (id(), with(&format!("\"x\":{}", deep(30_000)))),
        (id(), with("\"x\":1e999999")),
        (id(), with("\"x\":[1e-99999]")),
        (id(), with("\"x\":\"\\ud800\"")),
        (id(), good.replace("0.97", "1e-50")),
        (id(), good.replace("79.0", "1e-50")),
        (Uuid::now_v7().urn().to_string(), good.clone()),
        (id(), with("\"x\":\"\\ud83d\\ude00 1e999\"")),
    ];
    for (id, body) in told {
        assert!(Body::parse("detection", &serde_json::value::RawValue::from_string(body.clone()).unwrap()).is_ok());
        let draft = Draft::from_parts("detection".into(), id, EPOCH, vec![], body);
        stage.fake.append_draft(draft.unwrap());
    }
    Uplink::dial(&stage.center.url(), &stage.fake).await.unwrap().deliver(&stage.fake).await;
    let quarantined: Vec<(&str, u64)> = (7..=13).map(|seq| ("quarantined", seq)).collect();
    assert_eq!(stage.findings(), named(&quarantined));
    let altered = stage.after("UPDATE ai.detections SET plate = 'ZZZ9Z99' WHERE seq = 2").await;
    assert_eq!(altered, named(&[&quarantined[..], &[("row_altered", 2)]].concat()));
}

#[tokio::test]
async fn an_unreadable_record_hides_no_other() {
    let stage = stage().await;
    let others = "UPDATE ai.detections SET plate = 'ZZZ9Z99' WHERE seq IN (2, 6);
                  DELETE FROM ai.detections WHERE seq = 5";
    for (body, more) in
        [(deep(200_000), ""), ("{".to_owned(), ""), (deep(200_000), "DELETE FROM ai.detections WHERE seq = 3;")]
    {
        let change = format!("UPDATE sync.records SET body = '{body}' WHERE seq = 3; {more} {others}");
        let expected =
            [("altered", 3), ("row_altered", 2), ("row_missing", 5), ("row_altered", 6), ("row_unreadable", 3)];
        assert_eq!(stage.after(&change).await, named(&expected));
    }
}
