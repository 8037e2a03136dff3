//! Messages survive the wire exactly, faults of a chain are named, and no bytes make the decoder panic.

use ed25519_dalek::SigningKey;
use gtv_protocol::hex_bytes::HexBytes;
use gtv_protocol::{
    Ack, Body, ChainFault, Draft, Hello, Kind, Message, ObjectRef, PlateText, Position, Record, VersionRange, auth,
    body, chain, codec, decode, encode, limits,
};
use proptest::prelude::*;
use serde_json::value::RawValue;
use std::io::Read;
use uuid::Uuid;

const EPOCH: i64 = 1_700_000_000_000_000;

fn box_id() -> Uuid {
    Uuid::from_u128(7)
}

fn key() -> SigningKey {
    SigningKey::from_bytes(&[9; 32])
}

fn detection(plate: &str) -> Body {
    Body::Detection(body::Detection {
        camera: "gate-1".into(),
        plate: PlateText(plate.into()),
        layout: "br-mercosul".into(),
        category: Some("commercial".into()),
        confidence: 0.97,
        alternatives: vec![body::Alternative { text: PlateText("ABC1C84".into()), p: 0.02 }],
        first_seen_us: EPOCH,
        last_seen_us: EPOCH + 900_000,
        best_at_us: EPOCH + 400_000,
        quad: [[1.5, 2.0], [80.0, 3.0], [79.0, 30.0], [2.0, 28.0]],
        bbox: [1.5, 2.0, 80.0, 30.0],
        frame_width: 1920,
        frame_height: 1080,
        direction: Some("approaching".into()),
        reads: 11,
        single: false,
        slots: Some(serde_json::json!([[["A", 0.99]]])),
        crop: Some(HexBytes([3; 32])),
        frame: None,
    })
}

fn chain_of(count: u64) -> Vec<Record> {
    let mut at = Position::start(box_id(), EPOCH);
    (1..=count)
        .map(|seq| {
            let object = ObjectRef::new(box_id(), "lpr-images", HexBytes([3; 32]), 4321, "image/jpeg");
            let id = Uuid::from_u128(u128::from(seq)).to_string();
            let draft = Draft::new(&detection("ABC1C34"), &id, EPOCH + seq as i64, vec![object]).unwrap();
            let record = draft.seal(box_id(), EPOCH, seq, at.hash);
            at = Position { epoch: EPOCH, seq, hash: record.hash };
            record
        })
        .collect()
}

fn fault(records: &[Record]) -> Option<ChainFault> {
    chain::follow(box_id(), Position::start(box_id(), EPOCH), records).2
}

#[test]
fn a_batch_survives_the_wire_with_its_hashes_and_signature() {
    let batch = auth::sign_batch(&key(), box_id(), chain_of(3), vec![]).unwrap();
    let frame = encode(&Message::Batch(batch)).unwrap();
    let Message::Batch(back) = decode(&frame).unwrap() else { panic!("not a batch") };
    assert_eq!(fault(&back.records), None);
    assert!(auth::verify_batch(&auth::public_key(&key()), box_id(), &back));
    assert!(!auth::verify_batch(&auth::public_key(&key()), Uuid::from_u128(8), &back));
    assert_eq!(Body::parse(&back.records[0].kind, &back.records[0].body).unwrap(), detection("ABC1C34"));
}

#[test]
fn a_detection_of_an_older_box_has_no_category() {
    let mut body = serde_json::to_value(chain_of(1)[0].body.as_ref()).unwrap();
    assert_eq!(body.as_object_mut().unwrap().remove("category"), Some("commercial".into()));
    let raw = serde_json::value::to_raw_value(&body).unwrap();
    let Body::Detection(detection) = Body::parse("detection", &raw).unwrap() else { panic!("not a detection") };
    assert_eq!(detection.category, None);
    let raw = Body::Detection(detection).to_raw().unwrap();
    assert!(!raw.get().contains("category"), "an older center is not bothered with what is not known");
}

#[test]
fn control_messages_survive_the_wire() {
    let hello = Hello {
        versions: VersionRange::ours(),
        box_id: box_id(),
        public_key: auth::public_key(&key()),
        name: "Praça da Sé".into(),
        prefeitura: "sao-paulo".into(),
        site: String::new(),
        software: "gtv-edge 0.1.0".into(),
        epoch: EPOCH,
        last_seq: 12,
        enrol_code: None,
    };
    hello.validate().unwrap();
    let frame = encode(&Message::Hello(hello)).unwrap();
    let Message::Hello(back) = decode(&frame).unwrap() else { panic!("not a Hello") };
    assert_eq!((back.box_id, back.last_seq), (box_id(), 12));

    let nonce = HexBytes([5; 32]);
    let signature = auth::sign(&key(), &auth::challenge_payload(&nonce, &frame));
    assert!(auth::verify(&back.public_key, &auth::challenge_payload(&nonce, &frame), &signature));
    assert!(!auth::verify(&back.public_key, &auth::challenge_payload(&HexBytes([6; 32]), &frame), &signature));

    let ack = encode(&Message::Ack(Ack { epoch: EPOCH, seq: 4 })).unwrap();
    assert!(matches!(decode(&ack).unwrap(), Message::Ack(Ack { seq: 4, .. })));
}

