//! Somebody rewrites a record and computes all hashes after it anew, as the code of the service could: the signatures of
//! the box name it, and where those were deleted, that they are not there.

use crate::client::{FakeBox, Uplink};
use crate::{Stage, named, stage};
use gtv_protocol::{Body, Draft, Record, auth, merkle};
use serde_json::json;

const LONG_AGO: &str = "UPDATE sync.records SET received_at = now() - interval '2 days'";

/// Replaces the plate of record 2 everywhere, and what follows from it: hashes, roots, rows. Returns the forged chain.
async fn rewrite(stage: &Stage) -> Vec<Record> {
    let mut forged: Vec<Record> = Vec::new();
    for record in stage.fake.chain.clone() {
        let body = match Body::parse(&record.kind, &record.body).unwrap() {
            Body::Proof(mut proof) => {
                let (first, last) = (proof.first_seq as usize, proof.last_seq as usize);
                proof.root = merkle::root(forged[first - 1..last].iter().map(|record| &record.hash));
                let sql = "UPDATE sync.roots SET root = $2 WHERE seq = $1";
                let (seq, root) = (record.seq.cast_signed(), proof.root.to_string());
                stage.sql.execute(sql, &[&seq, &root]).await.unwrap();
                Body::Proof(proof).to_raw().unwrap().get().to_owned()
            }
            _ => record.body.get().replace("AAA1A11", "ZZZ9Z99"),
        };
        let draft = Draft::from_parts(record.kind, record.id, record.created_at_us, record.objects, body).unwrap();
        let prev_hash = forged.last().map_or(record.prev_hash, |before| before.hash);
        forged.push(draft.seal(stage.fake.id, record.epoch, record.seq, prev_hash));
    }
    for record in &forged {
        let sql = "UPDATE sync.records SET prev_hash = $2, hash = $3, body = $4 WHERE seq = $1";
        let seq = record.seq.cast_signed();
        let (prev, hash) = (record.prev_hash.as_bytes().as_slice(), record.hash.as_bytes().as_slice());
        stage.sql.execute(sql, &[&seq, &prev, &hash, &record.body.get()]).await.unwrap();
    }
    let head = forged.last().unwrap().hash;
    stage.sql.execute("UPDATE sync.chains SET hash = $1", &[&head.as_bytes().as_slice()]).await.unwrap();
    stage
        .run(
            "UPDATE ai.detections SET plate = 'ZZZ9Z99', keys = ai.search_keys('ZZZ9Z99', alternatives)
               WHERE seq = 2",
        )
        .await;
    forged
}

#[tokio::test]
async fn a_rewritten_chain_fails_at_the_signature() {
    let mut stage = stage().await;
    let forged = rewrite(&stage).await;
    assert_eq!(stage.findings(), named(&[("altered", 3), ("altered", 6)]));

    // Adapting the signed hashes as well breaks the signatures, and a key of one's own is a foreign one.
    stage.run("UPDATE sync.heads h SET hash = (SELECT hash FROM sync.records r WHERE r.seq = h.seq)").await;
    assert_eq!(stage.findings(), named(&[("bad_signature", 3), ("bad_signature", 6)]));
    stage.fake.key = FakeBox::new().key;
    for (first, last) in [(1, 3), (4, 6)] {
        let batch = stage.fake.sign(forged[first - 1..last].to_vec());
        let key = auth::public_key(&stage.fake.key);
        let sql = "UPDATE sync.heads SET signature = $2, public_key = $3 WHERE seq = $1";
        let (signature, key) = (batch.signature.as_bytes().as_slice(), key.as_bytes().as_slice());
        stage.sql.execute(sql, &[&(last as i64), &signature, &key]).await.unwrap();
    }
    assert_eq!(stage.findings(), named(&[("foreign_key", 3), ("foreign_key", 6)]));
}

#[tokio::test]
async fn a_rewritten_chain_is_named_without_its_signatures() {
    let mut stage = stage().await;
    rewrite(&stage).await;
    stage.run("DELETE FROM sync.heads").await;
    // So shortly after they came their signature may still come: they are told of, as proving nothing.
    let report = stage.report();
    let told = json!([{ "box_id": stage.fake.id, "epoch": stage.fake.epoch, "first": 1, "last": 6 }]);
    assert_eq!((&report["findings"], &report["unsigned"]), (&json!([]), &told));
    stage.run(LONG_AGO).await;
    assert_eq!(stage.findings(), named(&[("unsigned", 1)]));
    let (_, text) = stage.center.command(&["audit", "--from", "2026-12-01T00:00:00Z"]);
    assert!(text.contains("unsigned") && text.contains("1..=6"), "no question for other hours hides it: {text}");

    // Of a chain that goes on no more, nothing can come.
    stage.run("UPDATE sync.records SET received_at = now()").await;
    stage.fake.lose_database();
    stage.fake.detect("BBB1B11", None);
    Uplink::dial(&stage.center.url(), &stage.fake).await.unwrap().deliver(&stage.fake).await;
    assert_eq!(stage.findings(), named(&[("unsigned", 1)]));
}

