//! Pure. The `Range` header of RFC 9110: one byte range of a body of known length.
use std::ops::Range;

#[derive(Debug, PartialEq, Eq)]
pub enum Wanted {
    /// No range, several ranges or an unknown unit: the whole body is a correct answer to each.
    Whole,
    Part(Range<u64>),
    /// The range lies outside the body.
    Unsatisfiable,
}

pub fn parse(header: Option<&str>, total: u64) -> Wanted {
    let Some(spec) = header.and_then(|h| h.trim().strip_prefix("bytes=")) else {
        return Wanted::Whole;
    };
    let Some((first, last)) = spec.trim().split_once('-') else {
        return Wanted::Whole;
    };
    let (first, last) = (first.trim(), last.trim());
    if first.is_empty() {
        return match last.parse::<u64>() {
            Ok(0) => Wanted::Unsatisfiable,
            Ok(_) if total == 0 => Wanted::Unsatisfiable,
            Ok(suffix) => Wanted::Part(total.saturating_sub(suffix)..total),
            Err(_) => Wanted::Whole,
        };
    }
    let Ok(start) = first.parse::<u64>() else {
        return Wanted::Whole;
    };
    let end = if last.is_empty() {
        total
    } else {
        match last.parse::<u64>() {
            Ok(end) if end >= start => end.saturating_add(1).min(total),
            _ => return Wanted::Whole,
        }
    };
    if start >= total { Wanted::Unsatisfiable } else { Wanted::Part(start..end) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_standard_says() {
        let cases = [
            (None, Wanted::Whole),
            (Some("bytes=0-"), Wanted::Part(0..100)),
            (Some("bytes=0-0"), Wanted::Part(0..1)),
            (Some("bytes=10-19"), Wanted::Part(10..20)),
            (Some("bytes=90-500"), Wanted::Part(90..100)),
            (Some("bytes=-30"), Wanted::Part(70..100)),
            (Some("bytes=-300"), Wanted::Part(0..100)),
            (Some("bytes=-0"), Wanted::Unsatisfiable),
            (Some("bytes=100-"), Wanted::Unsatisfiable),
            (Some("bytes=20-10"), Wanted::Whole),
            (Some("bytes=0-1,5-6"), Wanted::Whole),
            (Some("items=0-1"), Wanted::Whole),
            (Some("bytes=x-y"), Wanted::Whole),
            (Some("bytes=99999999999999999999-"), Wanted::Whole),
        ];
        for (header, wanted) in cases {
            assert_eq!(parse(header, 100), wanted, "{header:?}");
        }
        assert_eq!(parse(Some("bytes=0-"), 0), Wanted::Unsatisfiable);
    }
}
