//! Numbers in text, read eight digits at a time.
//!
//! A number is first taken apart into sign, mantissa and power of ten. Where the mantissa fits 53
//! bits and the power lies within ±22, one multiplication or division of two exact doubles gives
//! the correctly rounded value; all other numbers go to the standard library. Either way the
//! result is the double (or float) nearest to the text.

use std::str::FromStr;

use super::bytes::load;

/// A number of the JSON grammar, taken apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Number {
    /// Whether a minus sign stands before it.
    pub negative: bool,
    /// All digits as one integer; wrong when there are more than 19 of them.
    mantissa: u64,
    /// Digits in the mantissa, leading zeros included.
    digits: usize,
    /// The value is the mantissa times ten to this power.
    exponent: i64,
    /// Whether there is neither a fraction nor an exponent.
    pub integral: bool,
    /// Where it starts in the text.
    start: usize,
    /// First byte behind it.
    pub end: usize,
}

/// Most decimal digits that always fit a `u64`.
const MAX_DIGITS: usize = 19;

/// Bound of an exponent: far beyond every float, and far from overflowing in sums.
const MAX_EXPONENT: i64 = 1 << 40;

/// Powers of ten that a double represents exactly.
const EXACT: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

/// Powers of ten by which the mantissa moves when a group of digits is appended.
const SHIFT: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

impl Number {
    /// Reads the number that starts at `start`.
    ///
    /// # Errors
    /// The position at which the text is not a number of the JSON grammar.
    #[inline(always)]
    pub fn scan(text: &[u8], start: usize) -> Result<Self, usize> {
        let byte = |at: usize| text.get(at).copied().unwrap_or(0);
        let negative = byte(start) == b'-';
        let first = start + usize::from(negative);
        let mut number = Self { negative, mantissa: 0, digits: 0, exponent: 0, integral: true, start, end: first };
        let whole = number.whole(text);
        if whole == 0 || (whole > 1 && byte(first) == b'0') {
            return Err(first);
        }
        if byte(number.end) == b'.' {
            number.integral = false;
            number.end += 1;
            let fraction = number.fraction(text);
            if fraction == 0 {
                return Err(number.end);
            }
            number.exponent = -(fraction as i64);
        }
        if byte(number.end) | 0x20 == b'e' {
            let (power, end) = exponent(text, number.end + 1)?;
            number.integral = false;
            number.exponent += power;
            number.end = end;
        }
        Ok(number)
    }

    /// Appends the digits at `end` to the mantissa; returns how many there were.
    ///
    /// Digit by digit, as how many stand before the point is mostly the same from number to number:
    /// a branch that is guessed well lets the processor run ahead.
    #[inline(always)]
    fn whole(&mut self, text: &[u8]) -> usize {
        let before = self.end;
        while let Some(digit) = text.get(self.end).map(|b| b.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
            self.append(u64::from(digit), 1);
        }
        self.end - before
    }

    /// The same, a group at a time: fractions are of any length.
    #[inline(always)]
    fn fraction(&mut self, text: &[u8]) -> usize {
        let before = self.end;
        loop {
            let (value, count) = digit_group(load(text, self.end));
            self.append(value, count);
            if count < 8 {
                return self.end - before;
            }
        }
    }

    #[inline(always)]
    fn append(&mut self, value: u64, digits: usize) {
        self.mantissa = self.mantissa.wrapping_mul(SHIFT[digits]).wrapping_add(value);
        self.digits += digits;
        self.end += digits;
    }

    /// Its magnitude, when it is written as an integer that fits.
    #[inline]
    pub fn magnitude(&self, text: &[u8]) -> Option<u64> {
        if !self.integral {
            None
        } else if self.digits <= MAX_DIGITS {
            Some(self.mantissa)
        } else {
            parse(text, self.start + usize::from(self.negative), self.end)
        }
    }

    /// The nearest double; `None` when the number is beyond the largest one.
    #[inline(always)]
    pub fn to_f64(self, text: &[u8]) -> Option<f64> {
        match self.exact() {
            Some(value) => Some(value),
            None => parse(text, self.start, self.end).filter(|value: &f64| value.is_finite()),
        }
    }

    /// The nearest float; `None` when the number is beyond the largest one.
    ///
    /// A double that is not exactly half-way between two floats lies on the same side of every
    /// half-way point as the number it was rounded from, so rounding it once more is harmless.
    #[inline(always)]
    pub fn to_f32(self, text: &[u8]) -> Option<f32> {
        const BELOW_FLOAT: u64 = (1 << 29) - 1;
        const HALF_WAY: u64 = 1 << 28;
        match self.exact() {
            Some(value) if value.to_bits() & BELOW_FLOAT != HALF_WAY => Some(value as f32),
            _ => parse(text, self.start, self.end).filter(|value: &f32| value.is_finite()),
        }
    }

