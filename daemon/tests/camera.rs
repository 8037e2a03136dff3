//! Cameras against the demo camera: what is sent arrives whole, whatever fails says so and comes back.

mod support;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gtv_edge::camera::CameraState;
use gtv_edge::config::{CameraConfig, LprStream, Transport};
use gtv_edge::media::{DecodedFrame, Fragment, VideoCodec, Wanted};
use support::demo::Demo;
use support::probe;
use support::running::Running;

fn config(demo: &Demo) -> CameraConfig {
    CameraConfig {
        id: "gate".parse().unwrap(),
        main_url: demo.main_url(0),
        username: demo.user(),
        password: gtv_edge::base::secret::Secret::new(demo.password()),
        lpr: LprStream::Off,
        ..CameraConfig::default()
    }
}

/// Writes what belongs to the first init segment to a file, and how many frames it must have.
fn write(fragments: &[Arc<Fragment>], folder: &tempfile::TempDir) -> (std::path::PathBuf, u64) {
    let path = folder.path().join("recorded.mp4");
    let init = &fragments[0].init;
    let mut data = init.data.to_vec();
    let mut frames = 0;
    for fragment in fragments.iter().filter(|fragment| fragment.init.id == init.id) {
        data.extend_from_slice(&fragment.data);
        frames += u64::from(fragment.frames);
    }
    std::fs::write(&path, data).unwrap();
    (path, frames)
}

async fn records_whole(
    extra: &[&str],
    change: impl FnOnce(&mut CameraConfig),
) -> (Vec<Arc<Fragment>>, serde_json::Value) {
    let demo = Demo::start(extra);
    let mut config = config(&demo);
    change(&mut config);
    let mut camera = Running::start(&config);
    camera.wait_for(CameraState::Streaming).await;
    camera.wait_frames(75).await;
    let fragments = camera.stop().await;
    let folder = tempfile::tempdir().unwrap();
    let (path, frames) = write(&fragments, &folder);
    assert_eq!(probe::decoded_frames(&path), frames);
    (fragments, probe::probe(&path, &["-show_packets"]))
}

/// Decode times of a stream must tile: each packet begins where the one before it ends.
fn assert_tiled(report: &serde_json::Value, kind: &str, tolerance: f64) {
    let mut end: Option<f64> = None;
    let packets = report["packets"].as_array().unwrap().iter().filter(|packet| packet["codec_type"] == kind);
    // The frame rate is learned from the first packets; ffprobe gives the common duration for those too.
    for packet in packets.skip(10) {
        let number = |key: &str| packet[key].as_str().unwrap().parse::<f64>().unwrap();
        if let Some(end) = end {
            assert!((number("dts_time") - end).abs() <= tolerance, "{kind}: {} after {end}", number("dts_time"));
        }
        end = Some(number("dts_time") + number("duration_time"));
    }
    assert!(end.is_some(), "no {kind}");
}

#[tokio::test(flavor = "multi_thread")]
async fn h264_over_tcp_with_g711() {
    let (fragments, report) = records_whole(&["--audio", "pcmu"], |_| {}).await;
    assert_eq!(fragments[0].init.video_codec, VideoCodec::H264);
    assert!(
        fragments[0].key && fragments[0].duration_us < 500_000,
        "the first fragment comes soon: {:?}",
        fragments[0]
    );
    assert!(fragments[0].init.has_audio && fragments[0].init.mime.contains("mp4a.40.2"));
    assert_tiled(&report, "video", 0.0011);
    assert_tiled(&report, "audio", 0.0011);
}

#[tokio::test(flavor = "multi_thread")]
async fn h264_with_b_frames_over_udp() {
    let (fragments, report) = records_whole(&["--bframes", "2"], |config| config.transport = Transport::Udp).await;
    assert_tiled(&report, "video", 0.0011);
    assert!(!fragments[0].init.has_audio);
}

#[tokio::test(flavor = "multi_thread")]
async fn h264_with_b_frames_over_tcp() {
    let (_, report) = records_whole(&["--bframes", "2"], |_| {}).await;
    assert_tiled(&report, "video", 0.0011);
    let packets = report["packets"].as_array().unwrap();
    assert!(packets.iter().any(|packet| packet["pts"] != packet["dts"]), "frames are shown in another order");
}

#[tokio::test(flavor = "multi_thread")]
async fn h265_with_aac() {
    let (fragments, report) = records_whole(&["--codec", "h265", "--audio", "aac"], |_| {}).await;
    assert!(fragments[0].init.mime.contains("hvc1.1.6."), "{}", fragments[0].init.mime);
    assert_tiled(&report, "video", 0.0011);
    assert_tiled(&report, "audio", 0.0011);
}

#[tokio::test(flavor = "multi_thread")]
async fn mjpeg() {
    let (fragments, _) = records_whole(&["--codec", "mjpeg"], |_| {}).await;
    assert_eq!(fragments[0].init.video_codec, VideoCodec::Mjpeg);
    assert!(fragments[1].frames > 3, "not one fragment a frame");
}

