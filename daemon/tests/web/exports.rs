//! Evidence from the page: asked for with a reason, sent as one ZIP file, written down, and verified.

use gtv_edge::evidence::{Finding, verify};
use gtv_edge::store::{InitRow, NewFragment, NewSegment, Stream};
use serde_json::{Value, json};

use crate::harness::{Browser, Page, error_of};
use crate::media::{SECOND, START, ffprobe, film, init_segment, record};

async fn ask(browser: &Browser, reason: &str) -> reqwest::Response {
    let body = json!({ "camera": "gate", "from": START + SECOND, "to": START + 16 * SECOND, "reason": reason });
    browser.post("/api/streaming/exports", &body).await
}

#[tokio::test]
async fn an_export_has_a_reason_is_written_down_and_verifies() {
    let folder = tempfile::tempdir().unwrap();
    let (head, fragments) = film(folder.path());
    let page = Page::start().await;
    let browser = page.administrator().await;
    record(&page, &init_segment(head), &fragments).await;
    page.detection("gate", "ABC1D23", 2).await;

    let (status, _, body) = error_of(ask(&browser, "  ").await).await;
    assert_eq!(status, 400, "{body}");
    let viewer = page.user(&browser, "rui", "viewer").await;
    assert_eq!(error_of(ask(&viewer, "curious").await).await.0, 403);
    let ticket: Value = ask(&browser, "case 7").await.json().await.unwrap();
    assert_eq!((ticket["start"].as_i64(), ticket["end"].as_i64()), (Some(START + SECOND), Some(START + 16 * SECOND)));
    let url = ticket["url"].as_str().unwrap();
    let other = page.user(&browser, "eva", "operator").await;
    assert_eq!(error_of(other.get(url).await).await.0, 404, "only whoever asked may fetch it");

    let answer = browser.get(url).await;
    assert_eq!(answer.headers()["content-type"], "application/zip");
    let name = format!("filename=\"{}\"", ticket["name"].as_str().unwrap());
    assert!(answer.headers()["content-disposition"].to_str().unwrap().contains(&name));
    let zip = folder.path().join("evidence.zip");
    std::fs::write(&zip, answer.bytes().await.unwrap()).unwrap();
    let reports = verify(&zip, None).unwrap();
    let [report] = reports.as_slice() else { panic!("{reports:?}") };
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    let manifest = report.manifest.as_ref().unwrap();
    assert_eq!((manifest.exported_by.as_str(), manifest.reason.as_str()), ("ana", "case 7"));
    assert_eq!((manifest.fragments.len(), manifest.segments.len(), manifest.detections.len()), (5, 2, 1));
    assert_eq!(manifest.clock.as_ref().unwrap().dated_by, "box");
    assert!(verify(&zip, Some(&report.public_key)).unwrap()[0].key_is_trusted);

    // Anybody's tools open it; the video plays.
    let out = folder.path().join("out");
    let unzipped = std::process::Command::new("python3").args(["-m", "zipfile", "-e"]).arg(&zip).arg(&out).status();
    assert!(unzipped.unwrap().success());
    let video = out.join(ticket["name"].as_str().unwrap().replace(".zip", ".mp4"));
    let entries = ["-count_frames", "-select_streams", "v", "-show_entries", "stream=nb_read_frames", "-of", "csv=p=0"];
    assert_eq!(ffprobe(&entries, &video).trim(), "125");
    let start = ffprobe(&["-show_entries", "format=start_time", "-of", "csv=p=0"], &video);
    assert!(start.trim().parse::<f64>().unwrap().abs() < 0.1, "players begin at zero, not at {start}");
    assert!(out.join("LEIA-ME.txt").exists());
    assert!(verify(&video, None).unwrap()[0].findings.is_empty(), "extracted, with its manifest beside it");

    // One bit of the third fragment.
    let mut bytes = std::fs::read(&video).unwrap();
    let skip: u64 =
        manifest.head.as_ref().unwrap().bytes + manifest.fragments[..2].iter().map(|f| f.bytes).sum::<u64>();
    bytes[skip as usize + 100] ^= 1;
    std::fs::write(&video, bytes).unwrap();
    let found = &verify(&video, None).unwrap()[0].findings;
    let altered = Finding::FragmentsAltered {
        first: 3,
        last: 3,
        from_byte: skip,
        to_byte: skip + manifest.fragments[2].bytes,
        start_us: START + 3 * SECOND,
        end_us: START + 4 * SECOND,
    };
    assert_eq!(*found, [altered]);

    let log = browser.json("/api/admin/audit").await;
    let entries = log["entries"].as_array().unwrap();
    let evidence: Vec<_> = entries.iter().filter(|e| e["action"].as_str().unwrap().starts_with("evidence.")).collect();
    let actions: Vec<_> = evidence.iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["evidence.delivered", "evidence.download", "evidence.export"]);
    assert!(
        evidence.iter().all(|entry| entry["actor"] == "ana" && entry["subject"].as_str().unwrap().contains("case 7"))
    );
    assert_eq!(evidence[0]["detail"]["sha256"][0], json!(manifest.sha256));
    page.stop().await;
}

/// Sixty megabytes, far more than waits in memory, whose reader gives up after the first piece.
#[tokio::test]
async fn a_browser_that_goes_away_ends_the_export_and_that_is_written_down() {
    let page = Page::start().await;
    let browser = page.administrator().await;
    let init = InitRow {
        id: "a".into(),
        data: b"init".to_vec(),
        mime: "video/mp4".into(),
        codec: "h264".into(),
        width: 64,
        height: 48,
    };
    page.store().put_init(&init).await.unwrap();
    let path = page.store().dir().join("large.mp4");
    let bytes = 4 << 20;
    std::fs::File::create(&path).unwrap().set_len(4 + 128 * bytes).unwrap();
    let new = NewSegment {
        camera: "gate".parse().unwrap(),
        stream: Stream::Main,
        path: "large.mp4".into(),
        init_id: "a".into(),
        start: gtv_edge::base::time::UtcMicros(START),
        head_bytes: 4,
        clocks: None,
    };
    let segment_id = page.store().open_segment(new).await.unwrap();
    let rows = (0..128).map(|n| NewFragment {
        segment_id,
        offset: 4 + n * bytes,
        bytes,
        start: gtv_edge::base::time::UtcMicros(START + n as i64 * SECOND),
        duration_us: SECOND,
        frames: 25,
        key: true,
    });
    page.store().commit_fragments(rows.collect()).await.unwrap();
    let ticket: Value = ask(&browser, "case 8").await.json().await.unwrap();
    let mut answer = browser.get(ticket["url"].as_str().unwrap()).await;
    assert!(answer.chunk().await.unwrap().is_some());
    drop(answer);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        let log = browser.json("/api/admin/audit").await;
        if log["entries"].as_array().unwrap().iter().any(|entry| entry["action"] == "evidence.broken-off") {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{log}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    page.stop().await;
}
