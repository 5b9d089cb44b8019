//! Records are cut the same way however the input arrives.

use proptest::prelude::*;

use super::*;

fn limits(rows: usize, bytes: usize, record: usize) -> Limits {
    Limits { rows, bytes, record }
}

/// All blocks of `text` when it is read in pieces of `piece` bytes.
fn blocks(format: Format, limits: Limits, text: &[u8], piece: usize, eager: bool) -> Vec<RawBlock> {
    let mut framer = Framer::new(format, limits);
    let mut blocks = Vec::new();
    for piece in text.chunks(piece) {
        let mut rest = piece;
        while !rest.is_empty() {
            let room = framer.room();
            let count = room.len().min(rest.len());
            room[..count].copy_from_slice(&rest[..count]);
            rest = &rest[count..];
            framer.advance(count);
            blocks.extend(std::iter::from_fn(|| framer.next_block(eager)));
        }
    }
    framer.end();
    blocks.extend(std::iter::from_fn(|| framer.next_block(true)));
    blocks
}

/// The records of blocks, and for each one its length where it was too long.
fn records(blocks: &[RawBlock]) -> Vec<(String, Option<u64>)> {
    let mut records = Vec::new();
    for block in blocks {
        let mut start = 0;
        for (index, &end) in (0_u32..).zip(&block.ends) {
            let text = String::from_utf8_lossy(&block.bytes[start..end as usize]).into_owned();
            let length = block.oversized.iter().find(|(at, _)| *at == index).map(|(_, length)| *length);
            records.push((text, length));
            start = end as usize;
        }
        assert_eq!(start, block.bytes.len(), "a block holds its records and nothing else");
    }
    records
}

fn texts(format: Format, text: &str) -> Vec<String> {
    let all = blocks(format, limits(2, 1 << 20, 1 << 20), text.as_bytes(), 7, false);
    records(&all).into_iter().map(|(text, _)| text).collect()
}

#[test]
fn nothing_has_no_records() {
    for format in [Format::Json, Format::Csv] {
        assert!(blocks(format, limits(2, 9, 9), b"", 1, false).is_empty());
    }
}

#[test]
fn the_last_line_needs_no_end() {
    assert_eq!(texts(Format::Json, "1\n2\r\n\n3"), ["1\n", "2\r\n", "\n", "3"]);
    assert_eq!(texts(Format::Json, "1\n"), ["1\n"]);
}

#[test]
fn a_block_holds_at_most_so_many_rows_and_bytes() {
    let rows = blocks(Format::Json, limits(2, 1 << 20, 100), b"1\n2\n3\n4\n5\n", 100, false);
    assert_eq!(rows.iter().map(|b| (b.first_offset, b.ends.len())).collect::<Vec<_>>(), [(1, 2), (3, 2), (5, 1)]);
    let bytes = blocks(Format::Json, limits(9, 5, 100), b"1\n22\n3\n4444444\n5\n", 100, false);
    let lengths: Vec<_> = bytes.iter().map(|b| (b.first_offset, b.bytes.len())).collect();
    assert_eq!(lengths, [(1, 5), (3, 2), (4, 8), (5, 2)], "only a single record may be longer");
}

#[test]
fn a_full_block_waits_for_its_last_row_unless_it_is_asked_for() {
    let mut framer = Framer::new(Format::Json, limits(2, 100, 100));
    framer.room()[..3].copy_from_slice(b"1\n2");
    framer.advance(3);
    assert!(framer.has_records());
    assert!(framer.next_block(false).is_none());
    assert_eq!(framer.next_block(true).map(|b| b.bytes), Some(b"1\n".to_vec()));
    assert!(framer.next_block(true).is_none(), "the second line is not complete");
}

#[test]
fn of_a_long_record_the_beginning_is_kept_and_the_rest_counted() {
    let long = format!("1\n{}\n3\n", "x".repeat(1000));
    for piece in [1, 64, 5000] {
        let all = blocks(Format::Json, limits(100, 1 << 20, 300), long.as_bytes(), piece, false);
        let kept = "x".repeat(KEPT);
        assert_eq!(records(&all), [("1\n".into(), None), (kept, Some(1000)), ("3\n".into(), None)]);
        assert_eq!(all.last().map(|b| b.first_offset), Some(3));
    }
}

#[test]
fn a_record_as_long_as_the_limit_is_kept_whole() {
    let text = format!("{}\n{}\n", "x".repeat(300), "y".repeat(301));
    let all = records(&blocks(Format::Json, limits(100, 1 << 20, 300), text.as_bytes(), 50, false));
    assert_eq!(all[0], (format!("{}\n", "x".repeat(300)), None));
    assert_eq!(all[1].1, Some(301));
}

#[test]
fn memory_is_bounded_by_the_limit_however_long_a_record_is() {
    let mut framer = Framer::new(Format::Json, limits(100, 1 << 20, 1 << 20));
    for _ in 0..1600 {
        let room = framer.room();
        room.fill(b'x');
        let count = room.len().min(64 << 10);
        framer.advance(count);
        assert!(framer.next_block(false).is_none());
        assert!(framer.buffer.len() <= (1 << 20) + 2 * ROOM);
    }
    framer.end();
    let block = framer.next_block(true).expect("the record without its rest");
    assert_eq!(block.oversized, [(0, 100 << 20)]);
    assert_eq!(block.bytes.len(), KEPT);
}

#[test]
fn the_header_is_no_record_and_travels_with_every_block() {
    let text = "\u{FEFF}a,b\r\n1,2\n3,4\n5,6";
    let all = blocks(Format::Csv, limits(2, 100, 100), text.as_bytes(), 3, false);
    assert_eq!(all.iter().map(|b| b.first_offset).collect::<Vec<_>>(), [2, 4]);
    assert!(all.iter().all(|b| b.header.as_deref() == Some(b"a,b")));
    assert_eq!(records(&all).len(), 3);
}

