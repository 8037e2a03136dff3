//! `gtv-sync audit`

use crate::audit::{Hour, Report, Scope, Unsigned, audit};
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
    /// First hour to tell of, RFC 3339 (2026-01-31T12:00:00Z); absent: from the beginning
    #[arg(long, value_name = "TIME", value_parser = time_us)]
    from: Option<i64>,
    /// Tell of the hours before this time
    #[arg(long, value_name = "TIME", value_parser = time_us)]
    to: Option<i64>,
    /// Read all objects back and hash them, instead of comparing their sizes
    #[arg(long)]
    objects: bool,
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
    let objects = Objects::patient(&args.s3)?;
    let scope = Scope {
        box_id: args.box_id,
        from_us: args.from.map_or(0, |us| Hour::of(us).0),
        to_us: args.to.unwrap_or(i64::MAX),
        content: args.objects,
        retention_days: args.s3.retention_days,
    };
    let report = audit(&db, &objects, &scope).await?;
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print(&report);
    }
    Ok(match (report.findings.is_empty(), report.objects_unchecked) {
        (false, _) => ExitCode::FAILURE,
        (true, 0) => ExitCode::SUCCESS,
        (true, _) => ExitCode::from(super::FAILED),
    })
}

fn time_us(text: &str) -> Result<i64, String> {
    let time = chrono::DateTime::parse_from_rfc3339(text);
    time.map(|time| time.timestamp_micros()).map_err(|e| format!("{e}; write it like 2026-01-31T12:00:00Z"))
}

fn print(report: &Report) {
    for line in &report.hours {
        println!("box {} {}: records {}", line.box_id, line.hour, line.records);
        println!("{:>62} objects {}", "", line.objects);
    }
    for finding in &report.findings {
        println!("{finding}");
    }
    for Unsigned { box_id, epoch, first, last } in &report.unsigned {
        println!("not signed yet: box {box_id} epoch {epoch} records {first}..={last}");
    }
    if let Some(problem) = &report.unchecked_because {
        println!("{} objects could not be checked, the first: {problem}", report.objects_unchecked);
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
        "{} boxes, {} chains, {} records ({} retold), {} expired, {} signatures, {} roots ({} over expired records), {} objects ({} lost by their box, {} declared lost and found, {} expired): {} findings",
        report.boxes,
        report.chains,
        report.records,
        report.records_retold,
        report.records_expired,
        report.signatures,
        report.roots,
        report.roots_expired,
        report.objects,
        report.objects_lost,
        report.objects_found,
        report.objects_expired,
        report.findings.len()
    );
}
