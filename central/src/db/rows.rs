//! The audit's question about typed rows: derived again by PostgreSQL from the records, do they say the same?

use super::typed::is_about_data;
use super::{Database, DbError};
use deadpool_postgres::Object;
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
    /// PostgreSQL cannot read the record, so nothing can be said of its row.
    Unreadable,
}

/// Records read at a time in search of those that cannot be.
const SEARCH_RECORDS: i64 = 10_000;
/// How often the comparison begins anew when records came meanwhile that cannot be read.
const ATTEMPTS_MAX: usize = 3;

impl Database {
    /// Typed rows that differ from what the records say, derived again by PostgreSQL.
    pub async fn row_faults(&self, box_id: Uuid, table: &RowTable) -> Result<Vec<(i64, u64, RowFault)>, DbError> {
        let client = self.client().await?;
        // Reads whole tables: may take longer than a statement of the service.
        client.batch_execute("SET statement_timeout = 0").await?;
        let faults = faults(&client, box_id, table).await;
        client.batch_execute("RESET statement_timeout").await?;
        faults
    }
}

async fn faults(client: &Object, box_id: Uuid, table: &RowTable) -> Result<Vec<(i64, u64, RowFault)>, DbError> {
    let mut unreadable = Vec::new();
    let mut attempts = 0;
    loop {
        attempts += 1;
        match compare(client, box_id, table, &unreadable).await {
            Ok(mut faults) => {
                faults
                    .extend(unreadable.iter().map(|(epoch, seq)| (*epoch, seq.cast_unsigned(), RowFault::Unreadable)));
                return Ok(faults);
            }
            // One record that was altered so that it is no JSON any more must not hide what became of the others.
            Err(DbError::Query(e)) if attempts < ATTEMPTS_MAX && is_about_data(&e) => {
                unreadable = find_unreadable(client, box_id, table).await?;
            }
            Err(e) => return Err(e),
        }
    }
}

/// `unreadable`: (epoch, seq) of records to leave out.
async fn compare(
    client: &Object,
    box_id: Uuid,
    table: &RowTable,
    unreadable: &[(i64, i64)],
) -> Result<Vec<(i64, u64, RowFault)>, DbError> {
    let RowTable { name, function, key, newest, day } = table;
    let day = day.map_or(String::new(), |column| {
        format!(
            "AND coalesce(e.{column}, s.{column}) >= coalesce((SELECT detections_before FROM sync.retention), '-infinity')"
        )
    });
    let key_list = key.join(", ");
    let newest_only = if *newest {
        format!("SELECT DISTINCT ON ({key_list}) * FROM derived ORDER BY {key_list}, epoch DESC, seq DESC")
    } else {
        "SELECT * FROM derived".to_owned()
    };
    let sql = format!(
        "WITH unreadable AS (
             SELECT * FROM unnest($2::bigint[], $3::bigint[]) AS u (epoch, seq)
         ), ends AS (
             SELECT epoch, seq + 1 AS seq FROM sync.chains WHERE box_id = $1 UNION ALL SELECT epoch, seq FROM unreadable
         ), spans AS (
             SELECT epoch, coalesce(lag(seq) OVER (PARTITION BY epoch ORDER BY seq), 0) + 1 AS first, seq - 1 AS last
             FROM ends
         ), derived AS (
             SELECT f.* FROM spans p, LATERAL {function}($1, p.epoch, p.first, p.last) f
         ), expected AS ({newest_only}), stored AS (
             SELECT * FROM {name} WHERE box_id = $1
         )
         SELECT coalesce(e.epoch, s.epoch), coalesce(e.seq, s.seq), e.seq IS NULL, s.seq IS NULL
         FROM expected e FULL JOIN stored s USING ({key_list})
         WHERE to_jsonb(e) - {ADDED} IS DISTINCT FROM to_jsonb(s) - {ADDED} {day}
           AND NOT EXISTS (SELECT FROM sync.expired x WHERE x.box_id = $1 AND x.epoch = coalesce(e.epoch, s.epoch)
                                                        AND x.seq >= coalesce(e.seq, s.seq))
           AND NOT EXISTS (SELECT FROM unreadable u WHERE u.epoch = coalesce(e.epoch, s.epoch)
                                                      AND u.seq = coalesce(e.seq, s.seq))
         ORDER BY 1, 2"
    );
    let (epochs, seqs): (Vec<i64>, Vec<i64>) = unreadable.iter().copied().unzip();
    let rows = client.query(&sql, &[&box_id, &epochs, &seqs]).await?;
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

/// (epoch, seq) of the records of which PostgreSQL cannot make a row of the table, found by halving.
async fn find_unreadable(client: &Object, box_id: Uuid, table: &RowTable) -> Result<Vec<(i64, i64)>, DbError> {
    // Every column has to be made, or the planner leaves it out.
    let sql = format!("SELECT count(to_jsonb(f)) FROM {}($1, $2, $3, $4) f", table.function);
    let statement = client.prepare(&sql).await?;
    let mut found = Vec::new();
    for row in client.query("SELECT epoch, seq FROM sync.chains WHERE box_id = $1 ORDER BY 1", &[&box_id]).await? {
        let (epoch, last): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        for first in (1..=last).step_by(SEARCH_RECORDS as usize) {
            let mut spans = vec![(first, last.min(first + SEARCH_RECORDS - 1))];
            while let Some((first, last)) = spans.pop() {
                match client.query_one(&statement, &[&box_id, &epoch, &first, &last]).await {
                    Ok(_) => {}
                    Err(e) if !is_about_data(&e) => return Err(e.into()),
                    Err(_) if first == last => found.push((epoch, first)),
                    Err(_) => {
                        let middle = first + (last - first) / 2;
                        spans.extend([(middle + 1, last), (first, middle)]);
                    }
                }
            }
        }
    }
    Ok(found)
}
