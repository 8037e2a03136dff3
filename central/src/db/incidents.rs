//! What was not as it should be, kept by name; retries of the same fault count up instead of piling up.

use super::{Database, DbError};
use serde::Serialize;
use uuid::Uuid;

#[derive(Debug, Clone, Serialize)]
pub struct Incident {
    pub box_id: Uuid,
    pub epoch: i64,
    pub seq: i64,
    pub name: String,
    pub detail: String,
    pub times: i64,
    /// RFC 3339.
    pub last_at: String,
}

impl Database {
    pub async fn note_incident(
        &self,
        box_id: Uuid,
        epoch: i64,
        seq: u64,
        name: &str,
        detail: &str,
    ) -> Result<(), DbError> {
        let client = self.client().await?;
        let sql = "INSERT INTO sync.incidents (box_id, epoch, seq, name, detail) VALUES ($1, $2, $3, $4, $5)
                   ON CONFLICT (box_id, epoch, seq, name)
                   DO UPDATE SET times = incidents.times + 1, last_at = now(), detail = excluded.detail";
        let statement = client.prepare_cached(sql).await?;
        client.execute(&statement, &[&box_id, &epoch, &seq.cast_signed(), &name, &detail]).await?;
        Ok(())
    }

    /// Newest first.
    pub async fn incidents(&self, box_id: Uuid) -> Result<Vec<Incident>, DbError> {
        let client = self.client().await?;
        let sql = "SELECT epoch, seq, name, detail, times, last_at FROM sync.incidents WHERE box_id = $1
                   ORDER BY last_at DESC LIMIT 1000";
        let rows = client.query(sql, &[&box_id]).await?;
        rows.iter()
            .map(|row| {
                Ok(Incident {
                    box_id,
                    epoch: row.try_get("epoch")?,
                    seq: row.try_get("seq")?,
                    name: row.try_get("name")?,
                    detail: row.try_get("detail")?,
                    times: row.try_get("times")?,
                    last_at: row.try_get::<_, chrono::DateTime<chrono::Utc>>("last_at")?.to_rfc3339(),
                })
            })
            .collect()
    }
}
