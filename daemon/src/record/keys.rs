//! Which key frames a fast playback shows, and where they lie in the segment files.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::error::RecordError;
use crate::media::fmp4;
use crate::store::FragmentAt;

/// The `moof` of a group of pictures is far smaller; a longer one is read anew.
const HEAD_BYTES: usize = 4096;
const HEAD_BYTES_MAX: usize = 1 << 20;

/// The fragments that begin with a key frame, each with the time until the next of them.
pub fn groups(rows: Vec<FragmentAt>) -> Vec<(FragmentAt, i64)> {
    let mut groups: Vec<(FragmentAt, i64)> = Vec::new();
    for row in rows {
        match groups.last_mut() {
            Some((_, duration_us)) if !row.key => *duration_us += row.duration_us,
            _ if row.key => {
                let duration_us = row.duration_us;
                groups.push((row, duration_us));
            }
            _ => {}
        }
    }
    groups
}

/// Where in its fragment each key frame lies.
pub fn locate(dir: &Path, groups: &[(FragmentAt, i64)]) -> Result<Vec<Range<u64>>, RecordError> {
    let mut open: Option<(&str, File)> = None;
    let mut found = Vec::with_capacity(groups.len());
    for (row, _) in groups {
        let path = dir.join(&row.path);
        let failed = |error| RecordError::file("read the recording", &path, error);
        let file = match open.take() {
            Some((name, file)) if name == row.path => file,
            _ => File::open(&path).map_err(failed)?,
        };
        let mut at = None;
        for size in [HEAD_BYTES, HEAD_BYTES_MAX] {
            let mut head = vec![0; usize::try_from(row.bytes).unwrap_or(usize::MAX).min(size)];
            file.read_exact_at(&mut head, row.offset).map_err(failed)?;
            at = fmp4::first_sample_at(&head).filter(|at| at.end <= row.bytes);
            if at.is_some() {
                break;
            }
        }
        let damaged = || RecordError::Damaged { path: path.display().to_string(), offset: row.offset };
        found.push(at.ok_or_else(damaged)?);
        open = Some((&row.path, file));
    }
    Ok(found)
}

/// The row of a fragment narrowed to its key frame.
pub fn cut(row: &FragmentAt, at: &Range<u64>) -> FragmentAt {
    FragmentAt { offset: row.offset + at.start, bytes: at.end - at.start, frames: 1, ..row.clone() }
}

/// The MIME type without the codec of the sound.
pub fn video_mime(mime: &str) -> String {
    match mime.split_once(',') {
        Some((video, _)) => format!("{video}\""),
        None => mime.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::UtcMicros;

    #[test]
    fn a_group_lasts_until_the_next_key_frame() {
        let row = |start: i64, key: bool| FragmentAt {
            segment_id: 1,
            path: String::new(),
            offset: 0,
            bytes: 1,
            start: UtcMicros(start),
            duration_us: 10,
            init_id: String::new(),
            key,
            frames: 5,
        };
        let found = groups(vec![row(0, false), row(10, true), row(20, false), row(30, true)]);
        assert_eq!(found.iter().map(|(row, us)| (row.start.0, *us)).collect::<Vec<_>>(), [(10, 20), (30, 10)]);
        assert_eq!(video_mime("video/mp4; codecs=\"avc1.42c00d,mp4a.40.2\""), "video/mp4; codecs=\"avc1.42c00d\"");
        assert_eq!(video_mime("video/mp4; codecs=\"avc1.42c00d\""), "video/mp4; codecs=\"avc1.42c00d\"");
    }
}
