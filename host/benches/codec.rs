//! Our JSON codec beside arrow-json, on the same lines: `cargo bench --profile release --bench codec`.
//!
//! Prints nanoseconds a row and the ratio, best of several rounds in one run.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::json::ReaderBuilder;
use arrow::json::writer::LineDelimitedWriter;
use millstream::codec::{Decoder, Encoder, Format};
use millstream::record::{RawBlock, parse_type};
use millstream::source::transactions::{Generator, Settings};

const ROWS: usize = 1024;
const ROUNDS: usize = 300;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn schema(fields: &[(&str, &str)]) -> SchemaRef {
    let field = |(name, t): &(&str, &str)| Field::new(*name, parse_type(t).expect("a known type"), false);
    Arc::new(Schema::new(fields.iter().map(field).collect::<Vec<_>>()))
}

/// Nanoseconds a row of the fastest round.
fn best(mut round: impl FnMut()) -> f64 {
    let mut least = f64::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        round();
        least = least.min(start.elapsed().as_nanos() as f64 / ROWS as f64);
    }
    least
}

fn block(lines: &[u8]) -> RawBlock {
    let ends = lines.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(i, _)| i as u32 + 1).collect();
    RawBlock { bytes: lines.to_vec(), ends, first_offset: 1, ..RawBlock::default() }
}

fn compare(what: &str, schema: &SchemaRef, lines: &[u8]) {
    let block = block(lines);
    let mut decoder = Decoder::new(Format::Json, schema, None, 1 << 20).expect("a schema that can be decoded");
    let ours = best(|| drop(black_box(decoder.decode(&block).expect("rows"))));
    let mut theirs = ReaderBuilder::new(schema.clone()).with_batch_size(ROWS).build_decoder().expect("a decoder");
    let arrow = best(|| {
        theirs.decode(&block.bytes).expect("rows");
        drop(black_box(theirs.flush().expect("a batch")));
    });
    println!("decode {what}: {ours:.0} ns/row, arrow-json {arrow:.0}, ratio {:.2}", ours / arrow);

    let batch = decoder.decode(&block).expect("rows").batch.columns;
    let mut encoder = Encoder::new(Format::Json, schema, None).expect("a schema that can be encoded");
    let mut out = Vec::new();
    let ours = best(|| {
        out.clear();
        encoder.encode(&batch, &mut out).expect("rows");
    });
    let mut sink = Vec::new();
    let arrow = best(|| {
        sink.clear();
        let mut writer = LineDelimitedWriter::new(&mut sink);
        writer.write(&batch).and_then(|()| writer.finish()).expect("rows");
    });
    println!("encode {what}: {ours:.0} ns/row, arrow-json {arrow:.0}, ratio {:.2}", ours / arrow);
}

fn main() {
    let mut generator = Generator::new(&Settings::default());
    let mut lines = Vec::new();
    (0..ROWS).for_each(|_| generator.next_json(&mut lines));
    let six = [
        ("transaction_id", "i64"),
        ("timestamp", "i64"),
        ("user_id", "utf8"),
        ("terminal_id", "utf8"),
        ("amount", "f64"),
        ("fraud", "i32"),
    ];
    compare("transactions, 6 fields", &schema(&six), &lines);
    compare("transactions, 3 of 6 fields", &schema(&[six[2], six[4], six[1]]), &lines);

    let mut vectors = Vec::new();
    for row in 0..ROWS {
        let values: Vec<String> =
            (0..128).map(|i| format!("{:.7}", ((row * 131 + i * 17) % 1000) as f64 / 997.0)).collect();
        vectors.extend_from_slice(format!("{{\"features\":[{}]}}\n", values.join(",")).as_bytes());
    }
    compare("128 floats", &schema(&[("features", "f32[128]")]), &vectors);
}
