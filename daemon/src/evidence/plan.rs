//! What an export will hold, known from the rows before a byte of video is read.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use super::error::EvidenceError;
use super::manifest::{Clock, Gap, Plate, SegmentDigest};
use crate::base::ids::CameraId;
use crate::base::time::UtcMicros;
use crate::media::fmp4;
use crate::store::{DetectionQuery, FragmentAt, Store, Stream};

/// Longer spans are taken out day by day: the manifest names each group of pictures.
pub const SPAN_MAX_US: i64 = 86_400 * 1_000_000;
/// Far more than the `moof` of a group of pictures has.
const HEAD_BYTES: usize = 64 * 1024;
/// Characters of a reason.
pub const REASON_MAX: usize = 500;

/// What somebody wants, and why.
#[derive(Clone, Debug)]
pub struct Request {
    pub camera: CameraId,
    pub stream: Stream,
    pub from: UtcMicros,
    pub to: UtcMicros,
    /// Who asks.
    pub by: String,
    pub reason: String,
    pub clock: Clock,
}

/// The files of one export: one, or more where the camera changed its settings within the span.
#[derive(Clone, Debug)]
pub struct Plan {
    pub request: Request,
    pub data_dir: PathBuf,
    pub parts: Vec<Part>,
}

/// One file.
#[derive(Clone, Debug)]
pub struct Part {
    /// Without a folder, for example `gate_2026-01-31T120000Z.mp4`.
    pub name: String,
    pub start: UtcMicros,
    pub end: UtcMicros,
    pub bytes: u64,
    pub(super) init: Vec<u8>,
    pub(super) fragments: Vec<FragmentAt>,
    pub(super) segments: Vec<SegmentDigest>,
    pub(super) gaps: Vec<Gap>,
    pub(super) detections: Vec<Plate>,
}

impl Plan {
    pub async fn new(store: &Store, request: Request) -> Result<Self, EvidenceError> {
        check(&request)?;
        let Request { camera, stream, from, to, .. } = &request;
        let fragments = store.fragments_between(camera, *stream, *from, *to).await?;
        // What does not begin with a key frame shows nothing before the next one.
        let first = fragments.iter().position(|row| row.key).unwrap_or(fragments.len());
        let mut parts = Vec::new();
        for rows in fragments[first..].chunk_by(|a, b| a.init_id == b.init_id) {
            parts.push(part(store, &request, rows).await?);
        }
        if parts.is_empty() {
            return Err(EvidenceError::Nothing {
                camera: camera.to_string(),
                stream: stream.to_string(),
                from: from.to_string(),
                to: to.to_string(),
            });
        }
        Ok(Self { request, data_dir: store.dir().to_owned(), parts })
    }

    /// Of all files, without their manifests.
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }

    /// What an audit log says about it.
    pub fn subject(&self) -> String {
        let Request { camera, stream, from, to, .. } = &self.request;
        format!("{camera} {stream} {from} to {to}")
    }
}

fn check(request: &Request) -> Result<(), EvidenceError> {
    let invalid = |text: &str| Err(EvidenceError::Invalid(text.to_owned()));
    let span = request.to.since(request.from);
    if span <= 0 || span > SPAN_MAX_US {
        return invalid(
            "the end must be after the start, by at most 24 hours; take longer spans out in several exports",
        );
    }
    let length = request.reason.trim().chars().count();
    if length == 0 || length > REASON_MAX {
        return invalid("a reason is needed, of at most 500 characters: for example the number of the case");
    }
    Ok(())
}

async fn part(store: &Store, request: &Request, rows: &[FragmentAt]) -> Result<Part, EvidenceError> {
    let Request { camera, stream, .. } = request;
    let (start, end, init_id) = match rows {
        [first, .., last] => (first.start, last.start.add_micros(last.duration_us), &first.init_id),
        [only] => (only.start, only.start.add_micros(only.duration_us), &only.init_id),
        [] => return Err(EvidenceError::Invalid("an export needs at least one fragment".to_owned())),
    };
    let init = store.init(init_id).await?.ok_or_else(|| EvidenceError::NoInit(init_id.clone()))?.data;
    let init = fmp4::beginning_with(&init, &head(store, rows).await?, rows.iter().map(|row| row.duration_us).sum());
    let used: std::collections::BTreeSet<&str> = rows.iter().map(|row| row.path.as_str()).collect();
    let segments = store.segments_between(camera, *stream, start, end).await?;
    let segments = segments.into_iter().filter(|row| used.contains(row.path.as_str())).map(|row| SegmentDigest {
        path: row.path,
        start_us: row.start.0,
        end_us: row.end.0,
        bytes: row.bytes,
        sha256: row.sha256,
        clocks: row.clocks,
    });
    let gaps = store.gaps(camera, *stream, start, end).await?;
    let gaps = gaps.into_iter().map(|gap| Gap { start_us: gap.start.0, end_us: gap.end.0, reason: gap.reason });
    let time = start.to_datetime().map_or_else(|| start.0.to_string(), |t| t.format("%Y-%m-%dT%H%M%SZ").to_string());
    Ok(Part {
        name: format!("{camera}_{time}.mp4"),
        start,
        end,
        bytes: init.len() as u64 + rows.iter().map(|row| row.bytes).sum::<u64>(),
        segments: segments.collect(),
        gaps: gaps.collect(),
        detections: plates(store, camera, start, end).await?,
        fragments: rows.to_vec(),
        init,
    })
}

/// The beginning of the first fragment, as far as its times are.
async fn head(store: &Store, rows: &[FragmentAt]) -> Result<Vec<u8>, EvidenceError> {
    let Some(first) = rows.first() else { return Ok(Vec::new()) };
    let (path, offset) = (store.dir().join(&first.path), first.offset);
    let size = HEAD_BYTES.min(usize::try_from(first.bytes).unwrap_or(HEAD_BYTES));
    let read = tokio::task::spawn_blocking(move || {
        let mut head = vec![0; size];
        let file = File::open(&path).and_then(|file| file.read_exact_at(&mut head, offset));
        file.map(|()| head).map_err(|error| EvidenceError::file("read the recording", &path, error))
    });
    read.await.map_err(|error| EvidenceError::Output(std::io::Error::other(error)))?
}

async fn plates(
    store: &Store,
    camera: &CameraId,
    start: UtcMicros,
    end: UtcMicros,
) -> Result<Vec<Plate>, EvidenceError> {
    let mut query = DetectionQuery {
        camera: Some(camera.clone()),
        from: Some(start),
        to: Some(end),
        limit: DetectionQuery::MAX_LIMIT,
        ..DetectionQuery::default()
    };
    let mut plates = Vec::new();
    loop {
        let page = store.detections(query.clone()).await?;
        let Some(oldest) = page.last() else { break };
        query.before = Some(oldest.id);
        plates.extend(page.into_iter().map(|row| Plate {
            id: row.id.to_string(),
            plate: row.plate.as_str().to_owned(),
            confidence: row.confidence,
            best_at_us: row.best_at.0,
            crop_sha256: row.crop.map(|crop| crop.sha256),
        }));
    }
    Ok(plates)
}
