//! The job that lets rows go when their time is over: once an hour, one service at a time; most of the time there is
//! nothing to do.

use crate::db::Database;
use crate::db::retention::Gone;
use crate::metrics;
use ::metrics::counter;
use chrono::{Days, Utc};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

const LOOK_EVERY: Duration = Duration::from_secs(3600);

/// Keeps `days` days of rows until `stopping`; 0 keeps them for ever.
pub async fn run(db: &Database, days: u32, stopping: &CancellationToken) {
    if days == 0 {
        return;
    }
    let keep = async {
        loop {
            if let Some(before) = Utc::now().date_naive().checked_sub_days(Days::new(days.into())) {
                match db.expire(before).await {
                    Ok(None) => {}
                    Ok(Some(gone)) => {
                        counter!(metrics::EXPIRED).increment(gone.records);
                        if gone != Gone::default() {
                            let Gone { days, records, objects } = gone;
                            info!(%before, days, records, objects, "rows whose time was over are gone");
                        }
                    }
                    Err(error) => warn!(%error, "rows whose time is over could not be removed; tried again in an hour"),
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::select! {
        () = stopping.cancelled() => {}
        () = keep => {}
    }
}
