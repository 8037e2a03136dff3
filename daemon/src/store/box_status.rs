//! What the box tells the centre of itself. At most one such record waits: the next one takes its place and keeps what
//! that one had to say of cameras that began and ended, so that weeks without a centre cost one row.

use gtv_protocol::body::{Body, BoxStatus};
use rusqlite::{Connection, OptionalExtension};

use super::events::StoreEvent;
use super::outbox::{Lane, put};
use super::{Store, StoreError, proofs, state};
use crate::base::time::UtcMicros;

/// Row of the last status in the outbox.
const ROW: &str = "sync.status_row";
/// Streams that deliver, as the centre was told last.
const STREAMING: &str = "sync.streaming";

impl Store {
    /// Queues the status; `streaming` is kept with it for [`Store::told_streaming`].
    pub async fn tell_status(&self, status: BoxStatus, streaming: String) -> Result<(), StoreError> {
        self.write("queue the state of the box", move |tx| {
            let mut status = status;
            if let Some((row, made_at, body)) = waiting(tx)? {
                // One that cannot be read any more has nothing to bring along.
                if let Ok(before) = serde_json::from_str::<BoxStatus>(&body) {
                    status.changes.splice(0..0, before.changes);
                    status.changes_dropped = status.changes_dropped.saturating_add(before.changes_dropped);
                }
                tx.prepare_cached("DELETE FROM outbox WHERE id = ?1")?.execute([row])?;
                proofs::uncount(tx, made_at)?;
            }
            status.fit();
            put(tx, Lane::Alerts, &Body::BoxStatus(status), "status", &[])?;
            let row: i64 = tx.prepare_cached("SELECT max(id) FROM outbox")?.query_one([], |row| row.get(0))?;
            state::set(tx, ROW, &row.to_string())?;
            state::set(tx, STREAMING, &streaming)?;
            tx.publish(StoreEvent::Outbox);
            Ok(())
        })
        .await
    }

    /// What the last status was queued with.
    pub async fn told_streaming(&self) -> Result<Option<String>, StoreError> {
        self.state(STREAMING).await
    }
}

/// The last status if it has no number yet.
fn waiting(c: &Connection) -> Result<Option<(i64, UtcMicros, String)>, StoreError> {
    let Some(row) = state::get(c, ROW)?.and_then(|row| row.parse::<i64>().ok()) else { return Ok(None) };
    let mut statement = c.prepare_cached(
        "SELECT id, created_at, body FROM outbox WHERE id = ?1 AND kind = 'box_status' AND seq IS NULL",
    )?;
    Ok(statement.query_one([row], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional()?)
}

#[cfg(test)]
mod tests {
    use gtv_protocol::body::HOUR_US;
    use gtv_protocol::status::StreamChange;

    use super::*;
    use crate::base::identity::Identity;
    use crate::store::Pick;
    use crate::store::tests::open;

    fn status(at_us: i64) -> BoxStatus {
        let (camera, stream) = ("gate".to_owned(), "main".to_owned());
        let change = StreamChange { camera, stream, streaming: true, at_us, reason: None };
        BoxStatus { software: "test".to_owned(), changes: vec![change], ..BoxStatus::default() }
    }

    fn told(body: &str) -> Vec<i64> {
        let status: BoxStatus = serde_json::from_str(body).unwrap();
        status.changes.iter().map(|change| change.at_us).collect()
    }

    #[tokio::test]
    async fn one_status_waits_and_none_of_its_changes_is_lost() {
        let (store, folder) = open();
        let identity = Identity::open_or_create(folder.path()).unwrap();
        for at_us in 1..=500 {
            store.tell_status(status(at_us), format!("[{at_us}]")).await.unwrap();
        }
        assert_eq!(store.told_streaming().await.unwrap().as_deref(), Some("[500]"));
        assert_eq!(store.outbox_status(identity.box_id).await.unwrap().waiting, [1, 0, 0, 0]);
        let batch = store.next_batch(identity.box_id, 0, Pick::all(9, 1 << 20)).await.unwrap();
        let newest = told(batch.records[0].body.get());
        assert_eq!((newest.len(), newest.last()), (200, Some(&500)));
        assert!(batch.records[0].body.get().contains("\"changes_dropped\":300"));
        // What has a number stays as it is.
        store.tell_status(status(501), String::new()).await.unwrap();
        store.tell_status(status(502), String::new()).await.unwrap();
        let batch = store.next_batch(identity.box_id, 1, Pick::all(9, 1 << 20)).await.unwrap();
        assert_eq!(told(batch.records[0].body.get()), [501, 502]);
        // The hour counts what is left.
        store.prove(&identity, UtcMicros::now().add_micros(HOUR_US)).await.unwrap();
        let batch = store.next_batch(identity.box_id, 2, Pick::all(9, 1 << 20)).await.unwrap();
        let proof: serde_json::Value = serde_json::from_str(batch.records[0].body.get()).unwrap();
        let records: u64 =
            proof["hours"].as_array().unwrap().iter().map(|hour| hour["records"].as_u64().unwrap()).sum();
        assert_eq!(records, 2, "{proof}");
    }
}
