//! The timeline: rows joined to what a screen shows, small pictures, key frames alone, and video that is still growing.

use gtv_edge::base::time::UtcMicros;
use gtv_edge::store::{InitRow, NewFragment, NewSegment, Stream};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Page, error_of};
use crate::media::{SECOND, START, ffprobe, film, init_segment, record};

#[tokio::test]
async fn rows_are_joined_to_what_a_screen_shows() {
    let folder = tempfile::tempdir().unwrap();
    let (head, fragments) = film(folder.path());
    let page = Page::start().await;
    let browser = page.administrator().await;
    record(&page, &init_segment(head), &fragments).await;
    let gate = "gate".parse().unwrap();
    let (gap_start, gap_end) = (UtcMicros(START + 4 * SECOND), UtcMicros(START + 14 * SECOND));
    page.store().put_gap(&gate, Stream::Main, gap_start, gap_end, "the camera did not answer").await.unwrap();
    // At START + 0.4 s, 1.4 s and 20.4 s.
    let first = page.detection("gate", "ABC1D23", 0).await;
    page.detection("gate", "ABC1D24", 1).await;
    let last = page.detection("gate", "ABC1D25", 20).await;
    let path = |buckets: u32| {
        let (from, to) = (START - 10 * SECOND, START + 30 * SECOND);
        format!("/api/streaming/timeline?cameras=gate,yard&from={from}&to={to}&buckets={buckets}")
    };
    let fine = browser.json(&path(4000)).await;
    let gate = &fine["cameras"][0];
    assert_eq!(gate["spans"], json!([[START, START + 4 * SECOND], [START + 14 * SECOND, START + 18 * SECOND]]));
    assert_eq!(
        (&gate["gaps"][0]["reason"], &gate["gaps"][0]["missing"]),
        (&json!("the camera did not answer"), &json!(10 * SECOND))
    );
    let marks = gate["detections"].as_array().unwrap();
    assert_eq!(marks.iter().map(|mark| mark["count"].as_i64().unwrap()).collect::<Vec<_>>(), [1, 1, 1]);
    assert_eq!(marks[0]["detection"], json!(first.to_string()));
    assert_eq!((&fine["cameras"][1]["camera"], &fine["cameras"][1]["spans"]), (&json!("yard"), &json!([])));

    let coarse = browser.json(&path(2)).await;
    let gate = &coarse["cameras"][0];
    assert_eq!(gate["spans"], json!([[START, START + 18 * SECOND]]), "the pause is shorter than a bucket");
    assert_eq!(gate["gaps"].as_array().unwrap().len(), 1, "and is told by its gap");
    let counts: Vec<_> = gate["detections"].as_array().unwrap().iter().map(|mark| mark["count"].as_i64()).collect();
    assert_eq!(counts, [Some(2), Some(1)]);

    let beside = async |at: i64, direction: &str| -> Value {
        browser.json(&format!("/api/streaming/timeline/passage?cameras=gate&at={at}&direction={direction}")).await
    };
    assert_eq!(beside(START + 2 * SECOND, "next").await["passage"]["id"], json!(last.to_string()));
    assert_eq!(beside(START + SECOND, "previous").await["passage"]["id"], json!(first.to_string()));
    assert_eq!(beside(START + 60 * SECOND, "next").await["passage"], Value::Null);
    let (status, _, body) = error_of(browser.get("/api/streaming/timeline?cameras=&from=0&to=1").await).await;
    assert_eq!((status, body["error"]["field"].as_str()), (400, Some("cameras")));
    page.stop().await;
}

#[tokio::test]
async fn small_pictures_are_the_nearest_key_frame_and_may_be_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (head, fragments) = film(folder.path());
    let page = Page::start().await;
    let browser = page.administrator().await;
    record(&page, &init_segment(head), &fragments).await;
    let path = |at: i64| format!("/api/streaming/cameras/gate/thumbnail.jpg?at={at}");
    let picture = browser.get(&path(START + 12 * SECOND / 10)).await;
    assert_eq!(picture.status(), 200);
    let head = picture.headers().clone();
    assert_eq!(head["x-gtv-time"], (START + SECOND).to_string());
    assert_eq!(head["content-type"], "image/jpeg");
    assert_eq!(head["cache-control"], "private, max-age=3600");
    let jpeg = gtv_edge::media::jpeg::decode_image(&picture.bytes().await.unwrap()).unwrap();
    assert_eq!((jpeg.width, jpeg.height), (240, 180));
    let same = browser.request(Method::GET, &path(START + 14 * SECOND / 10)).header("if-none-match", &head["etag"]);
    assert_eq!(same.send().await.unwrap().status(), 304, "another moment, the same key frame");
    let after = browser.get(&path(START + 13 * SECOND)).await;
    assert_eq!(after.headers()["x-gtv-time"], (START + 14 * SECOND).to_string(), "the nearest lies behind the pause");
    let (status, _, _) = error_of(browser.get(&path(START + 60 * SECOND)).await).await;
    assert_eq!(status, 404, "nothing within ten seconds");
    let far = browser.get(&format!("{}&within=60", path(START + 60 * SECOND))).await;
    assert_eq!(far.headers()["x-gtv-time"], (START + 17 * SECOND).to_string());
    page.stop().await;
}

