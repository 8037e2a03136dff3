//! Cameras that misbehave: each case is recorded all the same, or says why not and comes back. Every test ends with the
//! check that the recorded line neither overlaps nor runs backwards (R3).

mod support;

use std::process::Command;

use gtv_edge::base::clocks::Clocks;
use gtv_edge::camera::CameraState;
use gtv_edge::config::CameraConfig;
use support::replay::Replay;
use support::running::Running;

/// Which client the status names.
fn client(camera: &Running) -> String {
    camera.status.borrow().main.as_ref().expect("a stream").client.clone()
}

/// Records a few seconds and tells which client read them.
async fn records(config: &CameraConfig) -> String {
    let mut camera = Running::start(config);
    camera.wait_for(CameraState::Streaming).await;
    camera.wait_frames(75).await;
    let used = client(&camera);
    let fragments = camera.stop().await;
    assert!(fragments.iter().all(|fragment| (fragment.init.width, fragment.init.height) == (320, 180)));
    assert!(fragments.iter().all(|fragment| fragment.gap.is_none()), "{fragments:?}");
    used
}

#[tokio::test(flavor = "multi_thread")]
async fn digest_with_md5_and_sha_256() {
    for algorithm in ["MD5", "SHA-256"] {
        let replay = Replay::start(&["--password", "rua-1", "--digest", algorithm]);
        assert_eq!(records(&replay.config("rua-1")).await, "retina", "{algorithm}");
        let mut camera = Running::start(&replay.config("rua-2"));
        camera.wait_for(CameraState::Unauthorised).await;
        camera.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_are_followed() {
    let replay = Replay::start(&["--redirect"]);
    let config = CameraConfig { main_url: replay.url().replace("/camera/", "/moved/"), ..replay.config("") };
    let used = records(&config).await;
    assert!(used.starts_with("libavformat (302"), "{used}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_with_a_certificate_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (certificate, key) = (path("cert.pem"), path("key.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=camera"])
        .args(["-out", &certificate, "-keyout", &key])
        .output()
        .expect("openssl is installed");
    assert!(made.status.success(), "{made:?}");
    let replay = Replay::start(&["--tls", &certificate, &key]);
    let config = CameraConfig { main_url: replay.tls_url(), ..replay.config("") };
    assert_eq!(records(&config).await, "libavformat (TLS)");
}

#[tokio::test(flavor = "multi_thread")]
async fn keep_alives_that_nobody_answers() {
    // Sent every two seconds; the second finds the first without an answer.
    let replay = Replay::start(&["--deaf", "--session-timeout", "4"]);
    let mut camera = Running::start(&replay.config(""));
    let lost = camera.wait_for(CameraState::Stalled).await;
    assert!(lost.code == "protocol" && lost.reason.contains("keepalive"), "{lost:?}");
    camera.wait_for(CameraState::Streaming).await;
    let used = client(&camera);
    assert!(used.starts_with("libavformat") && used.contains("keepalive"), "{used}");
    let before = camera.frames();
    camera.wait_frames(before + 200).await;
    let fragments = camera.stop().await;
    let gaps: Vec<_> = fragments.iter().filter_map(|fragment| fragment.gap.clone()).collect();
    assert!(gaps.len() == 1 && gaps[0].contains("keepalive"), "{gaps:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn session_descriptions_that_are_wrong() {
    for (kind, expected) in [("no-sets", "retina"), ("wrong-sets", "retina"), ("odd", ""), ("broken", "")] {
        let replay = Replay::start(&["--sdp", kind]);
        let used = records(&replay.config("")).await;
        assert!(used.starts_with(expected), "{kind}: {used}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_resolution_in_the_middle_of_the_stream() {
    let replay = Replay::start(&["--switch", "640x360:25:4:300", "--switch-after", "3"]);
    let mut camera = Running::start(&replay.config(""));
    camera.wait_for(CameraState::Streaming).await;
    camera.wait_frames(200).await;
    let fragments = camera.stop().await;
    let widths: Vec<u32> = fragments.iter().map(|fragment| fragment.init.width).collect();
    assert_eq!((widths[0], widths[widths.len() - 1]), (320, 640));
    assert!(widths.is_sorted(), "{widths:?}");
    let change = fragments.iter().position(|fragment| fragment.init.width == 640).unwrap();
    assert!(fragments[change].key, "the new file begins with a key frame");
    assert!(fragments.iter().all(|fragment| fragment.gap.is_none()), "nothing is lost at the change");
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_without_a_goodbye() {
    let mut replay = Replay::start(&[]);
    let mut camera = Running::start(&replay.config(""));
    camera.wait_for(CameraState::Streaming).await;
    replay.order("hush");
    let lost = camera.wait_for(CameraState::Stalled).await;
    assert!(lost.reason.contains("sent nothing for 8 s"), "{}", lost.reason);
    replay.order("speak");
    camera.wait_for(CameraState::Streaming).await;
    let before = camera.frames();
    camera.wait_frames(before + 50).await;
    let fragments = camera.stop().await;
    assert_eq!(fragments.iter().filter(|fragment| fragment.gap.is_some()).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn times_and_reports_that_cannot_be_true() {
    for extra in [
        &["--times", "hours-off"][..],
        &["--times", "wrap"],
        &["--times", "back"],
        &["--times", "twice"],
        &["--reports", "absurd"],
        &["--reports", "none"],
    ] {
        let replay = Replay::start(extra);
        let mut camera = Running::start(&replay.config(""));
        camera.wait_for(CameraState::Streaming).await;
        camera.wait_frames(200).await;
        let fragments = camera.stop().await;
        let frames: u32 = fragments.iter().map(|fragment| fragment.frames).sum();
        let length_s = fragments.last().unwrap().end().since(fragments[0].start) as f64 / 1e6;
        let expected_s = f64::from(frames) / 25.0;
        assert!((length_s - expected_s).abs() < 1.0, "{extra:?}: {frames} frames in {length_s} s");
        assert!(fragments.iter().all(|fragment| fragment.gap.is_none()), "{extra:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_each_clock_said_is_kept() {
    for (extra, reports) in [(&[][..], true), (&["--reports", "none"], false)] {
        let replay = Replay::start(extra);
        let mut camera = Running::start(&replay.config(""));
        camera.wait_for(CameraState::Streaming).await;
        camera.wait_frames(150).await;
        let fragments = camera.stop().await;
        let clocks: Vec<Clocks> = fragments.iter().map(|fragment| fragment.clocks.expect("of each")).collect();
        for (pair, fragment) in clocks.windows(2).zip(&fragments) {
            let [before, after] = [pair[0].rtp.unwrap(), pair[1].rtp.unwrap()];
            assert_eq!((before.hz, after.ticks.wrapping_sub(before.ticks)), (90_000, fragment.frames * 3600));
        }
        let told = clocks.last().unwrap().camera_us.map(|time| time.since(clocks.last().unwrap().arrival_us));
        assert_eq!(told.is_some(), reports, "{extra:?}");
        assert!(told.is_none_or(|ahead_us| ahead_us.abs() < 2_000_000), "{told:?}");
    }
}
