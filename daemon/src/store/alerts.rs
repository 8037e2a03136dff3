//! Alerts, which overtake everything else on the way to the centre.

use std::sync::Arc;

use gtv_protocol::PlateText;
use gtv_protocol::body::{Alert, Body};
use gtv_protocol::limits::TEXT_BYTES_MAX;
use gtv_protocol::status::short;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};
use uuid::Uuid;

use super::events::StoreEvent;
use super::hits::AlertPolicy;
use super::outbox::{self, Lane};
use super::rows::AlertRow;
use super::sql::{Json, Text};
use super::writer::Tx;
use super::{Store, StoreError, deliveries};
use crate::base::plate::Plate;
use crate::base::time::UtcMicros;

const COLUMNS: &str = "id, at, kind, severity, camera, detection, title, detail, acknowledged_at, acknowledged_by";
const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 1000;

/// Newest first. Absent fields do not filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertQuery {
    /// Only alerts after this one in the list: the cursor of the next page, time and id of the last of this one.
    pub before: Option<(UtcMicros, Uuid)>,
    /// Only alerts that nobody has acknowledged.
    pub open: bool,
    pub kind: Option<String>,
    /// 0 means 50.
    pub limit: usize,
}

impl Store {
    /// Keeps an alert, queues its record and its deliveries; `plate` goes to the centre with it. A second call with the
    /// same id changes nothing.
    pub async fn insert_alert(&self, row: AlertRow, plate: Option<Plate>) -> Result<(), StoreError> {
        let watch = self.inner.watch.clone();
        self.write("keep an alert", move |tx| {
            let policy = watch.policy().clone();
            insert(tx, &policy, row, plate.as_ref())
        })
        .await
    }

    pub async fn alerts(&self, query: AlertQuery) -> Result<Vec<AlertRow>, StoreError> {
        self.read("list alerts", move |c| {
            let (at, id) = query.before.map_or((i64::MAX, String::new()), |(at, id)| (at.0, id.to_string()));
            let limit = if query.limit == 0 { DEFAULT_LIMIT } else { query.limit.min(MAX_LIMIT) };
            let mut values: Vec<Value> = vec![at.into(), id.into(), (limit as i64).into()];
            let mut sql = format!("SELECT {COLUMNS} FROM alerts WHERE (at, id) < (?1, ?2)");
            if query.open {
                sql.push_str(" AND acknowledged_at IS NULL");
            }
            if let Some(kind) = query.kind {
                sql.push_str(" AND kind = ?4");
                values.push(kind.into());
            }
            sql.push_str(" ORDER BY at DESC, id DESC LIMIT ?3");
            let mut statement = c.prepare_cached(&sql)?;
            let rows = statement.query_map(params_from_iter(values), read)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    pub async fn alert(&self, id: Uuid) -> Result<Option<AlertRow>, StoreError> {
        self.read("read an alert", move |c| get(c, id)).await
    }

    /// The first acknowledgement counts. Returns the alert as it is then.
    pub async fn acknowledge_alert(&self, id: Uuid, by: &str, at: UtcMicros) -> Result<AlertRow, StoreError> {
        let by = by.to_owned();
        self.write("acknowledge an alert", move |tx| {
            tx.prepare_cached(
                "UPDATE alerts SET acknowledged_at = ?2, acknowledged_by = ?3 WHERE id = ?1 AND acknowledged_at IS NULL",
            )?
            .execute(params![Text(id), at, by])?;
            let row = get(tx, id)?.ok_or_else(|| StoreError::not_found(format!("alert {id}")))?;
            publish(tx, row.clone());
            Ok(row)
        })
        .await
    }

    /// Removes alerts older than `time`, acknowledged or not: their retention is over.
    pub async fn expire_alerts(&self, time: UtcMicros, limit: usize) -> Result<usize, StoreError> {
        self.write("expire alerts", move |tx| {
            let mut statement = tx.prepare_cached(
                "DELETE FROM alerts WHERE id IN (SELECT id FROM alerts WHERE at < ?1 ORDER BY at LIMIT ?2)",
            )?;
            Ok(statement.execute(params![time, limit as i64])?)
        })
        .await
    }
}

/// Inside the caller's transaction: the row, its record in the alert lane, its deliveries, and the event.
pub(super) fn insert(
    tx: &mut Tx<'_>,
    policy: &AlertPolicy,
    row: AlertRow,
    plate: Option<&Plate>,
) -> Result<(), StoreError> {
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
        message: outbox::told(&row.title),
        reason: reason(&row.detail),
        raised_at_us: row.at.0,
    });
    outbox::put(tx, Lane::Alerts, &body, &row.id.to_string(), &[])?;
    deliveries::queue(tx, policy, &row)?;
    publish(tx, row);
    Ok(())
}

/// What the centre is told of the reason, within the bounds of the protocol.
fn reason(detail: &serde_json::Value) -> Option<String> {
    let reason = detail.get("reason")?.as_str()?;
    short(reason, TEXT_BYTES_MAX)
}

/// New, or changed since.
pub(super) fn publish(tx: &mut Tx<'_>, row: AlertRow) {
    tx.publish(StoreEvent::Alert(Arc::new(row)));
}

pub(super) fn get(c: &Connection, id: Uuid) -> Result<Option<AlertRow>, StoreError> {
    let mut statement = c.prepare_cached(&format!("SELECT {COLUMNS} FROM alerts WHERE id = ?1"))?;
    Ok(statement.query_one([Text(id)], read).optional()?)
}

fn read(row: &Row<'_>) -> rusqlite::Result<AlertRow> {
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
