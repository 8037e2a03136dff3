//! Which objects were checked, and how.

use super::{Database, DbError, hash_column};
use gtv_protocol::{Hash, ObjectRef};
use std::collections::BTreeSet;
use uuid::Uuid;

/// How an object was checked before the row that names it was committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checked {
    /// Read back and hashed.
    Content,
    /// Too large to read back; its size was compared.
    Size,
    /// The box declared that it has lost it.
    Lost,
}

impl Checked {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Content => "content",
            Self::Size => "size",
            Self::Lost => "lost",
        }
    }

    fn parse(text: &str) -> Result<Self, DbError> {
        [Self::Content, Self::Size, Self::Lost]
            .into_iter()
            .find(|checked| checked.as_str() == text)
            .ok_or_else(|| DbError::Data(format!("sync.objects.checked holds {text:?}: the row was altered")))
    }
}

/// A row of `sync.objects`.
#[derive(Debug, Clone)]
pub struct StoredObject {
    pub bucket: String,
    pub key: String,
    pub sha256: Hash,
    pub bytes: u64,
    pub checked: Checked,
    pub reason: Option<String>,
}

impl StoredObject {
    pub fn of(object: &ObjectRef, checked: Checked, reason: Option<String>) -> Self {
        Self {
            bucket: object.bucket.clone(),
            key: object.key.clone(),
            sha256: object.sha256,
            bytes: object.bytes,
            checked,
            reason,
        }
    }
}

impl Database {
    /// Of `objects` (bucket, key), those whose content was already read back and hashed.
    pub async fn known_objects(
        &self,
        box_id: Uuid,
        objects: &[(&str, &str)],
    ) -> Result<BTreeSet<(String, String)>, DbError> {
        if objects.is_empty() {
            return Ok(BTreeSet::new());
        }
        let client = self.client().await?;
        // One look into the index for each: a plan made while the table was small must not read all of it later.
        let sql = "SELECT o.bucket, o.key FROM unnest($2::text[], $3::text[]) AS named (bucket, key)
                   CROSS JOIN LATERAL (
                       SELECT s.bucket, s.key FROM sync.objects s
                       WHERE s.box_id = $1 AND s.bucket = named.bucket AND s.key = named.key AND s.checked = 'content'
                       LIMIT 1
                   ) o";
        let statement = client.prepare_cached(sql).await?;
        let (buckets, keys): (Vec<&str>, Vec<&str>) = objects.iter().copied().unzip();
        let rows = client.query(&statement, &[&box_id, &buckets, &keys]).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }

    /// Objects of a box after `(bucket, key)`, with the age of their check in days, for the audit.
    pub async fn objects_page(
        &self,
        box_id: Uuid,
        after: (&str, &str),
        limit: i64,
    ) -> Result<Vec<(StoredObject, f64)>, DbError> {
        let client = self.client().await?;
        let sql = "SELECT bucket, key, sha256, bytes, checked, reason,
                          (extract(epoch FROM now() - checked_at) / 86400)::float8 AS age_days
                   FROM sync.objects WHERE box_id = $1 AND (bucket, key) > ($2, $3) ORDER BY bucket, key LIMIT $4";
        let rows = client.query(sql, &[&box_id, &after.0, &after.1, &limit]).await?;
        rows.iter()
            .map(|row| {
                let object = StoredObject {
                    bucket: row.try_get("bucket")?,
                    key: row.try_get("key")?,
                    sha256: hash_column(row, "sha256")?,
                    bytes: row.try_get::<_, i64>("bytes")?.cast_unsigned(),
                    checked: Checked::parse(row.try_get("checked")?)?,
                    reason: row.try_get("reason")?,
                };
                Ok((object, row.try_get("age_days")?))
            })
            .collect()
    }
}
