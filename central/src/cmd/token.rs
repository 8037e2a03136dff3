//! `gtv-sync token`: who may ask the read API.

use crate::api::token::{Claims, Role, Tokens};
use crate::settings::ApiArgs;
use anyhow::{Context, anyhow};
use chrono::{TimeDelta, Utc};
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
