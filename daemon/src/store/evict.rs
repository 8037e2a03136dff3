//! Records that go before they are delivered, because too many wait or because one cannot be sent: each is counted in its
//! hour, and a tombstone tells how many and why.

use gtv_protocol::body::{Body, Tombstone};
use rusqlite::{Connection, OptionalExtension, params};

use super::outbox::{self, Lane};
use super::{Store, StoreError, proofs, whole};
use crate::base::metrics::dropped;
use crate::base::time::UtcMicros;

/// Records a transaction, so that nobody waits long behind it.
const AT_ONCE: u64 = 20_000;

/// When it was made and how many objects it names, as the counts of hours want it.
type Went = (UtcMicros, i64);

impl Store {
    /// Bounds what may wait while nothing is delivered: beyond `max` the oldest of the last lane go first, counted and
    /// with a tombstone, and a hundredth more, so that tombstones do not take the place of what they tell of. What the
    /// cameras are called stays, for it is told only once, and the one state of the box. Returns how many went.
    pub async fn bound_outbox(&self, max: u64) -> Result<u64, StoreError> {
        let mut all = 0;
        loop {
            let gone = self.write("bound the outbox", move |tx| bound(tx, max)).await?;
            all += gone;
            if gone < AT_ONCE {
                return Ok(all);
            }
        }
    }
}

fn bound(c: &Connection, max: u64) -> Result<u64, StoreError> {
    let waiting: i64 =
        c.prepare_cached("SELECT count(*) FROM outbox WHERE seq IS NULL")?.query_one([], |row| row.get(0))?;
    if waiting as u64 <= max {
        return Ok(0);
    }
    let wanted = (waiting as u64 - max + max / 100).min(AT_ONCE) as usize;
    let mut went: Vec<Went> = Vec::new();
    for lane in Lane::ALL.into_iter().rev() {
        for id in oldest(c, lane, wanted - went.len())? {
            went.extend(remove(c, id)?);
        }
    }
    let gone = went.len() as u64;
    tell(c, &went, &format!("{gone} records went because more than {max} waited for the centre"))?;
    Ok(gone)
}

/// A record that no batch can have goes by itself.
pub(super) fn set_aside(c: &Connection, id: i64, fault: &StoreError) -> Result<(), StoreError> {
    tracing::error!(error = %fault, "a record can never be sent; a tombstone says so");
    dropped("outbox", "invalid", 1);
    let went: Vec<Went> = remove(c, id)?.into_iter().collect();
    tell(c, &went, &format!("{} record went because it cannot be sent: {fault}", went.len()))
}

/// Of those that may go. Two questions in one, because each is answered in order by a partial index.
fn oldest(c: &Connection, lane: Lane, limit: usize) -> Result<Vec<i64>, StoreError> {
    let of = |missing: &str| {
        format!(
            "SELECT id FROM outbox WHERE seq IS NULL AND missing {missing} AND lane + whole = ?1
                AND kind NOT IN ('tombstone', 'proof', 'camera', 'box_status')"
        )
    };
    let query = format!("{} UNION ALL {} ORDER BY id LIMIT ?2", of("= 0"), of("> 0"));
    let mut statement = c.prepare_cached(&query)?;
    let rows = statement.query_map(params![lane as i64, limit as i64], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn remove(c: &Connection, id: i64) -> Result<Option<Went>, StoreError> {
    let mut statement = c.prepare_cached(
        "DELETE FROM outbox WHERE id = ?1
         RETURNING created_at, json_array_length(objects), iif(whole = 1, body, NULL)",
    )?;
    let row = statement.query_one([id], |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, Option<String>>(2)?)));
    let Some((made_at, objects, video)) = row.optional()? else { return Ok(None) };
    if let Some(video) = video {
        whole::went(c, &video)?;
    }
    Ok(Some((made_at, objects)))
}

fn tell(c: &Connection, went: &[Went], reason: &str) -> Result<(), StoreError> {
    let Some((first, last)) = proofs::count_evicted(c, went)? else { return Ok(()) };
    let body = Body::Tombstone(Tombstone {
        what: "records".to_owned(),
        camera: None,
        stream: None,
        start_us: Some(first),
        end_us: Some(last),
        bytes: 0,
        sha256: None,
        reason: outbox::told(reason),
    });
    outbox::put(c, Lane::Bulk, &body, &format!("records/{}", UtcMicros::now().0), &[])
}
