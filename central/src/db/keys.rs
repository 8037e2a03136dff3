//! The keys of a box: the one registered now, and those that it replaced, each good for what came before that.

use super::{Database, DbError, hash_column};
use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use gtv_protocol::PublicKey;
use uuid::Uuid;

pub struct BoxKeys {
    pub registered: PublicKey,
    /// With the time at which another one took its place.
    pub replaced: Vec<(PublicKey, DateTime<Utc>)>,
}

impl BoxKeys {
    /// All of them, the registered one first, with the time at which another one took its place.
    pub fn all(&self) -> impl Iterator<Item = (&PublicKey, Option<DateTime<Utc>>)> {
        let replaced = self.replaced.iter().map(|(key, until)| (key, Some(*until)));
        std::iter::once((&self.registered, None)).chain(replaced)
    }

    /// Keys that may have signed what came at this time.
    pub fn at(&self, came: DateTime<Utc>) -> impl Iterator<Item = &PublicKey> {
        let replaced = self.replaced.iter().filter(move |(_, until)| came <= *until).map(|(key, _)| key);
        std::iter::once(&self.registered).chain(replaced)
    }
}

/// Notes the registered key of a box if `key` is to take its place.
pub(super) async fn note_replaced(tx: &Transaction<'_>, box_id: Uuid, key: &PublicKey) -> Result<(), DbError> {
    // After the lock nothing that this key signed can come any more: the time is later than all that it did.
    tx.execute("SELECT FROM cidades.boxes WHERE id = $1 FOR UPDATE", &[&box_id]).await?;
    tx.execute(
        "INSERT INTO cidades.replaced_keys (box_id, public_key, replaced_at)
         SELECT id, public_key, clock_timestamp() FROM cidades.boxes WHERE id = $1 AND public_key <> $2
         ON CONFLICT (box_id, public_key) DO UPDATE SET replaced_at = excluded.replaced_at",
        &[&box_id, &key.as_bytes().as_slice()],
    )
    .await?;
    Ok(())
}

impl Database {
    pub async fn box_keys(&self, box_id: Uuid) -> Result<BoxKeys, DbError> {
        let client = self.client().await?;
        // One statement: a key that is replaced meanwhile is in one of the two.
        let sql = "SELECT public_key, NULL::timestamptz AS replaced_at FROM cidades.boxes WHERE id = $1
                   UNION ALL
                   SELECT public_key, replaced_at FROM cidades.replaced_keys WHERE box_id = $1
                   ORDER BY replaced_at NULLS FIRST";
        let rows = client.query(sql, &[&box_id]).await?;
        let Some((first, rest)) = rows.split_first() else {
            return Err(DbError::Data(format!("box {box_id} is not registered any more")));
        };
        let replaced = rest.iter().map(|row| Ok((hash_column(row, "public_key")?, row.try_get("replaced_at")?)));
        Ok(BoxKeys {
            registered: hash_column(first, "public_key")?,
            replaced: replaced.collect::<Result<_, DbError>>()?,
        })
    }
}
