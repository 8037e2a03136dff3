//! What becomes of a record besides its place in the chain: a typed row, none, or none because another record told the
//! same.

use super::DbError;
use super::commit::{Accepted, Reviewed};
use deadpool_postgres::Transaction;
use gtv_protocol::Kind;
use std::borrow::Cow;
use std::collections::BTreeSet;
use tokio_postgres::Row;

/// What becomes of a record besides its place in the chain.
pub enum Standing {
    Applied,
    Quarantined(String),
    /// An earlier record told the same thing: a box that began a new epoch may send again what is here already.
    Retold,
}

impl Standing {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Quarantined(_) => "quarantined",
            Self::Retold => "retold",
        }
    }

    pub fn reason(&self) -> Option<&str> {
        if let Self::Quarantined(reason) = self { Some(reason) } else { None }
    }
}

/// Looks each record up.
pub async fn look_up(tx: &Transaction<'_>, accepted: &Accepted<'_>) -> Result<Vec<Standing>, DbError> {
    let things: Vec<(&str, &str)> =
        accepted.records.iter().map(|r| (r.record.kind.as_str(), r.record.id.as_str())).collect();
    let (kinds, ids): (Vec<&str>, Vec<&str>) = things.iter().copied().unzip();
    let statement = tx
        .prepare_cached(
            // One look into the index a thing: as a plain join PostgreSQL may compare every record with every thing.
            "SELECT t.kind, t.id FROM unnest($2::text[], $3::text[]) AS t (kind, id), LATERAL (
                 SELECT FROM sync.records r
                 WHERE r.box_id = $1 AND r.kind = t.kind AND r.id = t.id AND r.state = 'applied'
                   AND r.kind NOT IN ('camera', 'box_status')
                 LIMIT 1) told",
        )
        .await?;
    let rows = tx.query(&statement, &[&accepted.box_id, &kinds, &ids]).await?;
    let column = |row: &Row, index: usize| Ok::<_, DbError>(Cow::Owned(row.try_get::<_, String>(index)?));
    let told = rows.iter().map(|row| Ok((column(row, 0)?, column(row, 1)?))).collect::<Result<_, DbError>>()?;
    Ok(of_batch(accepted, told))
}

/// `told`: kind and id of the things that records before this batch told.
pub fn of_batch<'a>(accepted: &Accepted<'a>, mut told: BTreeSet<(Cow<'a, str>, Cow<'a, str>)>) -> Vec<Standing> {
    let told_again = [Kind::Camera.as_str(), Kind::BoxStatus.as_str()];
    let mut standing = |reviewed: &Reviewed<'a>| {
        let (kind, id) = (reviewed.record.kind.as_str(), reviewed.record.id.as_str());
        match &reviewed.body {
            Err(reason) => Standing::Quarantined(reason.clone()),
            Ok(_) if told_again.contains(&kind) || told.insert((kind.into(), id.into())) => Standing::Applied,
            Ok(_) => Standing::Retold,
        }
    };
    accepted.records.iter().map(&mut standing).collect()
}