#[test]
fn each_fault_of_a_chain_has_its_name() {
    let good = chain_of(4);
    assert_eq!(fault(&good), None);

    let mut lost = good.clone();
    lost.remove(1);
    assert_eq!(fault(&lost), Some(ChainFault::Lost { from: 2, to: 2, found: 3 }));

    let mut reordered = good.clone();
    reordered.swap(1, 2);
    assert_eq!(fault(&reordered), Some(ChainFault::Reordered { expected: 2, found: 3 }));

    let mut duplicated = good.clone();
    duplicated.insert(1, good[0].clone());
    assert_eq!(fault(&duplicated), Some(ChainFault::Duplicated { seq: 1 }));

    let mut altered = good.clone();
    let body = altered[2].body.get().replace("ABC1C34", "ABC1C35");
    altered[2].body = RawValue::from_string(body).unwrap();
    assert_eq!(fault(&altered), Some(ChainFault::Altered { seq: 3 }));

    let mut forked = good.clone();
    let other = HexBytes([1; 32]);
    let draft = Draft::new(&detection("XYZ9A99"), "other", EPOCH, vec![]).unwrap();
    forked[1] = draft.seal(box_id(), EPOCH, 2, other);
    assert_eq!(fault(&forked), Some(ChainFault::Forked { seq: 2 }));
}

#[test]
fn hashing_uses_the_text_of_the_body_not_its_meaning() {
    let mut records = chain_of(1);
    records[0].body = RawValue::from_string(records[0].body.get().replacen(':', ": ", 1)).unwrap();
    assert_eq!(fault(&records), Some(ChainFault::Altered { seq: 1 }));
}

#[test]
fn what_a_box_asks_to_be_signed_is_bounded() {
    let ask = gtv_protocol::SignUpload {
        id: 1,
        bucket: "recordings".into(),
        sha256: HexBytes([3; 32]),
        bytes: 17 << 20,
        content_type: "video/mp4".into(),
        first_part: 0,
        parts: limits::SIGNED_PARTS_MAX,
        upload: None,
    };
    ask.validate().unwrap();
    let wrong = [
        gtv_protocol::SignUpload { parts: limits::SIGNED_PARTS_MAX + 1, ..ask.clone() },
        gtv_protocol::SignUpload { first_part: limits::UPLOAD_PARTS_MAX + 1, ..ask.clone() },
        gtv_protocol::SignUpload { bytes: limits::OBJECT_BYTES_MAX + 1, ..ask.clone() },
        gtv_protocol::SignUpload { content_type: "a\nb".into(), ..ask.clone() },
        gtv_protocol::SignUpload { upload: Some("x".repeat(limits::TEXT_BYTES_MAX + 1)), ..ask.clone() },
    ];
    assert!(wrong.iter().all(|ask| ask.validate().is_err()));
    let Message::SignUpload(back) = decode(&encode(&Message::SignUpload(ask.clone())).unwrap()).unwrap() else {
        panic!("not a SignUpload")
    };
    assert_eq!(back, ask);
    let parts = vec!["etag".to_owned(); limits::UPLOAD_PARTS_MAX as usize + 1];
    let finish =
        gtv_protocol::FinishUpload { id: 2, bucket: "b".into(), sha256: ask.sha256, upload: "u".into(), parts };
    assert!(finish.validate().is_err());
    let signed = gtv_protocol::SignedRequest { url: "https://s3/x?X-Amz-Signature=1".into(), headers: [].into() };
    assert!(!format!("{signed:?}").contains("Signature"), "a signed address is a secret");
}

/// Frozen bytes: a change of the canonical form would orphan every chain already stored.
#[test]
fn the_canonical_form_is_frozen() {
    let draft = Draft::from_parts("gap".into(), "g1".into(), 5, vec![], "{ \"a\" : 1 }".into()).unwrap();
    let record = draft.seal(Uuid::nil(), 1, 1, gtv_protocol::record::genesis(Uuid::nil(), 1));
    assert_eq!(record.prev_hash.to_string(), FROZEN_GENESIS);
    assert_eq!(record.hash.to_string(), FROZEN_HASH);
}

const FROZEN_GENESIS: &str = "a7018856376a775841de27f270e59012e3b3606f1f1799cfb29ea25a8a8a5038";
const FROZEN_HASH: &str = "fc49774b8efb01ca943b3045c98dbc71f042718f9ab5fb0037c5960aa1491140";

