//! State slots survive the round trip; damaged ones are refused.

use proptest::prelude::*;

use super::*;

fn loaded<S: State>(version: u32, slot: &[u8]) -> Result<S, StateError> {
    let mut state = S::default();
    state.load(version, slot).map(|()| state)
}

use crate::tiles::{Day, Hour, Tiles};

#[derive(crate::State, Default, Clone, Debug, PartialEq)]
#[state(version = 3, ttl = "24h")]
struct Fixed {
    last: Option<f64>,
    seen: bool,
    counts: [u32; 5],
    day: Tiles<24, Hour>,
    month: Tiles<30, Day>,
}

#[derive(crate::State, Default, Clone, Debug, PartialEq)]
struct Varying {
    name: String,
    recent: Vec<f32>,
    tags: Vec<String>,
    note: Option<String>,
    inner: Nested,
}

#[derive(crate::State, Default, Clone, Debug, PartialEq)]
#[state(version = 2, migrate = widen)]
struct Nested {
    count: u64,
}

fn widen(from: u32, slot: &[u8]) -> Result<Nested, StateError> {
    match from {
        1 => Ok(Nested { count: decode::<u32>(slot)?.into() }),
        found => Err(StateError::Version { found, expected: Nested::VERSION }),
    }
}

fn slot<T: StateField>(value: &T) -> Vec<u8> {
    let mut out = vec![7; 3];
    encode(value, &mut out);
    out
}

#[test]
fn the_attribute_gives_version_and_time_to_live() {
    assert_eq!((Fixed::VERSION, Fixed::TTL_MS), (3, 86_400_000));
    assert_eq!((Varying::VERSION, Varying::TTL_MS), (1, 0));
}

#[test]
fn fixed_fields_make_a_fixed_slot() {
    assert_eq!(Fixed::FIXED_SIZE, Some(9 + 1 + 20 + 312 + 384));
    assert_eq!(slot(&Fixed::default()).len(), 9 + 1 + 20 + 312 + 384);
    assert_eq!(Varying::FIXED_SIZE, None);
}

#[test]
fn a_slot_is_little_endian_without_padding() {
    #[derive(crate::State, Default)]
    struct Mixed {
        flag: bool,
        number: u32,
        absent: Option<u16>,
        text: String,
    }
    let value = Mixed { flag: true, number: 0x0102_0304, absent: None, text: "ab".into() };
    assert_eq!(slot(&value), [1, 4, 3, 2, 1, 0, 0, 0, 2, 0, 0, 0, b'a', b'b']);
}

#[test]
fn a_slot_of_the_wrong_size_is_refused() {
    let mut bytes = slot(&Fixed::default());
    bytes.push(0);
    let expected = bytes.len() - 1;
    assert_eq!(decode::<Fixed>(&bytes), Err(StateError::Size { found: expected + 1, expected }));
    assert_eq!(decode::<Fixed>(&bytes[..10]), Err(StateError::Size { found: 10, expected }));

    let mut bytes = slot(&Varying::default());
    bytes.push(0);
    assert_eq!(decode::<Varying>(&bytes), Err(StateError::TooLong { left: 1 }));
}

#[test]
fn a_length_that_the_slot_does_not_hold_is_refused_without_allocating_it() {
    assert_eq!(decode::<Vec<f64>>(&[255, 255, 255, 255, 0, 0]), Err(StateError::TooShort));
    assert_eq!(decode::<Vec<String>>(&[255, 255, 255, 255, 0, 0]), Err(StateError::TooShort));
}

#[test]
fn damaged_flags_and_text_are_refused() {
    assert!(matches!(decode::<bool>(&[2]), Err(StateError::Malformed(_))));
    assert!(matches!(decode::<String>(&[1, 0, 0, 0, 0xff]), Err(StateError::Malformed(_))));
}

#[test]
fn an_older_version_goes_through_migrate() {
    assert_eq!(loaded::<Nested>(1, &5u32.to_le_bytes()), Ok(Nested { count: 5 }));
    assert_eq!(loaded::<Nested>(2, &6u64.to_le_bytes()), Ok(Nested { count: 6 }));
    let error = loaded::<Nested>(7, &[]).unwrap_err();
    assert!(error.to_string().contains("state version 7, this plugin has version 2"), "{error}");
}

#[test]
fn without_a_migration_another_version_is_an_error_that_names_both() {
    let error = loaded::<Fixed>(1, &slot(&Fixed::default())).unwrap_err();
    assert_eq!(error, StateError::Version { found: 1, expected: 3 });
}

fn varying() -> impl Strategy<Value = Varying> {
    (
        any::<String>(),
        prop::collection::vec(-1e6f32..1e6, 0..9),
        prop::collection::vec(any::<String>(), 0..4),
        any::<Option<String>>(),
        any::<u64>(),
    )
        .prop_map(|(name, recent, tags, note, count)| Varying {
            name,
            recent,
            tags,
            note,
            inner: Nested { count },
        })
}

proptest! {
    #[test]
    fn any_state_survives_its_slot(value in varying()) {
        prop_assert_eq!(decode::<Varying>(&slot(&value)), Ok(value));
    }

    #[test]
    fn nothing_of_the_value_before_shines_through(before in varying(), value in varying()) {
        let mut state = before;
        prop_assert_eq!(decode_into(&mut state, &slot(&value)), Ok(()));
        prop_assert_eq!(state, value);
    }

    #[test]
    fn any_cut_of_a_slot_is_refused(value in varying(), cut in any::<prop::sample::Index>()) {
        let bytes = slot(&value);
        let bytes = &bytes[..cut.index(bytes.len())];
        prop_assert!(decode::<Varying>(bytes).is_err());
    }

    #[test]
    fn no_bytes_make_reading_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode::<Varying>(&bytes);
        let _ = decode::<Tiles<2, Hour>>(&bytes);
    }
}
