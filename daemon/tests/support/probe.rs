//! Asks ffprobe and ffmpeg what is in a file: an independent judge of what was recorded.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Video frames that ffprobe counts, after ffmpeg has decoded all of it without a complaint.
pub fn decoded_frames(path: &Path) -> u64 {
    let decoded = Command::new("ffmpeg")
        .args(["-v", "error", "-xerror", "-i"])
        .arg(path)
        .args(["-f", "null", "-"])
        .output()
        .expect("ffmpeg runs");
    let complaints = String::from_utf8_lossy(&decoded.stderr);
    assert!(decoded.status.success() && complaints.is_empty(), "{}: {complaints}", path.display());
    let video = &probe(path, &["-select_streams", "v", "-count_packets"])["streams"][0];
    video["nb_read_packets"].as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{video}"))
}

/// ffprobe's report on streams and format.
pub fn probe(path: &Path, extra: &[&str]) -> Value {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-of", "json", "-show_streams", "-show_format"])
        .args(extra)
        .arg(path)
        .output()
        .expect("ffprobe runs");
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaints.is_empty(), "{}: {complaints}", path.display());
    serde_json::from_slice(&output.stdout).unwrap()
}