    /// The value by one operation on exact doubles, where that is possible. It is zero or between
    /// 1e-22 and 1e38, within the normal range of floats.
    #[inline(always)]
    fn exact(self) -> Option<f64> {
        if self.digits > MAX_DIGITS || self.mantissa > 1 << 53 {
            return None;
        }
        let power = *EXACT.get(usize::try_from(self.exponent.unsigned_abs()).ok()?)?;
        // Signed, as that conversion is one instruction.
        let mantissa = self.mantissa as i64 as f64;
        let value = if self.exponent < 0 { mantissa / power } else { mantissa * power };
        // Signs are as good as random, and a branch on them is guessed wrong every other time.
        Some(f64::from_bits(value.to_bits() | u64::from(self.negative) << 63))
    }
}

/// The number between `start` and `end` by the standard library.
#[cold]
#[inline(never)]
fn parse<T: FromStr>(text: &[u8], start: usize, end: usize) -> Option<T> {
    std::str::from_utf8(text.get(start..end)?).ok()?.parse().ok()
}

/// The power that is written at `at`, behind the `e`, and its end.
#[inline(never)]
fn exponent(text: &[u8], mut at: usize) -> Result<(i64, usize), usize> {
    let sign = text.get(at).copied();
    at += usize::from(matches!(sign, Some(b'+' | b'-')));
    let first = at;
    let mut power = 0_i64;
    while let Some(digit) = text.get(at).filter(|b| b.is_ascii_digit()) {
        power = (power * 10 + i64::from(digit - b'0')).min(MAX_EXPONENT);
        at += 1;
    }
    match at == first {
        true => Err(first),
        false => Ok((if sign == Some(b'-') { -power } else { power }, at)),
    }
}

/// Value and number of the digits with which the eight bytes of `word` begin.
#[inline(always)]
fn digit_group(word: u64) -> (u64, usize) {
    const PAIRS: u64 = 0x0000_00FF_0000_00FF;
    let values = word ^ 0x3030_3030_3030_3030;
    // The lowest byte that is flagged is the first that is no digit: carries only move upwards.
    let others = (values.wrapping_add(0x7676_7676_7676_7676) | values) & 0x8080_8080_8080_8080;
    let count = others.trailing_zeros() / 8;
    // Moved to the top, the digits stand behind leading zeros; then pairs, fours and eights are summed.
    let digits = values.unbounded_shl(64 - 8 * count);
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
    let high = (pairs & PAIRS).wrapping_mul(100 + (1_000_000 << 32));
    let low = ((pairs >> 16) & PAIRS).wrapping_mul(1 + (10_000 << 32));
    (high.wrapping_add(low) >> 32, count as usize)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whole(text: &str) -> Option<Number> {
        Number::scan(text.as_bytes(), 0).ok().filter(|n| n.end == text.len())
    }

    #[test]
    fn only_numbers_of_the_json_grammar_are_read() {
        for good in ["0", "-0", "7", "12345678", "123456789", "0.5", "-1.25e-3", "1E5", "1e+5", "20e0"] {
            assert!(whole(good).is_some(), "{good}");
        }
        for bad in ["", "-", "01", "-01", "1.", ".5", "1e", "1e+", "+1", "1.e5", "Infinity", "0x1", "1_000"] {
            assert!(whole(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn integers_up_to_the_largest_u64_are_exact() {
        for value in [0, 9, 10, 99_999_999, 100_000_000, u64::MAX / 10, i64::MAX as u64, u64::MAX] {
            let text = value.to_string();
            assert_eq!(whole(&text).and_then(|n| n.magnitude(text.as_bytes())), Some(value));
        }
        let beyond = "18446744073709551616";
        assert_eq!(whole(beyond).and_then(|n| n.magnitude(beyond.as_bytes())), None);
    }

    #[test]
    fn a_float_half_way_between_two_neighbours_is_rounded_once() {
        // Just above the middle of two floats, but nearest to the middle as a double.
        let text = "1.00000005960464480";
        assert_eq!(whole(text).and_then(|n| n.to_f32(text.as_bytes())), text.parse().ok());
    }

    proptest! {
        #[test]
        fn floats_agree_with_the_standard_library(text in "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?") {
            let number = whole(&text).expect("a number of the grammar");
            let (double, float) = (text.parse::<f64>().unwrap(), text.parse::<f32>().unwrap());
            let bits = Some(double.to_bits()).filter(|_| double.is_finite());
            prop_assert_eq!(number.to_f64(text.as_bytes()).map(f64::to_bits), bits);
            let bits = Some(float.to_bits()).filter(|_| float.is_finite());
            prop_assert_eq!(number.to_f32(text.as_bytes()).map(f32::to_bits), bits);
        }

        #[test]
        fn printed_floats_come_back(value in any::<f32>().prop_filter("finite", |v| v.is_finite())) {
            let text = format!("{value:?}");
            prop_assert_eq!(whole(&text).unwrap().to_f32(text.as_bytes()).map(f32::to_bits), Some(value.to_bits()));
        }
    }
}
