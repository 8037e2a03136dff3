//! Pure. The playlists of HLS (RFC 8216, draft-pantos-hls-rfc8216bis): multivariant and media, with parts.

use std::fmt::Write as _;

use super::window::Window;
use crate::media::InitSegment;

/// Parts that a player stays behind the end, at the least (rfc8216bis 4.4.3.8).
const PARTS_BEHIND: i64 = 3;

/// One variant: the stream that was asked for. `query` is put behind every address.
pub fn multivariant(init: &InitSegment, bits_per_s: u64, query: &str) -> String {
    let codecs = init.mime.split("codecs=").nth(1).unwrap_or_default().trim_matches('"');
    format!(
        "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-INDEPENDENT-SEGMENTS\n\
         #EXT-X-STREAM-INF:BANDWIDTH={bits_per_s},CODECS=\"{codecs}\",RESOLUTION={}x{}\nstream.m3u8?{query}\n",
        init.width, init.height
    )
}

pub fn media(window: &Window, query: &str) -> String {
    let mut out = String::with_capacity(4096);
    let part_s = seconds(window.part_us());
    let target = (window.longest_us().max(1) + 999_999) / 1_000_000;
    let first = window.segments().next().map_or(0, |segment| segment.number);
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:{target}\n\
         #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK={}\n#EXT-X-PART-INF:PART-TARGET={part_s}\n\
         #EXT-X-MEDIA-SEQUENCE:{first}\n#EXT-X-DISCONTINUITY-SEQUENCE:{}\n",
        seconds(window.part_us() * PARTS_BEHIND),
        window.discontinuities
    );
    let mut init = None;
    for segment in window.segments() {
        if segment.discontinuity {
            out.push_str("#EXT-X-DISCONTINUITY\n");
        }
        if init != Some(segment.init.id) {
            init = Some(segment.init.id);
            let _ = writeln!(out, "#EXT-X-MAP:URI=\"i{}.mp4?{query}\"", segment.init.id_hex());
        }
        if let Some(start) = segment.fragments.first() {
            let _ = writeln!(out, "#EXT-X-PROGRAM-DATE-TIME:{}", start.start.to_rfc3339());
        }
        if window.names_parts(segment) {
            for part in &segment.fragments {
                let independent = if part.key { ",INDEPENDENT=YES" } else { "" };
                let (duration, number) = (seconds(part.duration_us), part.sequence);
                let _ = writeln!(out, "#EXT-X-PART:DURATION={duration},URI=\"p{number}.m4s?{query}\"{independent}");
            }
        }
        if segment.complete {
            let (duration, number) = (seconds(segment.duration_us()), segment.number);
            let _ = write!(out, "#EXTINF:{duration},\ns{number}.m4s?{query}\n");
        }
    }
    if let Some(newest) = window.newest() {
        let _ = writeln!(out, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p{}.m4s?{query}\"", newest + 1);
    }
    out
}

fn seconds(us: i64) -> String {
    format!("{:.5}", us as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::base::time::UtcMicros;
    use crate::media::{Fragment, InitSegment};

    fn fragment(sequence: u64, ms: i64, key: bool, gop_end: bool, init: u8) -> Arc<Fragment> {
        let sample = Fragment::sample();
        Arc::new(Fragment {
            init: Arc::new(InitSegment { id: [init; 32], ..InitSegment::clone(&sample.init) }),
            data: Bytes::from_static(b"data"),
            start: UtcMicros(1_790_000_000_000_000),
            duration_us: ms * 1000,
            key,
            gop_end,
            sequence,
            ..sample
        })
    }

    /// One group that came whole, then groups of four parts.
    fn window(groups: u64) -> Window {
        let mut window = Window::new(550_000);
        window.push(&fragment(1, 500, false, false, 1));
        window.push(&fragment(2, 2000, true, true, 1));
        for n in 0..groups * 4 {
            window.push(&fragment(3 + n, 500, n % 4 == 0, n % 4 == 3, 1));
        }
        window
    }

    #[test]
    fn names_parts_of_what_is_new_and_hints_at_the_next() {
        let mut window = window(1);
        window.push(&fragment(7, 500, true, false, 1));
        let text = media(&window, "stream=main");
        let uris: Vec<&str> = text.lines().filter_map(|line| line.split("URI=\"").nth(1)).collect();
        let numbers: Vec<&str> = uris[1..].iter().map(|uri| uri.split('.').next().unwrap()).collect();
        assert_eq!(numbers, ["p3", "p4", "p5", "p6", "p7", "p8"]);
        assert!(text.contains("#EXTINF:2.00000,\ns0.m4s?stream=main\n"), "{text}");
        assert!(text.contains("#EXT-X-TARGETDURATION:2\n") && text.contains("PART-TARGET=0.55000"), "{text}");
        assert!(text.contains("TYPE=PART,URI=\"p8.m4s?stream=main\""), "{text}");
        assert_eq!(text.matches("INDEPENDENT=YES").count(), 2);
        assert!(window.reached(1, None) && window.reached(2, Some(0)) && !window.reached(2, Some(1)));
        assert!(!window.reached(2, None) && !window.reached(3, Some(0)));
        assert_eq!(window.segment(1).unwrap().data().len(), 16);
        assert!(window.segment(2).is_none(), "it still grows");
        assert!(window.part(7).is_some() && window.part(8).is_none());
    }

    #[test]
    fn forgets_the_oldest_and_counts_on() {
        let window = window(20);
        let text = media(&window, "q");
        assert!(text.contains("#EXT-X-MEDIA-SEQUENCE:14\n"), "{text}");
        assert!(window.segments().count() <= 7);
    }

    #[test]
    fn a_change_of_the_stream_is_a_discontinuity_with_its_own_map() {
        let mut window = window(1);
        window.push(&fragment(20, 500, true, false, 2));
        let text = media(&window, "q");
        assert_eq!((text.matches("#EXT-X-MAP").count(), text.matches("#EXT-X-DISCONTINUITY\n").count()), (2, 1));
        for n in 0..40 {
            window.push(&fragment(21 + n, 500, n % 4 == 0, n % 4 == 3, 2));
        }
        assert!(media(&window, "q").contains("#EXT-X-DISCONTINUITY-SEQUENCE:1\n"));
    }

    #[test]
    fn after_a_loss_nothing_joins_before_a_key_frame() {
        let mut window = window(1);
        window.push(&fragment(7, 500, true, false, 1));
        window.interrupt();
        window.push(&fragment(9, 500, false, false, 1));
        assert_eq!(window.newest(), Some(7));
        window.push(&fragment(10, 500, true, false, 1));
        assert_eq!(window.newest(), Some(10));
    }
}
