//! Real groups of pictures of one second for tests of the recorder, encoded once a process.

use std::sync::{Arc, OnceLock};

use gtv_edge::base::clocks::{Clocks, RtpTime};
use gtv_edge::base::time::UtcMicros;
use gtv_edge::media::fmp4::Retimer;
use gtv_edge::media::{Fragment, InitSegment, StreamKind, VideoCodec};
use sha2::{Digest, Sha256};

pub const GROUP_US: i64 = 1_000_000;
pub const FRAMES: u32 = 25;

/// Real fragments of one second, encoded once: `ffmpeg` writes the MP4, its boxes are cut apart here.
pub fn material() -> &'static (Arc<InitSegment>, Vec<Vec<u8>>) {
    static MATERIAL: OnceLock<(Arc<InitSegment>, Vec<Vec<u8>>)> = OnceLock::new();
    MATERIAL.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("material.mp4");
        let done = std::process::Command::new("ffmpeg")
            .args(["-v", "error", "-f", "lavfi", "-i", "testsrc=s=320x180:r=25", "-t", "8", "-pix_fmt", "yuv420p"])
            .args(["-c:v", "libx264", "-profile:v", "baseline", "-g", "25", "-keyint_min", "25", "-sc_threshold", "0"])
            .args(["-video_track_timescale", "90000", "-movflags", "empty_moov+default_base_moof+frag_keyframe"])
            .arg(&path)
            .status()
            .unwrap();
        assert!(done.success());
        let data = std::fs::read(&path).unwrap();
        let (mut head, mut groups, mut at) = (Vec::new(), Vec::new(), 0);
        while at < data.len() {
            let size = u32::from_be_bytes(data[at..at + 4].try_into().unwrap()) as usize;
            let piece = &data[at..at + size];
            match &piece[4..8] {
                b"ftyp" | b"moov" => head.extend_from_slice(piece),
                b"moof" => groups.push(piece.to_vec()),
                b"mdat" => groups.last_mut().unwrap().extend_from_slice(piece),
                _ => {}
            }
            at += size;
        }
        assert_eq!(groups.len(), 8);
        let init = InitSegment {
            id: Sha256::digest(&head).into(),
            data: head.into(),
            mime: "video/mp4; codecs=\"avc1.42C00D\"".to_owned(),
            video_codec: VideoCodec::H264,
            width: 320,
            height: 180,
            has_audio: false,
        };
        (Arc::new(init), groups)
    })
}

pub fn group(name: &str, number: i64, start: UtcMicros) -> Arc<Fragment> {
    let (init, groups) = material();
    let mut data = groups[number as usize % groups.len()].clone();
    assert!(Retimer::of(&init.data).retime(&mut data, number * 90_000, number as u32 + 1));
    Arc::new(Fragment {
        camera: name.parse().unwrap(),
        stream: StreamKind::Main,
        init: init.clone(),
        data: data.into(),
        start: start.add_micros(number * GROUP_US),
        duration_us: GROUP_US,
        frames: FRAMES,
        key: true,
        gop_end: true,
        sequence: number as u64 + 1,
        tfdt: number * 90_000,
        gap: None,
        clocks: Some(Clocks {
            arrival_us: start.add_micros((number + 1) * GROUP_US),
            rtp: Some(RtpTime { ticks: number as u32 * 90_000, hz: 90_000 }),
            camera_us: None,
            box_clock: None,
        }),
    })
}

/// Bytes of a group on average.
pub fn group_bytes() -> u64 {
    let groups = &material().1;
    groups.iter().map(|group| group.len() as u64).sum::<u64>() / groups.len() as u64
}
