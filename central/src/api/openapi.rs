//! The OpenAPI document of the read API.

use serde_json::{Value, json};

/// Path, who may ask, what it answers, parameters.
const PATHS: &[(&str, &str, &str, &[&str])] = &[
    (
        "/api/cidades/boxes",
        "viewer",
        "Boxes of the city with their last state, and whether they are connected now",
        &[],
    ),
    (
        "/api/cidades/boxes/{id}/delivery",
        "viewer",
        "By the hour: what the box says it had to tell, and what is here",
        &["id", "from", "to"],
    ),
    ("/api/cidades/cameras", "viewer", "Cameras of the city", &["box"]),
    (
        "/api/ai/detections",
        "investigator",
        "Passages, newest first; `truncated` where a pattern fits more plates than are looked for",
        &["plate", "similar", "from", "to", "box", "camera", "limit"],
    ),
    ("/api/ai/detections/{id}", "investigator", "One passage with links to its pictures and clips", &["id"]),
    (
        "/api/ai/alerts",
        "investigator",
        "Alerts, newest first",
        &["text", "severity", "from", "to", "box", "camera", "limit"],
    ),
    (
        "/api/streaming/clips",
        "investigator",
        "Clips with links to them, newest first",
        &["detection", "from", "to", "box", "camera", "limit"],
    ),
    (
        "/api/streaming/streams",
        "viewer",
        "What each camera does now, and whether its box is connected",
        &["box", "camera"],
    ),
    (
        "/api/streaming/coverage",
        "viewer",
        "Seconds recorded by camera and hour, and the gaps with their reasons",
        &["from", "to", "box", "camera"],
    ),
];

/// Path of the document itself; it needs no token.
const OWN: &str = "/api/openapi.json";

/// The query parameters that `path` takes, if it is one of the document.
pub fn parameters_of(path: &str) -> Option<Vec<&'static str>> {
    let route = route_of(path)?;
    let (.., parameters) = PATHS.iter().find(|(pattern, ..)| *pattern == route)?;
    Some(parameters.iter().copied().filter(|name| *name != "id").collect())
}

/// The path of the document that `path` is an instance of.
pub fn route_of(path: &str) -> Option<&'static str> {
    let matches = |pattern: &str| {
        let (mut pattern, mut parts) = (pattern.split('/'), path.trim_end_matches('/').split('/'));
        pattern.by_ref().all(|part| parts.next().is_some_and(|given| part == given || part == "{id}"))
            && parts.next().is_none()
    };
    PATHS.iter().map(|(pattern, ..)| *pattern).chain([OWN]).find(|pattern| matches(pattern))
}

pub fn document() -> Value {
    let paths: serde_json::Map<String, Value> = PATHS
        .iter()
        .map(|(path, role, summary, parameters)| {
            let parameters: Vec<Value> = parameters.iter().map(|name| parameter(name)).collect();
            let operation = json!({
                "summary": summary,
                "description": format!("For the role `{role}` and above."),
                "parameters": parameters,
                "responses": {
                    "200": { "description": "The answer", "headers": headers(path), "content": { "application/json": { "schema": { "type": "object" } } } },
                    "400": { "$ref": "#/components/responses/Error" },
                    "401": { "$ref": "#/components/responses/Error" },
                    "403": { "$ref": "#/components/responses/Error" },
                    "404": { "$ref": "#/components/responses/Error" },
                    "429": { "$ref": "#/components/responses/Error" },
                    "503": { "$ref": "#/components/responses/Error" },
                },
            });
            ((*path).to_owned(), json!({ "get": operation }))
        })
        .collect();
    let text = json!({ "type": "string" });
    json!({
        "openapi": "3.1.0",
        "info": { "title": "gtv-sync, read API", "version": env!("CARGO_PKG_VERSION") },
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" } },
            "responses": { "Error": {
                "description": "What is wrong, and what to do",
                "content": { "application/json": { "schema": { "type": "object", "properties": { "error": {
                    "type": "object", "properties": { "code": text, "message": text, "remedy": text },
                } } } } },
            } },
        },
    })
}

/// Of answers that may be some minutes old.
fn headers(path: &str) -> Value {
    let kept = path.starts_with("/api/cidades/") || path == "/api/streaming/coverage";
    if !kept {
        return json!({});
    }
    json!({
        "X-Cache": {
            "description": "`hit` where the answer was kept, `miss` where it was asked now; the request header \
                            `Cache-Control: no-cache` asks now",
            "schema": { "type": "string", "enum": ["hit", "miss"] },
        },
        "Age": { "description": "Of a kept answer, seconds, at most 300", "schema": { "type": "integer" } },
    })
}

fn parameter(name: &str) -> Value {
    let (description, schema) = match name {
        "id" => ("", json!({ "type": "string", "format": "uuid" })),
        "box" => ("Only this box", json!({ "type": "string", "format": "uuid" })),
        "detection" => ("Only those of this passage", json!({ "type": "string", "format": "uuid" })),
        "camera" => ("Only this camera", json!({ "type": "string" })),
        "from" => ("From this time on", json!({ "type": "string", "format": "date-time" })),
        "to" => ("Before this time", json!({ "type": "string", "format": "date-time" })),
        "limit" => ("At most so many", json!({ "type": "integer", "minimum": 1, "maximum": 1000, "default": 100 })),
        "plate" => ("A plate in either layout, or a pattern with `*` and `?`", json!({ "type": "string" })),
        "similar" => ("Also plates that look alike", json!({ "type": "boolean", "default": false })),
        "severity" => ("info, warning or critical", json!({ "type": "string" })),
        _ => ("Words of the message", json!({ "type": "string" })),
    };
    let place = if name == "id" { "path" } else { "query" };
    json!({ "name": name, "in": place, "required": name == "id", "description": description, "schema": schema })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_belongs_to_one_path() {
        assert_eq!(route_of("/api/ai/detections"), Some("/api/ai/detections"));
        assert_eq!(route_of("/api/ai/detections/"), Some("/api/ai/detections"));
        assert_eq!(route_of("/api/ai/detections/7"), Some("/api/ai/detections/{id}"));
        assert_eq!(route_of("/api/cidades/boxes/7/delivery"), Some("/api/cidades/boxes/{id}/delivery"));
        assert_eq!(route_of(OWN), Some(OWN));
        for path in ["/api/ai/detections/7/8", "/api/cidades/boxes/7", "/api", "/"] {
            assert_eq!(route_of(path), None, "{path}");
        }
    }
}
