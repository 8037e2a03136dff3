//! Cameras and plates: lists, search, pages, pictures, what the audit log keeps.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Page, error_of};

fn plates(page: &Value) -> Vec<String> {
    page["detections"].as_array().unwrap().iter().map(|row| row["plate"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn plates_are_listed_searched_and_paged() {
    let page = Page::start().await;
    let browser = page.administrator().await;
    for (n, plate) in ["AAA1A11", "BBB2B22", "CCC3C33", "AAB4B44"].into_iter().enumerate() {
        page.detection(if n < 2 { "gate" } else { "yard" }, plate, n as i64).await;
    }
    let all = browser.json("/api/ai/lpr/detections").await;
    assert_eq!(plates(&all), ["AAB4B44", "CCC3C33", "BBB2B22", "AAA1A11"]);
    assert_eq!(all["next"], Value::Null);
    assert_eq!(plates(&browser.json("/api/ai/lpr/detections?q=aa").await), ["AAB4B44", "AAA1A11"]);
    assert_eq!(plates(&browser.json("/api/ai/lpr/detections?q=b2-b").await), ["BBB2B22"]);
    assert_eq!(plates(&browser.json("/api/ai/lpr/detections?camera=gate").await), ["BBB2B22", "AAA1A11"]);
    assert!(plates(&browser.json("/api/ai/lpr/detections?q=%25").await).len() == 4, "a sign is no plate text");
    let first = browser.json("/api/ai/lpr/detections?limit=3").await;
    let next = first["next"].as_str().unwrap();
    let second = browser.json(&format!("/api/ai/lpr/detections?limit=3&cursor={next}")).await;
    assert_eq!((plates(&first).len(), plates(&second)), (3, vec!["AAA1A11".to_owned()]));
    let log = browser.json("/api/admin/audit").await.to_string();
    assert!(log.contains("plates.search") && log.contains("plate `AA` at all cameras"), "{log}");
    page.stop().await;
}

#[tokio::test]
async fn pictures_are_cached_by_their_content_and_views_are_written_down() {
    let page = Page::start().await;
    let browser = page.administrator().await;
    let id = page.detection("gate", "AAA1A11", 0).await;
    let detail = browser.json(&format!("/api/ai/lpr/detections/{id}")).await;
    // Until it is looked for: nothing was recorded at that time.
    assert!(detail["clip"] == "pending" || detail["clip"] == "unavailable", "{detail}");
    assert_eq!(detail["has_crop"], true);
    let crop = browser.get(&format!("/api/ai/lpr/detections/{id}/crop.jpg")).await;
    assert_eq!(crop.headers()["content-type"], "image/jpeg");
    let etag = crop.headers()["etag"].clone();
    assert_eq!(crop.bytes().await.unwrap().as_ref(), b"jpeg of AAA1A11");
    let crop = format!("/api/ai/lpr/detections/{id}/crop.jpg");
    let again = browser.request(Method::GET, &crop).header("if-none-match", etag).send().await.unwrap();
    assert_eq!(again.status(), 304);
    let part = browser.request(Method::GET, &crop).header("range", "bytes=5-6").send().await.unwrap();
    assert_eq!(part.headers()["content-range"], "bytes 5-6/15");
    assert_eq!((part.status().as_u16(), part.text().await.unwrap().as_str()), (206, "of"));
    let none = browser.get(&format!("/api/ai/lpr/detections/{id}/clip.mp4")).await;
    assert_eq!(error_of(none).await.0, 404);
    let log = browser.json("/api/admin/audit").await.to_string();
    assert!(log.contains("evidence.view") && log.contains(&id.to_string()), "{log}");
    page.stop().await;
}

#[tokio::test]
async fn cameras_are_added_changed_and_removed() {
    let page = Page::start().await;
    let browser = page.administrator().await;
    let camera = json!({ "name": "Portão Norte", "main_url": "rtsp://admin:s3cret@192.0.2.1:554/main" });
    let created = browser.post("/api/cidades/cameras", &camera).await;
    assert_eq!(created.status(), 201);
    let created: Value = created.json().await.unwrap();
    assert_eq!(created["id"], "portao-norte");
    assert_eq!(created["main_url"], "rtsp://192.0.2.1:554/main");
    assert_eq!((created["username"].as_str(), created["has_password"].as_bool()), (Some("admin"), Some(true)));
    assert_eq!(created["status"]["state"], "unreachable");
    assert!(!created.to_string().contains("s3cret"));

    let bad = browser.put("/api/cidades/cameras/portao-norte", &json!({ "record": "sub" })).await;
    let (status, _, body) = error_of(bad).await;
    assert_eq!((status, body["error"]["field"].as_str()), (400, Some("record")), "{body}");
    let changed = browser.put("/api/cidades/cameras/portao-norte", &json!({ "name": "Norte" })).await;
    assert_eq!(changed.json::<Value>().await.unwrap()["name"], "Norte");
    assert!(has_sealed_password(&page, "portao-norte"), "a change without password keeps it");
    let twice = json!({ "id": "portao-norte", "main_url": "rtsp://192.0.2.2/" });
    assert_eq!(browser.post("/api/cidades/cameras", &twice).await.status(), 409);
    let settings = browser.json("/api/admin/settings").await.to_string();
    assert!(settings.contains("192.0.2.1") && !settings.contains("s3cret"), "{settings}");
    let (status, _, body) = error_of(browser.get("/api/streaming/cameras/portao-norte/snapshot.jpg").await).await;
    assert!(status == 503 && body.to_string().contains("check power"), "{body}");
    let zones = json!([{ "name": "faixa", "kind": "watch", "points": [[0.1, 0.2], [0.9, 0.2], [0.5, 0.9]] }]);
    let zoned = json!({ "zones": zones, "min_plate_width": 0.02 });
    let zoned: Value = browser.put("/api/cidades/cameras/portao-norte", &zoned).await.json().await.unwrap();
    assert_eq!((&zoned["zones"], zoned["min_plate_width"].as_f64()), (&zones, Some(0.02)));
    let flat = json!({ "zones": [zones[0], { "kind": "ignore", "points": [[0.1, 0.2], [0.9, 0.2]] }] });
    let (status, _, body) = error_of(browser.put("/api/cidades/cameras/portao-norte", &flat).await).await;
    assert_eq!((status, body["error"]["field"].as_str()), (400, Some("zones[1].points")), "{body}");
    let renamed = browser.put("/api/cidades/cameras/portao-norte", &json!({ "name": "Sul" })).await;
    assert_eq!(renamed.json::<Value>().await.unwrap()["zones"], zones, "absent keeps them");
    assert_eq!(browser.delete("/api/cidades/cameras/portao-norte").await.status(), 204);
    assert_eq!(browser.get("/api/cidades/cameras/portao-norte").await.status(), 404);
    page.stop().await;
}

/// Whether a password is stored for the camera, sealed.
fn has_sealed_password(page: &Page, id: &str) -> bool {
    let config = page.context.supervisor.config();
    config.camera(&id.parse().unwrap()).unwrap().password.is_sealed()
}

#[tokio::test]
async fn status_tells_the_state_of_the_box() {
    let page = Page::start().await;
    let browser = page.administrator().await;
    let status = browser.json("/api/admin/status").await;
    assert_eq!((status["ready"].as_bool(), status["cameras"]["configured"].as_u64()), (Some(false), Some(0)));
    assert!(status["disk"]["total_bytes"].as_u64().unwrap() > 0);
    page.stop().await;
}
