//! Who may connect: boxes, their tenants and one-time enrolment codes.

use super::{Database, DbError, hash_column, keys};
use crate::settings::EnrolMode;
use chrono::{DateTime, Utc};
use gtv_protocol::{Hello, PublicKey, RefusalCode};
use sha2::{Digest, Sha256};
use tokio_postgres::{Row, Transaction};
use uuid::Uuid;

/// Outcome of a box's request to begin a session.
pub enum Admission {
    Admitted { tenant: Uuid, prefeitura: String, newly_enrolled: bool },
    Refused { code: RefusalCode, message: String },
}

/// Why a session that was admitted must end: the administration changed what it stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ousted {
    Disabled,
    Rekeyed,
    /// To another prefeitura.
    HandedOver,
}

impl Ousted {
    /// `row` has `prefeitura_id`, `enabled` and `public_key` of the box; the session has the other two.
    pub(super) fn by(row: &Row, tenant: Uuid, key: &PublicKey) -> Result<Option<Self>, DbError> {
        Ok(if hash_column(row, "public_key")? != *key {
            Some(Self::Rekeyed)
        } else if !row.try_get::<_, bool>("enabled")? {
            Some(Self::Disabled)
        } else if row.try_get::<_, Uuid>("prefeitura_id")? != tenant {
            Some(Self::HandedOver)
        } else {
            None
        })
    }

    pub fn code(self) -> RefusalCode {
        match self {
            Self::Disabled => RefusalCode::Disabled,
            Self::Rekeyed => RefusalCode::BadSignature,
            Self::HandedOver => RefusalCode::Unavailable,
        }
    }

    pub fn message(self) -> &'static str {
        match self {
            Self::Disabled => "this box was disabled at the center",
            Self::Rekeyed => {
                "this box is registered with another key; if its key was replaced, register the new one with `gtv-sync \
                 enrol box`"
            }
            Self::HandedOver => "this box was handed over to another prefeitura; dial again",
        }
    }
}

impl Database {
    /// Whether a session that was admitted with this tenant and key may go on.
    pub async fn ousted(&self, box_id: Uuid, tenant: Uuid, key: &PublicKey) -> Result<Option<Ousted>, DbError> {
        let client = self.client().await?;
        let sql = "SELECT prefeitura_id, enabled, public_key FROM cidades.boxes WHERE id = $1";
        let statement = client.prepare_cached(sql).await?;
        Ousted::by(&client.query_one(&statement, &[&box_id]).await?, tenant, key)
    }

    /// Looks the box up, or enrols it if the mode and its code allow. The Hello's signature is already verified.
    pub async fn admit(&self, hello: &Hello, mode: EnrolMode) -> Result<Admission, DbError> {
        let mut client = self.client().await?;
        let transaction = client.transaction().await?;
        let admission = admit(&transaction, hello, mode).await?;
        transaction.commit().await?;
        Ok(admission)
    }

