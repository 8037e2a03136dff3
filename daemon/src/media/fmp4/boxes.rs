//! Pure. Writes ISO BMFF boxes (ISO/IEC 14496-12) into a byte vector.

/// Writes a box: its size is filled in when `content` is done.
pub fn put_box(out: &mut Vec<u8>, kind: [u8; 4], content: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    put_u32(out, 0);
    out.extend_from_slice(&kind);
    content(out);
    let size = (out.len() - start) as u32;
    out[start..start + 4].copy_from_slice(&size.to_be_bytes());
}

/// A box with a version and 24 bits of flags.
pub fn put_full_box(out: &mut Vec<u8>, kind: [u8; 4], version: u8, flags: u32, content: impl FnOnce(&mut Vec<u8>)) {
    put_box(out, kind, |out| {
        put_u32(out, u32::from(version) << 24 | flags);
        content(out);
    });
}

pub fn put_u16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub fn put_zeros(out: &mut Vec<u8>, count: usize) {
    out.resize(out.len() + count, 0);
}

/// One box inside `data`: its type and where its content lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoxAt {
    pub kind: [u8; 4],
    pub start: usize,
    pub content: usize,
    pub end: usize,
}

/// The boxes between `from` and `to`; ends at the first that does not fit.
pub fn boxes(data: &[u8], from: usize, to: usize) -> impl Iterator<Item = BoxAt> {
    let mut at = from;
    std::iter::from_fn(move || {
        let header = data.get(at..to)?.get(..8)?;
        let size = u32::from_be_bytes([header[0], header[1], header[2], header[3]]);
        let (content, size) = match size {
            1 => {
                let large = data.get(at..to)?.get(8..16)?;
                (at + 16, usize::try_from(u64::from_be_bytes(large.try_into().ok()?)).ok()?)
            }
            0 => (at + 8, to - at),
            size => (at + 8, size as usize),
        };
        let end = at.checked_add(size).filter(|&end| end <= to && end >= content)?;
        let found = BoxAt { kind: [header[4], header[5], header[6], header[7]], start: at, content, end };
        at = end;
        Some(found)
    })
}
