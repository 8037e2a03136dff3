//! Which of the waiting records join the next batch and which objects are next: by lane, and within a lane what is new
//! beside what has waited, so that a backlog does not hide the present.

use std::collections::BTreeSet;

use rusqlite::{Connection, params};

use super::outbox::{COLUMNS, Lane, OutboxRow, read};
use super::rows::ObjectRef;
use super::{Store, StoreError, disk_links, objects, whole};
use crate::base::time::UtcMicros;

/// What may go now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick {
    pub max_records: usize,
    pub max_bytes: usize,
    pub lanes: [bool; Lane::COUNT],
    /// Passages and clips recorded since then are new: they get half of each batch while older ones wait.
    pub new_since: UtcMicros,
}

impl Pick {
    /// All lanes, in the order in which the records were made.
    pub fn all(max_records: usize, max_bytes: usize) -> Self {
        Self { max_records, max_bytes, lanes: [true; Lane::COUNT], new_since: UtcMicros(i64::MAX) }
    }

    /// Alerts only, which go even when everything else has to wait.
    pub fn alerts(max_bytes: usize) -> Self {
        let mut lanes = [false; Lane::COUNT];
        lanes[Lane::Alerts as usize] = true;
        Self { lanes, ..Self::all(100, max_bytes) }
    }

    fn open(&self) -> impl Iterator<Item = Lane> {
        let lanes = self.lanes;
        Lane::ALL.into_iter().filter(move |lane| lanes[*lane as usize])
    }
}

/// An object that a record waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    pub object: ObjectRef,
    /// Of the record, or that of the alerts where the object holds up the chain.
    pub lane: Lane,
    /// Of a record that is new ([`Pick::new_since`]).
    pub new: bool,
    /// Everything behind its record in the chain waits.
    pub holds_chain: bool,
}

impl Store {
    /// Objects that records of the open lanes wait for: first those that hold up the chain, then by lane; in each lane
    /// new ones, newest first, before older ones, oldest first (S1, S4). Recordings of a disk that is not there wait for
    /// it, but for those that hold up the chain.
    pub async fn objects_to_upload(&self, limit: usize, pick: Pick) -> Result<Vec<Upload>, StoreError> {
        let dir = self.dir().to_owned();
        self.read("list objects to upload", move |c| {
            let missing = disk_links::missing(&dir);
            let mut found: Vec<Upload> = Vec::new();
            let mut add = |upload: Upload| {
                if found.iter().all(|other| other.object.sha256 != upload.object.sha256) {
                    found.push(upload);
                }
            };
            for (_, upload) in
                uploads(c, "b.seq IS NOT NULL AND b.missing > 0", "b.seq", None, limit, &BTreeSet::new())?
            {
                // Everything behind it in the chain waits, alerts too: whatever its lane, it goes as they do.
                add(Upload { lane: Lane::Alerts, holds_chain: true, ..upload });
            }
            for lane in pick.open() {
                let filter = "b.seq IS NULL AND b.missing > 0 AND b.lane + b.whole = ?1";
                for (made, upload) in uploads(c, filter, "b.id DESC", Some(lane), limit / 2, &missing)? {
                    if made >= pick.new_since {
                        add(Upload { new: true, ..upload });
                    }
                }
                for (made, upload) in uploads(c, filter, "b.id", Some(lane), limit, &missing)? {
                    add(Upload { new: made >= pick.new_since, ..upload });
                }
            }
            Ok(found)
        })
        .await
    }
}

/// Objects of the records that `filter` names, but for those that are on `missing` disks alone.
fn uploads(
    c: &Connection,
    filter: &str,
    order: &str,
    lane: Option<Lane>,
    limit: usize,
    missing: &BTreeSet<String>,
) -> Result<Vec<(UtcMicros, Upload)>, StoreError> {
    // Without a lane the parameter is not part of the filter, but SQLite wants as many values as it names.
    let unused = if lane.is_none() { "AND ?1 IS NULL" } else { "" };
    let mut statement = c.prepare_cached(&format!(
        "SELECT o.sha256, o.bytes, o.content_type, o.bucket, b.lane + b.whole, b.created_at, o.deleted_at IS NOT NULL
         FROM outbox b CROSS JOIN outbox_objects x ON x.outbox_id = b.id CROSS JOIN objects o ON o.sha256 = x.sha256
         WHERE {filter} {unused} AND o.uploaded_at IS NULL AND o.lost IS NULL
         ORDER BY {order}"
    ))?;
    let mut found = Vec::new();
    let mut rows = statement.query([lane.map(|lane| lane as i64)])?;
    while found.len() < limit
        && let Some(row) = rows.next()?
    {
        let upload =
            Upload { object: objects::read(row)?, lane: Lane::of(row.get(4)?), new: false, holds_chain: false };
        let no_file_of_its_own: bool = row.get(6)?;
        if missing.is_empty() || !no_file_of_its_own || !whole::is_away(c, &upload.object.sha256, missing)? {
            found.push((row.get(5)?, upload));
        }
    }
    Ok(found)
}

