//! Slots without their zeros. A slot has room for everything that it may come to hold (a ring of 24
//! hours, say) and is mostly zeros until it does; what is handed over, logged, applied, compacted and
//! read again is only what it holds.
//!
//! Layout: `[length of the slot u32 LE]`, then for each 64 bytes of the slot `[mask u8]` and those of
//! their eight words (8 bytes each, the first at bit 0) that are not all zeros; then the bytes behind
//! the last whole word, as they are; then zeros that mean nothing. A last group of less than eight words
//! has a mask too.
//!
//! The zeros at the end are for RocksDB: a value that is no longer than before is overwritten where it
//! is. By them a slot that loses a word and gets another one keeps its length, and one that has grown can
//! grow again.

const WORD: usize = 8;
const GROUP: usize = 8 * WORD;

/// A slot that is shorter has little to leave out.
const WORTHWHILE: usize = 4 * WORD;

/// How many times its length a slot may be long by zeros at the end.
const MOST: usize = 2;

/// How long a slot is made whose words take `packed` bytes, and which had `length` before (0 where that
/// is not known).
fn padded(packed: usize, length: usize) -> usize {
    match length {
        0 => packed,
        _ if length < packed => packed + packed / 2,
        _ if length < MOST * packed => length,
        _ => packed,
    }
}

/// Appends a slot in this form, padded for one that had `length` before; when it would not be shorter
/// than the slot itself, appends nothing and returns false.
pub(super) fn pack(slot: &[u8], length: usize, out: &mut Vec<u8>) -> bool {
    if slot.len() < WORTHWHILE {
        return false;
    }
    let begin = out.len();
    let (words, rest) = slot.as_chunks::<WORD>();
    out.extend_from_slice(&(slot.len() as u32).to_le_bytes());
    for group in words.chunks(GROUP / WORD) {
        // Written whether it counts or not, so that nothing is guessed by the processor's branch
        // prediction; the next one goes over it.
        let mut packed = [0; 1 + GROUP];
        let mut len = 1;
        for (bit, word) in group.iter().enumerate() {
            packed[len..len + WORD].copy_from_slice(word);
            let counts = u64::from_le_bytes(*word) != 0;
            packed[0] |= u8::from(counts) << bit;
            len += WORD * usize::from(counts);
        }
        out.extend_from_slice(&packed[..len]);
    }
    out.extend_from_slice(rest);
    let packed = out.len() - begin;
    let shorter = packed < slot.len();
    if !shorter {
        out.truncate(begin);
    } else {
        out.resize(begin + padded(packed, length).min(slot.len() - 1), 0);
    }
    shorter
}

