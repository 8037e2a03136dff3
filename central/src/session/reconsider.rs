//! Reviews records again that an older release put into quarantine because it did not know their kind: the box was
//! updated before the centre. Once after each start, in the background.

use super::Center;
use super::review::review;
use crate::db::DbError;
use crate::db::commit::{Accepted, Reviewed};
use gtv_protocol::Position;
use std::time::Duration;
use tracing::{info, warn};
use uuid::Uuid;

const RECORDS_AT_A_TIME: i64 = 500;
const RETRY_AFTER: Duration = Duration::from_secs(60);

pub async fn run(center: &Center) {
    let work = async {
        loop {
            match reconsider(center).await {
                Ok(0) => return,
                Ok(records) => return info!(records, "records in quarantine are of a kind that is known now: applied"),
                Err(error) => warn!(%error, "records in quarantine could not be reviewed again; tried again soon"),
            }
            tokio::time::sleep(RETRY_AFTER).await;
        }
    };
    tokio::select! {
        () = center.stopping.cancelled() => {}
        () = work => {}
    }
}

async fn reconsider(center: &Center) -> Result<u64, DbError> {
    let mut applied = 0;
    let mut after = (Uuid::nil(), i64::MIN, 0);
    loop {
        let waiting = center.db.waiting_records(after, RECORDS_AT_A_TIME).await?;
        let Some(last) = waiting.last() else { return Ok(applied) };
        after = (last.box_id, last.record.epoch, last.record.seq);
        for waiting in &waiting {
            let (box_id, tenant, key, record) = (waiting.box_id, waiting.tenant, waiting.key, &waiting.record);
            let Ok(body) = review(box_id, &key, record) else { continue };
            let accepted = Accepted {
                box_id,
                tenant,
                key,
                after: Position { epoch: record.epoch, seq: record.seq.saturating_sub(1), hash: record.prev_hash },
                records: vec![Reviewed { record, body: Ok(body) }],
                objects: Vec::new(),
                events: center.events.is_some(),
                head: None,
            };
            applied += u64::from(center.db.apply(&accepted).await?);
        }
    }
}