#[tokio::test]
async fn more_than_a_batch_without_a_signature_is_named_at_once() {
    let mut stage = stage().await;
    for (first, last) in [(7, 506), (507, 1003)] {
        for _ in first..=last {
            stage.fake.detect("CCC1C11", None);
        }
        Uplink::dial(&stage.center.url(), &stage.fake).await.unwrap().deliver(&stage.fake).await;
    }
    assert_eq!(stage.findings(), []);
    stage.run("DELETE FROM sync.heads WHERE seq > 3").await;
    assert_eq!(stage.findings(), [], "1000 records");
    stage.run("DELETE FROM sync.heads").await;
    assert_eq!(stage.findings(), named(&[("unsigned", 1)]));
}

#[tokio::test]
async fn a_forged_root_does_not_stand_for_the_signatures() {
    let mut stage = stage().await;
    stage.fake.prove(1, 6, 6, 6, 0);
    Uplink::dial(&stage.center.url(), &stage.fake).await.unwrap().deliver(&stage.fake).await;
    // An honest one does: it is signed as well.
    stage.run(LONG_AGO).await;
    assert_eq!(stage.after("DELETE FROM sync.heads WHERE seq < 7").await, []);
    assert_eq!(stage.after("DELETE FROM sync.heads").await, named(&[("unsigned", 7)]));

    rewrite(&stage).await;
    stage.run("DELETE FROM sync.heads").await;
    assert_eq!(stage.findings(), named(&[("bad_signature", 7), ("unsigned", 1)]));
}

#[tokio::test]
async fn a_batch_that_was_cut_short_is_covered_by_the_next() {
    let mut stage = stage().await;
    let late = stage.fake.object("lpr-images", b"late");
    stage.fake.detect("DDD1D11", None);
    stage.fake.detect("DDD1D12", Some(&late));
    let mut uplink = Uplink::dial(&stage.center.url(), &stage.fake).await.unwrap();
    uplink.send_batch(stage.fake.batch(7, 8)).await.unwrap();
    assert_eq!((uplink.ack().await.seq, uplink.reject().await.seq), (7, 8));
    let report = stage.report();
    assert_eq!((&report["findings"], &report["unsigned"][0]["first"]), (&json!([]), &json!(7)));
    crate::client::upload(&stage.garage, &late, b"late").await;
    uplink.send_batch(stage.fake.batch(8, 8)).await.unwrap();
    assert_eq!(uplink.ack().await.seq, 8);
    stage.run(LONG_AGO).await;
    assert_eq!(stage.report()["unsigned"], json!([]));
}

#[tokio::test]
async fn what_a_replaced_key_signed_before_stands() {
    let mut stage = stage().await;
    stage.fake.prove(1, 6, 6, 6, 0);
    Uplink::dial(&stage.center.url(), &stage.fake).await.unwrap().deliver(&stage.fake).await;
    let old = std::mem::replace(&mut stage.fake.key, FakeBox::new().key);
    let (id, key) = (stage.fake.id.to_string(), auth::public_key(&stage.fake.key).to_string());
    let enrol = ["enrol", "box", &id, "--public-key", &key, "--prefeitura", "sao-paulo", "--name", "gate"];
    stage.center.command_ok(&enrol);
    // The same once more replaces nothing.
    stage.center.command_ok(&enrol);
    stage.fake.detect("BBB1B11", None);
    Uplink::dial(&stage.center.url(), &stage.fake).await.unwrap().deliver(&stage.fake).await;
    let report = stage.report();
    assert_eq!((&report["findings"], &report["signatures"], &report["roots"]), (&json!([]), &json!(4), &json!(1)));
    let keys: Vec<_> = report["keys"].as_array().unwrap().iter().map(|k| k["public_key"].as_str().unwrap()).collect();
    assert_eq!(keys, [key, auth::public_key(&old).to_string()]);
    assert!(report["keys"][0]["replaced_at"].is_null() && report["keys"][1]["replaced_at"].is_string(), "{report}");

    // But not what it signs afterwards.
    stage.fake.key = old;
    let batch = stage.fake.batch(8, 8);
    let (signature, key) = (batch.signature, auth::public_key(&stage.fake.key));
    let sql = "UPDATE sync.heads SET signature = $1, public_key = $2 WHERE seq = 8";
    stage.sql.execute(sql, &[&signature.as_bytes().as_slice(), &key.as_bytes().as_slice()]).await.unwrap();
    assert_eq!(stage.findings(), named(&[("foreign_key", 8)]));
}
