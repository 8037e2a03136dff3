//! `gtv-sync serve`, from top to bottom: metrics, clients, listener, preparation in the background, requests, drain.

use crate::api::token::Tokens;
use crate::days;
use crate::db::Database;
use crate::events::Events;
use crate::fleet;
use crate::live::Live;
use crate::metrics;
use crate::objects::Objects;
use crate::ready::{self, Preparation};
use crate::retention;
use crate::session::{Center, reconsider};
use crate::settings::ServeArgs;
use crate::web;
use anyhow::Context;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

/// Sessions finish their batch within this time; then the process ends anyway, which costs nothing but a repeat.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(15);
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_LONGEST: Duration = Duration::from_secs(30);

pub async fn run(args: &ServeArgs) -> anyhow::Result<ExitCode> {
    args.check().map_err(|problem| anyhow::anyhow!(problem))?;
    let tokens = match &args.api.api_secret {
        Some(secret) => {
            Some(Arc::new(Tokens::new(secret).map_err(|problem| anyhow::anyhow!("--api-secret: {problem}"))?))
        }
        None => None,
    };
    // Clients that bring no cryptography of their own take this one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let metrics = metrics::install()?;
    let db = Database::new(&args.database)?;
    let objects = Objects::new(&args.s3)?;
    let events = Events::new(&args.events)?;
    let live = Live::start(&args.live)?;
    let stopping = CancellationToken::new();
    let center = Arc::new(Center::new(db, objects, events, live.clone(), args, stopping.clone())?);
    let preparation = Arc::new(Preparation::default());
    let sessions = TaskTracker::new();

    let listener = TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("cannot listen on {}; choose another --listen", args.listen))?;
    info!(listen = %args.listen, version = env!("CARGO_PKG_VERSION"), "gtv-sync started");

    tokio::spawn(prepare_schema(center.clone(), preparation.clone()));
    tokio::spawn(prepare_buckets(center.clone(), preparation.clone()));
    tokio::spawn(publish_events(center.clone(), preparation.clone()));
    tokio::spawn(make_days(center.clone(), preparation.clone()));
    tokio::spawn(review_again(center.clone(), preparation.clone()));
    tokio::spawn(let_rows_go(center.clone(), preparation.clone(), args.rows_days));
    tokio::spawn(note_boxes(center.clone(), preparation.clone()));
    let watched = (center.clone(), preparation.clone());
    tokio::spawn(async move { ready::watch(&watched.0, &watched.1).await });
    tokio::spawn(metrics::upkeep(metrics.clone()));

    let routes = web::routes(center, tokens, preparation, metrics, sessions.clone());
    let mut terminate = signal(SignalKind::terminate()).context("signal handler")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("signal handler")?;
    let server = warp::serve(routes).incoming(listener).graceful(stopping.clone().cancelled_owned()).run();
    let mut server = tokio::spawn(server);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        ended = &mut server => anyhow::bail!("the HTTP server ended by itself: {ended:?}"),
    }

    info!(sessions = sessions.len(), "stopping");
    stopping.cancel();
    sessions.close();
    let drained = async {
        sessions.wait().await;
        let _ = server.await;
    };
    tokio::select! {
        _ = terminate.recv() => warn!("second signal: not waiting for sessions"),
        _ = interrupt.recv() => warn!("second signal: not waiting for sessions"),
        ended = tokio::time::timeout(DRAIN_TIMEOUT, drained) => {
            if ended.is_err() {
                warn!(sessions = sessions.len(), "sessions did not end in time");
            }
        }
    }
    if let Some(live) = live {
        live.flush().await;
    }
    info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Migrates as soon as PostgreSQL answers.
async fn prepare_schema(center: Arc<Center>, preparation: Arc<Preparation>) {
    let mut wait = RETRY_FIRST;
    loop {
        match center.db.migrate().await {
            Ok(applied) => {
                if !applied.is_empty() {
                    info!(migrations = applied.join(", "), "schema migrated");
                }
                break;
            }
            Err(error) => warn!(%error, retry_s = wait.as_secs_f32(), "the schema could not be prepared"),
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(RETRY_LONGEST);
    }
    match center.db.may_read().await {
        Ok(may) => preparation.readers.store(may, Ordering::Relaxed),
        Err(error) => warn!(%error, "whether the read API may ask is not known; it stays off until the next start"),
    }
    preparation.schema.store(true, Ordering::Relaxed);
}

async fn publish_events(center: Arc<Center>, preparation: Arc<Preparation>) {
    let Some(events) = &center.events else { return };
    until_migrated(&preparation).await;
    events.run(&center.db, &center.stopping).await;
}

async fn make_days(center: Arc<Center>, preparation: Arc<Preparation>) {
    until_migrated(&preparation).await;
    days::run(&center.db, &center.stopping).await;
}

async fn review_again(center: Arc<Center>, preparation: Arc<Preparation>) {
    until_migrated(&preparation).await;
    reconsider::run(&center).await;
}

async fn let_rows_go(center: Arc<Center>, preparation: Arc<Preparation>, days: u32) {
    until_migrated(&preparation).await;
    retention::run(&center.db, days, &center.stopping).await;
}

async fn note_boxes(center: Arc<Center>, preparation: Arc<Preparation>) {
    until_migrated(&preparation).await;
    fleet::note(&center.db, &center.connected, &center.stopping).await;
}

async fn until_migrated(preparation: &Preparation) {
    while !preparation.schema.load(Ordering::Relaxed) {
        tokio::time::sleep(RETRY_FIRST).await;
    }
}

async fn prepare_buckets(center: Arc<Center>, preparation: Arc<Preparation>) {
    let mut wait = RETRY_FIRST;
    loop {
        match center.objects.provision().await {
            Ok(done) => {
                for bucket in done.created {
                    info!(bucket, "bucket created");
                }
                for (feature, answer) in done.refused {
                    warn!(feature, answer, "the S3 server does not offer this; going on without it");
                }
                preparation.buckets.store(true, Ordering::Relaxed);
                return;
            }
            Err(error) => warn!(%error, retry_s = wait.as_secs_f32(), "the buckets could not be prepared"),
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(RETRY_LONGEST);
    }
}
