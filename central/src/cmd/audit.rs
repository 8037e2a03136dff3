//! `gtv-sync audit`

use crate::audit::{Report, Scope, audit};
use crate::db::Database;
use crate::objects::Objects;
use crate::settings::{DatabaseArgs, S3Args};
use clap::Args;
use std::process::ExitCode;
use uuid::Uuid;

#[derive(Args)]
pub struct AuditArgs {
    /// Only this box
    #[arg(long = "box", value_name = "ID")]
    box_id: Option<Uuid>,
    /// Compare sizes of objects, do not read them back
    #[arg(long)]
    quick: bool,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    s3: S3Args,
}

pub async fn run(args: &AuditArgs) -> anyhow::Result<ExitCode> {
    let db = Database::new(&args.database)?;
    let objects = Objects::new(&args.s3)?;
    let scope = Scope { box_id: args.box_id, quick: args.quick, retention_days: args.s3.retention_days };
    let report = audit(&db, &objects, &scope).await?;
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print(&report);
    }
    Ok(if report.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(report: &Report) {
    for finding in &report.findings {
        println!("{finding}");
    }
    for incident in &report.incidents {
        println!(
            "refused earlier: {}: box {} epoch {} record {}, {} times, last {}: {}",
            incident.name,
            incident.box_id,
            incident.epoch,
            incident.seq,
            incident.times,
            incident.last_at,
            incident.detail
        );
    }
    println!(
        "{} boxes, {} chains, {} records ({} retold), {} signatures, {} objects ({} lost by their box, {} expired): {} findings",
        report.boxes,
        report.chains,
        report.records,
        report.records_retold,
        report.signatures,
        report.objects,
        report.objects_lost,
        report.objects_expired,
        report.findings.len()
    );
}
