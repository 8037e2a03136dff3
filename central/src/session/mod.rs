//! One session with one box: handshake, then batches until either side closes.

mod access;
mod ahead;
mod batch;
mod breaker;
mod checks;
mod handshake;
mod jsonb;
pub mod reconsider;
mod review;
mod socket;
mod turn;

use crate::db::boxes::Ousted;
use crate::db::{Database, DbError};
use crate::events::Events;
use crate::fleet::{Connected, Here};
use crate::live::{Live, Presence};
use crate::metrics;
use crate::objects::Objects;
use crate::settings::{EnrolMode, ServeArgs};
use ::metrics::{counter, gauge};
pub use access::AccessError;
use access::BoxAccess;
use ahead::Ahead;
use breaker::Breaker;
use futures_util::future::{BoxFuture, FutureExt};
use gtv_protocol::{Message, Position, PublicKey, Refusal, RefusalCode};
use socket::{End, Socket};
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info, info_span, warn};
use turn::{Turn, Turns};
use uuid::Uuid;

/// How long boxes wait after a failure of the center's servers.
const RETRY_AFTER_S: u32 = 5;

/// What all sessions share.
pub struct Center {
    pub db: Database,
    pub objects: Objects,
    pub enrol: EnrolMode,
    pub object_read_bytes: u64,
    /// Absent: nobody configured a broker.
    pub events: Option<Events>,
    /// Absent: nobody configured a Redis.
    pub live: Option<Live>,
    pub api_per_minute: u64,
    pub connected: Connected,
    pub sessions_max: usize,
    access: BoxAccess,
    sessions: Arc<Semaphore>,
    strangers: Semaphore,
    turns: Turns,
    /// Whether the object store says anything.
    store: Breaker,
    pub stopping: CancellationToken,
}

impl Center {
    pub fn new(
        db: Database,
        objects: Objects,
        events: Option<Events>,
        live: Option<Live>,
        args: &ServeArgs,
        stopping: CancellationToken,
    ) -> Result<Self, AccessError> {
        Ok(Self {
            db,
            objects,
            enrol: args.enrol,
            object_read_bytes: args.s3.object_read_bytes,
            events,
            live,
            api_per_minute: args.live.api_per_minute,
            connected: Connected::default(),
            sessions_max: args.sessions_max,
            access: BoxAccess::new(args)?,
            sessions: Arc::new(Semaphore::new(args.sessions_max)),
            strangers: Semaphore::new(handshake::STRANGERS_MAX),
            turns: Turns::default(),
            store: Breaker::default(),
            stopping,
        })
    }

    /// How boxes upload, for `/healthz`.
    pub fn box_access(&self) -> String {
        self.access.state()
    }
}

/// A box that has proved who it is.
struct Session {
    box_id: Uuid,
    /// The prefeitura its rows belong to, and its slug.
    tenant: Uuid,
    prefeitura: String,
    key: PublicKey,
    epoch: i64,
    /// Committed position as this session last saw it.
    position: Option<Position>,
    /// After a Reject: batches that begin after this number were sent before the box knew, and are skipped.
    hold: Option<u64>,
    /// Shows others that the box is connected, as long as this session lives.
    presence: Option<Presence>,
    /// The same for the metrics of this service.
    _here: Here,
}

/// Serves one WebSocket to its end.
pub async fn serve(center: Arc<Center>, socket: warp::ws::WebSocket, peer: String) {
    let mut socket = Socket::new(socket);
    let Ok(_place) = center.sessions.clone().try_acquire_owned() else {
        let message = "too many boxes are connected to this gtv-sync; run another one or raise --sessions-max";
        socket.refuse(unavailable(message.to_owned())).await;
        return;
    };
    gauge!(metrics::SESSIONS).increment(1.0);
    let id = Uuid::now_v7();
    let span = info_span!("session", %id, peer, box_id = tracing::field::Empty);
    async {
        match run(&center, &mut socket, id).await {
            End::Closed(reason) => info!(reason, "session closed"),
            End::Refused(refusal) => {
                counter!(metrics::REFUSALS, "code" => refusal.code.as_str()).increment(1);
                if refusal.code == RefusalCode::ShuttingDown {
                    info!("session ended for shutdown");
                } else {
                    warn!(code = refusal.code.as_str(), reason = refusal.message, "session refused");
                }
                socket.refuse(refusal).await;
            }
        }
    }
    .instrument(span)
    .await;
    gauge!(metrics::SESSIONS).decrement(1.0);
}

