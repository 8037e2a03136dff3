//! Pure. Puts the NAL units of one picture together again, behind lengths as fMP4 stores them.
//!
//! RTP payloads give units in pieces, and their lengths are filled in as they end. FFmpeg's reader gives pieces too: one
//! unit, several, or a part of one, each behind a start code where a unit begins; those are turned into lengths when the
//! picture is complete. FFmpeg's own parser would copy each picture twice more and hold it back for one frame.

use bytes::Bytes;

use super::codec::{VideoCodec, h264, hevc};
use super::rtp::Piece;

/// One picture as fMP4 stores it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessUnit {
    /// NAL units behind 4-byte lengths; for MJPEG the picture itself.
    pub data: Bytes,
    pub key: bool,
    /// No later picture refers to it.
    pub disposable: bool,
    /// As the camera sent it, for the first piece.
    pub raw_pts: Option<i64>,
}

/// A picture larger than this is garbage: 32 MiB is eight times the largest allowed at H.264 level 5.1.
const MAX_BYTES: usize = 32 << 20;

/// Joins pieces into pictures.
pub struct Assembler {
    codec: VideoCodec,
    /// With whole frames only, a second first slice begins a picture even at the same timestamp.
    pub frames_only: bool,
    buffer: Vec<u8>,
    raw_pts: Option<i64>,
    has_picture: bool,
    /// Where the length of the unit under way stands, for pictures that come unit by unit.
    unit: Option<usize>,
    /// The picture comes unit by unit: `buffer` holds lengths, and the two marks below are kept as units end.
    sized: bool,
    key: bool,
    referred: bool,
    /// Pictures thrown away because they were too large or held no NAL unit.
    pub damaged: u64,
}

impl Assembler {
    pub fn new(codec: VideoCodec) -> Self {
        Self {
            codec,
            frames_only: false,
            buffer: Vec::new(),
            raw_pts: None,
            has_picture: false,
            unit: None,
            sized: false,
            key: false,
            referred: false,
            damaged: 0,
        }
    }

    /// [`Assembler::begins_picture`] for a piece of a unit.
    pub fn unit_begins_picture(&self, piece: &Piece<'_>, raw_pts: Option<i64>) -> bool {
        let Piece::Begin { data, .. } = piece else { return false };
        if self.buffer.is_empty() {
            return true;
        }
        if !self.has_picture && !self.unit.is_some_and(|at| is_picture(self.codec, &self.buffer[at + 4..])) {
            return false;
        }
        let mut head = [0; 3];
        let mut length = 0;
        for byte in piece.header().iter().chain(*data).take(head.len()) {
            head[length] = *byte;
            length += 1;
        }
        self.ends_before(&head[..length], raw_pts)
    }

    /// Adds a piece of a unit.
    pub fn push_piece(&mut self, piece: &Piece<'_>, raw_pts: Option<i64>) {
        match piece {
            Piece::Begin { data, .. } => {
                self.end_unit();
                if self.buffer.is_empty() {
                    self.raw_pts = raw_pts;
                }
                self.sized = true;
                self.unit = Some(self.buffer.len());
                self.buffer.extend_from_slice(&[0; 4]);
                self.buffer.extend_from_slice(piece.header());
                self.buffer.extend_from_slice(data);
            }
            Piece::More(data) if self.unit.is_some() => self.buffer.extend_from_slice(data),
            Piece::More(_) => {}
            Piece::Broken => {
                if let Some(at) = self.unit.take() {
                    self.buffer.truncate(at);
                }
            }
        }
        if self.buffer.len() > MAX_BYTES {
            self.damaged += 1;
            self.reset();
        }
    }

    fn end_unit(&mut self) {
        let Some(at) = self.unit.take() else { return };
        let length = self.buffer.len() - at - 4;
        if length == 0 {
            self.buffer.truncate(at);
            return;
        }
        self.buffer[at..at + 4].copy_from_slice(&(length as u32).to_be_bytes());
        let nal = &self.buffer[at + 4..];
        let picture = is_picture(self.codec, nal);
        self.has_picture |= picture;
        self.key |= is_key(self.codec, nal);
        self.referred |= picture && (self.codec != VideoCodec::H264 || nal[0] & 0x60 != 0);
    }

    /// True when `piece` starts a picture and so ends the one before: take it with [`Assembler::take`] first.
    pub fn begins_picture(&self, piece: &[u8], raw_pts: Option<i64>) -> bool {
        if self.buffer.is_empty() {
            return true;
        }
        match self.codec {
            VideoCodec::Mjpeg => true,
            VideoCodec::H264 | VideoCodec::H265 => {
                self.has_picture && leading_nal(piece).is_some_and(|nal| self.ends_before(nal, raw_pts))
            }
        }
    }

