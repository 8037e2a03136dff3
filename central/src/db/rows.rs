//! The audit's question about typed rows: derived again by PostgreSQL from the records, do they say the same?

use super::{Database, DbError};
use uuid::Uuid;

/// A typed table and the function that derives its rows.
pub struct RowTable {
    pub name: &'static str,
    function: &'static str,
    /// Columns that identify a row.
    key: &'static [&'static str],
    /// Things that are told again: only the newest record of each has a row.
    newest: bool,
    /// Column by which rows go with their day, besides going with their record.
    day: Option<&'static str>,
}

pub const ROW_TABLES: &[RowTable] = &[
    RowTable { day: Some("first_seen"), ..table("ai.detections", "sync.detection_rows") },
    table("ai.alerts", "sync.alert_rows"),
    table("streaming.clips", "sync.clip_rows"),
    table("streaming.recordings", "sync.recording_rows"),
    table("streaming.gaps", "sync.gap_rows"),
    table("streaming.coverage", "sync.coverage_rows"),
    table("streaming.tombstones", "sync.tombstone_rows"),
    table("sync.roots", "sync.root_rows"),
    RowTable { key: &["box_id", "ledger", "hour"], newest: true, ..table("sync.hours", "sync.hour_rows") },
    RowTable { key: &["box_id", "camera"], newest: true, ..table("cidades.cameras", "sync.camera_rows") },
];

/// What the service adds to a row and no record says: the tenant (rows keep the one they were stored for when a box is
/// handed over) and whether a root was verified.
const ADDED: &str = "'{prefeitura_id,verified}'::text[]";

const fn table(name: &'static str, function: &'static str) -> RowTable {
    RowTable { name, function, key: &["box_id", "epoch", "seq"], newest: false, day: None }
}

pub enum RowFault {
    Missing,
    Altered,
    Invented,
}

impl Database {
    /// Typed rows that differ from what the records say, derived again by PostgreSQL.
    pub async fn row_faults(&self, box_id: Uuid, table: &RowTable) -> Result<Vec<(i64, u64, RowFault)>, DbError> {
        let RowTable { name, function, key, newest, day } = table;
        let day = day.map_or(String::new(), |column| {
            format!("AND coalesce(e.{column}, s.{column}) >= coalesce((SELECT detections_before FROM sync.retention), '-infinity')")
        });
        let key_list = key.join(", ");
        let newest_only = if *newest {
            format!("SELECT DISTINCT ON ({key_list}) * FROM derived ORDER BY {key_list}, epoch DESC, seq DESC")
        } else {
            "SELECT * FROM derived".to_owned()
        };
        let sql = format!(
            "WITH derived AS (
                 SELECT f.* FROM sync.chains c, LATERAL {function}(c.box_id, c.epoch, 1, c.seq) f WHERE c.box_id = $1
             ), expected AS ({newest_only}), stored AS (
                 SELECT * FROM {name} WHERE box_id = $1
             )
             SELECT coalesce(e.epoch, s.epoch), coalesce(e.seq, s.seq), e.seq IS NULL, s.seq IS NULL
             FROM expected e FULL JOIN stored s USING ({key_list})
             WHERE to_jsonb(e) - {ADDED} IS DISTINCT FROM to_jsonb(s) - {ADDED} {day}
               AND NOT EXISTS (SELECT FROM sync.expired x WHERE x.box_id = $1 AND x.epoch = coalesce(e.epoch, s.epoch)
                                                            AND x.seq >= coalesce(e.seq, s.seq))
             ORDER BY 1, 2"
        );
        let client = self.client().await?;
        // Reads whole tables: may take longer than a statement of the service.
        client.batch_execute("SET statement_timeout = 0").await?;
        let rows = client.query(&sql, &[&box_id]).await;
        client.batch_execute("RESET statement_timeout").await?;
        let rows = match rows {
            // A body was altered so that it is no JSON any more; the walk of the chain names it.
            Err(e) if e.code().is_some_and(|code| code.code().starts_with("22")) => return Ok(Vec::new()),
            rows => rows?,
        };
        rows.iter()
            .map(|row| {
                let fault = match (row.try_get(2)?, row.try_get(3)?) {
                    (true, _) => RowFault::Invented,
                    (false, true) => RowFault::Missing,
                    (false, false) => RowFault::Altered,
                };
                Ok((row.try_get(0)?, row.try_get::<_, i64>(1)?.cast_unsigned(), fault))
            })
            .collect()
    }
}