#[test]
fn limits_hold_on_both_sides() {
    let too_many = chain_of(limits::BATCH_RECORDS_MAX as u64 + 1);
    let batch = auth::sign_batch(&key(), box_id(), too_many, vec![]).unwrap();
    assert!(matches!(encode(&Message::Batch(batch)), Err(codec::CodecError::BatchCount { .. })));

    // A bomb: 64 MiB of spaces pack into a few kilobytes and must not be unpacked whole.
    let mut bomb = vec![2];
    zstd::stream::copy_encode(std::io::repeat(b' ').take(64 << 20), &mut bomb, 3).unwrap();
    assert!(bomb.len() < limits::FRAME_BYTES_MAX);
    assert!(matches!(decode(&bomb), Err(codec::CodecError::BatchTooLarge { .. })));

    let long = Draft::new(&detection(&"A".repeat(65)), "x", EPOCH, vec![]);
    assert!(long.unwrap_err().to_string().contains("plate has 65 bytes"));
}

#[test]
fn an_unknown_kind_is_told_apart_from_a_broken_body() {
    let raw = RawValue::from_string("{}".into()).unwrap();
    assert!(matches!(Body::parse("from-the-future", &raw), Err(body::BodyError::UnknownKind(_))));
    for kind in Kind::ALL {
        assert!(matches!(Body::parse(kind.as_str(), &raw), Err(body::BodyError::Malformed(_))), "{kind:?}");
    }
}

#[test]
fn plates_do_not_show_in_debug_output() {
    let shown = format!("{:?} {:?}", detection("ABC1C34"), chain_of(1));
    assert!(!shown.contains("ABC1C34") && shown.contains("AB*****"), "{shown}");
}

#[test]
fn versions_meet_at_the_newest_common_one() {
    let range = |min, max| VersionRange { min, max };
    assert_eq!(range(1, 3).common(range(2, 5)), Some(3));
    assert_eq!(range(1, 1).common(range(2, 5)), None);
}

#[test]
fn a_proof_is_checked_and_bound_to_its_box() {
    let records = chain_of(5);
    let mut proof = body::Proof {
        epoch: EPOCH,
        first_seq: 1,
        last_seq: 5,
        root: gtv_protocol::merkle::root(records.iter().map(|record| &record.hash)),
        ledger: Uuid::from_u128(3),
        hours: vec![body::HourCount { start_us: body::HOUR_US * 400_000, records: 9, objects: 2, evicted: 4 }],
        signature: HexBytes([0; 64]),
    };
    proof.signature = auth::sign(&key(), &auth::proof_payload(box_id(), &proof));
    let key = auth::public_key(&key());
    let raw = Body::Proof(proof.clone()).to_raw().unwrap();
    let Body::Proof(back) = Body::parse("proof", &raw).unwrap() else { panic!("not a proof") };
    assert!(auth::verify_proof(&key, box_id(), &back));
    assert!(!auth::verify_proof(&key, Uuid::from_u128(8), &back));
    let changed = |change: fn(&mut body::Proof)| {
        let mut changed = proof.clone();
        change(&mut changed);
        auth::verify_proof(&key, box_id(), &changed)
    };
    assert!(!changed(|p| p.last_seq = 4));
    assert!(!changed(|p| p.hours[0].evicted = 5));
    assert!(!changed(|p| p.hours.clear()));

    let refused = |change: fn(&mut body::Proof)| {
        let mut changed = proof.clone();
        change(&mut changed);
        Body::Proof(changed).validate().is_err()
    };
    assert!(!refused(|p| p.last_seq = 0), "no record is a proof of the hours alone");
    assert!(refused(|p| p.first_seq = 7));
    assert!(refused(|p| p.last_seq = limits::PROOF_RECORDS_MAX + 1));
    assert!(refused(|p| p.hours[0].start_us += 1));
    assert!(refused(|p| p.hours[0].evicted = 10));
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic(frame in proptest::collection::vec(any::<u8>(), 0..512)) {
        let _ = decode(&frame);
    }

    #[test]
    fn no_damaged_batch_makes_the_decoder_panic(at in 1usize..400, value in any::<u8>(), cut in 0usize..400) {
        let batch = auth::sign_batch(&key(), box_id(), chain_of(2), vec![]).unwrap();
        let mut frame = encode(&Message::Batch(batch)).unwrap();
        let at = at % frame.len();
        frame[at] = value;
        frame.truncate(frame.len() - cut % frame.len());
        let _ = decode(&frame);
    }

    #[test]
    fn no_json_makes_the_decoder_panic(json in "\\PC{0,200}", tag in 0u8..3) {
        let mut frame = vec![tag];
        if tag == 2 {
            zstd::stream::copy_encode(json.as_bytes(), &mut frame, 1).unwrap();
        } else {
            frame.extend_from_slice(json.as_bytes());
        }
        let _ = decode(&frame);
    }

    #[test]
    fn changing_any_byte_of_a_body_is_noticed(at in 0usize..300, value in any::<u8>()) {
        let mut records = chain_of(1);
        let mut body = records[0].body.get().as_bytes().to_vec();
        let at = at % body.len();
        prop_assume!(body[at] != value);
        body[at] = value;
        if let Ok(Ok(raw)) = String::from_utf8(body).map(RawValue::from_string) {
            records[0].body = raw;
            prop_assert_eq!(fault(&records), Some(ChainFault::Altered { seq: 1 }));
        }
    }
}
