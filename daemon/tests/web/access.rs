//! First administrator, login, roles, forgery, limits, audit log.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{PASSWORD, Page, error_of};

#[tokio::test]
async fn the_console_code_makes_one_administrator() {
    let page = Page::start().await;
    let stranger = page.stranger();
    assert_eq!(stranger.json("/api/admin/setup").await, json!({ "needed": true }));
    let mut body = json!({ "code": "AAAA-BBBB-CCCC", "username": "ana", "password": PASSWORD });
    let (status, code, error) = error_of(stranger.post("/api/admin/setup", &body).await).await;
    assert_eq!((status, code.as_str(), error["error"]["field"].as_str()), (403, "forbidden", Some("code")));
    body["code"] = json!(page.code);
    body["password"] = json!("short");
    let (status, _, error) = error_of(stranger.post("/api/admin/setup", &body).await).await;
    assert_eq!((status, error["error"]["field"].as_str()), (400, Some("password")));

    let administrator = page.administrator().await;
    let me = administrator.json("/api/admin/me").await;
    assert_eq!((me["username"].as_str(), me["role"].as_str()), (Some("ana"), Some("administrator")));
    assert_eq!(stranger.json("/api/admin/setup").await, json!({ "needed": false }));
    body["password"] = json!(PASSWORD);
    assert_eq!(stranger.post("/api/admin/setup", &body).await.status(), 409);
    page.stop().await;
}

#[tokio::test]
async fn wrong_codes_run_into_a_lock() {
    let page = Page::start().await;
    let stranger = page.stranger();
    let body = json!({ "code": "AAAA-BBBB-CCCC", "username": "ana", "password": PASSWORD });
    for _ in 0..5 {
        assert_eq!(stranger.post("/api/admin/setup", &body).await.status(), 403);
    }
    let answer = stranger.post("/api/admin/setup", &body).await;
    assert!(answer.headers().contains_key("retry-after"));
    assert_eq!(answer.status(), 429);
    page.stop().await;
}

#[tokio::test]
async fn wrong_passwords_are_refused_locked_and_written_down() {
    let page = Page::start().await;
    let administrator = page.administrator().await;
    let stranger = page.stranger();
    for name in ["ana", "nobody"] {
        let body = json!({ "username": name, "password": "not the password" });
        for _ in 0..5 {
            let (status, code, _) = error_of(stranger.post("/api/admin/login", &body).await).await;
            assert_eq!((status, code.as_str()), (401, "wrong_credentials"));
        }
        assert_eq!(stranger.post("/api/admin/login", &body).await.status(), 429, "{name}");
    }
    // The right password does not help while the name is locked.
    let body = json!({ "username": "ana", "password": PASSWORD });
    assert_eq!(stranger.post("/api/admin/login", &body).await.status(), 429);
    let log = administrator.json("/api/admin/audit?limit=50").await;
    let refused = log["entries"].as_array().unwrap().iter().filter(|entry| entry["detail"]["outcome"] == "refused");
    assert_eq!(refused.count(), 10);
    page.stop().await;
}

#[tokio::test]
async fn a_session_is_renewed_and_ends_for_good() {
    let page = Page::start().await;
    let browser = page.administrator().await;
    let renewed = browser.post("/api/admin/refresh", &json!({})).await;
    assert_eq!(renewed.status(), 200);
    let cookies: Vec<_> =
        renewed.headers().get_all("set-cookie").iter().map(|c| c.to_str().unwrap().to_owned()).collect();
    assert!(cookies.iter().all(|c| c.contains("HttpOnly") && c.contains("SameSite=Strict")), "{cookies:?}");
    let token = renewed.json::<Value>().await.unwrap()["access_token"].as_str().unwrap().to_owned();

    let program = page.stranger();
    let with_token = |path: &str| program.request(Method::GET, path).bearer_auth(&token).send();
    assert_eq!(with_token("/api/admin/me").await.unwrap().status(), 200);
    assert_eq!(browser.post("/api/admin/logout", &json!({})).await.status(), 204);
    assert_eq!(with_token("/api/admin/me").await.unwrap().status(), 401, "the token of an ended session");
    assert_eq!(browser.get("/api/admin/me").await.status(), 401);
    assert_eq!(browser.post("/api/admin/refresh", &json!({})).await.status(), 401);
    page.stop().await;
}

#[tokio::test]
async fn changes_need_more_than_a_cookie() {
    let page = Page::start().await;
    let browser = page.administrator().await;
    let forged = browser.client.post(page.url("/api/admin/logout")).send().await.unwrap();
    let (status, code, _) = error_of(forged).await;
    assert_eq!((status, code.as_str()), (403, "forgery_guard"));
    let path = page.url("/api/ai/lpr/stream");
    let foreign = browser
        .client
        .get(path)
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("origin", "https://elsewhere.example")
        .send()
        .await
        .unwrap();
    assert_eq!(foreign.status(), 403);
    page.stop().await;
}

