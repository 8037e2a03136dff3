//! What is stored about the boxes as a whole: when each was last heard of, and what it last said about itself.

use super::{Database, DbError};
use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

/// A box that may connect.
pub struct KnownBox {
    pub id: Uuid,
    pub prefeitura: String,
    pub name: String,
    /// `None` where it was registered beforehand and never came.
    pub last_seen: Option<DateTime<Utc>>,
    /// Its last `box_status` record as the box wrote it, and when it was made.
    pub status: Option<(Value, DateTime<Utc>)>,
}

impl Database {
    /// Enabled boxes of all prefeituras.
    pub async fn known_boxes(&self) -> Result<Vec<KnownBox>, DbError> {
        let client = self.client().await?;
        let sql = "SELECT b.id, p.slug, b.name, b.last_seen_at, b.status, b.status_at
                   FROM cidades.boxes b JOIN cidades.prefeituras p ON p.id = b.prefeitura_id
                   WHERE b.enabled ORDER BY b.id";
        let statement = client.prepare_cached(sql).await?;
        let rows = client.query(&statement, &[]).await?;
        rows.iter()
            .map(|row| {
                let status: Option<Value> = row.try_get(4)?;
                Ok(KnownBox {
                    id: row.try_get(0)?,
                    prefeitura: row.try_get(1)?,
                    name: row.try_get(2)?,
                    last_seen: row.try_get(3)?,
                    status: status.zip(row.try_get(5)?),
                })
            })
            .collect()
    }

    /// These boxes are connected now. A box whose row a batch holds is written after the others, by itself, so that
    /// neither waits for the batches of all.
    pub async fn note_seen(&self, boxes: &[Uuid]) -> Result<(), DbError> {
        let client = self.client().await?;
        let sql = "UPDATE cidades.boxes SET last_seen_at = now() WHERE id IN
                   (SELECT id FROM cidades.boxes WHERE id = ANY($1) FOR NO KEY UPDATE SKIP LOCKED) RETURNING id";
        let rows = client.query(sql, &[&boxes]).await?;
        let written = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<Uuid>, _>>()?;
        for left in boxes.iter().filter(|id| !written.contains(id)) {
            client.execute("UPDATE cidades.boxes SET last_seen_at = now() WHERE id = $1", &[left]).await?;
        }
        Ok(())
    }
}