#[tokio::test(flavor = "multi_thread")]
async fn decodes_what_is_wanted() {
    let demo = Demo::start(&[]);
    let camera = Running::start(&CameraConfig { lpr: LprStream::Main, ..config(&demo) });
    let slot = camera.slot.clone();
    let (all, keys) = tokio::task::spawn_blocking(move || {
        let mut all = Vec::new();
        while all.len() < 20 {
            all.push(slot.take_timeout(Duration::from_secs(10)).expect("a frame"));
        }
        slot.set_wanted(Wanted::KeyFrames);
        // Some were on their way already.
        let mut keys = Vec::new();
        let limit = Instant::now() + Duration::from_secs(60);
        while keys.len() < 2 {
            assert!(Instant::now() < limit, "two key frames, one after the other");
            let frame = slot.take_timeout(Duration::from_secs(10)).expect("a frame");
            if !frame.key {
                keys.clear();
            }
            keys.push(frame);
            keys.retain(|frame: &DecodedFrame| frame.key);
        }
        (all, keys)
    })
    .await
    .unwrap();
    assert!(all.windows(2).all(|pair| pair[0].time < pair[1].time));
    assert!(keys.iter().all(|frame| frame.key));
    let rgb = all[10].to_rgb().unwrap();
    assert_eq!((rgb.width, rgb.height), (640, 360));
    assert!(rgb.data.iter().any(|&byte| byte > 100));
    let (crop, corner) = all[10].crop_rgb(100, 50, 64, 32).unwrap();
    assert_eq!((crop.width, crop.height, corner), (64, 32, (100, 50)));
    let worst = crop.data.iter().zip(&rgb.crop(100, 50, 64, 32).unwrap().data).map(|(a, b)| a.abs_diff(*b)).max();
    assert!(worst.unwrap() < 24, "a part has the colors of the whole, apart by {worst:?}");
    let (first, last) = (all[0].time, all[19].time);
    let fragments = camera.stop().await;
    assert!(fragments.iter().any(|fragment| fragment.start <= first && fragment.end() > first));
    assert!(fragments.last().unwrap().end() >= last, "frames are dated as fragments are");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stall_is_noticed_and_left_behind() {
    let demo = Demo::start(&[]);
    let mut camera = Running::start(&config(&demo));
    camera.wait_for(CameraState::Streaming).await;
    demo.fault("stall-after=0").await;
    let status = camera.wait_for(CameraState::Stalled).await;
    assert!(status.reason.contains("sent nothing for 8 s"), "{}", status.reason);
    demo.fault("none").await;
    camera.wait_for(CameraState::Streaming).await;
    camera.wait_frames(60).await;
    let fragments = camera.stop().await;
    let gaps: Vec<_> = fragments.iter().filter_map(|fragment| fragment.gap.clone()).collect();
    assert!(gaps.len() == 1 && gaps[0].contains("sent nothing"), "{gaps:?}");
}

/// Refuses everybody as cameras do, and counts the tries that carry credentials.
fn refuse_everybody() -> (std::net::SocketAddr, Arc<Mutex<u32>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let tries = Arc::new(Mutex::new(0));
    let counted = tries.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut requests = BufReader::new(stream);
            let mut sequence = String::new();
            let mut line = String::new();
            while requests.read_line(&mut line).is_ok_and(|read| read > 0) {
                let (name, value) = line.trim_end().split_once(": ").unwrap_or((line.trim_end(), ""));
                match name {
                    "CSeq" => value.clone_into(&mut sequence),
                    "Authorization" => *counted.lock().unwrap() += 1,
                    "" => {
                        let challenge = "WWW-Authenticate: Digest realm=\"gate\", nonce=\"1\"";
                        let answer = format!("RTSP/1.0 401 Unauthorized\r\nCSeq: {sequence}\r\n{challenge}\r\n\r\n");
                        requests.get_mut().write_all(answer.as_bytes()).unwrap();
                    }
                    _ => {}
                }
                line.clear();
            }
        }
    });
    (address, tries)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_tried_once() {
    let (address, tries) = refuse_everybody();
    let config = CameraConfig {
        id: "gate".parse().unwrap(),
        main_url: format!("rtsp://{address}/main"),
        sub_url: Some(format!("rtsp://{address}/sub")),
        username: "admin".to_owned(),
        password: gtv_edge::base::secret::Secret::new("not-this"),
        lpr: LprStream::Sub,
        ..CameraConfig::default()
    };
    let mut camera = Running::start(&config);
    let status = camera.wait_for(CameraState::Unauthorised).await;
    assert!(status.reason.contains("user name or password") && !status.reason.contains("not-this"), "{status:?}");
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(camera.status.borrow().state, CameraState::Unauthorised);
    camera.stop().await;
    assert_eq!(*tries.lock().unwrap(), 1, "tries with the wrong password, two streams together");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_and_nothing_listening() {
    let demo = Demo::start(&["--fault", "down"]);
    let mut camera = Running::start(&config(&demo));
    let status = camera.wait_for(CameraState::Unreachable).await;
    assert!(status.reason.contains("connection refused"), "{}", status.reason);
    demo.fault("none").await;
    camera.wait_for(CameraState::Streaming).await;
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn timestamps_that_jump_and_garbage_keep_the_timeline() {
    for fault in ["timestamps=jump:2", "timestamps=back:2", "garbage=0.05"] {
        let demo = Demo::start(&["--fault", fault]);
        let mut camera = Running::start(&config(&demo));
        camera.wait_for(CameraState::Streaming).await;
        camera.wait_frames(90).await;
        let fragments = camera.stop().await;
        let length = fragments.last().unwrap().end().since(fragments[0].start);
        assert!((3_000_000..30_000_000).contains(&length), "{fault}: {length} us");
    }
}