#[tokio::test]
async fn roles_hold_and_the_last_administrator_stays() {
    let page = Page::start().await;
    let administrator = page.administrator().await;
    let viewer = page.user(&administrator, "vera", "viewer").await;
    let operator = page.user(&administrator, "otto", "operator").await;
    let camera = json!({ "name": "Gate", "main_url": "rtsp://192.0.2.1/main" });
    let (status, code, _) = error_of(viewer.post("/api/cidades/cameras", &camera).await).await;
    assert_eq!((status, code.as_str()), (403, "forbidden"));
    assert_eq!(operator.post("/api/cidades/cameras", &camera).await.status(), 201);
    assert_eq!(operator.get("/api/admin/users").await.status(), 403);
    assert_eq!(viewer.json("/api/cidades/cameras").await["cameras"][0]["id"], "gate");
    let nameless = operator.request(Method::PUT, "/api/cidades/cameras/gate").json(&json!({ "name": " " }));
    assert_eq!(nameless.send().await.unwrap().status(), 200);
    assert_eq!(viewer.json("/api/cidades/cameras/gate").await["name"], "gate", "its id is shown");

    let users = administrator.json("/api/admin/users").await;
    let id = |name: &str| {
        let found = users["users"].as_array().unwrap().iter().find(|u| u["username"] == name).unwrap();
        format!("/api/admin/users/{}", found["id"].as_str().unwrap())
    };
    assert_eq!(administrator.put(&id("ana"), &json!({ "role": "viewer" })).await.status(), 409);
    assert_eq!(administrator.delete(&id("ana")).await.status(), 409);
    assert_eq!(administrator.put(&id("otto"), &json!({ "disabled": true })).await.status(), 200);
    assert_eq!(operator.get("/api/admin/me").await.status(), 401, "disabled while logged in");
    assert_eq!(operator.post("/api/admin/refresh", &json!({})).await.status(), 401);
    let log = administrator.json("/api/admin/audit").await.to_string();
    assert!(log.contains("request.refused") && log.contains("POST /api/cidades/cameras"), "{log}");
    page.stop().await;
}

#[tokio::test]
async fn large_wrong_and_odd_requests_get_an_answer_that_says_why() {
    let page = Page::start().await;
    let administrator = page.administrator().await;
    let large = json!({ "name": "x".repeat(300_000) });
    let (status, code, _) = error_of(administrator.post("/api/cidades/cameras", &large).await).await;
    assert_eq!((status, code.as_str()), (413, "too_large"));
    let text = administrator.request(Method::POST, "/api/cidades/cameras").body("{}").send().await.unwrap();
    assert_eq!(error_of(text).await.0, 415);
    let answer = administrator.post("/api/cidades/cameras", &json!({ "nmae": "x" })).await;
    let (status, _, body) = error_of(answer).await;
    assert!(status == 400 && body.to_string().contains("nmae"), "{body}");
    let (status, _, _) = error_of(administrator.get("/api/ai/lpr/detections?limit=0").await).await;
    assert_eq!(status, 400);
    let (status, _, _) = error_of(administrator.get("/api/ai/lpr/detections?cursor=%00").await).await;
    assert_eq!(status, 400);
    let answer = administrator.delete("/api/admin/me").await;
    assert_eq!(answer.headers()["allow"], "GET");
    assert_eq!(error_of(answer).await.0, 405);
    for header in ["x-request-id", "content-security-policy", "x-content-type-options", "x-frame-options"] {
        assert!(administrator.get("/healthz").await.headers().contains_key(header), "{header}");
    }
    page.stop().await;
}

#[tokio::test]
async fn readiness_gives_its_reason() {
    let page = Page::start().await;
    let stranger = page.stranger();
    let answer = stranger.get("/readyz").await;
    assert_eq!(answer.status(), 503);
    assert!(answer.text().await.unwrap().contains("starting"));
    page.context.health.start(&page.tasks);
    while stranger.get("/readyz").await.status() != 200 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(stranger.get("/healthz").await.status(), 200);
    assert!(stranger.get("/metrics").await.text().await.unwrap().contains("gtv_http_request_duration_seconds"));
    page.stop().await;
}

#[tokio::test]
async fn a_folder_can_stand_in_for_the_built_page() {
    let ui = tempfile::tempdir().unwrap();
    std::fs::create_dir(ui.path().join("assets")).unwrap();
    std::fs::write(ui.path().join("index.html"), "<!doctype html>plain").unwrap();
    std::fs::write(ui.path().join("assets/a.js"), "plain").unwrap();
    std::fs::write(ui.path().join("assets/a.js.gz"), "packed").unwrap();
    let folder = ui.path().to_owned();
    let page = Page::start_with(|config| config.web.ui_dir = Some(folder)).await;
    let stranger = page.stranger();
    let start = stranger.get("/cameras/gate").await;
    let etag = start.headers()["etag"].clone();
    assert_eq!(start.headers()["cache-control"], "no-cache");
    assert!(start.text().await.unwrap().contains("plain"));
    let again = stranger.request(Method::GET, "/").header("if-none-match", etag).send().await.unwrap();
    assert_eq!(again.status(), 304);
    let packed = stranger.request(Method::GET, "/assets/a.js").header("accept-encoding", "br, gzip");
    let packed = packed.send().await.unwrap();
    assert_eq!(packed.headers()["content-encoding"], "gzip");
    assert_eq!(packed.headers()["content-type"], "text/javascript; charset=utf-8");
    assert_eq!(packed.text().await.unwrap(), "packed");
    assert_eq!(stranger.get("/assets/a.js").await.text().await.unwrap(), "plain");
    for outside in ["/assets/..%2f..%2fsecret.js", "/.env", "/assets/b.js"] {
        assert_eq!(stranger.get(outside).await.status(), 404, "{outside}");
    }
    page.stop().await;
}
