//! Pure. H.264 sequence parameter sets (ITU-T H.264 7.3.2.1.1): the size, the profile and how far frames are reordered.

use super::bits::{Bits, unescape};

pub const NAL_IDR: u8 = 5;
pub const NAL_SEI: u8 = 6;
pub const NAL_SPS: u8 = 7;
pub const NAL_PPS: u8 = 8;

pub fn nal_type(nal: &[u8]) -> u8 {
    nal.first().map_or(0, |byte| byte & 0x1f)
}

pub struct Sps {
    pub width: u32,
    pub height: u32,
    /// `profile_idc`, constraint flags and `level_idc`, as the codec string shows them.
    pub profile: [u8; 3],
    /// Frames by which decode order may run ahead of display order; `None` where the stream does not say.
    pub reorder: Option<usize>,
    /// Only whole frames: a second picture with the same timestamp is not a second field.
    pub frames_only: bool,
}

/// `nal` with its header byte.
pub fn parse_sps(nal: &[u8]) -> Option<Sps> {
    let raw = unescape(nal);
    let profile = [*raw.get(1)?, *raw.get(2)?, *raw.get(3)?];
    let mut bits = Bits::new(raw.get(4..)?);
    bits.ue()?;
    let mut chroma_format = 1;
    let mut separate_planes = false;
    if matches!(profile[0], 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135) {
        chroma_format = bits.ue()?;
        if chroma_format == 3 {
            separate_planes = bits.bit()?;
        }
        bits.ue()?;
        bits.ue()?;
        bits.bit()?;
        if bits.bit()? {
            for list in 0..if chroma_format == 3 { 12 } else { 8 } {
                if bits.bit()? {
                    skip_scaling_list(&mut bits, if list < 6 { 16 } else { 64 })?;
                }
            }
        }
    }
    bits.ue()?;
    match bits.ue()? {
        0 => {
            bits.ue()?;
        }
        1 => {
            bits.bit()?;
            bits.se()?;
            bits.se()?;
            for _ in 0..bits.ue()?.min(255) {
                bits.se()?;
            }
        }
        _ => {}
    }
    bits.ue()?;
    bits.bit()?;
    let width_mbs = bits.ue()?.checked_add(1)?;
    let height_units = bits.ue()?.checked_add(1)?;
    let frames_only = bits.bit()?;
    if !frames_only {
        bits.bit()?;
    }
    bits.bit()?;
    let field_factor = if frames_only { 1 } else { 2 };
    let mut width = width_mbs.checked_mul(16)?;
    let mut height = height_units.checked_mul(16)?.checked_mul(field_factor)?;
    if bits.bit()? {
        let subsampled = chroma_format != 0 && !separate_planes;
        let unit_x = if subsampled && chroma_format != 3 { 2 } else { 1 };
        let unit_y = field_factor * if subsampled && chroma_format == 1 { 2 } else { 1 };
        let (left, right, top, bottom) = (bits.ue()?, bits.ue()?, bits.ue()?, bits.ue()?);
        width = width.checked_sub(left.checked_add(right)?.checked_mul(unit_x)?)?;
        height = height.checked_sub(top.checked_add(bottom)?.checked_mul(unit_y)?)?;
    }
    // Baseline has no B slices; the intra profiles (constraint_set3) reorder nothing either.
    let never_reorders =
        profile[0] == 66 || (profile[1] & 0x10 != 0 && matches!(profile[0], 44 | 86 | 100 | 110 | 122));
    let reorder = if never_reorders { Some(0) } else { vui_reorder(&mut bits) };
    Some(Sps { width, height, profile, reorder, frames_only })
}

fn skip_scaling_list(bits: &mut Bits<'_>, size: usize) -> Option<()> {
    let (mut last, mut next) = (8i32, 8i32);
    for _ in 0..size {
        if next != 0 {
            next = (last + bits.se()?).rem_euclid(256);
        }
        if next != 0 {
            last = next;
        }
    }
    Some(())
}

/// `max_num_reorder_frames` of the VUI (annex E.1.1); `None` where the parameter set does not have it.
fn vui_reorder(bits: &mut Bits<'_>) -> Option<usize> {
    if !bits.bit()? {
        return None;
    }
    if bits.bit()? && bits.bits(8)? == 255 {
        bits.skip(32)?;
    }
    if bits.bit()? {
        bits.bit()?;
    }
    if bits.bit()? {
        bits.skip(4)?;
        if bits.bit()? {
            bits.skip(24)?;
        }
    }
    if bits.bit()? {
        bits.ue()?;
        bits.ue()?;
    }
    if bits.bit()? {
        bits.skip(65)?;
    }
    let nal_hrd = bits.bit()?;
    if nal_hrd {
        skip_hrd(bits)?;
    }
    let vcl_hrd = bits.bit()?;
    if vcl_hrd {
        skip_hrd(bits)?;
    }
    if nal_hrd || vcl_hrd {
        bits.bit()?;
    }
    bits.bit()?;
    if !bits.bit()? {
        return None;
    }
    bits.bit()?;
    for _ in 0..4 {
        bits.ue()?;
    }
    Some(bits.ue()?.min(16) as usize)
}

fn skip_hrd(bits: &mut Bits<'_>) -> Option<()> {
    let count = bits.ue()?.min(31) + 1;
    bits.skip(8)?;
    for _ in 0..count {
        bits.ue()?;
        bits.ue()?;
        bits.bit()?;
    }
    bits.skip(20)
}
