//! Records on their way to the centre. A record gets its number when it first joins a batch, in the order of the
//! lanes and only when its objects are up, so an alert overtakes any backlog and the chain stays gapless (S1, S2, S4).

use gtv_protocol::body::Body;
use gtv_protocol::limits::TEXT_BYTES_MAX;
use gtv_protocol::status::short;
use gtv_protocol::{Draft, Hash, Position, Record, UnavailableObject};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;

use super::events::StoreEvent;
use super::rows::ObjectRef;
use super::sql::{Json, unsigned};
use super::{Pick, Store, StoreError, evict, objects, pick, proofs, state, whole};
use crate::base::ids::BoxId;
use crate::base::time::UtcMicros;

pub(super) const EPOCH: &str = "sync.epoch";
pub(super) const LAST_SEQ: &str = "sync.last_seq";
pub(super) const LAST_HASH: &str = "sync.last_hash";
pub(super) const ACKED_SEQ: &str = "sync.acked_seq";
/// What the centre was told of the cameras last, by their ids, as JSON.
pub const TOLD_CAMERAS: &str = "sync.cameras";

/// What overtakes what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Lane {
    Alerts = 0,
    Detections = 1,
    /// Clips and the ledger of what is and is not recorded.
    Bulk = 2,
    /// Recordings with their video, on request or by rule.
    Recordings = 3,
}

impl Lane {
    pub const COUNT: usize = 4;
    pub const ALL: [Self; Self::COUNT] = [Self::Alerts, Self::Detections, Self::Bulk, Self::Recordings];

    /// As the metrics and the configuration call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alerts => "alerts",
            Self::Detections => "detections",
            Self::Bulk => "clips",
            Self::Recordings => "recordings",
        }
    }

    /// From the database; what a newer version may have written goes last.
    pub(super) fn of(number: u8) -> Self {
        Self::ALL.into_iter().find(|lane| *lane as u8 == number).unwrap_or(Self::Recordings)
    }
}

/// Consecutive records of the chain, ready to be sent, and which of their objects will never come.
#[derive(Debug, Default)]
pub struct Batch {
    pub records: Vec<Record>,
    pub unavailable: Vec<UnavailableObject>,
    /// Bytes of the records of each lane, before compression.
    pub lane_bytes: [usize; Lane::COUNT],
}

impl Batch {
    pub fn bytes(&self) -> usize {
        self.lane_bytes.iter().sum()
    }

    fn push(&mut self, lane: Lane, record: Record, max_bytes: usize) -> bool {
        let bytes = record.wire_bytes();
        // One record always fits, or a large one would wait forever.
        if !self.records.is_empty() && self.bytes() + bytes > max_bytes {
            return false;
        }
        self.lane_bytes[lane as usize] += bytes;
        self.records.push(record);
        true
    }
}

/// Where delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxStatus {
    /// The last number given out and its hash.
    pub last: Position,
    /// Everything up to this number is committed at the centre.
    pub acked_seq: u64,
    /// Records without a number, by lane; those that wait for an upload are among them.
    pub waiting: [u64; Lane::COUNT],
    /// Records without a number that wait for an object to be uploaded.
    pub blocked: u64,
}

impl OutboxStatus {
    /// Everything that the centre does not have yet.
    pub fn pending(&self) -> u64 {
        self.waiting.iter().sum::<u64>() + self.last.seq.saturating_sub(self.acked_seq)
    }
}

impl Store {
    /// Queues a record of a part that has no table of its own here (cameras, the state of the box).
    pub async fn enqueue(&self, lane: Lane, body: Body, thing: &str) -> Result<(), StoreError> {
        let thing = thing.to_owned();
        self.write("queue a record", move |tx| {
            put(tx, lane, &body, &thing, &[])?;
            tx.publish(StoreEvent::Outbox);
            Ok(())
        })
        .await
    }

    pub async fn outbox_status(&self, box_id: BoxId) -> Result<OutboxStatus, StoreError> {
        let found = self.read("read the state of delivery", status).await?;
        if let Some(status) = found {
            return Ok(status);
        }
        self.write("begin the chain", move |tx| Chain::load_or_begin(tx, box_id).map(|_| ())).await?;
        let begun = self.read("read the state of delivery", status).await?;
        begun.ok_or_else(|| StoreError::not_found("the chain"))
    }

