//! Pure. What delivery does next: from where a session goes on, what a rejection asks for, which object is next.

use gtv_protocol::{Hash, Position, RejectCode};

use crate::store::{Bucket, Lane, ObjectRef, Upload};

/// Where the box stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Local {
    pub last: Position,
    pub acked_seq: u64,
}

/// How a session goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resume {
    /// Send what follows this number.
    After(u64),
    /// The centre lost what it had acknowledged: send again what follows this number, if it is still kept.
    Rewind { after: u64, conflict: String },
    /// The chains do not fit together: begin a new one and connect again.
    NewEpoch { at_least: i64, everything: bool, conflict: String },
}

/// `centre` is the newest position it has of this box; `known` the hash that the box has under that number, if the
/// epoch is the same and it still keeps the record.
pub fn resume(local: Local, centre: Option<Position>, known: Option<Hash>) -> Resume {
    let (last, acked) = (local.last, local.acked_seq);
    let Some(centre) = centre else {
        if acked == 0 {
            return Resume::After(0);
        }
        let conflict = format!("the centre has nothing of this box, though it acknowledged records up to {acked}");
        return Resume::Rewind { after: 0, conflict };
    };
    if centre.epoch > last.epoch {
        let conflict = format!(
            "the centre knows epoch {} of this box, its own database is at {}: it was lost or restored from a backup",
            centre.epoch, last.epoch
        );
        return Resume::NewEpoch { at_least: centre.epoch.saturating_add(1), everything: false, conflict };
    }
    if centre.epoch < last.epoch {
        if acked == 0 {
            return Resume::After(0);
        }
        let conflict = format!(
            "the centre is at epoch {}, though it acknowledged records up to {acked} of epoch {}: it was restored",
            centre.epoch, last.epoch
        );
        return Resume::Rewind { after: 0, conflict };
    }
    let at_least = last.epoch.saturating_add(1);
    if centre.seq > last.seq {
        let conflict = format!(
            "the centre has records up to {}, the box gave numbers up to {} only: its database was restored",
            centre.seq, last.seq
        );
        return Resume::NewEpoch { at_least, everything: false, conflict };
    }
    match known {
        Some(hash) if hash == centre.hash && centre.seq >= acked => Resume::After(centre.seq),
        Some(hash) if hash == centre.hash => {
            let conflict = format!(
                "the centre has records up to {}, though it acknowledged them up to {acked}: it was restored",
                centre.seq
            );
            Resume::Rewind { after: centre.seq, conflict }
        }
        Some(_) => {
            let conflict = format!("record {} differs between the box and the centre: the chains diverged", centre.seq);
            Resume::NewEpoch { at_least, everything: true, conflict }
        }
        None => {
            let conflict = format!(
                "the centre stands at record {}, which the box no longer keeps: it was restored from an old backup",
                centre.seq
            );
            Resume::NewEpoch { at_least, everything: true, conflict }
        }
    }
}

/// What a rejected record asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Upload the named objects again; the chain waits for them.
    UploadAgain,
    /// Send again from the rejected record on, after a pause.
    Later,
    /// Send again at once.
    Again,
    /// Dial again: the centre's view of the session is another one.
    Reconnect,
    /// The chain cannot go on: begin a new one.
    NewEpoch,
}

/// Rejections in a row without an acknowledgement after which a fresh session is tried.
const PATIENCE: u32 = 5;

pub fn rejected(code: RejectCode, in_a_row: u32) -> Answer {
    match code {
        RejectCode::Altered | RejectCode::Forked => Answer::NewEpoch,
        RejectCode::Epoch => Answer::Reconnect,
        RejectCode::ObjectMissing | RejectCode::ObjectMismatch => Answer::UploadAgain,
        RejectCode::ObjectStoreDown | RejectCode::Unknown => Answer::Later,
        _ if in_a_row > PATIENCE => Answer::Reconnect,
        RejectCode::Lost | RejectCode::Reordered | RejectCode::Duplicated => Answer::Again,
    }
}

/// How many uploads run at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slots {
    pub all: usize,
    /// Of these with more than [`LARGE`] bytes.
    pub large: usize,
}

