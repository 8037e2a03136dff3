//! Watchlists over the API: made, filled, imported and exported, and a hit on its way to the page.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Browser, Page, error_of};
use crate::sockets::{Socket, next, open, token};

async fn new_list(browser: &Browser, name: &str) -> String {
    let answer = browser.post("/api/ai/watchlists", &json!({ "name": name, "severity": "critical" })).await;
    assert_eq!(answer.status(), 201);
    answer.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned()
}

async fn import(browser: &Browser, list: &str, query: &str, file: impl Into<reqwest::Body>) -> (u16, Value) {
    let path = format!("/api/ai/watchlists/{list}/import{query}");
    let answer =
        browser.request(Method::POST, &path).header("content-type", "text/csv").body(file).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

fn plates(page: &Value) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().map(|entry| entry["plate"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn lists_and_entries_are_kept_by_operators_and_written_down() {
    let page = Page::start().await;
    let administrator = page.administrator().await;
    let operator = page.user(&administrator, "rui", "operator").await;
    let viewer = page.user(&administrator, "eva", "viewer").await;
    let id = new_list(&operator, "Roubados").await;
    let (status, code, _) =
        error_of(operator.post("/api/ai/watchlists", &json!({ "name": "ROUBADOS", "severity": "info" })).await).await;
    assert_eq!((status, code.as_str()), (409, "conflict"));
    for bad in [json!({ "name": "", "severity": "info" }), json!({ "name": "x", "severity": "high" }), json!({})] {
        assert_eq!(operator.post("/api/ai/watchlists", &bad).await.status(), 400, "{bad}");
    }
    let entry = json!({ "reason": "furto", "valid_until": "2030-01-01T00:00:00Z" });
    let path = format!("/api/ai/watchlists/{id}/entries");
    assert_eq!(operator.put(&format!("{path}/abc-1234"), &entry).await.status(), 201);
    assert_eq!(operator.put(&format!("{path}/ABC1234"), &entry).await.status(), 200);
    assert_eq!(operator.put(&format!("{path}/BRA2E19"), &json!({})).await.status(), 201);
    assert_eq!(operator.put(&format!("{path}/X"), &json!({})).await.status(), 400);
    let wrong = json!({ "valid_from": 20, "valid_until": 10 });
    let (status, _, body) = error_of(operator.put(&format!("{path}/BRA2E19"), &wrong).await).await;
    assert_eq!((status, body["error"]["field"].as_str()), (400, Some("valid_until")));

    let listed = viewer.json(&path).await;
    assert_eq!(plates(&listed), ["ABC1234", "BRA2E19"]);
    assert_eq!(listed["items"][0]["valid_until"], 1_893_456_000_000_000_i64);
    assert_eq!(
        listed["items"][1],
        json!({ "plate": "BRA2E19", "reason": "", "valid_from": null, "valid_until": null })
    );
    let first = viewer.json(&format!("{path}?limit=1")).await;
    assert_eq!(
        plates(&viewer.json(&format!("{path}?limit=1&after={}", first["next"].as_str().unwrap())).await),
        ["BRA2E19"]
    );
    assert_eq!(plates(&viewer.json(&format!("{path}?part=a2e")).await), ["BRA2E19"]);
    assert_eq!(viewer.put(&format!("{path}/BRA2E19"), &entry).await.status(), 403);
    assert_eq!(viewer.delete(&format!("/api/ai/watchlists/{id}")).await.status(), 403);

    let changed = json!({ "name": "Furtados", "severity": "warning", "reason": "BO 12", "enabled": false });
    let changed = operator.put(&format!("/api/ai/watchlists/{id}"), &changed).await;
    assert_eq!(changed.json::<Value>().await.unwrap()["entries"], 2);
    assert_eq!(operator.delete(&format!("{path}/ABC1234")).await.status(), 204);
    assert_eq!(operator.delete(&format!("{path}/ABC1234")).await.status(), 404);
    let lists = viewer.json("/api/ai/watchlists").await;
    let list = &lists["items"][0];
    assert_eq!((list["name"].as_str(), list["enabled"].as_bool()), (Some("Furtados"), Some(false)));
    assert_eq!((list["entries"].as_u64(), list["created_by"].as_str()), (Some(1), Some("rui")));
    assert_eq!(operator.delete(&format!("/api/ai/watchlists/{id}")).await.status(), 204);
    assert_eq!(operator.get(&path).await.status(), 404);
    let log = administrator.json("/api/admin/audit").await.to_string();
    for action in ["create", "change", "delete", "entry.put", "entry.delete", "search"] {
        assert!(log.contains(&format!("watchlist.{action}")), "{action}: {log}");
    }
    page.stop().await;
}

#[tokio::test]
async fn a_file_comes_in_and_goes_out() {
    let page = Page::start().await;
    let browser = page.administrator().await;
    let id = new_list(&browser, "Roubados").await;
    let file = "\u{feff}placa;motivo;valido_ate\r\nABC-1234;\"furto; azul\";31/12/2030\r\n!;x;\r\nBRA2E19;=1+1;\r\n";
    let (status, result) = import(&browser, &id, "", file).await;
    assert_eq!(status, 200, "{result}");
    assert_eq!((&result["added"], &result["changed"], &result["removed"]), (&json!(2), &json!(0), &json!(0)));
    let bad = &result["rejected"][0];
    assert_eq!((&bad["line"], &bad["code"], &result["rejected_total"]), (&json!(3), &json!("plate"), &json!(1)));
    let path = format!("/api/ai/watchlists/{id}/export.csv");
    let answer = browser.get(&path).await;
    assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("text/csv"));
    assert!(answer.headers()["content-disposition"].to_str().unwrap().starts_with("attachment"));
    let exported = answer.text().await.unwrap();
    assert!(exported.starts_with("plate,reason,valid_from,valid_until\r\nABC1234,\"furto; azul\",,20"), "{exported}");
    assert!(exported.contains("BRA2E19,\"'=1+1\",,"), "no formula: {exported}");
    let (_, again) = import(&browser, &id, "?replace=true", exported).await;
    assert_eq!((&again["added"], &again["changed"], &again["removed"]), (&json!(0), &json!(0), &json!(0)), "{again}");
    let (_, replaced) = import(&browser, &id, "?replace=true", "plate\nCCC1C11\n").await;
    assert_eq!((&replaced["added"], &replaced["removed"]), (&json!(1), &json!(2)));

    // Far more than the limit of other bodies.
    let many: Vec<String> = (0..60_000).map(|n| format!("AAA{:04}{},big\n", n % 10_000, n / 10_000)).collect();
    let (status, result) = import(&browser, &id, "", format!("plate,reason\n{}", many.concat())).await;
    assert_eq!((status, &result["added"]), (200, &json!(60_000)), "{result}");
    assert_eq!(browser.get(&path).await.text().await.unwrap().lines().count(), 60_002);
    let (status, result) = import(&browser, &id, "", "a,b\n1,2\n").await;
    assert_eq!((status, result["error"]["code"].as_str()), (400, Some("import_columns")), "{result}");
    assert_eq!(import(&browser, &id, "?replace=maybe", "plate\n").await.0, 400);
    let status = browser.json("/api/admin/status").await;
    assert_eq!(status["alerts"]["watched_vehicles"], 60_001);
    page.stop().await;
}

/// What else is told on the way, as of clips, is left out.
async fn next_alert(socket: &mut Socket) -> Value {
    loop {
        let event: Value = serde_json::from_str(next(socket).await.to_text().unwrap()).unwrap();
        if event["type"] == "alert" {
            return event["alert"].clone();
        }
    }
}

#[tokio::test]
async fn a_hit_reaches_the_page_at_once_and_is_acknowledged() {
    let page = Page::start().await;
    let browser = page.administrator().await;
    let viewer = page.user(&browser, "eva", "viewer").await;
    let id = new_list(&browser, "Roubados").await;
    browser.put(&format!("/api/ai/watchlists/{id}/entries/ABC1234"), &json!({ "reason": "furto" })).await;
    let mut socket = open(&page, "/api/ai/lpr/stream", &token(&browser).await).await.unwrap();
    let detection = page.detection("gate", "ABC1C34", 0).await;
    let alert = next_alert(&mut socket).await;
    assert_eq!((alert["kind"].as_str(), alert["severity"].as_str()), (Some("watchlist-hit"), Some("critical")));
    assert_eq!(alert["detection"].as_str(), Some(detection.to_string().as_str()));
    let detail = &alert["detail"];
    assert_eq!((detail["match"].as_str(), detail["plate"].as_str()), (Some("equivalent"), Some("ABC1234")));
    assert_eq!((detail["matched"].as_str(), detail["reason"].as_str()), (Some("ABC1C34"), Some("furto")));

    let listed = viewer.json("/api/ai/alerts?open=true&limit=1").await;
    assert_eq!(listed["items"][0]["id"], alert["id"]);
    let older = viewer.json(&format!("/api/ai/alerts?before={}", listed["next"].as_str().unwrap())).await;
    assert_eq!((older["items"].as_array().unwrap().len(), &older["next"]), (0, &Value::Null));
    let path = format!("/api/ai/alerts/{}/acknowledge", alert["id"].as_str().unwrap());
    assert_eq!(viewer.post(&path, &json!({})).await.status(), 403);
    let acknowledged: Value = browser.post(&path, &json!({})).await.json().await.unwrap();
    assert_eq!(acknowledged["acknowledged_by"], "ana");
    assert_eq!(next_alert(&mut socket).await["acknowledged_by"], "ana", "other pages see it too");
    assert_eq!(viewer.json("/api/ai/alerts?open=true").await["items"].as_array().unwrap().len(), 0);
    assert_eq!(browser.post("/api/ai/alerts/nothing/acknowledge", &json!({})).await.status(), 404);
    assert_eq!(browser.get("/api/ai/alerts?before=x").await.status(), 400);
    assert!(browser.json("/api/admin/audit").await.to_string().contains("alert.acknowledge"));
    page.stop().await;
}

#[tokio::test]
async fn plates_are_searched_by_wildcard_and_likeness() {
    let page = Page::start().await;
    let browser = page.administrator().await;
    for (n, plate) in ["ABC1234", "ABC1Z34", "ABD1C34"].into_iter().enumerate() {
        page.detection("gate", plate, n as i64).await;
    }
    let found = |answer: &Value| -> Vec<String> {
        let rows = answer["detections"].as_array().unwrap();
        rows.iter().map(|row| row["plate"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(found(&browser.json("/api/ai/lpr/detections?plate=ABC1%3F34").await), ["ABC1Z34", "ABC1234"]);
    assert_eq!(found(&browser.json("/api/ai/lpr/detections?plate=AB*34").await).len(), 3);
    assert_eq!(found(&browser.json("/api/ai/lpr/detections?plate=ABC&match=wildcard").await), Vec::<String>::new());
    let similar = browser.json("/api/ai/lpr/detections?plate=abc1c34&match=similar").await;
    assert_eq!(found(&similar), ["ABC1234"]);
    assert_eq!((similar["detections"][0]["score"].as_f64(), &similar["next"]), (Some(0.97), &Value::Null));
    for bad in ["plate=A*&match=similar", "plate=ABC&match=exactly"] {
        assert_eq!(browser.get(&format!("/api/ai/lpr/detections?{bad}")).await.status(), 400, "{bad}");
    }
    let log = browser.json("/api/admin/audit").await.to_string();
    assert!(log.contains("similar to plate `ABC1C34` at all cameras") && log.contains("plate `ABC1?34`"), "{log}");
    page.stop().await;
}
