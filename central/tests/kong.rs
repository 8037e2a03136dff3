//! kong.yml lets through what the OpenAPI document of the read API describes, and no more.

use gtv_sync::api::openapi;
use gtv_sync::api::token::{Claims, Role};
use regex::Regex;
use serde_json::{Value, json};
use uuid::Uuid;

fn kong() -> Value {
    serde_yaml_ng::from_str(include_str!("../deploy/kong.yml")).unwrap()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

/// Routes that take this request: their service and name. Kong anchors regular expressions at the beginning.
fn taken(kong: &Value, method: &str, path: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for service in list(kong, "services") {
        for route in list(service, "routes") {
            let paths = list(route, "paths").iter().map(|p| p.as_str().unwrap().strip_prefix('~').unwrap());
            let mut patterns = paths.map(|pattern| Regex::new(&format!("^(?:{pattern})")).unwrap());
            if list(route, "methods").contains(&json!(method)) && patterns.any(|pattern| pattern.is_match(path)) {
                found.push((service["name"].to_string(), route["name"].to_string()));
            }
        }
    }
    found
}

fn documented() -> Vec<String> {
    let id = Uuid::now_v7().to_string();
    let document = openapi::document();
    document["paths"].as_object().unwrap().keys().map(|path| path.replace("{id}", &id)).collect()
}

fn plugin<'a>(holder: &'a Value, name: &str) -> &'a Value {
    list(holder, "plugins")
        .iter()
        .find(|plugin| plugin["name"] == name)
        .map_or(&Value::Null, |plugin| &plugin["config"])
}

#[test]
fn every_documented_path_has_one_route_with_a_token() {
    let kong = kong();
    for path in documented() {
        for method in ["GET", "OPTIONS"] {
            let routes = taken(&kong, method, &path);
            assert_eq!(routes.len(), 1, "{method} {path}: {routes:?}");
            assert_eq!(routes[0].0, "\"read-api\"", "{path}");
        }
        for method in ["POST", "PUT", "DELETE", "HEAD"] {
            assert_eq!(taken(&kong, method, &path), [], "{method} {path}");
        }
    }
    assert_eq!(taken(&kong, "GET", "/api/openapi.json").len(), 1);
}

#[test]
fn nothing_else_is_let_through() {
    let kong = kong();
    let id = Uuid::now_v7();
    for path in [
        "/",
        "/api",
        "/api/",
        "/api/admin",
        "/api/ai",
        "/api/ai/detections/",
        "/api/ai/detections/7",
        "/metrics",
        "/metrics/boxes",
        "/readyz",
        "/healthz",
        "/sync/v1",
        "/api/openapiXjson",
        "/x/api/ai/alerts",
        &format!("/api/ai/detections/{id}/x"),
        &format!("/api/cidades/boxes/{id}"),
        &format!("/api/cidades/cameras/{id}"),
    ] {
        assert_eq!(taken(&kong, "GET", path), [], "{path}");
    }
    // No pattern that nothing needs.
    let mut documented = documented();
    documented.push("/api/openapi.json".to_owned());
    for route in list(&kong, "services").iter().flat_map(|service| list(service, "routes")) {
        assert_eq!(route["strip_path"], false, "{}", route["name"]);
        for pattern in list(route, "paths").iter().map(|path| path.as_str().unwrap()) {
            let regex = Regex::new(pattern.trim_start_matches('~')).unwrap();
            assert!(pattern.ends_with('$') && documented.iter().any(|path| regex.is_match(path)), "{pattern}");
        }
    }
}

#[test]
fn tokens_limits_and_origins_are_as_the_service_has_them() {
    let kong = kong();
    assert_eq!(kong["_format_version"], "3.0");
    let service = &list(&kong, "services")[0];
    let jwt = plugin(service, "jwt");
    // The claims as gtv-sync writes them: the one that names the credential, and a credential for each role.
    let claims = |role| Claims { sub: "ana".into(), prefeitura: "sao-paulo".into(), role, exp: 1 };
    let key = jwt["key_claim_name"].as_str().unwrap();
    for role in [Role::Viewer, Role::Investigator] {
        let named = serde_json::to_value(claims(role)).unwrap()[key].clone();
        let credentials = list(&kong, "consumers").iter().flat_map(|consumer| list(consumer, "jwt_secrets"));
        let found: Vec<_> = credentials.filter(|credential| credential["key"] == named).collect();
        assert_eq!(found.len(), 1, "{named}");
        assert_eq!(found[0]["algorithm"], "HS256");
        assert_eq!(found[0]["secret"], "${GTV_SYNC_API_SECRET}");
    }
    assert_eq!(jwt["claims_to_verify"], json!(["exp"]));
    assert_eq!((&jwt["uri_param_names"], &jwt["run_on_preflight"]), (&json!([]), &json!(false)));
    let limit = plugin(&kong, "rate-limiting");
    assert_eq!((&limit["minute"], &limit["limit_by"]), (&json!(100), &json!("ip")));
    let cors = plugin(&kong, "cors");
    assert_eq!(cors["origins"], json!(["${GTV_CLIENT_ORIGIN}"]), "not every page may ask with somebody's token");
    assert!(list(cors, "headers").contains(&json!("Authorization")));
    let upstream = &list(&kong, "upstreams")[0];
    assert!(list(&kong, "services").iter().all(|service| service["host"] == upstream["name"]));
    assert_eq!(upstream["healthchecks"]["active"]["http_path"], "/readyz");
}