/// Puts a slot in place of what is in `slot`; `None` when the bytes are not one in this form.
pub(super) fn unpack(packed: &[u8], slot: &mut Vec<u8>) -> Option<()> {
    let (len, mut packed) = packed.split_first_chunk::<4>()?;
    let len = u32::from_le_bytes(*len) as usize;
    // A mask stands for at most a group: who claims more is not believed, whatever memory there is.
    if len > (packed.len() + 1) * GROUP {
        return None;
    }
    slot.clear();
    slot.resize(len, 0);
    let (words, rest) = slot.as_chunks_mut::<WORD>();
    for group in words.chunks_mut(GROUP / WORD) {
        let (&mask, mut tail) = packed.split_first()?;
        if usize::from(mask) >> group.len() != 0 {
            return None;
        }
        let mut left = mask;
        while left != 0 {
            let (word, behind) = tail.split_first_chunk::<WORD>()?;
            group[left.trailing_zeros() as usize] = *word;
            tail = behind;
            left &= left - 1;
        }
        packed = tail;
    }
    let (end, zeros) = packed.split_at_checked(rest.len())?;
    rest.copy_from_slice(end);
    zeros.iter().all(|&byte| byte == 0).then_some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packed(slot: &[u8]) -> Option<Vec<u8>> {
        as_long_as(slot, 0)
    }

    fn as_long_as(slot: &[u8], length: usize) -> Option<Vec<u8>> {
        let mut out = b"before".to_vec();
        let shorter = pack(slot, length, &mut out);
        assert!(out.starts_with(b"before"));
        out.drain(..6);
        assert_eq!(shorter, !out.is_empty());
        shorter.then_some(out)
    }

    proptest! {
        #[test]
        fn a_slot_comes_back_as_it_was(
            words in prop::collection::vec(prop_oneof![3 => Just(0), 1 => any::<u64>(), 1 => 0..9u64], 0..70),
            rest in prop::collection::vec(any::<u8>(), 0..8),
            before in prop::collection::vec(any::<u8>(), 0..100),
            length in 0..600usize,
        ) {
            let slot = [words.iter().flat_map(|word| word.to_le_bytes()).collect(), rest].concat();
            if let Some(packed) = as_long_as(&slot, length) {
                prop_assert!(packed.len() < slot.len());
                let mut found = before;
                prop_assert_eq!(unpack(&packed, &mut found), Some(()));
                prop_assert_eq!(found, slot);
            }
        }

        #[test]
        fn any_bytes_are_a_slot_or_refused(bytes in prop::collection::vec(prop_oneof![0..3u8, any::<u8>()], 0..200)) {
            let mut slot = Vec::new();
            if unpack(&bytes, &mut slot).is_some() {
                prop_assert_eq!(slot.len(), u32::from_le_bytes(bytes[..4].try_into().unwrap()) as usize);
            }
        }
    }

    #[test]
    fn only_words_that_are_not_zero_are_kept() {
        let mut slot = [0; 100];
        (slot[9], slot[70], slot[99]) = (1, 2, 3);
        let expected =
            [&[100, 0, 0, 0][..], &[0b10, 0, 1, 0, 0, 0, 0, 0, 0], &[0b1, 0, 0, 0, 0, 0, 0, 2, 0], &[0, 0, 0, 3]];
        assert_eq!(packed(&slot), Some(expected.concat()));
    }

    #[test]
    fn a_slot_that_would_not_be_shorter_stays_as_it_is() {
        assert_eq!(packed(&[1; 320]), None);
        assert_eq!(packed(&[0; WORTHWHILE - 1]), None);
        assert!(packed(&[0; WORTHWHILE]).is_some());
    }

    #[test]
    fn a_slot_keeps_its_length_unless_it_became_much_shorter_and_grows_with_room_for_more() {
        let slot = [&[1; 16][..], &[0; 84]].concat();
        let len = |length| as_long_as(&slot, length).map(|packed| packed.len());
        assert_eq!(packed(&slot).map(|packed| packed.len()), Some(26));
        assert_eq!([0, 25, 26, 40, 51, 52, 99].map(len), [26, 39, 26, 40, 51, 26, 26].map(Some));
        assert_eq!(as_long_as(&[&[1; 72][..], &[0; 8]].concat(), 50).map(|packed| packed.len()), Some(79));
        let mut found = Vec::new();
        assert_eq!(unpack(&as_long_as(&slot, 40).unwrap(), &mut found), Some(()));
        assert_eq!(found, slot);
    }

    #[test]
    fn a_slot_that_was_damaged_is_refused() {
        let whole = packed(&[&[5; 8][..], &[0; 60]].concat()).unwrap();
        let refused = |bytes: &[u8]| unpack(bytes, &mut Vec::new()).is_none();
        assert!((0..whole.len()).all(|keep| refused(&whole[..keep])));
        assert!(refused(&[&whole[..], &[0, 1]].concat()));
        assert!(refused(&[&u32::MAX.to_le_bytes()[..], &whole[4..]].concat()));
        // A word that the slot does not have.
        let short = [&40u32.to_le_bytes()[..], &[0b100_0000], &[1; 8]].concat();
        assert!(refused(&short));
    }
}
