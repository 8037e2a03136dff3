//! The typed rows of a batch: what its records tell, in the tables that people ask.

use super::commit::Accepted;
use super::detections::{self, Passage};
use super::standing::Standing;
use super::{DbError, chain_of};
use deadpool_postgres::Transaction;
use gtv_protocol::{Kind, Position};
use std::collections::BTreeMap;
use tokio_postgres::error::SqlState;

/// Writes the typed rows. If PostgreSQL cannot hold that of one record, this record is quarantined instead of blocking
/// its chain for ever. Returns how many were.
pub async fn insert(
    tx: &Transaction<'_>,
    accepted: &Accepted<'_>,
    passages: &[Passage<'_>],
    standings: &[Standing],
    to: Position,
) -> Result<u64, DbError> {
    let applied: BTreeMap<u64, Kind> = accepted
        .records
        .iter()
        .zip(standings)
        .filter(|(_, standing)| matches!(standing, Standing::Applied))
        .filter_map(|(r, _)| Some((r.record.seq, Kind::parse(&r.record.kind)?)))
        .collect();
    let kinds: Vec<Kind> = Kind::ALL.iter().copied().filter(|k| applied.values().any(|kind| kind == k)).collect();
    let passages: Vec<&Passage<'_>> = passages.iter().filter(|p| applied.contains_key(&p.seq)).collect();
    tx.batch_execute("SAVEPOINT typed").await?;
    match derive(tx, accepted, &passages, &kinds, accepted.after.seq + 1, to.seq).await {
        Ok(()) => return Ok(0),
        Err(DbError::Query(e)) if is_about_data(&e) => {}
        Err(e) => return Err(e),
    }
    tx.batch_execute("ROLLBACK TO SAVEPOINT typed").await?;
    let mut quarantined = 0;
    for (seq, kind) in applied {
        let passage: Vec<&Passage<'_>> = passages.iter().copied().filter(|p| p.seq == seq).collect();
        tx.batch_execute("SAVEPOINT one").await?;
        match derive(tx, accepted, &passage, &[kind], seq, seq).await {
            Ok(()) => tx.batch_execute("RELEASE SAVEPOINT one").await?,
            Err(DbError::Query(e)) if is_about_data(&e) => {
                tx.batch_execute("ROLLBACK TO SAVEPOINT one").await?;
                let reason = format!("PostgreSQL cannot hold it: {}", chain_of(&e));
                tx.execute(
                    "UPDATE sync.records SET state = 'quarantined', reason = $4
                     WHERE box_id = $1 AND epoch = $2 AND seq = $3",
                    &[&accepted.box_id, &accepted.after.epoch, &seq.cast_signed(), &reason],
                )
                .await?;
                quarantined += 1;
            }
            Err(e) => return Err(e),
        }
    }
    Ok(quarantined)
}

/// Classes 22 (data exception) and 23 (integrity constraint) are about the row, everything else about the server.
pub(super) fn is_about_data(error: &tokio_postgres::Error) -> bool {
    let about_data = |code: &SqlState| code.code().starts_with("22") || code.code().starts_with("23");
    // An unreadable body exceeds jsonb's nesting limit as "statement_too_complex" or "stack depth".
    let too_deep = |code: &SqlState| *code == SqlState::STATEMENT_TOO_COMPLEX;
    error.code().is_some_and(|code| about_data(code) || too_deep(code))
}

async fn derive(
    tx: &Transaction<'_>,
    accepted: &Accepted<'_>,
    passages: &[&Passage<'_>],
    kinds: &[Kind],
    first: u64,
    last: u64,
) -> Result<(), DbError> {
    detections::copy(tx, accepted, passages).await?;
    let (first, last) = (first.cast_signed(), last.cast_signed());
    for kind in kinds {
        for sql in derivations(*kind) {
            let statement = tx.prepare_cached(sql).await?;
            tx.execute(&statement, &[&accepted.box_id, &accepted.after.epoch, &first, &last]).await?;
        }
    }
    Ok(())
}

fn derivations(kind: Kind) -> &'static [&'static str] {
    match kind {
        // There are too many of them for PostgreSQL to read their JSON: see `detections::copy`.
        Kind::Detection => &[],
        Kind::Alert => &["INSERT INTO ai.alerts SELECT * FROM sync.alert_rows($1, $2, $3, $4)"],
        Kind::Clip => &["INSERT INTO streaming.clips SELECT * FROM sync.clip_rows($1, $2, $3, $4)"],
        Kind::Recording => &["INSERT INTO streaming.recordings SELECT * FROM sync.recording_rows($1, $2, $3, $4)"],
        Kind::Gap => &["INSERT INTO streaming.gaps SELECT * FROM sync.gap_rows($1, $2, $3, $4)"],
        Kind::Coverage => &["INSERT INTO streaming.coverage SELECT * FROM sync.coverage_rows($1, $2, $3, $4)"],
        Kind::Tombstone => &["INSERT INTO streaming.tombstones SELECT * FROM sync.tombstone_rows($1, $2, $3, $4)"],
        Kind::Camera => &["INSERT INTO cidades.cameras
                SELECT DISTINCT ON (camera) * FROM sync.camera_rows($1, $2, $3, $4) ORDER BY camera, seq DESC
             ON CONFLICT (box_id, camera) DO UPDATE
                SET epoch = excluded.epoch, seq = excluded.seq, name = excluded.name, enabled = excluded.enabled,
                    removed = excluded.removed, manufacturer = excluded.manufacturer, model = excluded.model,
                    latitude = excluded.latitude, longitude = excluded.longitude, updated_at = excluded.updated_at
                WHERE (cameras.epoch, cameras.seq) < (excluded.epoch, excluded.seq)"],
        Kind::Proof => &[
            "INSERT INTO sync.roots SELECT * FROM sync.root_rows($1, $2, $3, $4)",
            "INSERT INTO sync.hours
                SELECT DISTINCT ON (ledger, hour) * FROM sync.hour_rows($1, $2, $3, $4) ORDER BY ledger, hour, seq DESC
             ON CONFLICT (box_id, ledger, hour) DO UPDATE
                SET epoch = excluded.epoch, seq = excluded.seq, records = excluded.records,
                    objects = excluded.objects, evicted = excluded.evicted
                WHERE (hours.epoch, hours.seq) < (excluded.epoch, excluded.seq)",
        ],
        Kind::BoxStatus => &["UPDATE cidades.boxes SET status = s.b, status_at = sync.at_us(s.created_at_us)
             FROM (SELECT b, created_at_us FROM sync.bodies($1, $2, $3, $4, 'box_status') ORDER BY seq DESC LIMIT 1) s
             WHERE id = $1"],
    }
}
