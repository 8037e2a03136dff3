//! Committed positions of the chains, and the hashes behind them.

use super::{Database, DbError, hash_column};
use gtv_protocol::{Hash, Position};
use std::collections::BTreeMap;
use tokio_postgres::Row;
use uuid::Uuid;

pub(crate) fn position_of(row: &Row) -> Result<Position, DbError> {
    let seq: i64 = row.try_get("seq")?;
    Ok(Position { epoch: row.try_get("epoch")?, seq: seq.cast_unsigned(), hash: hash_column(row, "hash")? })
}

impl Database {
    /// Last committed position of the newest epoch of a box.
    pub async fn newest_position(&self, box_id: Uuid) -> Result<Option<Position>, DbError> {
        let client = self.client().await?;
        let sql = "SELECT epoch, seq, hash FROM sync.chains WHERE box_id = $1 ORDER BY epoch DESC LIMIT 1";
        let statement = client.prepare_cached(sql).await?;
        client.query_opt(&statement, &[&box_id]).await?.as_ref().map(position_of).transpose()
    }

    /// Last committed position of one epoch; the empty chain if nothing is stored.
    pub async fn position(&self, box_id: Uuid, epoch: i64) -> Result<Position, DbError> {
        let client = self.client().await?;
        let sql = "SELECT epoch, seq, hash FROM sync.chains WHERE box_id = $1 AND epoch = $2";
        let statement = client.prepare_cached(sql).await?;
        let row = client.query_opt(&statement, &[&box_id, &epoch]).await?;
        row.as_ref().map_or_else(|| Ok(Position::start(box_id, epoch)), position_of)
    }

    /// Hashes of committed records, by number.
    pub async fn hashes(
        &self,
        box_id: Uuid,
        epoch: i64,
        first: u64,
        last: u64,
    ) -> Result<BTreeMap<u64, Hash>, DbError> {
        let client = self.client().await?;
        let sql = "SELECT seq, hash FROM sync.records WHERE box_id = $1 AND epoch = $2 AND seq BETWEEN $3 AND $4";
        let statement = client.prepare_cached(sql).await?;
        let (first, last) = (first.cast_signed(), last.cast_signed());
        let rows = client.query(&statement, &[&box_id, &epoch, &first, &last]).await?;
        rows.iter().map(|row| Ok((row.try_get::<_, i64>("seq")?.cast_unsigned(), hash_column(row, "hash")?))).collect()
    }
}
