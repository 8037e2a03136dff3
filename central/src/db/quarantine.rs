//! Records of a kind that the release which took them did not know: a box may be updated before the centre.

use super::audit::record_of;
use super::boxes::Ousted;
use super::commit::Accepted;
use super::{Database, DbError, hash_column, outbox, proofs, standing, typed};
use gtv_protocol::{Kind, Position, PublicKey, Record};
use uuid::Uuid;

/// A quarantined record whose kind is known by now, and its box as it is registered.
pub struct Waiting {
    pub box_id: Uuid,
    pub tenant: Uuid,
    pub key: PublicKey,
    pub record: Record,
}

impl Database {
    /// The next ones after (box, epoch, seq).
    pub async fn waiting_records(&self, after: (Uuid, i64, u64), limit: i64) -> Result<Vec<Waiting>, DbError> {
        let client = self.client().await?;
        // As `BodyError::UnknownKind` says it.
        let sql = "SELECT r.box_id, r.epoch, r.seq, r.prev_hash, r.hash, r.kind, r.id, r.created_at_us, r.objects,
                          r.body, b.prefeitura_id, b.public_key
                   FROM sync.records r JOIN cidades.boxes b ON b.id = r.box_id
                   WHERE r.state = 'quarantined' AND r.kind = ANY($1)
                     AND r.reason LIKE 'kind %is not known to this version%' AND (r.box_id, r.epoch, r.seq) > ($2, $3, $4)
                   ORDER BY r.box_id, r.epoch, r.seq LIMIT $5";
        let kinds: Vec<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
        let (box_id, epoch, seq) = (after.0, after.1, after.2.cast_signed());
        let mut waiting = Vec::new();
        for row in client.query(sql, &[&kinds, &box_id, &epoch, &seq, &limit]).await? {
            // One that was altered since cannot be read; the audit names it.
            let Ok(record) = record_of(&row)? else { continue };
            let (box_id, tenant) = (row.try_get("box_id")?, row.try_get("prefeitura_id")?);
            waiting.push(Waiting { box_id, tenant, key: hash_column(&row, "public_key")?, record });
        }
        Ok(waiting)
    }

    /// Gives one record its typed row; false if it does not wait any more.
    pub async fn apply(&self, accepted: &Accepted<'_>) -> Result<bool, DbError> {
        let Some(reviewed) = accepted.records.first() else { return Ok(false) };
        let record = reviewed.record;
        let to = Position { epoch: record.epoch, seq: record.seq, hash: record.hash };
        let passages = accepted.passages()?;
        self.note_plates(accepted.tenant, &passages).await?;
        let mut client = self.client().await?;
        let tx = client.transaction().await?;
        // As a batch of this box does.
        let lock = "SELECT prefeitura_id, enabled, public_key FROM cidades.boxes WHERE id = $1 FOR NO KEY UPDATE";
        let row = tx.query_one(lock, &[&accepted.box_id]).await?;
        if Ousted::by(&row, accepted.tenant, &accepted.key)?.is_some_and(|why| why != Ousted::Disabled) {
            return Ok(false);
        }
        let standings = standing::look_up(&tx, accepted).await?;
        let Some(standing) = standings.first() else { return Ok(false) };
        let sql = "UPDATE sync.records SET state = $4, reason = $5
                   WHERE box_id = $1 AND epoch = $2 AND seq = $3 AND state = 'quarantined'";
        let seq = record.seq.cast_signed();
        let (state, reason) = (standing.name(), standing.reason());
        if tx.execute(sql, &[&accepted.box_id, &record.epoch, &seq, &state, &reason]).await? == 0 {
            return Ok(false);
        }
        typed::insert(&tx, accepted, &passages, &standings, to).await?;
        proofs::verify(&tx, accepted).await?;
        if accepted.events {
            outbox::note(&tx, accepted, to.seq).await?;
        }
        tx.commit().await?;
        Ok(true)
    }
}
