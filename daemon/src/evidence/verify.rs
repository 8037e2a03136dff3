//! Is an exported file what the box recorded and signed? If not, what was altered: fragment, time, bytes, field, key.

use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::bundle::manifest_name;
use super::error::EvidenceError;
use super::manifest::{FORMAT, Manifest, Signed, Standing};
use crate::base::time::UtcMicros;

const SUFFIX: &str = ".mp4";
const ZIP_MAGIC: [u8; 4] = *b"PK\x03\x04";
/// A manifest of a day has about 15 MB.
const MANIFEST_MAX: u64 = 256 << 20;
const READ_BYTES: usize = 1 << 20;

/// What was found out about one exported file.
#[derive(Debug, Serialize)]
pub struct Report {
    pub file: String,
    /// As the box signed it, or as it stands where that cannot be told any more.
    pub manifest: Option<Manifest>,
    /// Which key signed, as the manifest says.
    pub public_key: String,
    /// A key was given and signed this: the box is who it says it is.
    pub key_is_trusted: bool,
    /// Empty: nothing was altered.
    pub findings: Vec<Finding>,
}

/// One thing that is not as the box signed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Finding {
    /// Signed by another key than the given one.
    WrongKey {
        signed_by: String,
    },
    /// The given key signed it, but the manifest names another.
    PublicKeyAltered,
    /// The signature fits neither the manifest nor its fields.
    SignatureInvalid,
    /// The manifest is as it was, its signature is not.
    SignatureAltered,
    FieldAltered {
        field: String,
    },
    ManifestUnreadable {
        reason: String,
    },
    /// A video without a manifest, or a manifest without its video.
    Missing {
        file: String,
    },
    /// The decoder settings at the beginning of the file; positions of bytes, the end not included.
    HeadAltered {
        from_byte: u64,
        to_byte: u64,
    },
    /// Fragments by number from 1, the bytes where the box had put them, and the recorded time that they show.
    FragmentsAltered {
        first: usize,
        last: usize,
        from_byte: u64,
        to_byte: u64,
        start_us: i64,
        end_us: i64,
    },
    /// The file is shorter than what was signed.
    CutOff {
        bytes: u64,
        signed_bytes: u64,
    },
    /// The file is longer than what was signed: bytes were put in before what stands at this position now.
    Inserted {
        bytes: u64,
        at_byte: u64,
    },
    /// The pieces are right and the file as a whole is not.
    FileAltered {
        sha256: String,
        signed_sha256: String,
    },
}

/// Checks the file, or every video in the ZIP file, at `path`; `key` is the public key of the box in hexadecimal.
pub fn verify(path: &Path, key: Option<&str>) -> Result<Vec<Report>, EvidenceError> {
    let key = key.map(|key| key.trim().to_ascii_lowercase());
    let key = key.as_deref();
    let file = File::open(path).map_err(|e| EvidenceError::file("open", path, e))?;
    let mut magic = [0; 4];
    if file.read_exact_at(&mut magic, 0).is_ok() && magic == ZIP_MAGIC {
        return verify_zip(path, file, key);
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let beside = path.with_file_name(manifest_name(&name));
    let text = std::fs::read(&beside)
        .map_err(|e| EvidenceError::file("read the manifest, which must lie beside the file:", &beside, e))?;
    let bytes = file.metadata().map_err(|e| EvidenceError::file("read", path, e))?.len();
    Ok(vec![check(name, &text, &Video { file: &file, start: 0, bytes }, key)?])
}

/// A video inside a larger file.
struct Video<'a> {
    file: &'a File,
    start: u64,
    bytes: u64,
}

impl Video<'_> {
    fn sha256(&self, from: u64, bytes: u64) -> Result<Option<String>, EvidenceError> {
        if from.checked_add(bytes).is_none_or(|end| end > self.bytes) {
            return Ok(None);
        }
        let mut sha = Sha256::new();
        let mut buffer = vec![0; READ_BYTES.min(usize::try_from(bytes).unwrap_or(READ_BYTES))];
        let (mut at, mut left) = (self.start + from, bytes);
        while left > 0 {
            let take = buffer.len().min(usize::try_from(left).unwrap_or(READ_BYTES));
            self.file.read_exact_at(&mut buffer[..take], at)?;
            sha.update(&buffer[..take]);
            at += take as u64;
            left -= take as u64;
        }
        Ok(Some(hex::encode(sha.finalize())))
    }
}