    /// The records after `after`, as many as `pick` allows; numbers waiting ones as needed.
    pub async fn next_batch(&self, box_id: BoxId, after: u64, pick: Pick) -> Result<Batch, StoreError> {
        self.write("build a batch", move |tx| next_batch(tx, box_id, after, &pick)).await
    }

    /// The centre has committed everything up to `seq`. Returns how many records that newly confirms.
    pub async fn ack(&self, box_id: BoxId, epoch: i64, seq: u64) -> Result<u64, StoreError> {
        self.write("note an acknowledgement", move |tx| {
            let chain = Chain::load_or_begin(tx, box_id)?;
            if epoch != chain.last.epoch || seq > chain.last.seq {
                let detail = format!(
                    "acknowledges number {seq} of epoch {epoch}, but the box is at {} of epoch {}",
                    chain.last.seq, chain.last.epoch
                );
                return Err(StoreError::conflict("the centre", detail));
            }
            let newly = seq.saturating_sub(chain.acked_seq);
            if newly > 0 {
                state::set(tx, ACKED_SEQ, &seq.to_string())?;
                whole::delivered(tx, chain.acked_seq, seq)?;
            }
            Ok(newly)
        })
        .await
    }

    /// The hash of the record with this number, while the box still keeps it (number 0 is the start of the chain).
    pub async fn chain_hash(&self, box_id: BoxId, seq: u64) -> Result<Option<Hash>, StoreError> {
        self.write("look up a link of the chain", move |tx| {
            let chain = Chain::load_or_begin(tx, box_id)?;
            if seq == 0 {
                return Ok(Some(Position::start(box_id.0, chain.last.epoch).hash));
            }
            if seq == chain.last.seq {
                return Ok(Some(chain.last.hash));
            }
            let mut statement = tx.prepare_cached("SELECT hash FROM outbox WHERE seq = ?1")?;
            let hash: Option<String> = statement.query_one([seq as i64], |row| row.get(0)).optional()?;
            hash.as_deref().map(digest).transpose()
        })
        .await
    }

    /// The centre has less than it acknowledged (restored from a backup): deliver again after `seq`. False when the
    /// box no longer keeps all those records, so that only a new epoch can go on.
    pub async fn rewind(&self, box_id: BoxId, seq: u64) -> Result<bool, StoreError> {
        self.write("rewind delivery", move |tx| {
            let chain = Chain::load_or_begin(tx, box_id)?;
            let kept: i64 = tx
                .prepare_cached("SELECT count(*) FROM outbox WHERE seq > ?1")?
                .query_one([seq as i64], |row| row.get(0))?;
            if kept as u64 != chain.last.seq.saturating_sub(seq) {
                return Ok(false);
            }
            state::set(tx, ACKED_SEQ, &seq.min(chain.acked_seq).to_string())?;
            Ok(true)
        })
        .await
    }

    /// Begins a new chain. Unacknowledged records move into it, and with `everything` all that is still kept.
    pub async fn begin_epoch(&self, box_id: BoxId, epoch: i64, everything: bool) -> Result<(), StoreError> {
        self.write("begin an epoch", move |tx| {
            let chain = Chain::load_or_begin(tx, box_id)?;
            if epoch <= chain.last.epoch {
                let detail = format!("must be greater than the current one, {}", chain.last.epoch);
                return Err(StoreError::invalid(format!("epoch {epoch}"), detail));
            }
            let from = if everything { 0 } else { chain.acked_seq };
            if everything {
                // The centre lost what it was told, and what told it may be pruned.
                state::remove(tx, TOLD_CAMERAS)?;
            }
            tx.execute("DELETE FROM outbox WHERE seq <= ?1", [from as i64])?;
            // Those that wait have no number to lose, and there may be millions of them.
            tx.execute(
                "UPDATE outbox SET epoch = NULL, seq = NULL, prev = NULL, hash = NULL WHERE seq IS NOT NULL",
                [],
            )?;
            state::set(tx, EPOCH, &epoch.to_string())?;
            state::set(tx, LAST_SEQ, "0")?;
            state::set(tx, LAST_HASH, &Position::start(box_id.0, epoch).hash.to_string())?;
            state::set(tx, proofs::PROVEN_SEQ, "0")?;
            state::set(tx, ACKED_SEQ, "0")
        })
        .await
    }

