//! The OpenAPI document against the running server.

use reqwest::Method;
use serde_json::Value;

use crate::harness::Page;

const METHODS: [&str; 5] = ["get", "post", "put", "delete", "patch"];

/// What the gate before every handler may answer, so that no operation lists it.
const COMMON: [u16; 6] = [400, 401, 403, 404, 415, 429];

#[tokio::test]
async fn every_documented_path_exists_and_answers_as_documented() {
    let page = Page::start().await;
    let administrator = page.administrator().await;
    let document = administrator.json("/api/openapi.json").await;
    let mut walked = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        // Ending the session would spoil the rest of the walk.
        if path == "/api/admin/logout" {
            continue;
        }
        for method in METHODS.iter().filter(|m| item.get(**m).is_some()) {
            let place = format!("{method} {path}");
            let real = path.replace("{id}", "nothing");
            let request = administrator.request(method.to_uppercase().parse().unwrap(), &real);
            let answer = request.send().await.unwrap();
            let status = answer.status().as_u16();
            let documented = item[method]["responses"].as_object().unwrap();
            assert!(documented.contains_key(&status.to_string()) || COMMON.contains(&status), "{place}: {status}");
            let body = answer.text().await.unwrap();
            assert!(!body.contains("Path `"), "{place} does not exist: {body}");
            walked += 1;
        }
        for method in METHODS.iter().filter(|m| item.get(**m).is_none()) {
            let method: Method = method.to_uppercase().parse().unwrap();
            let answer = administrator.request(method.clone(), &path.replace("{id}", "nothing")).send().await.unwrap();
            assert_eq!(answer.status(), 405, "{method} {path} is served but not documented");
        }
    }
    assert!(walked > 30, "{walked}");
    for path in ["/api/", "/api/admin", "/api/cidades/cameras/a/b", "/api/ai/lpr/detections/"] {
        assert_eq!(administrator.get(path).await.status(), 404, "{path}");
    }
    page.stop().await;
}

#[tokio::test]
async fn strangers_get_no_further_than_the_door() {
    let page = Page::start().await;
    let stranger = page.stranger();
    let document = stranger.json("/api/openapi.json").await;
    let open = ["/api/admin/setup", "/api/admin/login", "/api/admin/refresh", "/api/admin/logout", "/api/openapi.json"];
    for (path, item) in document["paths"].as_object().unwrap() {
        if !path.starts_with("/api/") || open.contains(&path.as_str()) {
            continue;
        }
        for method in METHODS.iter().filter(|m| item.get(**m).is_some()) {
            let method: Method = method.to_uppercase().parse().unwrap();
            let answer = stranger.request(method.clone(), &path.replace("{id}", "x")).send().await.unwrap();
            assert_eq!(answer.status(), 401, "{method} {path}");
        }
    }
    page.stop().await;
}

#[tokio::test]
async fn every_reference_of_the_document_resolves() {
    let page = Page::start().await;
    let document = page.stranger().json("/api/openapi.json").await;
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(!found.is_empty());
    for reference in found {
        assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
    }
    page.stop().await;
}

/// Every `$ref` inside.
fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(to)) = map.get("$ref") {
                found.push(to.clone());
            }
            map.values().for_each(|v| references(v, found));
        }
        Value::Array(list) => list.iter().for_each(|v| references(v, found)),
        _ => {}
    }
}
