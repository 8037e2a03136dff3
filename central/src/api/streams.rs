//! What the cameras do now: what their boxes told last, and whether the boxes are connected. Never kept.

use super::questions::Filter;
use super::{ApiError, Asker};
use crate::db::read::Parameter;
use crate::session::Center;
use serde_json::{Value, json};
use uuid::Uuid;

/// Cameras with what their box told of them; null from a box that says nothing of its cameras.
const SQL: &str = "
    SELECT b.id AS box_id, b.name AS box_name, c.camera, c.name AS camera_name, t.told, b.status_at
    FROM cidades.cameras c JOIN cidades.boxes b ON b.id = c.box_id
    LEFT JOIN LATERAL (
        SELECT told FROM jsonb_array_elements(
            CASE jsonb_typeof(b.status->'streams') WHEN 'array' THEN b.status->'streams' END) told
        WHERE told->>'camera' = c.camera LIMIT 1) t ON true
    WHERE NOT c.removed AND ($1::uuid IS NULL OR b.id = $1) AND ($2::text IS NULL OR c.camera = $2)
    ORDER BY b.name, b.id, c.camera";

pub async fn streams(center: &Center, asker: &Asker, filter: &Filter) -> Result<Value, ApiError> {
    let parameters: [Parameter<'_>; 2] = [&filter.box_id, &filter.camera];
    let rows = center.db.read(asker.tenant, SQL, &parameters).await?;
    let box_of = |row: &Value| Uuid::try_parse(row["box_id"].as_str().unwrap_or_default()).unwrap_or_default();
    let boxes: Vec<Uuid> = rows.iter().map(box_of).collect();
    let cameras: Vec<(Uuid, &str)> =
        rows.iter().zip(&boxes).map(|(row, id)| (*id, row["camera"].as_str().unwrap_or_default())).collect();
    let (online, known) = match &center.live {
        Some(live) => (live.online(&boxes).await, live.streams(&cameras).await),
        None => (None, None),
    };
    let mut known = known.unwrap_or_default().into_iter();
    let streams: Vec<Value> = rows
        .iter()
        .zip(&boxes)
        .map(|(row, id)| {
            let concluded = known.next().flatten().filter(|known| known["source"] == "activity");
            stream(row, online.as_ref().map(|online| online.contains(id)), concluded.as_ref())
        })
        .collect();
    Ok(json!({ "streams": streams }))
}

/// Pure. One camera; `concluded` is what its deliveries say where the box itself says nothing.
fn stream(row: &Value, online: Option<bool>, concluded: Option<&Value>) -> Value {
    let told = &row["told"];
    let has_told = !told.is_null();
    let at = |us: &Value| us.as_i64().and_then(chrono::DateTime::from_timestamp_micros).map(|at| json!(at));
    let state = if has_told { &told["state"] } else { concluded.map_or(&Value::Null, |known| &known["state"]) };
    // A box that is not connected may have lost its cameras since.
    let delivers = if has_told { !told["main"].is_null() || !told["sub"].is_null() } else { state == "active" };
    let streaming = match online {
        Some(online) if has_told || concluded.is_some() => json!(online && delivers),
        Some(false) => json!(false),
        _ => Value::Null,
    };
    let source = if has_told { json!("status") } else { concluded.map_or(Value::Null, |_| json!("activity")) };
    json!({
        "box_id": row["box_id"],
        "box_name": row["box_name"],
        "online": online,
        "camera": row["camera"],
        "camera_name": row["camera_name"],
        "streaming": streaming,
        "recording": told["recording"],
        "state": state,
        "since": at(&told["since_us"]),
        "reason": if has_told { &told["reason"] } else { concluded.map_or(&Value::Null, |known| &known["reason"]) },
        "main": told["main"],
        "sub": told["sub"],
        "told_at": if has_told { row["status_at"].clone() } else { json!(concluded.and_then(|k| at(&k["at_us"]))) },
        "source": source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(told: Value) -> Value {
        json!({ "box_id": Uuid::nil(), "camera": "gate", "told": told, "status_at": "2026-09-21T14:13:20+00:00" })
    }

    #[test]
    fn a_camera_streams_if_its_box_is_connected_and_says_so() {
        let main = json!({ "codec": "h264", "width": 640 });
        let told = json!({ "camera": "gate", "state": "streaming", "since_us": 5, "recording": true, "main": main });
        let now = stream(&row(told.clone()), Some(true), None);
        assert_eq!(
            (&now["streaming"], &now["state"], &now["main"]["width"]),
            (&true.into(), &"streaming".into(), &640.into())
        );
        assert_eq!(now["since"], "1970-01-01T00:00:00.000005Z");
        assert_eq!(stream(&row(told.clone()), Some(false), None)["streaming"], false);
        assert_eq!(stream(&row(told), None, None)["streaming"], Value::Null, "nobody knows whether it is connected");
        let stalled = json!({ "camera": "gate", "state": "stalled", "reason": "sent nothing" });
        let now = stream(&row(stalled), Some(true), None);
        assert_eq!((&now["streaming"], &now["reason"]), (&false.into(), &"sent nothing".into()));
    }

    #[test]
    fn of_an_older_box_it_is_concluded_from_what_it_delivers() {
        let active = json!({ "camera": "gate", "state": "active", "at_us": 5, "source": "activity" });
        let now = stream(&row(Value::Null), Some(true), Some(&active));
        assert_eq!(
            (&now["streaming"], &now["state"], &now["source"]),
            (&true.into(), &"active".into(), &"activity".into())
        );
        assert_eq!(now["recording"], Value::Null);
        let nothing = stream(&row(Value::Null), Some(true), None);
        assert_eq!((&nothing["streaming"], &nothing["source"]), (&Value::Null, &Value::Null));
    }
}