/// Beyond this an upload fills an uplink by itself; many smaller ones are needed to hide the way there and back.
pub const LARGE: u64 = 256 << 10;

impl Slots {
    pub const MANY: Self = Self { all: 16, large: 4 };
    /// After a failure.
    pub const ONE: Self = Self { all: 1, large: 1 };
}

/// The next object to upload, from `waiting` in the order of delivery. The last slot for a large one is not for video, so
/// that a backlog of clips never stands before a new picture (invariant S4), unless the chain waits for that video. Within a lane new and old ones take turns:
/// `new_next` says whose turn it is.
pub fn next_upload<'a>(
    waiting: &'a [Upload],
    running: &[ObjectRef],
    slots: Slots,
    new_next: bool,
) -> Option<&'a Upload> {
    if running.len() >= slots.all {
        return None;
    }
    let is_video = |object: &ObjectRef| object.bucket == Bucket::Recordings;
    let large = running.iter().filter(|object| object.bytes > LARGE).count();
    let video = running.iter().filter(|object| is_video(object)).count();
    let video_max = (slots.large - 1).max(1);
    let mut may = waiting.iter().filter(|Upload { object, lane, .. }| {
        let fits = object.bytes <= LARGE || large < slots.large;
        let held_back = is_video(object) && *lane != Lane::Alerts && video >= video_max;
        fits && !held_back && !running.contains(object)
    });
    let first = may.next()?;
    let other = may.find(|upload| upload.lane == first.lane && upload.new == new_next);
    Some(if first.new == new_next { first } else { other.unwrap_or(first) })
}

#[cfg(test)]
mod tests {
    use gtv_protocol::hex_bytes::HexBytes;
    use proptest::prelude::*;

    use super::*;

    fn position(epoch: i64, seq: u64, hash: u8) -> Position {
        Position { epoch, seq, hash: HexBytes([hash; 32]) }
    }

    fn local(epoch: i64, seq: u64, acked_seq: u64) -> Local {
        Local { last: position(epoch, seq, 1), acked_seq }
    }

    fn upload(i: usize, bucket: Bucket, lane: Lane, new: bool) -> Upload {
        let object = ObjectRef { sha256: format!("{i:064}"), bytes: LARGE + 1, content_type: "x/y".to_owned(), bucket };
        Upload { object, lane, new, holds_chain: false }
    }

    fn hash(byte: u8) -> Hash {
        HexBytes([byte; 32])
    }

    #[test]
    fn goes_on_where_the_centre_stands() {
        assert_eq!(resume(local(5, 0, 0), None, None), Resume::After(0));
        assert_eq!(resume(local(5, 9, 4), Some(position(5, 4, 2)), Some(hash(2))), Resume::After(4));
        assert_eq!(resume(local(5, 9, 4), Some(position(5, 7, 2)), Some(hash(2))), Resume::After(7), "a lost ack");
        assert_eq!(resume(local(5, 3, 0), Some(position(4, 99, 2)), None), Resume::After(0), "a new epoch");
    }

    #[test]
    fn a_restored_centre_is_named_and_filled_again() {
        let after = |resume: Resume| match resume {
            Resume::Rewind { after, conflict } => (after, conflict),
            other => panic!("{other:?}"),
        };
        assert_eq!(after(resume(local(5, 9, 8), Some(position(5, 4, 2)), Some(hash(2)))).0, 4);
        assert_eq!(after(resume(local(5, 9, 8), Some(position(4, 4, 2)), None)).0, 0);
        assert!(after(resume(local(5, 9, 8), None, None)).1.contains("nothing of this box"));
    }

    #[test]
    fn a_restored_box_begins_a_new_epoch() {
        let epoch = |resume: Resume| match resume {
            Resume::NewEpoch { at_least, everything, .. } => (at_least, everything),
            other => panic!("{other:?}"),
        };
        assert_eq!(epoch(resume(local(5, 9, 8), Some(position(6, 1, 2)), None)), (7, false));
        assert_eq!(epoch(resume(local(5, 9, 8), Some(position(5, 10, 2)), None)), (6, false));
        assert_eq!(epoch(resume(local(5, 9, 8), Some(position(5, 8, 2)), Some(hash(3)))), (6, true));
        assert_eq!(epoch(resume(local(5, 9, 8), Some(position(5, 2, 2)), None)), (6, true));
    }

