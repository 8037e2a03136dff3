//! `gtv-sync provision`

use crate::objects::Objects;
use crate::settings::S3Args;
use std::process::ExitCode;

pub async fn run(args: &S3Args) -> anyhow::Result<ExitCode> {
    let objects = Objects::new(args)?;
    let done = objects.provision().await?;
    for bucket in &done.created {
        println!("created bucket {bucket}");
    }
    for (feature, answer) in &done.refused {
        println!("not available: {feature} ({answer})");
    }
    println!("buckets ready: {}", objects.bucket_names().into_values().collect::<Vec<_>>().join(", "));
    Ok(ExitCode::SUCCESS)
}
