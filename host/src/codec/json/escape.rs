//! Escapes in JSON strings: the slow path of reading, and what writing needs.

use super::fault::Fault;
use crate::codec::bytes::{escaped, first, load};

/// Appends the characters of `raw`, the inside of a string, to `out`.
///
/// # Errors
/// The fault and its place in `raw`. Something may have been appended then.
pub(super) fn unescape(raw: &[u8], out: &mut Vec<u8>) -> Result<(), (Fault, usize)> {
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let (plain, escape) = rest.split_at(at);
        let place = raw.len() - escape.len();
        out.extend_from_slice(plain);
        let simple = match escape.get(1) {
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'r') => b'\r',
            Some(b'b') => 0x08,
            Some(b'f') => 0x0C,
            Some(&same @ (b'"' | b'\\' | b'/')) => same,
            Some(b'u') => {
                let (character, length) = unicode(escape).map_err(|fault| (fault, place))?;
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                rest = escape.get(length..).unwrap_or_default();
                continue;
            }
            _ => return Err((Fault::Escape, place)),
        };
        out.push(simple);
        rest = escape.get(2..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    Ok(())
}

/// The character of `\uXXXX`, or of two of them where they are a surrogate pair, and its length.
fn unicode(escape: &[u8]) -> Result<(char, usize), Fault> {
    let unit = |at: usize| -> Option<u32> {
        let escape = escape.get(at..at + 6)?;
        let digits = escape.strip_prefix(b"\\u")?;
        digits.iter().try_fold(0, |unit, &b| Some(unit << 4 | char::from(b).to_digit(16)?))
    };
    let first = unit(0).ok_or(Fault::Escape)?;
    if let Some(character) = char::from_u32(first) {
        return Ok((character, 6));
    }
    // Not a character by itself, so half of a pair; the first half comes first.
    let second = unit(6).filter(|second| first < 0xDC00 && (0xDC00..0xE000).contains(second));
    let code = second.map(|second| 0x1_0000 + ((first - 0xD800) << 10 | (second - 0xDC00)));
    code.and_then(char::from_u32).map(|character| (character, 12)).ok_or(Fault::Surrogate)
}

/// Appends `text` in quotes.
#[inline]
pub(crate) fn write_string(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let text = text.as_bytes();
    let mut start = 0;
    out.push(b'"');
    loop {
        let mut end = start;
        let byte = loop {
            let special = escaped(load(text, end));
            end += first(special);
            if special != 0 {
                break text.get(end);
            }
        };
        out.extend_from_slice(text.get(start..end).unwrap_or_default());
        start = end + 1;
        match byte {
            // The zeros behind the end were found.
            None => break,
            Some(b'\n') => out.extend_from_slice(b"\\n"),
            Some(b'\r') => out.extend_from_slice(b"\\r"),
            Some(b'\t') => out.extend_from_slice(b"\\t"),
            Some(&byte @ (b'"' | b'\\')) => out.extend_from_slice(&[b'\\', byte]),
            Some(&byte) => {
                let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
            }
        }
    }
    out.push(b'"');
}