    /// Forgets acknowledged records, but for the newest `keep`, which a restored centre may ask for again, and those that
    /// are under no signed root yet.
    pub async fn prune_outbox(&self, keep: u64, limit: usize) -> Result<usize, StoreError> {
        self.write("forget delivered records", move |tx| {
            let acked = number(tx, ACKED_SEQ)?.unwrap_or(0);
            let proven = number(tx, proofs::PROVEN_SEQ)?.unwrap_or(0);
            let upto = acked.saturating_sub(keep).min(proven) as i64;
            let mut statement = tx.prepare_cached(
                "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE seq <= ?1 ORDER BY seq LIMIT ?2)",
            )?;
            Ok(statement.execute(params![upto, limit as i64])?)
        })
        .await
    }
}

/// The end of the chain as the database has it.
pub(super) struct Chain {
    pub(super) last: Position,
    acked_seq: u64,
}

impl Chain {
    pub(super) fn load_or_begin(c: &Connection, box_id: BoxId) -> Result<Self, StoreError> {
        if let Some(chain) = Self::load(c)? {
            return Ok(chain);
        }
        // An epoch is the time at which its database began, so a box that lost its data starts a later one.
        let epoch = UtcMicros::now().0.max(1);
        let start = Position::start(box_id.0, epoch);
        state::set(c, EPOCH, &epoch.to_string())?;
        state::set(c, LAST_HASH, &start.hash.to_string())?;
        Ok(Self { last: start, acked_seq: 0 })
    }

    fn load(c: &Connection) -> Result<Option<Self>, StoreError> {
        let Some(epoch) = number(c, EPOCH)? else { return Ok(None) };
        let hash = state::get(c, LAST_HASH)?.unwrap_or_default();
        let last = Position { epoch: epoch as i64, seq: number(c, LAST_SEQ)?.unwrap_or(0), hash: digest(&hash)? };
        Ok(Some(Self { last, acked_seq: number(c, ACKED_SEQ)?.unwrap_or(0) }))
    }
}

fn status(c: &Connection) -> Result<Option<OutboxStatus>, StoreError> {
    let Some(chain) = Chain::load(c)? else { return Ok(None) };
    // Two questions, because each is answered by a partial index alone.
    let count = |filter: &str| -> Result<[u64; Lane::COUNT], StoreError> {
        let mut lanes = [0; Lane::COUNT];
        let mut statement = c.prepare_cached(&format!(
            "SELECT lane + whole, count(*) FROM outbox WHERE seq IS NULL AND {filter} GROUP BY lane + whole"
        ))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            if let Some(lane) = lanes.get_mut(usize::from(row.get::<_, u8>(0)?)) {
                *lane = unsigned(row, 1)?;
            }
        }
        Ok(lanes)
    };
    let (ready, blocked) = (count("missing = 0")?, count("missing > 0")?);
    let waiting = std::array::from_fn(|lane| ready[lane] + blocked[lane]);
    Ok(Some(OutboxStatus { last: chain.last, acked_seq: chain.acked_seq, waiting, blocked: blocked.iter().sum() }))
}

pub(super) fn number(c: &Connection, key: &str) -> Result<Option<u64>, StoreError> {
    let text = state::get(c, key)?;
    let parse = |text: String| {
        text.parse().map_err(|_| StoreError::conflict(format!("state value {key}"), format!("`{text}` is no number")))
    };
    text.map(parse).transpose()
}

/// A digest kept as text.
pub(super) fn digest(text: &str) -> Result<Hash, StoreError> {
    Hash::parse(text).ok_or_else(|| StoreError::conflict("a digest in the database", format!("`{text}` is no SHA-256")))
}

