//! Times, dates and bytes as text.

use arrow::compute::kernels::cast_utils::{Parser, string_to_timestamp_nanos};
use arrow::datatypes::Date32Type;
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Base64 of RFC 4648; padding is written, and may be absent when read.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Milliseconds since the Unix epoch of an RFC 3339 time between the years 1677 and 2262; without
/// an offset it is UTC.
pub(crate) fn parse_timestamp(text: &[u8]) -> Option<i64> {
    let text = ascii(text)?;
    Some(string_to_timestamp_nanos(text).ok()?.div_euclid(1_000_000))
}

/// Days since the Unix epoch of a `YYYY-MM-DD` date.
pub(crate) fn parse_date(text: &[u8]) -> Option<i32> {
    let text = ascii(text)?;
    let dashes = text.bytes().enumerate().all(|(i, b)| if i == 4 || i == 7 { b == b'-' } else { b.is_ascii_digit() });
    if text.len() == 10 && dashes { Date32Type::parse(text) } else { None }
}

/// Appends a date as `YYYY-MM-DD`; false when it has no such form.
pub(crate) fn write_date(days: i32, out: &mut Vec<u8>) -> bool {
    use std::io::Write;
    /// First day of year 0 and first day of year 10000: four digits in between.
    const FOUR_DIGITS: std::ops::Range<i32> = -719_528..2_932_897;
    let date = FOUR_DIGITS.contains(&days).then(|| Date32Type::to_naive_date_opt(days)).flatten();
    date.is_some_and(|date| write!(out, "{date}").is_ok())
}

/// Appends the bytes that base64 `text` stands for; false, and nothing appended, when it is none.
pub(crate) fn decode_base64(text: &[u8], out: &mut Vec<u8>) -> bool {
    let before = out.len();
    let good = BASE64.decode_vec(text, out).is_ok();
    if !good {
        out.truncate(before);
    }
    good
}

/// Appends bytes as base64.
pub(crate) fn encode_base64(bytes: &[u8], out: &mut Vec<u8>) {
    let before = out.len();
    out.resize(before + base64::encoded_len(bytes.len(), true).unwrap_or(0), 0);
    if let Some(room) = out.get_mut(before..) {
        // The room was sized for it.
        let _ = BASE64.encode_slice(bytes, room);
    }
}

/// The text, when it is ASCII: a time or a date is, and nothing else may be cut at any byte.
fn ascii(text: &[u8]) -> Option<&str> {
    if text.is_ascii() { std::str::from_utf8(text).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_with_an_offset_is_moved_to_utc() {
        assert_eq!(parse_timestamp(b"1970-01-01T00:00:01.5Z"), Some(1500));
        assert_eq!(parse_timestamp(b"1970-01-01T01:00:00+01:00"), Some(0));
        assert_eq!(parse_timestamp(b"1969-12-31T23:59:59.9995Z"), Some(-1), "rounded down, before 1970 too");
        assert_eq!(parse_timestamp(b"1970-13-01T00:00:00Z"), None);
        assert_eq!(parse_timestamp("1970-01-01T00:00:00\u{e9}".as_bytes()), None);
    }

    #[test]
    fn a_date_has_four_two_and_two_digits() {
        assert_eq!(parse_date(b"1970-01-02"), Some(1));
        assert_eq!(parse_date(b"2024-02-29"), Some(19782));
        for bad in ["2023-02-29", "70-01-02", "1970-1-2", "1970-01-02 ", "1970/01/02", ""] {
            assert_eq!(parse_date(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn every_date_that_is_written_is_read_back() {
        for days in [-719_528, -1, 0, 19_782, 2_932_896] {
            let mut text = Vec::new();
            assert!(write_date(days, &mut text));
            assert_eq!(parse_date(&text), Some(days), "{}", String::from_utf8_lossy(&text));
        }
        for days in [-719_529, 2_932_897, i32::MIN, i32::MAX] {
            assert!(!write_date(days, &mut Vec::new()));
        }
    }

    #[test]
    fn base64_is_read_with_and_without_padding() {
        for text in ["AAECAw==", "AAECAw"] {
            let mut bytes = vec![9];
            assert!(decode_base64(text.as_bytes(), &mut bytes));
            assert_eq!(bytes, [9, 0, 1, 2, 3]);
        }
        let mut bytes = vec![9];
        assert!(!decode_base64(b"AA*A", &mut bytes));
        assert_eq!(bytes, [9]);
        let mut text = Vec::new();
        encode_base64(&[0, 1, 2, 3], &mut text);
        assert_eq!(text, b"AAECAw==");
    }
}
