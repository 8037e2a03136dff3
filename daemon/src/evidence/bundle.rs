//! An export as one ZIP file, written from front to back without a temporary file: video, manifest, instructions.

use std::io::Write;

use zip::CompressionMethod;
use zip::write::{SimpleFileOptions, ZipWriter};

use super::error::EvidenceError;
use super::plan::Plan;
use super::write::write_file;
use crate::base::identity::Identity;

/// How to check an export, in both languages of the product.
const INSTRUCTIONS: &str = include_str!("LEIA-ME.txt");
/// Entries beyond this need the 64-bit form of ZIP; video is not compressed, as it cannot be.
const LARGE: u64 = 0xf000_0000;

/// Where the manifest of a file is.
pub fn manifest_name(file: &str) -> String {
    format!("{file}.manifest.json")
}

/// Writes the whole ZIP file; the SHA-256 of each video in it.
pub fn bundle(plan: &Plan, identity: &Identity, out: impl Write) -> Result<Vec<String>, EvidenceError> {
    let mut zip = ZipWriter::new_stream(out);
    let plain = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut digests = Vec::with_capacity(plan.parts.len());
    for part in &plan.parts {
        zip.start_file(&part.name, plain.large_file(part.bytes > LARGE))?;
        let (sha256, signed) = write_file(plan, part, &part.name, identity, &mut zip)?;
        zip.start_file(manifest_name(&part.name), plain)?;
        zip.write_all(&serde_json::to_vec_pretty(&signed)?)?;
        digests.push(sha256);
    }
    zip.start_file("LEIA-ME.txt", plain)?;
    zip.write_all(INSTRUCTIONS.as_bytes())?;
    zip.finish()?;
    Ok(digests)
}
