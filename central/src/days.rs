//! The job that makes the partitions of passages before their day begins: at the start and once an hour, in every service.

use crate::db::Database;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tracing::warn;

const LOOK_EVERY: Duration = Duration::from_secs(3600);
/// After one could not be made.
const RETRY_AFTER: Duration = Duration::from_secs(300);

pub async fn run(db: &Database, stopping: &CancellationToken) {
    let keep = async {
        loop {
            let done = db.make_days().await.unwrap_or_else(|error| {
                warn!(%error, "the partitions of the coming days could not be made; tried again soon");
                false
            });
            tokio::time::sleep(if done { LOOK_EVERY } else { RETRY_AFTER }).await;
        }
    };
    tokio::select! {
        () = stopping.cancelled() => {}
        () = keep => {}
    }
}
