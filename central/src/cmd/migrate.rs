//! `gtv-sync migrate`

use crate::db::Database;
use crate::settings::DatabaseArgs;
use std::process::ExitCode;

pub async fn run(args: &DatabaseArgs) -> anyhow::Result<ExitCode> {
    let db = Database::new(args)?;
    let applied = db.migrate().await?;
    for name in &applied {
        println!("applied {name}");
    }
    if applied.is_empty() {
        println!("the schema is up to date");
    }
    Ok(ExitCode::SUCCESS)
}