/// Waiting records whose objects are up, in the order in which they join the chain.
pub(super) fn ready_rows(c: &Connection, pick: &Pick, limit: usize) -> Result<Vec<OutboxRow>, StoreError> {
    let mut rows: Vec<OutboxRow> = Vec::new();
    for lane in pick.open() {
        let room = limit.saturating_sub(rows.len());
        if room == 0 {
            break;
        }
        let oldest = of_lane(c, lane, "id", room)?;
        let behind = oldest.first().is_some_and(|row| row.created_at < pick.new_since);
        if behind && oldest.len() == room && lane != Lane::Alerts {
            // More waits than fits. Only what stands for itself may overtake: a camera's new name must not come
            // before its old one.
            let alone = |row: &OutboxRow| matches!(row.kind.as_str(), "detection" | "clip");
            let mut newest = of_lane(c, lane, "id DESC", room / 2)?;
            newest.retain(|row| row.created_at >= pick.new_since && alone(row));
            take_turns(&mut rows, newest, oldest, limit);
        } else {
            rows.extend(oldest);
        }
    }
    Ok(rows)
}

/// Adds one of each in turn up to `limit` rows, each row once. A batch may end at any of them, when its bytes are full:
/// both have had their half of it.
fn take_turns(rows: &mut Vec<OutboxRow>, newest: Vec<OutboxRow>, oldest: Vec<OutboxRow>, limit: usize) {
    let (mut newest, mut oldest) = (newest.into_iter(), oldest.into_iter());
    loop {
        let turn = [newest.next(), oldest.next()];
        if turn.iter().all(Option::is_none) {
            return;
        }
        for row in turn.into_iter().flatten() {
            if rows.len() < limit && rows.iter().all(|other| other.id != row.id) {
                rows.push(row);
            }
        }
    }
}

fn of_lane(c: &Connection, lane: Lane, order: &str, limit: usize) -> Result<Vec<OutboxRow>, StoreError> {
    let mut statement = c.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM outbox WHERE seq IS NULL AND missing = 0 AND lane + whole = ?1 ORDER BY {order} LIMIT ?2"
    ))?;
    let rows = statement.query_map(params![lane as i64, limit as i64], read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::BoxId;
    use crate::store::tests::{open, passage};

    /// Six passages of an hour ago and six of now, of which the last ones have pictures.
    #[tokio::test]
    async fn a_backlog_and_the_present_share() {
        let (store, _folder) = open();
        for number in 0..12 {
            let mut row = passage(&format!("ABC{number:04}"), 1000 * number);
            if number % 6 > 3 {
                let bytes = bytes::Bytes::from(format!("crop {number}"));
                row.crop = Some(store.put_object(bytes, "image/jpeg", crate::store::Bucket::LprImages).await.unwrap());
            }
            store.insert_detection(row).await.unwrap();
        }
        let hour_ago = "UPDATE outbox SET created_at = created_at - 3600000000 WHERE id <= 6";
        store.write("age", move |tx| Ok(tx.execute(hour_ago, []).map(|_| ())?)).await.unwrap();
        let new_since = UtcMicros::now().add_micros(-600_000_000);
        let plates = |batch: &crate::store::Batch| -> Vec<String> {
            let plate = |body: &str| body.split("\"plate\":\"ABC").nth(1).unwrap()[2..4].to_owned();
            batch.records.iter().map(|record| plate(record.body.get())).collect()
        };
        let pick = Pick { new_since, ..Pick::all(4, 1 << 20) };
        let first = store.next_batch(BoxId::default(), 0, pick).await.unwrap();
        assert_eq!(plates(&first), ["09", "00", "08", "01"], "the newest and what waits longest take turns");
        let rest = store.next_batch(BoxId::default(), 4, Pick { new_since, ..Pick::all(9, 1 << 20) }).await.unwrap();
        assert_eq!(plates(&rest), ["02", "03", "06", "07"], "all fits: in the order in which it was made");
        let waiting = store.objects_to_upload(9, pick).await.unwrap();
        assert_eq!(waiting.iter().map(|upload| upload.new).collect::<Vec<_>>(), [true, true, false, false]);
        let closed = Pick { lanes: [true, false, true, true], ..pick };
        assert_eq!(store.objects_to_upload(9, closed).await.unwrap(), []);
        let none = store.next_batch(BoxId::default(), 8, Pick::alerts(1 << 20)).await.unwrap();
        assert!(none.records.is_empty());
    }
}
