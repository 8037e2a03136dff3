//! The coverage ledger, evidence locks and recording modes over the API.

use gtv_edge::base::time::UtcMicros;
use gtv_edge::store::{Expectation, HOUR_US, LedgerStream, Stream};
use serde_json::{Value, json};

use crate::harness::{Page, error_of};

const HOUR: i64 = 1_790_000_000_000_000 / HOUR_US * HOUR_US;
const SECOND: i64 = 1_000_000;

#[tokio::test]
async fn hours_tell_what_is_missing_and_why() {
    let page = Page::start().await;
    let viewer = page.administrator().await;
    let camera = json!({ "name": "Gate", "main_url": "rtsp://192.0.2.1/main" });
    assert_eq!(viewer.post("/api/cidades/cameras", &camera).await.status(), 201);
    let (from, to) = (UtcMicros(HOUR + 600 * SECOND), UtcMicros(HOUR + 4000 * SECOND));
    let gate = LedgerStream { camera: "gate".parse().unwrap(), stream: Stream::Main, since: from, until: to };
    page.store().expect_recordings(vec![Expectation { stream: gate, spans: vec![(from, to)] }]).await.unwrap();
    let camera = "gate".parse().unwrap();
    page.store().put_gap(&camera, Stream::Main, from, from.add_micros(60 * SECOND), "no power").await.unwrap();
    let path = |from: i64, to: i64| format!("/api/streaming/coverage?camera=gate&stream=main&from={from}&to={to}");
    let hours = viewer.json(&path(HOUR, HOUR + 2 * HOUR_US)).await["hours"].clone();
    assert_eq!(hours.as_array().unwrap().len(), 2, "{hours}");
    assert_eq!((hours[0]["start"].as_i64(), hours[0]["expected_s"].as_f64()), (Some(HOUR), Some(3000.0)));
    assert_eq!(hours[0]["gaps"][0], json!({ "start": from.0, "end": from.0 + 60 * SECOND, "reason": "no power" }));
    // Nothing is stored at all: the gap is not over, and the camera says why.
    let open = &hours[1]["gaps"][0];
    assert_eq!((open["start"].as_i64(), open["end"].as_i64()), (Some(HOUR + HOUR_US), Some(to.0)));
    assert!(open["reason"].as_str().unwrap().contains("check power and cable"), "{hours}");
    for bad in
        [path(HOUR, HOUR), path(HOUR, HOUR + 40 * 24 * HOUR_US), "/api/streaming/coverage?from=1&to=2".to_owned()]
    {
        assert_eq!(viewer.get(&bad).await.status(), 400, "{bad}");
    }
    page.stop().await;
}

#[tokio::test]
async fn operators_lock_and_lift_and_both_are_written_down() {
    let page = Page::start().await;
    let administrator = page.administrator().await;
    let operator = page.user(&administrator, "rui", "operator").await;
    let viewer = page.user(&administrator, "eva", "viewer").await;
    let body = json!({ "camera": "gate", "from": HOUR, "to": "2027-01-31T12:00:00Z", "reason": "BO 123/2026" });
    assert_eq!(viewer.post("/api/streaming/locks", &body).await.status(), 403);
    let answer = operator.post("/api/streaming/locks", &body).await;
    assert_eq!(answer.status(), 201);
    let lock: Value = answer.json().await.unwrap();
    assert_eq!((lock["camera"].as_str(), lock["created_by"].as_str()), (Some("gate"), Some("rui")));
    let id = lock["id"].as_str().unwrap().to_owned();
    assert_eq!(viewer.json("/api/streaming/locks?camera=gate").await["locks"][0]["id"], id);
    assert_eq!(viewer.json("/api/streaming/locks?camera=yard").await["locks"], json!([]));
    for (field, value) in
        [("to", json!(HOUR)), ("reason", json!("  ")), ("camera", json!("Gate!")), ("from", json!("noon"))]
    {
        let mut bad = body.clone();
        bad[field] = value;
        let (status, _, error) = error_of(operator.post("/api/streaming/locks", &bad).await).await;
        assert_eq!((status, error["error"]["field"].as_str()), (400, Some(field)), "{error}");
    }
    let path = format!("/api/streaming/locks/{id}");
    assert_eq!(viewer.delete(&path).await.status(), 403);
    assert_eq!(operator.delete(&path).await.status(), 204);
    assert_eq!(operator.delete(&path).await.status(), 404);
    let audit = administrator.json("/api/admin/audit?limit=50").await.to_string();
    assert!(audit.contains("evidence.lock") && audit.contains("evidence.unlock") && audit.contains("BO 123/2026"));
    page.stop().await;
}

#[tokio::test]
async fn modes_are_set_by_field_and_refused_with_their_reason() {
    let page = Page::start().await;
    let administrator = page.administrator().await;
    let camera = json!({ "name": "Gate", "main_url": "rtsp://192.0.2.1/main", "sub_url": "rtsp://192.0.2.1/sub" });
    assert_eq!(administrator.post("/api/cidades/cameras", &camera).await.status(), 201);
    let path = "/api/cidades/cameras/gate";
    let how = json!({ "mode": "motion", "pre_roll_s": 8, "post_roll_s": 20, "schedule": ["mon-fri 18:00-06:00"] });
    let change = json!({ "record": "both", "record_sub": how, "max_bytes": 5_000_000_000_u64 });
    assert_eq!(administrator.put(path, &change).await.status(), 200);
    let view = administrator.json(path).await;
    assert_eq!((&view["record_sub"], view["max_bytes"].as_u64()), (&how, Some(5_000_000_000)));
    assert_eq!(view["record_main"]["mode"], "continuous");
    for bad in [
        json!({ "record_main": { "mode": "schedule" } }),
        json!({ "record_main": { "mode": "motion", "pre_roll_s": 100 } }),
        json!({ "record_main": { "mode": "continuous", "schedule": ["sometimes"] } }),
        json!({ "record_main": { "mode": "detection" }, "lpr": "off" }),
    ] {
        let (status, _, error) = error_of(administrator.put(path, &bad).await).await;
        assert_eq!(status, 400, "{bad}");
        assert!(error.to_string().contains("record_main"), "{error}");
    }
    page.stop().await;
}