#[test]
fn line_ends_inside_quotes_do_not_end_a_record() {
    let text = "a,b\n\"1\n1\",2\n\"3 \"\"x\"\"\n\",\"\"\n5,ab\"c\n7,8\n";
    for piece in [1, 2, 3, 100] {
        let all = blocks(Format::Csv, limits(9, 1000, 1000), text.as_bytes(), piece, false);
        let texts: Vec<String> = records(&all).into_iter().map(|(text, _)| text).collect();
        assert_eq!(texts, ["\"1\n1\",2\n", "\"3 \"\"x\"\"\n\",\"\"\n", "5,ab\"c\n", "7,8\n"]);
    }
}

#[test]
fn lines_are_counted_also_where_a_record_has_several() {
    let text = "a\n\"1\n1\"\n\n2\n3\n";
    let all = blocks(Format::Csv, limits(1, 1000, 1000), text.as_bytes(), 100, false);
    assert_eq!(all.iter().map(|b| b.first_offset).collect::<Vec<_>>(), [2, 4, 5, 6]);
}

#[test]
fn a_quote_that_is_never_closed_costs_its_own_line_only() {
    let text = "a,b\n1,2\n\"3,4\n5,6\n7,8\n";
    assert_eq!(texts(Format::Csv, text), ["1,2\n", "\"3,4\n", "5,6\n", "7,8\n"]);
    let mut long = String::from("a,b\n\"1,2\n");
    (0..100).for_each(|i| long.push_str(&format!("{i},3\n")));
    for piece in [1, 10, 10_000] {
        let all = blocks(Format::Csv, limits(9, 1000, 50), long.as_bytes(), piece, false);
        assert_eq!(records(&all).len(), 101);
        assert!(all.iter().all(|b| b.oversized.is_empty()));
        assert_eq!(all.last().map(|b| b.first_offset + b.ends.len() as u64), Some(103));
    }
}

#[test]
fn a_long_line_of_csv_is_counted_too() {
    let text = format!("a,b\n\"{}\n1,2\n", "x".repeat(500));
    for piece in [1, 10, 10_000] {
        let all = blocks(Format::Csv, limits(9, 1000, 300), text.as_bytes(), piece, false);
        let all = records(&all);
        assert_eq!(all.iter().map(|(_, length)| *length).collect::<Vec<_>>(), [Some(501), None], "{all:?}");
    }
}

proptest! {
    #[test]
    fn how_the_input_is_cut_into_reads_changes_no_record(
        text in "[a\",\n\r ]{0,300}",
        csv in any::<bool>(),
        rows in 1..5_usize,
        bytes in 1..80_usize,
        record in 1..90_usize,
        piece in 1..50_usize,
        eager in any::<bool>(),
    ) {
        let format = if csv { Format::Csv } else { Format::Json };
        let limits = limits(rows, bytes, record);
        let whole = blocks(format, limits, text.as_bytes(), usize::MAX, false);
        let pieces = blocks(format, limits, text.as_bytes(), piece, eager);
        prop_assert_eq!(records(&whole), records(&pieces));
        for block in &pieces {
            prop_assert!(block.ends.len() <= rows);
            prop_assert!(block.ends.len() == 1 || block.bytes.len() <= bytes + KEPT);
        }
        let kept: String = records(&pieces).iter().map(|(text, _)| text.as_str()).collect();
        let complete = pieces.iter().all(|b| b.oversized.is_empty());
        if complete && format == Format::Json {
            prop_assert_eq!(kept, text);
        }
    }
}

proptest! {
    /// Wherever a block ends, a new framer that begins at the byte which the first one names reads the
    /// same rest.
    #[test]
    fn reading_goes_on_at_the_byte_behind_any_block(
        lines in prop::collection::vec("[a-c,\"]{0,12}", 1..40),
        csv in any::<bool>(),
        (rows, piece) in (1_usize..5, 1_usize..40),
        record in 4_usize..12,
    ) {
        let format = if csv { Format::Csv } else { Format::Json };
        let text = lines.join("\n");
        let limits = limits(rows, 20, record);
        let whole = blocks(format, limits, text.as_bytes(), text.len().max(1), false);
        let mut framer = Framer::new(format, limits);
        let (mut seen, mut rest) = (Vec::new(), text.as_bytes());
        loop {
            let ended = rest.is_empty();
            let count = framer.room().len().min(piece).min(rest.len());
            framer.room()[..count].copy_from_slice(&rest[..count]);
            rest = &rest[count..];
            if ended { framer.end() } else { framer.advance(count) }
            while let Some(block) = framer.next_block(ended) {
                seen.push(block);
                let mut other = Framer::new(format, limits);
                other.resume(framer.line(), framer.byte(), framer.header().cloned());
                let tail = &text.as_bytes()[framer.byte() as usize..];
                let mut others = Vec::new();
                for byte in tail {
                    other.room()[0] = *byte;
                    other.advance(1);
                    others.extend(std::iter::from_fn(|| other.next_block(false)));
                }
                other.end();
                others.extend(std::iter::from_fn(|| other.next_block(true)));
                let all: Vec<_> = records(&seen).into_iter().chain(records(&others)).collect();
                prop_assert_eq!(&all, &records(&whole), "resumed at byte {}", framer.byte());
                if let Some(first) = others.first() {
                    prop_assert_eq!(first.first_offset, framer.line());
                }
            }
            if ended { break }
        }
    }
}
