//! Every parser of what comes from the other side, one function each: cargo-fuzz drives them (`protocol/fuzz`), and the
//! corpus is run through them as an ordinary test.

use serde_json::value::RawValue;
use uuid::Uuid;

use crate::chain::{Position, follow};
use crate::message::{Batch, Message};
use crate::{Body, auth, codec, limits};

pub type Target = fn(&[u8]);

/// Sorted by name, as in `fuzz/Cargo.toml`.
pub const TARGETS: &[(&str, Target)] = &[("batch", batch), ("body", body), ("frame", frame)];

/// The box of the recorded session that the corpus is from.
const BOX: Uuid = Uuid::from_u128(0x01a2_068e_2602_74a5_919a_05fe_7738_0edf);

/// Runs one input through the target of this name.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|(known, _)| *known == name);
    target.unwrap_or_else(|| panic!("there is no fuzz target {name}")).1(data);
}

/// A WebSocket message as it arrives.
fn frame(data: &[u8]) {
    let message = codec::decode(data);
    if let Ok(control) = codec::decode_control(data, limits::GREETING_BYTES_MAX) {
        assert!(!matches!(control, Message::Batch(_)) && message.is_ok(), "a stranger is read more strictly");
    }
    let Ok(message) = message else { return };
    // What was read may be too large to be written again, with other spaces and numbers.
    if let Ok(again) = codec::encode(&message) {
        codec::decode(&again).expect("what was written can be read");
    }
    let _ = match &message {
        Message::Hello(hello) => hello.validate(),
        Message::SignUpload(ask) => ask.validate(),
        Message::FinishUpload(end) => end.validate(),
        Message::Batch(batch) => {
            verify(batch);
            Ok(())
        }
        _ => Ok(()),
    };
}

/// The JSON of a batch, which a fuzzer would not find behind zstd.
fn batch(data: &[u8]) {
    let packed = zstd::encode_all(data, 1).expect("memory compresses");
    if let Ok(Message::Batch(batch)) = codec::decode(&[&[codec::TAG_BATCH], packed.as_slice()].concat()) {
        verify(&batch);
    }
}

/// What the center does with a batch before anything is written.
fn verify(batch: &Batch) {
    let Some(first) = batch.records.first() else { return };
    let (good, end, fault) = follow(BOX, Position::start(BOX, first.epoch), &batch.records);
    assert_eq!(fault.is_none(), good == batch.records.len(), "a fault is where the good records end");
    assert!(good == 0 || end.seq == batch.records[good - 1].seq);
    assert!(!auth::verify_batch(&auth::public_key(&[7; 32].into()), BOX, batch), "signed by a key that nobody has");
    for record in &batch.records {
        let _ = Body::parse(&record.kind, &record.body);
    }
}

/// A kind, a new line, and the body of a record.
fn body(data: &[u8]) {
    let Some((kind, json)) = std::str::from_utf8(data).ok().and_then(|text| text.split_once('\n')) else { return };
    let Ok(raw) = RawValue::from_string(json.to_owned()) else { return };
    if let Ok(body) = Body::parse(kind, &raw) {
        let again = body.to_raw().expect("what was read can be written");
        Body::parse(kind, &again).expect("what was written can be read");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    #[test]
    fn the_corpus_passes() {
        let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
        let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
        let named = manifest.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"')).skip(1);
        assert!(named.eq(TARGETS.iter().map(|(name, _)| *name)), "fuzz/Cargo.toml lists other targets");
        for (name, target) in TARGETS {
            let files: Vec<_> = fs::read_dir(fuzz.join("corpus").join(name)).unwrap().collect();
            assert!(!files.is_empty(), "{name} has no corpus");
            for file in files {
                let data = fs::read(file.unwrap().path()).unwrap();
                target(&data);
                // Cut off and with each byte changed: cheap neighbors that fuzzers try first.
                for at in 0..data.len() {
                    target(&data[..at]);
                    let mut damaged = data.clone();
                    damaged[at] ^= 0x11;
                    target(&damaged);
                }
            }
        }
    }

    /// Or the fuzzer begins far from what it should try.
    #[test]
    fn the_corpus_has_a_good_body_of_each_kind() {
        for kind in crate::Kind::ALL {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/body").join(kind.as_str());
            let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            let (name, json) = text.split_once('\n').unwrap();
            assert_eq!(name, kind.as_str());
            Body::parse(name, &RawValue::from_string(json.to_owned()).unwrap()).unwrap();
        }
    }
}