fn verify_zip(path: &Path, file: File, key: Option<&str>) -> Result<Vec<Report>, EvidenceError> {
    let mut archive = zip::ZipArchive::new(file.try_clone()?)?;
    let names = archive.file_names().map(|name| name.map(Cow::into_owned)).collect::<Result<Vec<String>, _>>()?;
    let video = |name: &String| name.ends_with(SUFFIX);
    let mut reports = Vec::new();
    for name in names.iter().filter(|name| video(name)) {
        let (start, bytes) = {
            let entry = archive.by_name(name)?;
            if entry.compression() != zip::CompressionMethod::Stored {
                let text = format!("{}: was packed anew; extract it and check {name} itself", path.display());
                return Err(EvidenceError::Invalid(text));
            }
            (entry.data_start().unwrap_or_default(), entry.size())
        };
        let manifest = manifest_name(name);
        if !names.contains(&manifest) {
            reports.push(missing(name, manifest));
            continue;
        }
        let mut text = Vec::new();
        let read = archive.by_name(&manifest)?.take(MANIFEST_MAX).read_to_end(&mut text);
        if let Err(error) = read {
            let mut report = missing(name, manifest);
            report.findings = vec![Finding::ManifestUnreadable { reason: error.to_string() }];
            reports.push(report);
            continue;
        }
        reports.push(check(name.clone(), &text, &Video { file: &file, start, bytes }, key)?);
    }
    for manifest in names.iter().filter(|name| name.ends_with(&manifest_name(SUFFIX))) {
        let of = manifest.trim_end_matches(&manifest_name("")).to_owned();
        if !names.contains(&of) {
            reports.push(missing(manifest, of));
        }
    }
    if reports.is_empty() {
        return Err(EvidenceError::Invalid(format!("{}: holds no exported video", path.display())));
    }
    Ok(reports)
}

fn missing(name: &str, file: String) -> Report {
    Report {
        file: name.to_owned(),
        manifest: None,
        public_key: String::new(),
        key_is_trusted: false,
        findings: vec![Finding::Missing { file }],
    }
}

fn check(name: String, text: &[u8], video: &Video<'_>, key: Option<&str>) -> Result<Report, EvidenceError> {
    let mut report =
        Report { file: name, manifest: None, public_key: String::new(), key_is_trusted: false, findings: Vec::new() };
    let signed: Signed = match serde_json::from_slice(text) {
        Ok(signed) => signed,
        Err(error) => {
            report.findings.push(Finding::ManifestUnreadable { reason: error.to_string() });
            return Ok(report);
        }
    };
    report.public_key = signed.public_key.to_ascii_lowercase();
    (report.findings, report.key_is_trusted) = signatures(&signed, key);
    match serde_json::from_str::<Manifest>(&signed.manifest) {
        Ok(manifest) if manifest.format == FORMAT => {
            report.findings.extend(pieces(&manifest, video)?);
            if report.findings.is_empty() {
                report.findings.extend(whole(&manifest, video)?);
            }
            report.manifest = Some(manifest);
        }
        Ok(manifest) => {
            let reason = format!("its format is {}, this program knows {FORMAT}", manifest.format);
            report.findings.push(Finding::ManifestUnreadable { reason });
        }
        Err(error) => report.findings.push(Finding::ManifestUnreadable { reason: error.to_string() }),
    }
    Ok(report)
}

/// What the signatures tell, and whether the given key made them.
fn signatures(signed: &Signed, key: Option<&str>) -> (Vec<Finding>, bool) {
    let named = signed.public_key.to_ascii_lowercase();
    let findings = |standing| match standing {
        Standing::Good => Vec::new(),
        Standing::SignatureAltered => vec![Finding::SignatureAltered],
        Standing::FieldsAltered(fields) => fields.into_iter().map(|field| Finding::FieldAltered { field }).collect(),
        Standing::Unsigned => vec![Finding::SignatureInvalid],
    };
    let Some(key) = key.filter(|key| *key != named) else { return (findings(signed.standing(&named)), key.is_some()) };
    match signed.standing(key) {
        Standing::Unsigned => {
            let mut found = vec![Finding::WrongKey { signed_by: named.clone() }];
            found.extend(findings(signed.standing(&named)));
            (found, false)
        }
        standing => {
            let mut found = vec![Finding::PublicKeyAltered];
            found.extend(findings(standing));
            (found, true)
        }
    }
}

