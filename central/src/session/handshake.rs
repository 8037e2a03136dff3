//! Hello, Challenge, Proof, Welcome.

use super::socket::{End, Socket};
use super::{Center, Session, bad_message, database_down, now_us, unavailable};
use crate::db::boxes::Admission;
use crate::metrics;
use ::metrics::counter;
use gtv_protocol::hex_bytes::HexBytes;
use gtv_protocol::{
    Challenge, CodecError, Hello, Message, Position, Proof, Refusal, RefusalCode, SessionLimits, VersionRange, Welcome,
    auth, decode_control, limits,
};
use std::time::Duration;
use tracing::{Span, info, warn};
use uuid::Uuid;

/// Connections that have not proved who they are: each may send a frame of 4 MiB before it is looked at. More than one
/// address can begin within two steps at the thousand requests a minute that HAProxy lets through.
pub const STRANGERS_MAX: usize = 1000;
/// For each of the two messages of the box, and for the places of others to become free before.
const STEP_TIMEOUT: Duration = Duration::from_secs(15);

pub async fn run(center: &Center, socket: &mut Socket, id: Uuid) -> Result<Session, End> {
    let Ok(Ok(stranger)) = tokio::time::timeout(STEP_TIMEOUT, center.strangers.acquire()).await else {
        return Err(End::Refused(unavailable("too many boxes are dialing at once".to_owned())));
    };
    let hello_frame = socket.receive(STEP_TIMEOUT).await?;
    let hello = read_hello(&hello_frame).map_err(End::Refused)?;
    Span::current().record("box_id", tracing::field::display(hello.box_id));
    let version = VersionRange::ours().common(hello.versions).ok_or_else(|| {
        let (ours, theirs) = (VersionRange::ours(), hello.versions);
        refused(
            RefusalCode::Version,
            format!(
                "the box speaks versions {}..{}, the center {}..{}; update the older one",
                theirs.min, theirs.max, ours.min, ours.max
            ),
        )
    })?;

    let nonce = HexBytes(rand::random());
    socket.send(&Message::Challenge(Challenge { nonce, server_time_us: now_us() })).await?;
    let Proof { signature } = match greeting(&socket.receive(STEP_TIMEOUT).await?) {
        Ok(Message::Proof(proof)) => proof,
        Ok(_) => return Err(End::Refused(bad_message("a Proof must follow the Challenge".to_owned()))),
        Err(e) => return Err(End::Refused(bad_message(e.to_string()))),
    };
    if !auth::verify(&hello.public_key, &auth::challenge_payload(&nonce, &hello_frame), &signature) {
        let message = "the Proof is not a signature of this Hello by the key it names".to_owned();
        return Err(refused(RefusalCode::BadSignature, message));
    }
    drop(stranger);

    let admission = center.db.admit(&hello, center.enrol).await.map_err(|e| End::Refused(database_down(&e)))?;
    let (tenant, prefeitura) = match admission {
        Admission::Refused { code, message } => return Err(refused(code, message)),
        Admission::Admitted { tenant, prefeitura, newly_enrolled } => {
            if newly_enrolled {
                info!(prefeitura, name = hello.name, "box enrolled");
            } else if prefeitura != hello.prefeitura {
                warn!(registered = prefeitura, claimed = hello.prefeitura, "box claims another prefeitura");
            }
            (tenant, prefeitura)
        }
    };
    let newest = center.db.newest_position(hello.box_id).await.map_err(|e| End::Refused(database_down(&e)))?;
    check_epoch(center, &hello, newest).await?;

    let welcome = Welcome {
        version,
        session: id,
        resume_after: newest,
        limits: SessionLimits::default(),
        access: center.access.for_box(&center.objects, hello.box_id).await,
        signs_uploads: center.access.signs_uploads(),
    };
    socket.send(&Message::Welcome(Box::new(welcome))).await?;
    info!(prefeitura, software = hello.software, epoch = hello.epoch, last_seq = hello.last_seq, "session began");
    let position = newest.filter(|newest| newest.epoch == hello.epoch);
    let presence = center.live.as_ref().map(|live| live.begin(&hello, &prefeitura, id));
    let (box_id, key, epoch, here) =
        (hello.box_id, hello.public_key, hello.epoch, center.connected.enter(hello.box_id));
    Ok(Session { box_id, tenant, prefeitura, key, epoch, position, hold: None, presence, _here: here })
}

fn read_hello(frame: &[u8]) -> Result<Hello, Refusal> {
    let hello = match greeting(frame) {
        Ok(Message::Hello(hello)) => hello,
        Ok(_) => return Err(bad_message("a session begins with a Hello".to_owned())),
        Err(e) => return Err(bad_message(e.to_string())),
    };
    hello.validate().map_err(|problem| bad_message(format!("Hello: {problem}")))?;
    Ok(hello)
}

fn greeting(frame: &[u8]) -> Result<Message, CodecError> {
    decode_control(frame, limits::GREETING_BYTES_MAX)
}

/// An old epoch cannot go on; a box that knows less than the center has an old copy of its database.
async fn check_epoch(center: &Center, hello: &Hello, newest: Option<Position>) -> Result<(), End> {
    let Some(newest) = newest else { return Ok(()) };
    let (name, detail) = if newest.epoch > hello.epoch {
        ("epoch_behind", format!("the box said epoch {}, the center holds epoch {}", hello.epoch, newest.epoch))
    } else if newest.epoch == hello.epoch && newest.seq > hello.last_seq {
        ("box_behind", format!("the box knows {} records, the center holds {}", hello.last_seq, newest.seq))
    } else {
        return Ok(());
    };
    counter!(metrics::INCIDENTS, "incident" => name).increment(1);
    warn!(name, detail, "incident");
    center
        .db
        .note_incident(hello.box_id, hello.epoch, hello.last_seq, name, &detail)
        .await
        .map_err(|e| End::Refused(database_down(&e)))?;
    if newest.epoch > hello.epoch {
        let message = format!("{detail}; begin an epoch greater than {}", newest.epoch);
        return Err(End::Refused(Refusal {
            code: RefusalCode::EpochBehind,
            message,
            retry_after_s: Some(1),
            newest: Some(newest),
        }));
    }
    Ok(())
}

fn refused(code: RefusalCode, message: String) -> End {
    End::Refused(Refusal { code, message, retry_after_s: None, newest: None })
}
