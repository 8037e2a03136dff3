//! Questions of the read API: each in a read-only transaction as `gtv_reader`, under the row-level security of one
//! prefeitura. PostgreSQL makes the JSON.

use super::{Database, DbError};
use chrono::{DateTime, Utc};
use serde_json::Value;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

/// A question that takes longer is one that was asked wrongly. It ends with the transaction, like the role: a connection
/// whose question was given up goes back to the others as it was.
const READ_TIMEOUT: &str = "SET LOCAL ROLE gtv_reader; SET LOCAL statement_timeout = '10s'";

pub type Parameter<'a> = &'a (dyn ToSql + Sync);

impl Database {
    /// Rows of `sql`, a query without a trailing semicolon, as JSON objects.
    pub async fn read(&self, tenant: Uuid, sql: &str, parameters: &[Parameter<'_>]) -> Result<Vec<Value>, DbError> {
        let mut client = self.reader().await?;
        let tx = client.build_transaction().read_only(true).start().await?;
        tx.execute("SELECT set_config('gtv.prefeitura', $1, true)", &[&tenant.to_string()]).await?;
        tx.batch_execute(READ_TIMEOUT).await?;
        // Not kept as a prepared statement: which conditions are absent decides which index is right.
        let rows = tx.query(&format!("SELECT to_jsonb(answer) FROM ({sql}) answer"), parameters).await?;
        tx.commit().await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// Id of the prefeitura that a token names; `None` if there is no such, or the token was revoked.
    pub async fn tenant(&self, slug: &str, token_sha256: &[u8]) -> Result<Option<Uuid>, DbError> {
        let client = self.reader().await?;
        let sql = "SELECT id FROM cidades.prefeituras
                   WHERE slug = $1 AND NOT EXISTS (SELECT FROM admin.revoked_tokens WHERE sha256 = $2)";
        let statement = client.prepare_cached(sql).await?;
        let row = client.query_opt(&statement, &[&slug, &token_sha256]).await?;
        row.map(|row| Ok(row.try_get(0)?)).transpose()
    }

    /// Lets a token count no more, in all services from their next question on.
    pub async fn revoke_token(
        &self,
        token_sha256: &[u8],
        subject: &str,
        expires_at: DateTime<Utc>,
    ) -> Result<(), DbError> {
        let client = self.client().await?;
        client.execute("DELETE FROM admin.revoked_tokens WHERE expires_at < now()", &[]).await?;
        let sql = "INSERT INTO admin.revoked_tokens (sha256, subject, expires_at) VALUES ($1, $2, $3)
                   ON CONFLICT DO NOTHING";
        client.execute(sql, &[&token_sha256, &subject, &expires_at]).await?;
        Ok(())
    }

    /// True if questions can be asked at all: the role exists and this user may take it.
    pub async fn may_read(&self) -> Result<bool, DbError> {
        let client = self.client().await?;
        let sql = "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = 'gtv_reader'
                                  AND pg_has_role(current_user, oid, 'MEMBER'))";
        Ok(client.query_one(sql, &[]).await?.try_get(0)?)
    }

    /// Notes who looked at personal data, before the answer leaves.
    pub async fn note_access(
        &self,
        tenant: Uuid,
        subject: &str,
        role: &str,
        path: &str,
        plate_hmac: Option<&str>,
    ) -> Result<(), DbError> {
        let client = self.reader().await?;
        let sql = "INSERT INTO admin.accesses (prefeitura_id, subject, role, path, plate_hmac)
                   VALUES ($1, $2, $3, $4, $5)";
        let statement = client.prepare_cached(sql).await?;
        client.execute(&statement, &[&tenant, &subject, &role, &path, &plate_hmac]).await?;
        Ok(())
    }
}