/// Compares piece by piece. Where the length is another, what follows the place of the change is looked for behind it.
fn pieces(manifest: &Manifest, video: &Video<'_>) -> Result<Vec<Finding>, EvidenceError> {
    let mut findings = Vec::new();
    if video.bytes < manifest.bytes {
        findings.push(Finding::CutOff { bytes: video.bytes, signed_bytes: manifest.bytes });
    }
    let shift = i128::from(video.bytes) - i128::from(manifest.bytes);
    let shifted = |at: u64| u64::try_from(i128::from(at) + shift).ok();
    let in_fragments: u64 = manifest.fragments.iter().map(|fragment| fragment.bytes).fold(0, u64::saturating_add);
    let mut at = match &manifest.head {
        Some(head) => {
            if video.sha256(0, head.bytes)?.as_deref() != Some(head.sha256.as_str()) {
                findings.push(Finding::HeadAltered { from_byte: 0, to_byte: head.bytes });
            }
            head.bytes
        }
        None => manifest.bytes.saturating_sub(in_fragments),
    };
    // Where the first piece stands that was moved.
    let mut moved = None;
    for (index, fragment) in manifest.fragments.iter().enumerate() {
        let end = at.saturating_add(fragment.bytes);
        let fits = |from: Option<u64>| -> Result<bool, EvidenceError> {
            let Some(from) = from else { return Ok(false) };
            Ok(video.sha256(from, fragment.bytes)?.as_deref() == Some(fragment.sha256.as_str()))
        };
        if !fits(Some(at))? {
            if shift != 0 && fits(shifted(at))? {
                moved = moved.or(Some(at));
            } else {
                note(&mut findings, index + 1, at, end, fragment.start_us, fragment.duration_us);
            }
        }
        at = end;
    }
    if let Ok(bytes) = u64::try_from(shift)
        && bytes > 0
    {
        findings.push(Finding::Inserted { bytes, at_byte: moved.unwrap_or(manifest.bytes) });
    }
    Ok(findings)
}

/// Neighbors that were altered are one finding.
fn note(findings: &mut Vec<Finding>, number: usize, from: u64, to: u64, start: i64, duration_us: i64) {
    let end = start.saturating_add(duration_us);
    match findings.last_mut() {
        Some(Finding::FragmentsAltered { last, to_byte, end_us, .. }) if *last + 1 == number => {
            (*last, *to_byte, *end_us) = (number, to, end);
        }
        _ => findings.push(Finding::FragmentsAltered {
            first: number,
            last: number,
            from_byte: from,
            to_byte: to,
            start_us: start,
            end_us: end,
        }),
    }
}

fn whole(manifest: &Manifest, video: &Video<'_>) -> Result<Option<Finding>, EvidenceError> {
    let sha256 = video.sha256(0, video.bytes)?.unwrap_or_default();
    let altered = sha256 != manifest.sha256;
    Ok(altered.then(|| Finding::FileAltered { sha256, signed_sha256: manifest.sha256.clone() }))
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::WrongKey { signed_by } => write!(f, "wrong key: signed by {signed_by}, not by the given one"),
            Self::PublicKeyAltered => {
                write!(f, "the field `public_key` was altered: the given key is the one that signed")
            }
            Self::SignatureInvalid => {
                write!(f, "the signature does not fit: the manifest was altered, or its key or both signatures were")
            }
            Self::SignatureAltered => write!(f, "the signature was altered; the manifest is as the box signed it"),
            Self::FieldAltered { field } => write!(f, "the field `{field}` of the manifest was altered"),
            Self::ManifestUnreadable { reason } => write!(f, "the manifest cannot be read: {reason}"),
            Self::Missing { file } => write!(f, "{file} is missing"),
            Self::HeadAltered { from_byte, to_byte } => {
                write!(f, "bytes {from_byte} to {to_byte} (decoder settings) were altered")
            }
            Self::FragmentsAltered { first, last, from_byte, to_byte, start_us, end_us } => write!(
                f,
                "fragments {first} to {last} were altered: bytes {from_byte} to {to_byte}, recorded from {} to {}",
                UtcMicros(*start_us),
                UtcMicros(*end_us)
            ),
            Self::CutOff { bytes, signed_bytes } => {
                write!(f, "{} bytes were taken out: {bytes} are there of {signed_bytes}", signed_bytes - bytes)
            }
            Self::Inserted { bytes, at_byte } => write!(f, "{bytes} bytes were put in, at byte {at_byte} or before"),
            Self::FileAltered { sha256, signed_sha256 } => {
                write!(f, "the file has SHA-256 {sha256}, the box signed {signed_sha256}")
            }
        }
    }
}