    proptest! {
        /// Whatever both sides hold: nothing unacknowledged is skipped, and nothing the centre has under another
        /// hash is continued.
        #[test]
        fn never_skips_and_never_forks(
            epoch in 1i64..4, seq in 0u64..9, acked in 0u64..9, at_epoch in 1i64..4, at_seq in 0u64..9,
            at_hash in 0u8..3, have in prop::option::of(0u8..3),
        ) {
            let acked = acked.min(seq);
            let centre = position(at_epoch, at_seq, at_hash);
            let known = have.filter(|_| epoch == at_epoch && at_seq <= seq).map(super::tests::hash);
            match resume(local(epoch, seq, acked), Some(centre), known) {
                Resume::After(from) | Resume::Rewind { after: from, .. } => {
                    prop_assert!(from <= seq);
                    prop_assert!(epoch > at_epoch && from == 0 || from == at_seq && known == Some(centre.hash));
                }
                Resume::NewEpoch { at_least, .. } => prop_assert!(at_least > at_epoch && at_least > epoch),
            }
        }

        #[test]
        fn a_crop_always_finds_a_slot(clips in 0usize..9, large in 2usize..6) {
            let slots = Slots { all: 16, large };
            let mut waiting: Vec<_> = (0..clips).map(|i| upload(i, Bucket::Recordings, Lane::Bulk, false)).collect();
            let mut running = Vec::new();
            while let Some(next) = next_upload(&waiting, &running, slots, true).cloned() {
                running.push(next.object);
            }
            prop_assert_eq!(running.len(), clips.min(large - 1));
            waiting.push(upload(99, Bucket::LprImages, Lane::Detections, false));
            let next = next_upload(&waiting, &running, slots, true).cloned();
            prop_assert_eq!(next.map(|next| next.object.bucket), Some(Bucket::LprImages));
            let none_free = Slots { all: running.len(), large };
            prop_assert!(next_upload(&waiting, &running, none_free, true).is_none());
        }
    }

    #[test]
    fn video_that_holds_up_the_chain_takes_the_last_slot() {
        let clips: Vec<_> = (0..4).map(|i| upload(i, Bucket::Recordings, Lane::Bulk, false)).collect();
        let running: Vec<_> = clips[..3].iter().map(|clip| clip.object.clone()).collect();
        assert_eq!(next_upload(&clips, &running, Slots::MANY, true), None);
        let waiting = [upload(9, Bucket::Recordings, Lane::Alerts, false), clips[3].clone()];
        assert_eq!(next_upload(&waiting, &running, Slots::MANY, true), waiting.first());
    }

    #[test]
    fn new_and_old_take_turns() {
        let crop = |i, new| upload(i, Bucket::LprImages, Lane::Detections, new);
        let waiting: Vec<_> = (0..6).map(|i| crop(i, true)).chain((6..20).map(|i| crop(i, false))).collect();
        let (mut running, mut new_next, mut taken) = (Vec::new(), true, Vec::new());
        while let Some(next) = next_upload(&waiting, &running, Slots { all: 8, large: 8 }, new_next) {
            new_next = !next.new;
            taken.push(next.new);
            running.push(next.object.clone());
        }
        assert_eq!(taken, [true, false, true, false, true, false, true, false]);
        let old: Vec<_> = waiting[6..].to_vec();
        assert_eq!(next_upload(&old, &[], Slots::MANY, true), old.first(), "nothing new: the backlog has it all");
    }

    #[test]
    fn a_rejection_that_repeats_is_not_answered_forever() {
        assert_eq!(rejected(RejectCode::Lost, 1), Answer::Again);
        assert_eq!(rejected(RejectCode::Lost, 6), Answer::Reconnect);
        assert_eq!(rejected(RejectCode::Forked, 1), Answer::NewEpoch);
        assert_eq!(rejected(RejectCode::ObjectStoreDown, 99), Answer::Later);
    }
}