#[tokio::test]
async fn a_playback_of_key_frames_has_their_times_and_no_sound() {
    let folder = tempfile::tempdir().unwrap();
    let (head, fragments) = film(folder.path());
    let page = Page::start().await;
    let browser = page.administrator().await;
    record(&page, &init_segment(head), &fragments).await;
    let (from, to) = (START + 3 * SECOND / 2, START + 31 * SECOND / 2);
    let path = format!("/api/streaming/cameras/gate/playback.mp4?from={from}&to={to}&keys=true");
    let whole = browser.get(&path).await;
    assert_eq!(whole.headers()["content-type"], "video/mp4; codecs=\"avc1.42c00d\"");
    let whole = whole.bytes().await.unwrap();
    let file = folder.path().join("keys.mp4");
    std::fs::write(&file, &whole).unwrap();
    assert_eq!(ffprobe(&["-show_entries", "stream=codec_type", "-of", "csv=p=0"], &file).trim(), "video");
    let times = ffprobe(&["-select_streams", "v", "-show_entries", "frame=pts_time", "-of", "csv=p=0"], &file);
    let times: Vec<f64> = times.lines().filter_map(|line| line.trim_end_matches(',').parse().ok()).collect();
    assert_eq!(times, [0.0, 1.0, 2.0, 3.0, 4.0], "GOPs 2, 3, 4 and, after the pause, 5 and 6");
    let part = browser.request(Method::GET, &path).header("range", "bytes=900-2999").send().await.unwrap();
    assert_eq!(part.bytes().await.unwrap(), whole.slice(900..3000));
    let described = browser.json(&path.replace("playback.mp4", "playback")).await;
    assert_eq!(described["bytes"].as_u64(), Some(whole.len() as u64));
    assert_eq!(described["stretches"][1]["start"], json!(START + 14 * SECOND));
    page.stop().await;
}

/// The recorder has written and committed two seconds of a file that stays open; more follows between two requests.
#[tokio::test]
async fn a_recording_plays_by_ranges_while_it_grows() {
    let folder = tempfile::tempdir().unwrap();
    let (head, fragments) = film(folder.path());
    let init = init_segment(head);
    let page = Page::start().await;
    let browser = page.administrator().await;
    let row = InitRow {
        id: init.id_hex(),
        data: init.data.to_vec(),
        mime: init.mime.clone(),
        codec: "h264".into(),
        width: 320,
        height: 240,
    };
    page.store().put_init(&row).await.unwrap();
    let path = "recordings/growing.mp4";
    let file = page.store().dir().join(path);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, &init.data).unwrap();
    let head_bytes = init.data.len() as u64;
    let (camera, init_id, start) = ("gate".parse().unwrap(), init.id_hex(), UtcMicros(START));
    let new = NewSegment { camera, stream: Stream::Main, path: path.into(), init_id, start, head_bytes, clocks: None };
    let segment_id = page.store().open_segment(new).await.unwrap();
    let append = async |range: std::ops::Range<usize>| {
        use std::io::Write;
        let mut out = std::fs::File::options().append(true).open(&file).unwrap();
        for n in range {
            let offset = std::fs::metadata(&file).unwrap().len();
            out.write_all(&fragments[n]).unwrap();
            let (bytes, start) = (fragments[n].len() as u64, UtcMicros(START + n as i64 * SECOND));
            let row = NewFragment { segment_id, offset, bytes, start, duration_us: SECOND, frames: 25, key: true };
            page.store().commit_fragments(vec![row]).await.unwrap();
        }
    };
    append(0..2).await;
    let fixed = format!("/api/streaming/cameras/gate/playback.mp4?from={START}&to={}", START + 2 * SECOND);
    let open = format!("/api/streaming/cameras/gate/playback.mp4?from={START}&to={}", START + 60 * SECOND);
    let first = browser.request(Method::GET, &fixed).header("range", "bytes=0-5000").send().await.unwrap();
    let etag = first.headers()["etag"].clone();
    let first = first.bytes().await.unwrap();
    let short = browser.get(&open).await.bytes().await.unwrap();
    append(2..5).await;
    let rest = browser.request(Method::GET, &fixed).header("range", "bytes=5001-").header("if-range", &etag);
    let rest = rest.send().await.unwrap();
    assert_eq!(rest.status(), 206, "what was recorded before is the same file after more was recorded");
    let joined = [first.as_ref(), rest.bytes().await.unwrap().as_ref()].concat();
    assert_eq!(joined, browser.get(&fixed).await.bytes().await.unwrap());
    let long = browser.get(&open).await.bytes().await.unwrap();
    for (name, data, frames) in [("fixed", joined.as_slice(), "50"), ("short", &short, "50"), ("long", &long, "125")] {
        let played = folder.path().join(format!("{name}.mp4"));
        std::fs::write(&played, data).unwrap();
        let entries =
            ["-count_frames", "-select_streams", "v", "-show_entries", "stream=nb_read_frames", "-of", "csv=p=0"];
        assert_eq!(ffprobe(&entries, &played).trim(), frames, "{name}");
    }
    page.stop().await;
}