async fn run(center: &Center, socket: &mut Socket, id: Uuid) -> End {
    let mut session = match handshake::run(center, socket, id).await {
        Ok(session) => session,
        Err(end) => return end,
    };
    let mut ahead = Ahead::default();
    loop {
        let frame = tokio::select! {
            biased;
            () = center.stopping.cancelled() => {
                return End::Refused(Refusal {
                    code: RefusalCode::ShuttingDown,
                    message: "this gtv-sync is stopping; dial again".to_owned(),
                    retry_after_s: Some(1),
                    newest: None,
                });
            }
            frame = ahead.next(socket) => frame,
        };
        if let Some(presence) = &mut session.presence {
            presence.alive();
        }
        let answer = match frame {
            Ok(Some(frame)) => ahead.read_while(socket, answer(center, &mut session, frame)).await,
            Ok(None) => continue,
            Err(end) => return end,
        };
        match answer {
            Ok(Answer::Now(messages)) => {
                for message in messages {
                    if let Err(end) = socket.send(&message).await {
                        return end;
                    }
                }
            }
            Ok(Answer::Later(message)) => ahead.promise(message),
            Err(refusal) => return End::Refused(refusal),
        }
    }
}

enum Answer<'a> {
    Now(Vec<Message>),
    /// Another server is asked: that is no reason to hold up the box's batches.
    Later(BoxFuture<'a, Result<Message, Refusal>>),
}

async fn answer<'a>(center: &'a Center, session: &mut Session, frame: Vec<u8>) -> Result<Answer<'a>, Refusal> {
    let mut turn = Turn::take(&center.turns).await?;
    let (frame, mut message) = decode(frame).await?;
    let waits = matches!(&message, Message::Batch(batch) if checks::needed(batch)) && !turn.may_check();
    if waits {
        // It waits as the bytes that came, which are many times fewer.
        drop(message);
        turn.wait_to_check().await?;
        (_, message) = decode(frame).await?;
    } else {
        drop(frame);
    }
    // A batch finds it out where it is written.
    if !matches!(&message, Message::Batch(_)) {
        still_admitted(center, session).await?;
    }
    let box_id = session.box_id;
    Ok(match message {
        Message::Batch(batch) => Answer::Now(batch::process(center, session, &mut turn, batch).await?),
        Message::RenewAccess => Answer::Later(
            async move { Ok(Message::Access(center.access.for_box(&center.objects, box_id).await)) }.boxed(),
        ),
        Message::SignUpload(ask) => Answer::Later(center.access.sign(&center.objects, box_id, ask).boxed()),
        Message::FinishUpload(ask) => Answer::Later(center.access.finish(&center.objects, box_id, ask).boxed()),
        _ => return Err(bad_message("this message belongs to the handshake or to the other side".to_owned())),
    })
}

/// Gives the bytes back. Decompressing and parsing megabytes would hold up the other sessions of this thread.
async fn decode(frame: Vec<u8>) -> Result<(Vec<u8>, Message), Refusal> {
    let decoding = tokio::task::spawn_blocking(move || (gtv_protocol::decode(&frame), frame)).await;
    let (decoded, frame) = decoding.map_err(|e| unavailable(format!("decoding failed: {e}")))?;
    Ok((frame, decoded.map_err(|e| bad_message(e.to_string()))?))
}

/// What the administration changed since the session began ends it.
async fn still_admitted(center: &Center, session: &Session) -> Result<(), Refusal> {
    let found = center.db.ousted(session.box_id, session.tenant, &session.key).await;
    found.map_err(|e| database_down(&e))?.map_or(Ok(()), |why| Err(ousted(why)))
}

fn ousted(why: Ousted) -> Refusal {
    let retry_after_s = (why == Ousted::HandedOver).then_some(1);
    Refusal { code: why.code(), message: why.message().to_owned(), retry_after_s, newest: None }
}

fn bad_message(message: String) -> Refusal {
    Refusal { code: RefusalCode::BadMessage, message, retry_after_s: None, newest: None }
}

fn unavailable(message: String) -> Refusal {
    Refusal { code: RefusalCode::Unavailable, message, retry_after_s: Some(RETRY_AFTER_S), newest: None }
}

/// The box learns that it must wait, not what the database said.
fn database_down(error: &DbError) -> Refusal {
    warn!(%error, "database");
    unavailable("the center's database cannot take records now".to_owned())
}

fn now_us() -> i64 {
    chrono::Utc::now().timestamp_micros()
}
