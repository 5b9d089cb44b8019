//! Text eight bytes at a time, in one word: the first byte lowest.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Eight bytes at `at`; zeros behind the end.
#[inline]
pub(crate) fn load(text: &[u8], at: usize) -> u64 {
    let rest = text.get(at..).unwrap_or_default();
    match rest.first_chunk() {
        Some(chunk) => u64::from_le_bytes(*chunk),
        None => rest.iter().rev().fold(0, |word, &b| word << 8 | u64::from(b)),
    }
}

/// A bit for each byte that cannot stand in a JSON string as it is: a quote, a backslash or a
/// control character. Of the bits that are set only the lowest is certain.
#[inline]
pub(crate) fn escaped(word: u64) -> u64 {
    // The high bit of a byte that is zero; a borrow may carry it into the bytes above.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    let controls = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
    zeros(word ^ (ONES * u64::from(b'"'))) | zeros(word ^ (ONES * u64::from(b'\\'))) | controls
}

/// A bit for each byte that is not ASCII.
#[inline]
pub(crate) fn foreign(word: u64) -> u64 {
    word & HIGH
}

/// Index of the byte of the lowest bit.
#[inline]
pub(crate) fn first(bits: u64) -> usize {
    bits.trailing_zeros() as usize / 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_to_escape_is_found_at_every_place() {
        for byte in 0..=255_u8 {
            for at in 0..8 {
                let mut text = *b"azAZ!#[]";
                text[at] = byte;
                // Whatever follows it.
                text[at + 1..].iter_mut().for_each(|b| *b = 0);
                let bits = escaped(load(&text, 0));
                let found = byte < 0x20 || byte == b'"' || byte == b'\\';
                assert_eq!(first(bits), if found { at } else { (at + 1).min(8) }, "{byte} at {at}");
                assert_eq!(foreign(load(&text, 0)) != 0, byte >= 0x80);
            }
        }
    }

    #[test]
    fn zeros_stand_behind_the_end() {
        assert_eq!(load(b"ab", 0), 0x6261);
        assert_eq!(load(b"ab", 1), 0x62);
        assert_eq!(load(b"ab", 2), 0);
        assert_eq!(load(b"ab", 9), 0);
    }
}