    /// A timestamp alone decides nothing: FFmpeg corrects it within a picture when a sender report comes, and some
    /// cameras give the parameter sets one of their own.
    fn ends_before(&self, nal: &[u8], raw_pts: Option<i64>) -> bool {
        let same_time = raw_pts.is_some() && raw_pts == self.raw_pts && !self.frames_only;
        !same_time && starts_picture(self.codec, nal)
    }

    pub fn push(&mut self, piece: &[u8], raw_pts: Option<i64>) {
        if self.buffer.is_empty() {
            self.raw_pts = raw_pts;
        }
        if self.buffer.len() + piece.len() > MAX_BYTES {
            self.damaged += 1;
            self.reset();
            return;
        }
        self.has_picture |= self.codec == VideoCodec::Mjpeg || nal_units(piece).any(|nal| is_picture(self.codec, nal));
        self.buffer.extend_from_slice(piece);
    }

    /// The picture that is complete.
    pub fn take(&mut self) -> Option<AccessUnit> {
        self.end_unit();
        if self.buffer.is_empty() {
            self.reset();
            return None;
        }
        let capacity = self.buffer.len();
        // The next picture is about as large; key frames grow it once. What is too much is given back: pictures are
        // kept for a whole group.
        let mut buffer = std::mem::replace(&mut self.buffer, Vec::with_capacity(capacity.min(64 << 10)));
        buffer.shrink_to_fit();
        let (raw_pts, has_picture) = (self.raw_pts.take(), std::mem::take(&mut self.has_picture));
        let (key, referred) = (std::mem::take(&mut self.key), std::mem::take(&mut self.referred));
        if std::mem::take(&mut self.sized) {
            if !has_picture {
                self.damaged += 1;
                return None;
            }
            return Some(AccessUnit { data: buffer.into(), key, disposable: !referred, raw_pts });
        }
        if self.codec == VideoCodec::Mjpeg {
            return Some(AccessUnit { data: buffer.into(), key: true, disposable: false, raw_pts });
        }
        let data = to_lengths(buffer);
        let Some(data) = data.filter(|_| has_picture) else {
            self.damaged += 1;
            return None;
        };
        let codec = self.codec;
        let key = sized_units(&data).any(|nal| is_key(codec, nal));
        let disposable = codec == VideoCodec::H264
            && sized_units(&data).filter(|nal| is_picture(codec, nal)).all(|nal| nal[0] & 0x60 == 0);
        Some(AccessUnit { data: data.into(), key, disposable, raw_pts })
    }

    pub fn reset(&mut self) {
        self.buffer.clear();
        self.raw_pts = None;
        self.has_picture = false;
        self.unit = None;
        self.sized = false;
        self.key = false;
        self.referred = false;
    }
}

fn is_picture(codec: VideoCodec, nal: &[u8]) -> bool {
    match codec {
        VideoCodec::H264 => (1..=5).contains(&h264::nal_type(nal)),
        VideoCodec::H265 => !nal.is_empty() && hevc::nal_type(nal) < 32,
        VideoCodec::Mjpeg => true,
    }
}

fn is_key(codec: VideoCodec, nal: &[u8]) -> bool {
    match codec {
        // A recovery point at the picture itself (SEI type 6, `recovery_frame_cnt` 0) is how open groups begin.
        VideoCodec::H264 => match h264::nal_type(nal) {
            h264::NAL_IDR => true,
            h264::NAL_SEI => nal.get(1) == Some(&6) && nal.get(3).is_some_and(|byte| byte & 0x80 != 0),
            _ => false,
        },
        // BLA, IDR and CRA: the pictures that decoding can start at (H.265 table 7-1).
        VideoCodec::H265 => (16..=21).contains(&hevc::nal_type(nal)),
        VideoCodec::Mjpeg => true,
    }
}

/// H.264 7.4.1.2.3 and H.265 7.4.2.4.4: the first slice of a picture, or a unit that may only stand before it.
fn starts_picture(codec: VideoCodec, nal: &[u8]) -> bool {
    match codec {
        VideoCodec::H264 => match h264::nal_type(nal) {
            // `first_mb_in_slice` 0 is coded as a single one bit.
            1..=5 => nal.get(1).is_some_and(|byte| byte & 0x80 != 0),
            6..=9 | 14..=18 => true,
            _ => false,
        },
        VideoCodec::H265 => match hevc::nal_type(nal) {
            0..=31 => nal.get(2).is_some_and(|byte| byte & 0x80 != 0),
            32..=35 | 39 | 41..=44 | 48..=55 => true,
            _ => false,
        },
        VideoCodec::Mjpeg => true,
    }
}

