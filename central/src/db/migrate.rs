//! Migrations: numbered SQL files in the binary, each applied once, in order, in its own transaction.

use super::{Database, DbError};
use gtv_protocol::hex_bytes::HexBytes;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use tokio_postgres::Client;

const MIGRATIONS: &[(i32, &str, &str)] = &[
    (1, "cidades", include_str!("../../migrations/0001_cidades.sql")),
    (2, "sync", include_str!("../../migrations/0002_sync.sql")),
    (3, "streaming", include_str!("../../migrations/0003_streaming.sql")),
    (4, "ai", include_str!("../../migrations/0004_ai.sql")),
    (5, "detection_category", include_str!("../../migrations/0005_detection_category.sql")),
    (6, "days_and_tenants", include_str!("../../migrations/0006_days_and_tenants.sql")),
    (7, "proofs", include_str!("../../migrations/0007_proofs.sql")),
    (8, "readers", include_str!("../../migrations/0008_readers.sql")),
    (9, "coverage", include_str!("../../migrations/0009_coverage.sql")),
    (10, "alert_reason", include_str!("../../migrations/0010_alert_reason.sql")),
    (11, "outbox", include_str!("../../migrations/0011_outbox.sql")),
    (12, "retention", include_str!("../../migrations/0012_retention.sql")),
    (13, "revoked_tokens", include_str!("../../migrations/0013_revoked_tokens.sql")),
    (14, "objects_by_box", include_str!("../../migrations/0014_objects_by_box.sql")),
    (15, "replaced_keys", include_str!("../../migrations/0015_replaced_keys.sql")),
    (16, "days_ahead", include_str!("../../migrations/0016_days_ahead.sql")),
    (17, "plate_hmac", include_str!("../../migrations/0017_plate_hmac.sql")),
];

/// Any number no other program on this database uses: "gtv-sync" in ASCII.
const ADVISORY_LOCK: i64 = i64::from_be_bytes(*b"gtv-sync");

impl Database {
    /// Brings the schema up to date; returns the names of what was applied. Safe to run from several services at once.
    pub async fn migrate(&self) -> Result<Vec<String>, DbError> {
        let mut client = self.client().await?;
        // The lock is waited for as long as another service migrates.
        client.batch_execute("SET lock_timeout = 0; SET statement_timeout = 0").await?;
        client.execute("SELECT pg_advisory_lock($1)", &[&ADVISORY_LOCK]).await?;
        let applied = match apply(&mut client).await {
            Ok(applied) => grant_reader(&client).await.map(|()| applied),
            Err(error) => Err(error),
        };
        client.execute("SELECT pg_advisory_unlock($1)", &[&ADVISORY_LOCK]).await?;
        client.batch_execute("RESET lock_timeout; RESET statement_timeout").await?;
        applied
    }
}

/// Lets the role of the read API see what it is for. The migrations do so too, but only if the role was there: an
/// administrator may have made it since.
async fn grant_reader(client: &Client) -> Result<(), DbError> {
    let sql = "DO $$
        BEGIN
            IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'gtv_reader')
               AND NOT has_table_privilege('gtv_reader', 'streaming.coverage', 'SELECT') THEN
                GRANT USAGE ON SCHEMA admin, cidades, ai, streaming TO gtv_reader;
                GRANT SELECT ON cidades.boxes, cidades.cameras, ai.detections, ai.plates, ai.alerts,
                    streaming.recordings, streaming.clips, streaming.gaps, streaming.coverage, streaming.tombstones
                    TO gtv_reader;
            END IF;
        END $$";
    Ok(client.batch_execute(sql).await?)
}

async fn apply(client: &mut Client) -> Result<Vec<String>, DbError> {
    client
        .batch_execute(
            "CREATE SCHEMA IF NOT EXISTS sync;
             CREATE TABLE IF NOT EXISTS sync.migrations (
                 version    integer PRIMARY KEY,
                 name       text NOT NULL,
                 sha256     text NOT NULL,
                 applied_at timestamptz NOT NULL DEFAULT now()
             )",
        )
        .await?;
    let rows = client.query("SELECT version, sha256 FROM sync.migrations", &[]).await?;
    let done: BTreeMap<i32, String> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    if let Some(newer) = done.keys().find(|version| MIGRATIONS.iter().all(|(known, ..)| known != *version)) {
        return Err(DbError::Migration {
            name: newer.to_string(),
            problem: "was applied by a newer gtv-sync; run that version".to_owned(),
        });
    }
    let mut applied = Vec::new();
    for (version, name, sql) in MIGRATIONS {
        let name = format!("{version:04}_{name}");
        let sha256 = HexBytes::<32>(Sha256::digest(sql.as_bytes()).into()).to_string();
        match done.get(version) {
            Some(stored) if *stored == sha256 => continue,
            Some(_) => {
                let problem = "was applied with other contents; restore the file or the database".to_owned();
                return Err(DbError::Migration { name, problem });
            }
            None => {}
        }
        let transaction = client.transaction().await?;
        let problem =
            |e: tokio_postgres::Error| DbError::Migration { name: name.clone(), problem: super::chain_of(&e) };
        transaction.batch_execute(sql).await.map_err(problem)?;
        let insert = "INSERT INTO sync.migrations (version, name, sha256) VALUES ($1, $2, $3)";
        transaction.execute(insert, &[version, &name, &sha256]).await?;
        transaction.commit().await?;
        applied.push(name);
    }
    Ok(applied)
}
