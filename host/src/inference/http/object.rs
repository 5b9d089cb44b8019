//! JSON objects read field by field into what their reader keeps, the rest passed over. The few
//! fields of a reply that matter are read without a tree of values, and with what the reader already
//! knows, such as whether an array holds numbers or text.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The reader of an object.
pub(super) trait Fields {
    /// Reads the value of `name`, or leaves it alone and returns false.
    fn field<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error>;
}

/// An object for a reader; null is one without fields, as servers write what they leave out.
pub(super) struct Object<'t, T>(pub &'t mut T);

impl<'de, T: Fields> DeserializeSeed<'de> for Object<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de, T: Fields> Visitor<'de> for Object<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Text(name)) = map.next_key()? {
            if !self.0.field(&name, &mut map)? {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// An array of at most so many objects, a reader for each; null is an empty one. The bound keeps a hostile reply of
/// millions of empty objects from becoming millions of readers.
pub(super) struct Objects<'t, T, F> {
    pub into: &'t mut Vec<T>,
    pub max: usize,
    pub reader: F,
}

impl<'de, T: Fields, F: FnMut() -> T> DeserializeSeed<'de> for Objects<'_, T, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de, T: Fields, F: FnMut() -> T> Visitor<'de> for Objects<'_, T, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of objects")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        loop {
            let mut reader = (self.reader)();
            if items.next_element_seed(Object(&mut reader))?.is_none() {
                return Ok(());
            }
            if self.into.len() == self.max {
                return Err(A::Error::custom(format_args!("more than {} objects", self.max)));
            }
            self.into.push(reader);
        }
    }
}

/// Reads all of `json`.
pub(super) fn read<'de, S: DeserializeSeed<'de, Value = ()>>(
    json: &'de [u8],
    seed: S,
) -> Result<(), serde_json::Error> {
    let mut from = serde_json::Deserializer::from_slice(json);
    seed.deserialize(&mut from)?;
    from.end()
}

/// A text, borrowed where it holds no escapes.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Text<'a>(pub Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        from.deserialize_str(Reader)
    }
}

/// A model's version: text, or a number as some servers write it; null is none.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Version(pub Option<Box<str>>);

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Version;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a version")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Version, E> {
                Ok(Version((!text.is_empty()).then(|| text.into())))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Version, E> {
                Ok(Version(Some(itoa::Buffer::new().format(number).into())))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Version, E> {
                Ok(Version(Some(itoa::Buffer::new().format(number).into())))
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Version, E> {
                Ok(Version(Some(number.to_string().into_boxed_str())))
            }

            fn visit_unit<E: Error>(self) -> Result<Version, E> {
                Ok(Version(None))
            }
        }
        from.deserialize_any(Reader)
    }
}
