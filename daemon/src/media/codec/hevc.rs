//! Pure. HEVC sequence parameter sets (ITU-T H.265 7.3.2.2): the size, the profile and how far frames are reordered.

use super::bits::{Bits, unescape};

pub const NAL_VPS: u8 = 32;
pub const NAL_SPS: u8 = 33;
pub const NAL_PPS: u8 = 34;

pub fn nal_type(nal: &[u8]) -> u8 {
    nal.first().map_or(0, |byte| byte >> 1 & 0x3f)
}

pub struct Sps {
    pub width: u32,
    pub height: u32,
    /// The 12 bytes of `profile_tier_level` that hvcC repeats: space/tier/profile, compatibility, constraints, level.
    pub profile: [u8; 12],
    pub chroma_format: u8,
    pub bit_depth_luma_minus8: u8,
    pub bit_depth_chroma_minus8: u8,
    pub temporal_layers: u8,
    pub temporal_id_nested: bool,
    pub reorder: usize,
}

/// `nal` with its two header bytes.
pub fn parse_sps(nal: &[u8]) -> Option<Sps> {
    let raw = unescape(nal);
    let raw = raw.get(2..)?;
    let first = *raw.first()?;
    let max_sub_layers = first >> 1 & 7;
    let temporal_id_nested = first & 1 == 1;
    let profile: [u8; 12] = raw.get(1..13)?.try_into().ok()?;
    let mut bits = Bits::new(raw.get(13..)?);
    skip_sub_layers(&mut bits, max_sub_layers)?;
    bits.ue()?;
    let chroma_format = bits.ue()?;
    if chroma_format == 3 {
        bits.bit()?;
    }
    let mut width = bits.ue()?;
    let mut height = bits.ue()?;
    if bits.bit()? {
        let unit_x = if matches!(chroma_format, 1 | 2) { 2 } else { 1 };
        let unit_y = if chroma_format == 1 { 2 } else { 1 };
        let (left, right, top, bottom) = (bits.ue()?, bits.ue()?, bits.ue()?, bits.ue()?);
        width = width.checked_sub(left.checked_add(right)?.checked_mul(unit_x)?)?;
        height = height.checked_sub(top.checked_add(bottom)?.checked_mul(unit_y)?)?;
    }
    let (luma, chroma) = (bits.ue()?, bits.ue()?);
    bits.ue()?;
    // Either the values of every sub-layer, or those of the highest alone: the last read is the one of the whole stream.
    let per_layer = bits.bit()?;
    let mut reorder = 0;
    for _ in if per_layer { 0 } else { max_sub_layers }..=max_sub_layers {
        bits.ue()?;
        reorder = bits.ue()?;
        bits.ue()?;
    }
    Some(Sps {
        width,
        height,
        profile,
        chroma_format: u8::try_from(chroma_format).ok()?,
        bit_depth_luma_minus8: u8::try_from(luma).ok()?,
        bit_depth_chroma_minus8: u8::try_from(chroma).ok()?,
        temporal_layers: max_sub_layers + 1,
        temporal_id_nested,
        reorder: reorder.min(16) as usize,
    })
}

fn skip_sub_layers(bits: &mut Bits<'_>, count: u8) -> Option<()> {
    if count == 0 {
        return Some(());
    }
    let mut present = [(false, false); 8];
    for layer in present.iter_mut().take(usize::from(count)) {
        *layer = (bits.bit()?, bits.bit()?);
    }
    bits.skip(2 * usize::from(8 - count))?;
    for (profile, level) in present {
        bits.skip(if profile { 88 } else { 0 } + if level { 8 } else { 0 })?;
    }
    Some(())
}
