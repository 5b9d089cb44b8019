//! A place in a JSON text and what can be read there. Strict RFC 8259: everything that is passed
//! over has been checked, strings (UTF-8, escapes) included.

use super::fault::{Expected, Fault};
use crate::codec::bytes::{escaped, first, foreign, load};
use crate::codec::number::Number;

/// Deepest nesting that is followed: one bit of a word each.
pub(super) const MAX_DEPTH: u32 = 64;

/// A place in a record.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    pub text: &'a [u8],
    pub at: usize,
}

/// A string between its quotes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text<'a> {
    /// The bytes as they stand in the record, valid UTF-8.
    pub raw: &'a [u8],
    /// Whether there are escapes in it.
    pub escaped: bool,
}

impl<'a> Cursor<'a> {
    /// The next byte; 0, which no JSON text contains, at the end.
    #[inline]
    pub fn peek(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }

    /// Whether everything has been read.
    pub fn is_at_end(&self) -> bool {
        self.at >= self.text.len()
    }

    /// Passes over white space.
    #[inline]
    pub fn space(&mut self) {
        while matches!(self.peek(), b' ' | b'\t' | b'\r' | b'\n') {
            self.at += 1;
        }
    }

    /// Passes over `expected` if it comes next.
    #[inline]
    pub fn take(&mut self, expected: &[u8]) -> bool {
        let found = self.text.get(self.at..).is_some_and(|rest| rest.starts_with(expected));
        if found {
            self.at += expected.len();
        }
        found
    }

    /// Passes over `byte`.
    #[inline]
    pub fn expect(&mut self, byte: u8, expected: Expected) -> Result<(), Fault> {
        if self.peek() != byte {
            return Err(Fault::Syntax(expected));
        }
        self.at += 1;
        Ok(())
    }

    /// Passes over a number.
    #[inline(always)]
    pub fn number(&mut self) -> Result<Number, Fault> {
        match Number::scan(self.text, self.at) {
            Ok(number) => {
                self.at = number.end;
                Ok(number)
            }
            Err(at) => Err(self.no_number(at)),
        }
    }

    /// Why there is no number here: it goes wrong at `at`.
    #[cold]
    fn no_number(&mut self, at: usize) -> Fault {
        if !matches!(self.peek(), b'-' | b'0'..=b'9') {
            return self.unless_value(Fault::Type);
        }
        self.at = at;
        Fault::Number
    }

    /// `fault` when some other value starts here; otherwise that there is none.
    #[cold]
    pub fn unless_value(&self, fault: Fault) -> Fault {
        match self.peek() {
            b'"' | b'{' | b'[' | b't' | b'f' | b'n' | b'-' | b'0'..=b'9' => fault,
            _ => Fault::Syntax(Expected::Value),
        }
    }

    /// Passes over a string; the cursor stands on its first quote.
    #[inline]
    pub fn string(&mut self) -> Result<Text<'a>, Fault> {
        let start = self.at + 1;
        let (mut at, mut has_escapes, mut ascii) = (start, false, true);
        loop {
            let word = load(self.text, at);
            let special = escaped(word) | foreign(word);
            at += first(special);
            if special == 0 {
                continue;
            }
            match self.text.get(at).copied().unwrap_or(0) {
                b'"' => break,
                b'\\' => {
                    has_escapes = true;
                    at += 2;
                }
                0x80.. => {
                    ascii = false;
                    while self.text.get(at).is_some_and(|&b| b >= 0x80) {
                        at += 1;
                    }
                }
                _ => {
                    self.at = at.min(self.text.len());
                    return Err(if self.is_at_end() { Fault::Syntax(Expected::Quote) } else { Fault::Control });
                }
            }
        }
        let raw = self.text.get(start..at).unwrap_or_default();
        if !ascii && let Err(error) = std::str::from_utf8(raw) {
            self.at = start + error.valid_up_to();
            return Err(Fault::Utf8);
        }
        self.at = at + 1;
        Ok(Text { raw, escaped: has_escapes })
    }

    /// Appends the characters of `text`, which was read last, to `out`.
    #[inline]
    pub fn unescape(&mut self, text: Text<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
        if !text.escaped {
            out.extend_from_slice(text.raw);
            return Ok(());
        }
        super::escape::unescape(text.raw, out).map_err(|(fault, offset)| {
            self.at = self.at.saturating_sub(text.raw.len() + 1) + offset;
            fault
        })
    }

    /// Passes over a value of any kind; `scratch` is overwritten.
    pub fn skip(&mut self, scratch: &mut Vec<u8>) -> Result<(), Fault> {
        // One bit a level, the innermost lowest: set inside an object.
        let mut levels = 0_u64;
        let mut depth = 0_u32;
        loop {
            // A value.
            match self.peek() {
                open @ (b'{' | b'[') => {
                    if depth == MAX_DEPTH {
                        return Err(Fault::Depth);
                    }
                    self.at += 1;
                    self.space();
                    depth += 1;
                    levels = levels << 1 | u64::from(open == b'{');
                    // `{` and `[` lie two before their closing counterparts.
                    if self.peek() != open + 2 {
                        if open == b'{' {
                            self.skip_name(scratch)?;
                        }
                        continue;
                    }
                }
                b'"' => self.skip_string(scratch)?,
                b't' => self.word(b"true")?,
                b'f' => self.word(b"false")?,
                b'n' => self.word(b"null")?,
                _ => {
                    self.number()?;
                }
            }
            // What may follow a value, level by level outwards.
            loop {
                if depth == 0 {
                    return Ok(());
                }
                self.space();
                let in_object = levels & 1 == 1;
                match (self.peek(), in_object) {
                    (b',', _) => {
                        self.at += 1;
                        self.space();
                        if in_object {
                            self.skip_name(scratch)?;
                        }
                        break;
                    }
                    (b'}', true) | (b']', false) => {
                        self.at += 1;
                        depth -= 1;
                        levels >>= 1;
                    }
                    (_, true) => return Err(Fault::Syntax(Expected::Field)),
                    (_, false) => return Err(Fault::Syntax(Expected::Item)),
                }
            }
        }
    }

    /// Passes over `true`, `false` or `null`.
    #[inline]
    pub fn word(&mut self, word: &'static [u8]) -> Result<(), Fault> {
        if self.take(word) { Ok(()) } else { Err(Fault::Syntax(Expected::Value)) }
    }

    fn skip_string(&mut self, scratch: &mut Vec<u8>) -> Result<(), Fault> {
        let text = self.string()?;
        scratch.clear();
        if text.escaped { self.unescape(text, scratch) } else { Ok(()) }
    }

    /// Passes over a name, its colon and the white space around it.
    fn skip_name(&mut self, scratch: &mut Vec<u8>) -> Result<(), Fault> {
        if self.peek() != b'"' {
            return Err(Fault::Syntax(Expected::Name));
        }
        self.skip_string(scratch)?;
        self.space();
        self.expect(b':', Expected::Colon)?;
        self.space();
        Ok(())
    }
}
