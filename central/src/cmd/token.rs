//! `gtv-sync token` and `gtv-sync revoke`: who may ask the read API, and who may not any more.

use crate::api::token::{Claims, Role, Tokens};
use crate::db::Database;
use crate::settings::{ApiArgs, DatabaseArgs};
use anyhow::{Context, anyhow};
use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use std::process::ExitCode;

#[derive(Args)]
pub struct TokenArgs {
    /// Slug of the one prefeitura that may be asked about
    #[arg(long)]
    prefeitura: String,
    #[arg(long, value_enum, default_value = "viewer")]
    role: Role,
    /// The person, for the list of who looked at what
    #[arg(long)]
    name: String,
    #[arg(long, default_value_t = 8)]
    hours: u32,
    #[command(flatten)]
    api: ApiArgs,
}

pub fn run(args: &TokenArgs) -> anyhow::Result<ExitCode> {
    let secret = args.api.api_secret.as_deref().context("give --api-secret, the one of the service")?;
    let tokens = Tokens::new(secret).map_err(|problem| anyhow!("--api-secret: {problem}"))?;
    let exp = (Utc::now() + TimeDelta::hours(i64::from(args.hours))).timestamp().cast_unsigned();
    let claims = Claims { sub: args.name.clone(), prefeitura: args.prefeitura.clone(), role: args.role, exp };
    println!("{}", tokens.issue(&claims).context("the token could not be signed")?);
    Ok(ExitCode::SUCCESS)
}

#[derive(Args)]
pub struct RevokeArgs {
    /// The token, as it was issued
    token: String,
    #[command(flatten)]
    api: ApiArgs,
    #[command(flatten)]
    database: DatabaseArgs,
}

pub async fn revoke(args: &RevokeArgs) -> anyhow::Result<ExitCode> {
    let secret = args.api.api_secret.as_deref().context("give --api-secret, the one of the service")?;
    let tokens = Tokens::new(secret).map_err(|problem| anyhow!("--api-secret: {problem}"))?;
    let (claims, sha256) = tokens
        .verify(&format!("Bearer {}", args.token))
        .context("this is no token of this service, or it has expired: nothing to revoke")?;
    let exp = claims.exp.cast_signed();
    let expires_at = DateTime::from_timestamp(exp, 0).unwrap_or(DateTime::<Utc>::MAX_UTC);
    Database::new(&args.database)?.revoke_token(&sha256, &claims.sub, expires_at).await?;
    println!("revoked: a token of {} for {}", claims.sub, claims.prefeitura);
    Ok(ExitCode::SUCCESS)
}