fn leading_nal(piece: &[u8]) -> Option<&[u8]> {
    piece.strip_prefix(&[0, 0, 0, 1]).or_else(|| piece.strip_prefix(&[0, 0, 1]))
}

/// NAL units between start codes (annex B of both standards); bytes before the first start code are skipped.
pub fn nal_units(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut next = start_code(data, 0);
    std::iter::from_fn(move || {
        let (_, from) = next?;
        next = start_code(data, from);
        let to = next.map_or(data.len(), |(start, _)| start);
        Some(&data[from..to])
    })
    .filter(|nal| !nal.is_empty())
}

/// Where the next start code begins and ends. A zero byte before `00 00 01` belongs to it.
fn start_code(data: &[u8], from: usize) -> Option<(usize, usize)> {
    let mut at = from;
    while let Some(window) = data.get(at..at + 3) {
        match window[2] {
            0 => at += 1,
            1 if window[0] == 0 && window[1] == 0 => {
                let start = if at > from && data[at - 1] == 0 { at - 1 } else { at };
                return Some((start, at + 3));
            }
            _ => at += 3,
        }
    }
    None
}

/// NAL units behind 4-byte lengths.
pub fn sized_units(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = data;
    std::iter::from_fn(move || {
        let (length, tail) = rest.split_first_chunk::<4>()?;
        let length = u32::from_be_bytes(*length) as usize;
        let nal = tail.get(..length)?;
        rest = &tail[length..];
        Some(nal)
    })
}

