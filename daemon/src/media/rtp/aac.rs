//! Pure. AAC frames out of RTP payloads (RFC 3640, AAC-hbr: 13 bits of size, 3 bits of index, no interleaving).

/// The access units of one payload. A frame that was cut in two is left out: it would have to be larger than a packet,
/// which no camera's AAC is.
pub fn aac_frames(payload: &[u8]) -> impl Iterator<Item = &[u8]> {
    let header_bytes = payload.first_chunk::<2>().map_or(0, |bits| usize::from(u16::from_be_bytes(*bits)).div_ceil(8));
    let headers = payload.get(2..2 + header_bytes).unwrap_or_default();
    let mut rest = payload.get(2 + header_bytes..).unwrap_or_default();
    headers.as_chunks::<2>().0.iter().map_while(move |header| {
        let size = usize::from(u16::from_be_bytes(*header) >> 3);
        let frame = rest.get(..size)?;
        rest = &rest[size..];
        Some(frame)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_each_frame() {
        let payload = [0, 32, 0, 2 << 3, 0, 3 << 3, 1, 2, 3, 4, 5];
        let frames: Vec<&[u8]> = aac_frames(&payload).collect();
        assert_eq!(frames, [&[1u8, 2][..], &[3, 4, 5]]);
        assert_eq!(aac_frames(&payload[..9]).count(), 1, "the second frame is not whole");
    }

    proptest! {
        #[test]
        fn never_gives_more_than_was_sent(payload in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(aac_frames(&payload).map(<[u8]>::len).sum::<usize>() <= payload.len());
        }
    }
}
