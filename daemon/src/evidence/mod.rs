//! Layer 3: recordings as evidence. A span becomes MP4 files, byte for byte as they were recorded, each with a manifest
//! that the box signs (invariant T4); whoever gets them can tell whether and where they were altered. The command line
//! and the page export through here, `gtv-edge verify` checks through here; `docs/evidence.md` says how without us.

mod bundle;
mod error;
mod manifest;
mod plan;
mod verify;
mod write;

pub use bundle::{bundle, manifest_name};
pub use error::EvidenceError;
pub use manifest::{Clock, FORMAT, FragmentDigest, Gap, Head, Manifest, Plate, SegmentDigest, Signed};
pub use plan::{Plan, REASON_MAX, Request, SPAN_MAX_US};
pub use verify::{Finding, Report, verify};
pub use write::write_file;
