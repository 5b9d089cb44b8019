//! SHA-256: of files, and as the seal of the JSON documents that name them.
//!
//! A sealed document is a JSON object whose last member is `sha256`: the digest of all bytes before
//! the comma in front of it. So it is checked over the bytes that were written, however a reader
//! understands them, and it is still a document that people and `jq` can read.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use super::Error;

const BEFORE: &str = ",\n  \"sha256\": \"";
const AFTER: &str = "\"\n}\n";
/// Bytes read at once: few system calls, and little memory.
const CHUNK: usize = 256 << 10;

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Of bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Of a file, and its size.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of_file(path: &Path) -> Result<(Self, u64), Error> {
        let mut file = File::open(path).map_err(Error::local("open", path))?;
        let (mut hash, mut size, mut chunk) = (Hasher::default(), 0, vec![0; CHUNK]);
        loop {
            let read = file.read(&mut chunk).map_err(Error::local("read", path))?;
            if read == 0 {
                return Ok((hash.finish(), size));
            }
            hash.update(&chunk[..read]);
            size += read as u64;
        }
    }

    /// Reads 64 hexadecimal digits in lower case.
    pub fn parse(text: &str) -> Option<Self> {
        let (digits, []) = text.as_bytes().as_chunks::<2>() else { return None };
        let digits: &[[u8; 2]; 32] = digits.try_into().ok()?;
        let value = |digit: u8| match digit {
            b'0'..=b'9' => Some(digit - b'0'),
            b'a'..=b'f' => Some(digit - b'a' + 10),
            _ => None,
        };
        let mut bytes = [0; 32];
        for (byte, [high, low]) in bytes.iter_mut().zip(digits) {
            *byte = value(*high)? << 4 | value(*low)?;
        }
        Some(Self(bytes))
    }
}

/// A digest in the making.
#[derive(Debug, Default)]
pub(super) struct Hasher(Sha256);

impl Hasher {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom(format!("`{text}` is no SHA-256")))
    }
}

/// A value, which must become a JSON object that is not empty, as a sealed document.
pub(super) fn seal(value: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    let mut bytes = serde_json::to_vec_pretty(value)?;
    bytes.truncate(bytes.len().saturating_sub("\n}".len()));
    let digest = Digest::of(&bytes);
    bytes.extend_from_slice(format!("{BEFORE}{digest}{AFTER}").as_bytes());
    Ok(bytes)
}

/// Checks the seal of a document.
pub(super) fn check_seal(bytes: &[u8]) -> Result<(), String> {
    let broken = || "it does not end with its `sha256`: the end is missing or was changed".to_owned();
    let rest = bytes.strip_suffix(AFTER.as_bytes()).ok_or_else(broken)?;
    let (rest, written) = rest.split_at_checked(rest.len().wrapping_sub(64)).ok_or_else(broken)?;
    let written = std::str::from_utf8(written).ok().and_then(Digest::parse).ok_or_else(broken)?;
    let content = rest.strip_suffix(BEFORE.as_bytes()).ok_or_else(broken)?;
    let found = Digest::of(content);
    if found == written { Ok(()) } else { Err(format!("its content has the SHA-256 {found}, but says {written}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_reads_what_it_writes_and_nothing_else() {
        let digest = Digest::of(b"abc");
        let text = digest.to_string();
        assert_eq!(text, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(Digest::parse(&text), Some(digest));
        for bad in [&text[1..], &text.to_uppercase(), &format!("{text}00"), "", &"g".repeat(64), &"é".repeat(32)] {
            assert_eq!(Digest::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn any_changed_missing_or_added_byte_breaks_the_seal() {
        let sealed = seal(&serde_json::json!({ "epoch": 7, "name": "x" })).unwrap();
        assert_eq!(check_seal(&sealed), Ok(()));
        let value: serde_json::Value = serde_json::from_slice(&sealed).unwrap();
        assert_eq!(value["epoch"], 7);
        for i in 0..sealed.len() {
            let mut bytes = sealed.clone();
            bytes[i] ^= 1;
            assert!(check_seal(&bytes).is_err(), "byte {i}");
            assert!(check_seal(&sealed[..i]).is_err(), "cut at {i}");
        }
        assert!(check_seal(&[&sealed[..], b" "].concat()).is_err());
    }
}