/// In place where every start code has four bytes, which is what FFmpeg's RTP reader writes.
fn to_lengths(mut data: Vec<u8>) -> Option<Vec<u8>> {
    let mut bounds = Vec::with_capacity(8);
    let mut next = start_code(&data, 0);
    let first = next?.0;
    while let Some((start, from)) = next {
        next = start_code(&data, from);
        bounds.push((start, from, next.map_or(data.len(), |(start, _)| start)));
    }
    if first == 0 && bounds.iter().all(|(start, from, to)| from - start == 4 && to > from) {
        for (start, from, to) in bounds {
            data[start..from].copy_from_slice(&((to - from) as u32).to_be_bytes());
        }
        return Some(data);
    }
    let mut out = Vec::with_capacity(data.len() + bounds.len());
    for (_, from, to) in bounds.into_iter().filter(|(_, from, to)| to > from) {
        out.extend_from_slice(&((to - from) as u32).to_be_bytes());
        out.extend_from_slice(&data[from..to]);
    }
    (!out.is_empty()).then_some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn unit(kind: u8, payload: &[u8]) -> Vec<u8> {
        [&[0, 0, 0, 1, kind], payload].concat()
    }

    fn feed(assembler: &mut Assembler, pieces: &[(Vec<u8>, i64)]) -> Vec<AccessUnit> {
        let mut done = Vec::new();
        for (piece, pts) in pieces {
            if assembler.begins_picture(piece, Some(*pts)) {
                done.extend(assembler.take());
            }
            assembler.push(piece, Some(*pts));
        }
        done.extend(assembler.take());
        done
    }

    #[test]
    fn pieces_become_pictures() {
        let mut assembler = Assembler::new(VideoCodec::H264);
        let pictures = feed(
            &mut assembler,
            &[
                (unit(0x67, &[1]), 0),
                (unit(0x68, &[2]), 0),
                (unit(0x65, &[0x88, 1, 2]), 0),
                (vec![3, 4, 5], 0),
                // A later slice of the same picture, and a sender report that moved the timestamp in its middle.
                (unit(0x65, &[0x40, 9]), 7),
                (unit(0x01, &[0x9a]), 3600),
            ],
        );
        assert_eq!(pictures.len(), 2);
        let first: Vec<_> = sized_units(&pictures[0].data).map(<[u8]>::to_vec).collect();
        assert_eq!(
            first,
            [vec![0x67, 1], vec![0x68, 2], vec![0x65, 0x88, 1, 2, 3, 4, 5], vec![0x65, 0x40, 9]].to_vec()
        );
        assert!(pictures[0].key && !pictures[0].disposable);
        assert!(!pictures[1].key && pictures[1].disposable);
        assert_eq!(pictures[1].raw_pts, Some(3600));
    }

    #[test]
    fn two_fields_of_one_frame_stay_together() {
        let fields = [(unit(0x65, &[0x88]), 0), (unit(0x61, &[0x88]), 0)];
        assert_eq!(feed(&mut Assembler::new(VideoCodec::H264), &fields).len(), 1);
        let mut frames = Assembler::new(VideoCodec::H264);
        frames.frames_only = true;
        assert_eq!(feed(&mut frames, &fields).len(), 2);
    }

    /// As [`feed`], unit by unit, each cut in two.
    fn feed_units(assembler: &mut Assembler, units: &[(Vec<u8>, i64)]) -> Vec<AccessUnit> {
        let mut done = Vec::new();
        for (unit, pts) in units {
            let (head, tail) = unit.split_at(unit.len() / 2);
            for piece in [Piece::Begin { header: [0; 2], header_bytes: 0, data: head }, Piece::More(tail)] {
                if assembler.unit_begins_picture(&piece, Some(*pts)) {
                    done.extend(assembler.take());
                }
                assembler.push_piece(&piece, Some(*pts));
            }
        }
        done.extend(assembler.take());
        done
    }

    #[test]
    fn units_become_the_same_pictures() {
        let units: Vec<(Vec<u8>, i64)> = [
            (vec![0x67, 1, 1, 1, 1, 1], 0),
            (vec![0x68, 2, 1, 1, 1, 1], 0),
            (vec![0x65, 0x88, 1, 2, 3, 4], 0),
            (vec![0x65, 0x40, 9, 2, 3, 4], 0),
            (vec![0x01, 0x9a, 1, 2, 3, 4], 3600),
            (vec![0x41, 0x9a, 1, 2, 3, 4], 7200),
        ]
        .to_vec();
        let coded: Vec<_> = units.iter().map(|(nal, pts)| ([&[0, 0, 0, 1], &nal[..]].concat(), *pts)).collect();
        let pictures = feed_units(&mut Assembler::new(VideoCodec::H264), &units);
        assert_eq!(pictures, feed(&mut Assembler::new(VideoCodec::H264), &coded));
        assert_eq!(
            pictures.iter().map(|p| (p.key, p.disposable)).collect::<Vec<_>>(),
            [(true, false), (false, true), (false, false)]
        );
    }

    #[test]
    fn a_broken_unit_leaves_the_rest_of_its_picture() {
        let mut assembler = Assembler::new(VideoCodec::H264);
        let begin = |data| Piece::Begin { header: [0; 2], header_bytes: 0, data };
        for piece in
            [begin(&[0x65, 0x88, 1]), begin(&[0x65, 0x40]), Piece::More(&[5]), Piece::Broken, Piece::More(&[6])]
        {
            assembler.push_piece(&piece, Some(0));
        }
        assert_eq!(&assembler.take().unwrap().data[..], [0, 0, 0, 3, 0x65, 0x88, 1]);
        assembler.push_piece(&begin(&[0x65, 0x88, 1]), Some(0));
        assembler.push_piece(&Piece::Broken, Some(0));
        assert!(assembler.take().is_none());
    }

    #[test]
    fn short_start_codes_are_widened() {
        let data = [0, 0, 1, 0x67, 9, 0, 0, 1, 0x65, 0x88];
        let lengths = to_lengths(data.to_vec()).unwrap();
        assert_eq!(lengths, [0, 0, 0, 2, 0x67, 9, 0, 0, 0, 2, 0x65, 0x88]);
    }

    #[test]
    fn garbage_is_counted_and_left_out() {
        let mut assembler = Assembler::new(VideoCodec::H264);
        assert!(feed(&mut assembler, &[(vec![0xff; 100], 0)]).is_empty());
        assert_eq!(assembler.damaged, 1);
    }

    proptest! {
        #[test]
        fn any_bytes_give_well_formed_samples(pieces in prop::collection::vec(
            (prop::collection::vec(prop_oneof![Just(0u8), Just(1u8), any::<u8>()], 0..40), 0i64..3), 0..20
        )) {
            for codec in [VideoCodec::H264, VideoCodec::H265] {
                let mut pictures = feed(&mut Assembler::new(codec), &pieces);
                pictures.extend(feed_units(&mut Assembler::new(codec), &pieces));
                for picture in pictures {
                    let used: usize = sized_units(&picture.data).map(|nal| nal.len() + 4).sum();
                    prop_assert_eq!(used, picture.data.len());
                    prop_assert!(sized_units(&picture.data).all(|nal| !nal.is_empty()));
                }
            }
        }
    }
}
