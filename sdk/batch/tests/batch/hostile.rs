//! Broken buffers, in both directions: whatever was done to the bytes, reading them ends in an
//! error or in values, and never in a panic or an access out of bounds (which safe code turns into
//! a panic). This is the fuzz target of the crate; `PROPTEST_CASES` says for how long it runs.

use millstream_batch::{AnswerRef, AnswerView, Input, write_input};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::round_trip::{Reply, any_batch, any_reply};
use crate::rows::{from_arrow, from_column};

/// Numbers at which arithmetic goes wrong, if it does.
const EXTREMES: [u32; 16] =
    [0, 1, 2, 3, 7, 8, 9, 80, 255, 0xffff, 0x7fff_fff8, 0x7fff_ffff, 0x8000_0000, 0xffff_fff8, 0xffff_fffe, u32::MAX];

/// Bytes at the front that hold most of the numbers: header and directories.
const FRONT: usize = 400;

#[derive(Clone, Debug)]
enum Damage {
    Flip(Index, u8),
    Number {
        at: Index,
        front: bool,
        to: u32,
    },
    Nudge {
        at: Index,
        by: i32,
    },
    Cut(Index),
    Grow(Vec<u8>),
    Splice {
        from: Index,
        to: Index,
        len: usize,
    },
    /// The length in the header becomes right again, so that what lies behind it is reached.
    Reseal,
}

fn any_damage() -> impl Strategy<Value = Damage> {
    let at = any::<Index>;
    prop_oneof![
        2 => (at(), 0_u8..8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        6 => (at(), prop::bool::weighted(0.7), prop::sample::select(&EXTREMES[..]))
            .prop_map(|(at, front, to)| Damage::Number { at, front, to }),
        4 => (at(), -9_i32..10).prop_map(|(at, by)| Damage::Nudge { at, by }),
        1 => at().prop_map(Damage::Cut),
        1 => vec(any::<u8>(), 1..40).prop_map(Damage::Grow),
        1 => (at(), at(), 1_usize..64).prop_map(|(from, to, len)| Damage::Splice { from, to, len }),
        2 => Just(Damage::Reseal),
    ]
}

fn damage(bytes: &mut Vec<u8>, damages: &[Damage]) {
    for damage in damages {
        let len = bytes.len();
        if len < 24 {
            return;
        }
        let word = |at: &Index, len: usize| at.index(len / 4) * 4;
        match damage {
            Damage::Flip(at, bit) => bytes[at.index(len)] ^= 1 << bit,
            Damage::Number { at, front, to } => {
                let at = word(at, if *front { len.min(FRONT) } else { len });
                bytes[at..at + 4].copy_from_slice(&to.to_le_bytes());
            }
            Damage::Nudge { at, by } => {
                let at = word(at, len.min(FRONT));
                let old = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
                bytes[at..at + 4].copy_from_slice(&old.wrapping_add_signed(*by).to_le_bytes());
            }
            Damage::Cut(at) => bytes.truncate(at.index(len)),
            Damage::Grow(more) => bytes.extend_from_slice(more),
            Damage::Splice { from, to, len: part } => {
                let (from, to) = (from.index(len), to.index(len));
                let part = (*part).min(len - from).min(len - to);
                bytes.copy_within(from..from + part, to);
            }
            Damage::Reseal => bytes[20..24].copy_from_slice(&(len as u32).to_le_bytes()),
        }
    }
}

/// Reads everything that a guest could ask for.
fn read_input(bytes: &[u8]) {
    let Ok(input) = Input::parse(bytes) else { return };
    // A column of `f32[1]` cannot have more rows than bytes, but a batch without columns can.
    let rows = input.rows().min(10_000);
    for row in (0..rows).chain([input.rows(), usize::MAX]) {
        let _ = input.event_time(row);
        if let Some(key) = input.key_index(row) {
            assert!((key as usize) < input.keys());
        }
    }
    for key in (0..input.keys() as u32).chain([u32::MAX]) {
        assert_eq!(input.key(key).is_some(), (key as usize) < input.keys());
        let _ = input.slot(key);
    }
    for column in 0..input.columns() {
        let _ = from_column(&input.raw_column(column).unwrap());
    }
}

/// Reads everything that a host would; both readers must be of one opinion.
fn read_answer(bytes: &[u8], reply: &Reply) {
    let plain = AnswerRef::parse(bytes, &reply.spec(), reply.rows, reply.keys);
    let shared = AnswerView::parse(bytes.to_vec(), &reply.schemas(), reply.rows, reply.keys);
    assert_eq!(plain.as_ref().err(), shared.as_ref().err());
    let (Ok(plain), Ok(shared)) = (plain, shared) else { return };
    assert!(plain.slots().eq(shared.slots()));
    assert!(plain.errors().eq(shared.errors()));
    assert!(plain.timers().eq(shared.timers()));
    assert!(plain.counters().eq(shared.counters()));
    assert!(plain.slots().all(|slot| (slot.key as usize) < reply.keys));
    assert!(plain.errors().all(|error| (error.row as usize) < reply.rows));
    assert!(plain.timers().all(|timer| (timer.key as usize) < reply.keys));
    for (port, batch) in shared.batches().iter().enumerate() {
        let origins: Vec<_> = (0..batch.num_rows()).map(|row| plain.origin(port, row).unwrap()).collect();
        assert!(origins.is_sorted() && origins.iter().all(|&origin| (origin as usize) < reply.rows));
        for (at, column) in batch.columns().iter().enumerate() {
            assert_eq!(from_arrow(column), from_column(&plain.column(port, at).unwrap()).unwrap());
        }
    }
}

fn any_damages() -> impl Strategy<Value = Vec<Vec<Damage>>> {
    vec(vec(any_damage(), 1..5), 16)
}

proptest! {
    #[test]
    fn hostile_inputs_are_refused_or_read(batch in any_batch(), damages in any_damages()) {
        let mut whole = Vec::new();
        write_input(&mut whole, &batch.parts(), &batch.builders()).unwrap();
        for damages in damages {
            let mut bytes = whole.clone();
            damage(&mut bytes, &damages);
            read_input(&bytes);
        }
    }

    #[test]
    fn hostile_answers_are_refused_or_read(reply in any_reply(), damages in any_damages()) {
        let whole = reply.build();
        for damages in damages {
            let mut bytes = whole.clone();
            damage(&mut bytes, &damages);
            read_answer(&bytes, &reply);
        }
    }

    #[test]
    fn hostile_noise_is_refused_or_read(bytes in vec(any::<u8>(), 0..300), reply in any_reply()) {
        read_input(&bytes);
        read_answer(&bytes, &reply);
    }

    #[test]
    fn a_hostile_cut_is_always_refused(batch in any_batch(), reply in any_reply(), at in any::<Index>()) {
        let mut bytes = Vec::new();
        write_input(&mut bytes, &batch.parts(), &batch.builders()).unwrap();
        prop_assert!(Input::parse(&bytes[..at.index(bytes.len())]).is_err());
        let bytes = reply.build();
        let cut = &bytes[..at.index(bytes.len())];
        prop_assert!(AnswerRef::parse(cut, &reply.spec(), reply.rows, reply.keys).is_err());
    }
}
