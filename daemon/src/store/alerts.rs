//! Alerts, which overtake everything else on the way to the centre, and the plates somebody looks for.

use std::sync::Arc;

use gtv_protocol::PlateText;
use gtv_protocol::body::{Alert, Body};
use rusqlite::{OptionalExtension, Row, params};
use uuid::Uuid;

use super::events::StoreEvent;
use super::outbox::{self, Lane};
use super::rows::{AlertRow, WatchRow};
use super::sql::{Json, Text};
use super::{Store, StoreError};
use crate::base::plate::Plate;
use crate::base::time::UtcMicros;

const ALERT: &str = "id, at, kind, severity, camera, detection, title, detail, acknowledged_at, acknowledged_by";
const WATCH: &str = "id, plate, note, severity, created_at, created_by";

impl Store {
    /// Keeps an alert and queues its record; `plate` goes to the centre with it. A second call with the same id
    /// changes nothing.
    pub async fn insert_alert(&self, row: AlertRow, plate: Option<Plate>) -> Result<(), StoreError> {
        self.write("keep an alert", move |tx| {
            let new = tx
                .prepare_cached("INSERT OR IGNORE INTO alerts VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)")?
                .execute(params![
                    Text(row.id),
                    row.at,
                    row.kind,
                    row.severity,
                    row.camera,
                    row.detection,
                    row.title,
                    Json(&row.detail),
                    row.acknowledged_at,
                    row.acknowledged_by
                ])?;
            if new == 0 {
                return Ok(());
            }
            let body = Body::Alert(Alert {
                rule: row.kind.clone(),
                severity: row.severity.as_str().to_owned(),
                camera: row.camera.as_ref().map(ToString::to_string),
                detection: row.detection.map(|id| id.0),
                plate: plate.map(|plate| PlateText(plate.as_str().to_owned())),
                message: row.title.clone(),
                raised_at_us: row.at.0,
            });
            outbox::put(tx, Lane::Alerts, &body, &row.id.to_string(), &[])?;
            tx.publish(StoreEvent::Alert(Arc::new(row)));
            Ok(())
        })
        .await
    }

    /// Newest first; `before` is the cursor of the next page.
    pub async fn alerts(&self, before: Option<UtcMicros>, limit: usize) -> Result<Vec<AlertRow>, StoreError> {
        self.read("list alerts", move |c| {
            let mut statement =
                c.prepare_cached(&format!("SELECT {ALERT} FROM alerts WHERE at < ?1 ORDER BY at DESC LIMIT ?2"))?;
            let before = before.unwrap_or(UtcMicros(i64::MAX));
            let rows = statement.query_map(params![before, limit.clamp(1, 1000) as i64], read_alert)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    pub async fn alert(&self, id: Uuid) -> Result<Option<AlertRow>, StoreError> {
        self.read("read an alert", move |c| {
            let mut statement = c.prepare_cached(&format!("SELECT {ALERT} FROM alerts WHERE id = ?1"))?;
            Ok(statement.query_one([Text(id)], read_alert).optional()?)
        })
        .await
    }

    /// The first acknowledgement counts.
    pub async fn acknowledge_alert(&self, id: Uuid, by: &str, at: UtcMicros) -> Result<(), StoreError> {
        let by = by.to_owned();
        self.write("acknowledge an alert", move |tx| {
            let changed = tx
                .prepare_cached(
                    "UPDATE alerts SET acknowledged_at = coalesce(acknowledged_at, ?2),
                        acknowledged_by = coalesce(acknowledged_by, ?3) WHERE id = ?1",
                )?
                .execute(params![Text(id), at, by])?;
            if changed == 0 { Err(StoreError::not_found(format!("alert {id}"))) } else { Ok(()) }
        })
        .await
    }

    pub async fn put_watch(&self, row: WatchRow) -> Result<(), StoreError> {
        self.write("keep a watched plate", move |tx| {
            tx.prepare_cached("INSERT OR REPLACE INTO watches VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?.execute(params![
                Text(row.id),
                row.plate,
                row.note,
                row.severity,
                row.created_at,
                row.created_by
            ])?;
            Ok(())
        })
        .await
    }

    pub async fn delete_watch(&self, id: Uuid) -> Result<(), StoreError> {
        self.write("delete a watched plate", move |tx| {
            let removed = tx.prepare_cached("DELETE FROM watches WHERE id = ?1")?.execute([Text(id)])?;
            if removed == 0 { Err(StoreError::not_found(format!("watched plate {id}"))) } else { Ok(()) }
        })
        .await
    }

    pub async fn watches(&self) -> Result<Vec<WatchRow>, StoreError> {
        self.read("list watched plates", |c| {
            let mut statement = c.prepare_cached(&format!("SELECT {WATCH} FROM watches ORDER BY plate"))?;
            let rows = statement.query_map([], |row| {
                Ok(WatchRow {
                    id: row.get::<_, Text<Uuid>>(0)?.0,
                    plate: row.get(1)?,
                    note: row.get(2)?,
                    severity: row.get(3)?,
                    created_at: row.get(4)?,
                    created_by: row.get(5)?,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }
}

fn read_alert(row: &Row<'_>) -> rusqlite::Result<AlertRow> {
    Ok(AlertRow {
        id: row.get::<_, Text<Uuid>>(0)?.0,
        at: row.get(1)?,
        kind: row.get(2)?,
        severity: row.get(3)?,
        camera: row.get(4)?,
        detection: row.get(5)?,
        title: row.get(6)?,
        detail: row.get::<_, Json<_>>(7)?.0,
        acknowledged_at: row.get(8)?,
        acknowledged_by: row.get(9)?,
    })
}