/// A reason or a message as a record may have it: what cameras, disks and people say is neither short nor plain.
pub(super) fn told(text: &str) -> String {
    short(text, TEXT_BYTES_MAX).unwrap_or_else(|| "no reason was given".to_owned())
}

/// Queues a record inside the caller's transaction, checked so that what is queued can be sent.
pub(super) fn put(
    c: &Connection,
    lane: Lane,
    body: &Body,
    thing: &str,
    objects: &[&ObjectRef],
) -> Result<(), StoreError> {
    let created_at = UtcMicros::now();
    let mut objects: Vec<&ObjectRef> = objects.to_vec();
    objects.dedup_by(|a, b| a.sha256 == b.sha256);
    // Whose box it is makes no difference to what is checked.
    let named = objects.iter().map(|object| named(BoxId::default(), object)).collect::<Result<_, _>>()?;
    let draft = Draft::new(body, thing, created_at.0, named)
        .map_err(|e| StoreError::invalid(format!("record {} {thing}", body.kind().as_str()), e.to_string()))?;
    // A column of its own: older databases know three lanes.
    let whole = lane == Lane::Recordings;
    let column = if whole { Lane::Bulk } else { lane } as i64;
    c.prepare_cached(
        "INSERT INTO outbox (lane, whole, kind, thing, objects, body, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![column, whole, draft.kind, thing, Json(&objects), draft.body.get(), created_at])?;
    let id = c.last_insert_rowid();
    if !matches!(body, Body::Proof(_)) {
        proofs::count(c, created_at, objects.len())?;
    }
    for object in &objects {
        c.prepare_cached("INSERT OR IGNORE INTO outbox_objects VALUES (?1, ?2)")?
            .execute(params![id, object.sha256])?;
    }
    if !objects.is_empty() {
        c.prepare_cached(
            "UPDATE outbox SET missing =
                (SELECT count(*) FROM outbox_objects x JOIN objects o ON o.sha256 = x.sha256
                 WHERE x.outbox_id = ?1 AND o.uploaded_at IS NULL AND o.lost IS NULL)
             WHERE id = ?1",
        )?
        .execute([id])?;
    }
    Ok(())
}

pub(super) const COLUMNS: &str = "id, kind, thing, objects, body, created_at, seq, prev, hash, missing, lane + whole";

/// A row of the outbox.
pub(super) struct OutboxRow {
    pub(super) id: i64,
    pub(super) kind: String,
    thing: String,
    objects: Vec<ObjectRef>,
    body: String,
    pub(super) created_at: UtcMicros,
    lane: Lane,
    link: Option<(u64, String, String)>,
    missing: u64,
}

pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<OutboxRow> {
    let seq: Option<i64> = row.get(6)?;
    let link = match seq {
        Some(seq) => Some((seq as u64, row.get(7)?, row.get(8)?)),
        None => None,
    };
    Ok(OutboxRow {
        id: row.get(0)?,
        kind: row.get(1)?,
        thing: row.get(2)?,
        objects: row.get::<_, Json<Vec<ObjectRef>>>(3)?.0,
        body: row.get(4)?,
        created_at: row.get(5)?,
        lane: Lane::of(row.get(10)?),
        link,
        missing: unsigned(row, 9)?,
    })
}

/// An object as records name it.
fn named(box_id: BoxId, object: &ObjectRef) -> Result<gtv_protocol::ObjectRef, StoreError> {
    let (bucket, sha256) = (object.bucket.as_str(), digest(&object.sha256)?);
    Ok(gtv_protocol::ObjectRef::new(box_id.0, bucket, sha256, object.bytes, &object.content_type))
}

impl OutboxRow {
    fn draft(self, box_id: BoxId) -> Result<Draft, StoreError> {
        let objects = self.objects.iter().map(|object| named(box_id, object)).collect::<Result<_, _>>()?;
        let name = format!("record {} {}", self.kind, self.thing);
        Draft::from_parts(self.kind, self.thing, self.created_at.0, objects, self.body)
            .map_err(|e| StoreError::conflict(name, e.to_string()))
    }

    /// The record as it was numbered; its hash is computed again, so an altered row is seen here.
    pub(super) fn numbered(self, box_id: BoxId, epoch: i64) -> Result<Record, StoreError> {
        let Some((seq, prev, hash)) = self.link.clone() else {
            return Err(StoreError::conflict(format!("record {}", self.thing), "has no number"));
        };
        let record = self.draft(box_id)?.seal(box_id.0, epoch, seq, digest(&prev)?);
        if record.hash != digest(&hash)? {
            let detail = "does not match the hash it was numbered with: the database was altered; run `gtv-edge check`";
            return Err(StoreError::conflict(format!("record {seq} of the outbox"), detail));
        }
        Ok(record)
    }
}

/// Numbered records after `after`, in order.
pub(super) fn numbered_rows(c: &Connection, after: u64, limit: usize) -> Result<Vec<OutboxRow>, StoreError> {
    let mut statement =
        c.prepare_cached(&format!("SELECT {COLUMNS} FROM outbox WHERE seq > ?1 ORDER BY seq LIMIT ?2"))?;
    let rows = statement.query_map(params![after as i64, limit as i64], read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn next_batch(c: &Connection, box_id: BoxId, after: u64, pick: &Pick) -> Result<Batch, StoreError> {
    let chain = Chain::load_or_begin(c, box_id)?;
    let mut batch = Batch::default();
    for row in numbered_rows(c, after, pick.max_records)? {
        if row.missing > 0 {
            // Its object is being uploaded again; what follows must wait for it, or the chain would have a hole.
            return with_lost_objects(c, batch);
        }
        let lane = row.lane;
        if !batch.push(lane, row.numbered(box_id, chain.last.epoch)?, pick.max_bytes) {
            return with_lost_objects(c, batch);
        }
    }
    let mut last = chain.last;
    // Only the end of the chain may be extended: a batch that stops before it must not skip what is between.
    let reached = batch.records.last().map_or(after, |record| record.seq);
    if reached == last.seq {
        for row in pick::ready_rows(c, pick, pick.max_records - batch.records.len())? {
            let (id, lane) = (row.id, row.lane);
            let draft = match row.draft(box_id) {
                Ok(draft) => draft,
                // Nothing waits for it: neither the others nor a new epoch, in which it would be the same.
                Err(fault) => {
                    evict::set_aside(c, id, &fault)?;
                    continue;
                }
            };
            let record = draft.seal(box_id.0, last.epoch, last.seq + 1, last.hash);
            let next = Position { epoch: record.epoch, seq: record.seq, hash: record.hash };
            let link = (record.prev_hash.to_string(), record.hash.to_string());
            if !batch.push(lane, record, pick.max_bytes) {
                break;
            }
            c.prepare_cached("UPDATE outbox SET epoch = ?2, seq = ?3, prev = ?4, hash = ?5 WHERE id = ?1")?
                .execute(params![id, next.epoch, next.seq as i64, link.0, link.1])?;
            last = next;
        }
    }
    if last != chain.last {
        state::set(c, LAST_SEQ, &last.seq.to_string())?;
        state::set(c, LAST_HASH, &last.hash.to_string())?;
    }
    with_lost_objects(c, batch)
}

fn with_lost_objects(c: &Connection, mut batch: Batch) -> Result<Batch, StoreError> {
    for object in batch.records.iter().flat_map(|record| &record.objects) {
        let mut statement = c.prepare_cached(
            "SELECT lost FROM objects WHERE sha256 = ?1 AND lost IS NOT NULL AND uploaded_at IS NULL",
        )?;
        let reason: Option<String> = statement.query_one([object.sha256.to_string()], |row| row.get(0)).optional()?;
        if let Some(reason) = reason
            && !batch.unavailable.iter().any(|lost| lost.sha256 == object.sha256)
        {
            batch.unavailable.push(UnavailableObject { sha256: object.sha256, reason });
        }
    }
    Ok(batch)
}

/// The objects of a row that must exist as rows; used where a record is queued.
pub(super) fn require_object(c: &Connection, object: &ObjectRef) -> Result<(), StoreError> {
    match objects::get(c, &object.sha256)? {
        Some(_) => Ok(()),
        None => Err(StoreError::not_found(format!("object {}", object.sha256))),
    }
}