    /// Registers a box's key beforehand. An existing box gets the new key, name and tenant.
    pub async fn register_box(&self, id: Uuid, key: &PublicKey, slug: &str, name: &str) -> Result<(), DbError> {
        let mut client = self.client().await?;
        let transaction = client.transaction().await?;
        let prefeitura = prefeitura(&transaction, slug).await?;
        keys::note_replaced(&transaction, id, key).await?;
        transaction
            .execute(
                "INSERT INTO cidades.boxes (id, prefeitura_id, name, public_key) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (id) DO UPDATE SET prefeitura_id = excluded.prefeitura_id, name = excluded.name,
                                                public_key = excluded.public_key, enabled = true",
                &[&id, &prefeitura, &name, &key.as_bytes().as_slice()],
            )
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Stores a one-time code for a tenant; the code itself is not kept.
    pub async fn add_enrolment_code(&self, code: &str, slug: &str, expires: DateTime<Utc>) -> Result<(), DbError> {
        let mut client = self.client().await?;
        let transaction = client.transaction().await?;
        let prefeitura = prefeitura(&transaction, slug).await?;
        transaction
            .execute(
                "INSERT INTO admin.enrolment_codes (code_sha256, prefeitura_id, expires_at) VALUES ($1, $2, $3)",
                &[&code_hash(code), &prefeitura, &expires],
            )
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Enables or disables a box; `false` if there is no such box.
    pub async fn set_box_enabled(&self, id: Uuid, enabled: bool) -> Result<bool, DbError> {
        let client = self.client().await?;
        let sql = "UPDATE cidades.boxes SET enabled = $2 WHERE id = $1";
        Ok(client.execute(sql, &[&id, &enabled]).await? == 1)
    }

    pub async fn box_ids(&self) -> Result<Vec<Uuid>, DbError> {
        let client = self.client().await?;
        let rows = client.query("SELECT id FROM cidades.boxes ORDER BY enrolled_at, id", &[]).await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }
}

async fn admit(tx: &Transaction<'_>, hello: &Hello, mode: EnrolMode) -> Result<Admission, DbError> {
    let known = tx
        .query_opt(
            "SELECT b.public_key, b.enabled, p.id, p.slug FROM cidades.boxes b
             JOIN cidades.prefeituras p ON p.id = b.prefeitura_id WHERE b.id = $1",
            &[&hello.box_id],
        )
        .await?;
    if let Some(row) = known {
        if hash_column(&row, "public_key")? != hello.public_key {
            return Ok(refused(Ousted::Rekeyed.code(), Ousted::Rekeyed.message()));
        }
        if !row.try_get::<_, bool>("enabled")? {
            return Ok(refused(Ousted::Disabled.code(), Ousted::Disabled.message()));
        }
        tx.execute(
            "UPDATE cidades.boxes SET last_seen_at = now(), software = $2 WHERE id = $1",
            &[&hello.box_id, &hello.software],
        )
        .await?;
        let (tenant, prefeitura) = (row.try_get("id")?, row.try_get("slug")?);
        return Ok(Admission::Admitted { tenant, prefeitura, newly_enrolled: false });
    }
    let tenant = match (&hello.enrol_code, mode) {
        (Some(code), _) => {
            let used = tx
                .query_opt(
                    "UPDATE admin.enrolment_codes c SET used_at = now(), used_by = $2 FROM cidades.prefeituras p
                     WHERE c.code_sha256 = $1 AND c.used_at IS NULL AND c.expires_at > now()
                       AND p.id = c.prefeitura_id RETURNING p.id, p.slug",
                    &[&code_hash(code), &hello.box_id],
                )
                .await?;
            let Some(row) = used else {
                return Ok(refused(
                    RefusalCode::NotEnrolled,
                    "the enrolment code is unknown, used or expired; make a new one with `gtv-sync enrol code`",
                ));
            };
            (row.try_get::<_, Uuid>(0)?, row.try_get::<_, String>(1)?)
        }
        (None, EnrolMode::Open) => (prefeitura(tx, &hello.prefeitura).await?, hello.prefeitura.clone()),
        (None, EnrolMode::Code) => {
            return Ok(refused(
                RefusalCode::NotEnrolled,
                "this box is not registered; give it a code made with `gtv-sync enrol code`",
            ));
        }
    };
    tx.execute(
        "INSERT INTO cidades.boxes (id, prefeitura_id, name, site, public_key, software, last_seen_at)
         VALUES ($1, $2, $3, $4, $5, $6, now())",
        &[&hello.box_id, &tenant.0, &hello.name, &hello.site, &hello.public_key.as_bytes().as_slice(), &hello.software],
    )
    .await?;
    Ok(Admission::Admitted { tenant: tenant.0, prefeitura: tenant.1, newly_enrolled: true })
}

/// Id of a tenant; created on first use.
async fn prefeitura(tx: &Transaction<'_>, slug: &str) -> Result<Uuid, DbError> {
    let sql = "INSERT INTO cidades.prefeituras (slug, name) VALUES ($1, $1)
               ON CONFLICT (slug) DO UPDATE SET slug = excluded.slug RETURNING id";
    Ok(tx.query_one(sql, &[&slug]).await?.try_get(0)?)
}

fn code_hash(code: &str) -> Vec<u8> {
    Sha256::digest(code.trim().as_bytes()).to_vec()
}

fn refused(code: RefusalCode, message: &str) -> Admission {
    Admission::Refused { code, message: message.to_owned() }
}
