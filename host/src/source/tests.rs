//! Sources on real files and pipes, and their faults.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrow::datatypes::{DataType, Field, Schema};

use std::time::Instant;

use super::*;
use crate::codec::{Compression, Decoder, Format};
use crate::record::parse_type;
use crate::record::{Batch, Position, RawBlock};

fn open(config: &Config, batch_rows: usize, batch_bytes: usize) -> Result<Box<dyn Source>, Error> {
    super::open(config, batch_rows, batch_bytes, &Arc::default())
}

/// Collects what a source sends; `watch` is called after each chunk and says when to stop.
struct Collector<F> {
    opened: Vec<Position>,
    chunks: Vec<(Chunk, Instant)>,
    next: Vec<Next>,
    stopped: Arc<AtomicBool>,
    watch: F,
}

impl<F: FnMut(&Chunk) -> bool> Output for Collector<F> {
    fn open(&mut self, at: Position) -> u32 {
        self.opened.push(at);
        self.opened.len() as u32 - 1
    }

    fn close(&mut self, _: u32) {}

    fn idle(&mut self, _: u32) {}

    fn settle(&mut self, _: Duration) -> bool {
        true
    }

    fn send(&mut self, partition: u32, chunk: Chunk, next: Next, since: Instant) -> Result<(), Stopped> {
        assert_eq!(partition as usize + 1, self.opened.len());
        if self.stopped() {
            return Err(Stopped);
        }
        let stop = (self.watch)(&chunk);
        self.chunks.push((chunk, since));
        self.next.push(next);
        self.stopped.fetch_or(stop, Ordering::Relaxed);
        Ok(())
    }

    fn stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }
}

fn collect(source: Box<dyn Source>, watch: impl FnMut(&Chunk) -> bool) -> (Vec<(Chunk, Instant)>, Result<(), Error>) {
    let (collector, result) = collect_from(source, &[], watch);
    (collector.chunks, result)
}

fn collect_from<F: FnMut(&Chunk) -> bool>(
    source: Box<dyn Source>,
    start: &[Position],
    watch: F,
) -> (Collector<F>, Result<(), Error>) {
    let (opened, chunks, next) = (Vec::new(), Vec::new(), Vec::new());
    let mut collector = Collector { opened, chunks, next, stopped: Arc::default(), watch };
    let result = source.run(start, &mut collector);
    (collector, result)
}

fn schema(name: &str, kind: &str) -> arrow::datatypes::SchemaRef {
    Arc::new(Schema::new(vec![Field::new(name, parse_type(kind).expect("a type"), false)]))
}

fn config(connector: Connector) -> Config {
    Config {
        name: "rows".into(),
        connector,
        format: Format::Json,
        schema: schema("n", "i64"),
        event_time: None,
        max_out_of_orderness: Duration::ZERO,
        max_record_bytes: 1 << 20,
    }
}

fn file(path: &Path, compression: Compression, follow: bool) -> Config {
    config(Connector::File { path: path.to_owned(), compression, follow })
}

fn read(config: &Config) -> (String, Result<(), Error>) {
    let source = match open(config, 100, 1 << 16) {
        Ok(source) => source,
        Err(error) => return (String::new(), Err(error)),
    };
    let (chunks, result) = collect(source, |_| false);
    (text(&chunks), result)
}

fn text(chunks: &[(Chunk, Instant)]) -> String {
    chunks.iter().map(|(chunk, _)| String::from_utf8_lossy(&raw(chunk).bytes).into_owned()).collect()
}

fn raw(chunk: &Chunk) -> &RawBlock {
    match chunk {
        Chunk::Raw(block) => block,
        Chunk::Rows(_) => panic!("rows, not bytes"),
    }
}

fn lines(count: usize) -> String {
    (1..=count).map(|n| format!("{{\"n\":{n}}}\n")).collect()
}

/// A folder with a file of these bytes.
fn folder(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).expect("written");
    (folder, path)
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).expect("in memory");
    encoder.finish().expect("in memory")
}

#[test]
fn a_file_is_read_whole_in_blocks() {
    let text = lines(1050);
    let (_folder, path) = folder("rows.jsonl", text.trim_end().as_bytes());
    let source = open(&file(&path, Compression::Auto, false), 100, 1 << 16).expect("opened");
    assert_eq!(source.total_bytes(), Some(text.len() as u64 - 1));
    let (chunks, result) = collect(source, |_| false);
    result.expect("read");
    assert_eq!(self::text(&chunks), text.trim_end());
    assert_eq!(chunks.len(), 11);
    assert_eq!(raw(&chunks[10].0).first_offset, 1001);
    assert!(chunks[..10].iter().all(|(chunk, _)| raw(chunk).ends.len() == 100));
}

#[test]
fn an_empty_file_has_no_rows() {
    let (_folder, path) = folder("rows.jsonl", b"");
    let (text, result) = read(&file(&path, Compression::Auto, false));
    result.expect("read");
    assert_eq!(text, "");
}

#[test]
fn compressed_files_are_recognised_by_their_first_bytes() {
    let text = lines(5000);
    let two_members = [gzip(&text[..20_000]), gzip(&text[20_000..])].concat();
    let zstd = zstd::stream::encode_all(text.as_bytes(), 1).expect("in memory");
    for (bytes, compression) in [
        (&two_members, Compression::Auto),
        (&two_members, Compression::Gzip),
        (&zstd, Compression::Auto),
        (&zstd, Compression::Zstd),
    ] {
        let (_folder, path) = folder("rows", bytes);
        let config = file(&path, compression, false);
        assert_eq!(open(&config, 100, 1 << 16).expect("opened").total_bytes(), None);
        let (found, result) = read(&config);
        result.expect("read");
        assert_eq!(found, text);
    }
}

#[test]
fn what_is_whole_in_a_file_that_was_cut_off_is_read_and_the_place_named() {
    let text = lines(20_000);
    let whole = gzip(&text);
    let mut zstd = zstd::stream::encode_all(text.as_bytes(), 1).expect("in memory");
    zstd.truncate(zstd.len() - 100);
    for bytes in [&whole[..whole.len() / 2], &zstd] {
        let (_folder, path) = folder("rows.gz", bytes);
        let (found, result) = read(&file(&path, Compression::Auto, false));
        let error = result.expect_err("damaged").to_string();
        assert!(text.starts_with(&found) && found.ends_with('\n'));
        let place = format!("after {} whole lines of its text", found.lines().count());
        assert!(error.contains(&path.display().to_string()) && error.contains(&place), "{error}");
    }
}

#[test]
fn damage_inside_compressed_data_is_an_error() {
    let mut bytes = gzip(&lines(20_000));
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xFF;
    let (_folder, path) = folder("rows.gz", &bytes);
    let (_, result) = read(&file(&path, Compression::Auto, false));
    assert!(result.expect_err("damaged").to_string().contains("is damaged or cut off before byte "));
}

#[test]
fn a_file_that_is_not_there_is_named_with_what_to_do() {
    let error = open(&file(Path::new("no/such.jsonl"), Compression::Auto, false), 1, 1).err().expect("missing");
    assert_eq!(
        error.to_string(),
        "source `rows`: there is no file no/such.jsonl; check `path` (relative to the pipeline file)"
    );
    let folder = tempfile::tempdir().expect("a folder");
    let error = open(&file(folder.path(), Compression::Auto, false), 1, 1).err().expect("a folder");
    assert!(error.to_string().ends_with("is a directory; `path` must name one file"), "{error}");
}

#[test]
fn a_record_of_a_hundred_megabytes_costs_its_own_line_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("rows.jsonl");
    let mut out = std::fs::File::create(&path).expect("created");
    out.write_all(b"{\"n\":1}\n{\"n\":\"").expect("written");
    let part = vec![b'x'; 1 << 20];
    (0..100).for_each(|_| out.write_all(&part).expect("written"));
    out.write_all(b"\"}\n{\"n\":3}\n").expect("written");
    drop(out);
    let config = file(&path, Compression::None, false);
    let (chunks, result) = collect(open(&config, 100, 1 << 16).expect("opened"), |_| false);
    result.expect("read");
    let mut decoder = Decoder::new(config.format, &config.schema, None, config.max_record_bytes).expect("a decoder");
    let (mut offsets, mut rejected) = (Vec::new(), Vec::new());
    for (chunk, _) in &chunks {
        assert!(raw(chunk).bytes.len() < 1 << 16);
        let decoded = decoder.decode(raw(chunk)).expect("decoded");
        offsets.extend_from_slice(&decoded.batch.offsets);
        rejected.extend(decoded.rejected);
    }
    assert_eq!(offsets, [1, 3]);
    let reason = "record of 104857608 bytes is longer than the limit of 1 MiB (max_record)";
    assert_eq!((rejected.len(), rejected[0].offset, rejected[0].reason.as_str()), (1, 2, reason));
}

/// Appends to a file.
fn append(path: &Path, text: &str) {
    OpenOptions::new().append(true).open(path).and_then(|mut f| f.write_all(text.as_bytes())).expect("appended");
}

#[test]
fn a_followed_file_gives_its_new_lines_until_the_pipeline_stops() {
    let (_folder, path) = folder("rows.jsonl", b"{\"n\":1}\n{\"n\"");
    let source = open(&file(&path, Compression::Auto, true), 100, 1 << 16).expect("opened");
    let mut step = 0;
    let (chunks, result) = collect(source, |_| {
        step += 1;
        append(&path, ":2}\n{\"n\":3");
        step == 3
    });
    result.expect("stopped");
    assert_eq!(text(&chunks), "{\"n\":1}\n{\"n\":2}\n{\"n\":3:2}\n");
    assert_eq!(chunks.iter().map(|(c, _)| raw(c).first_offset).collect::<Vec<_>>(), [1, 2, 3]);
}

#[test]
fn a_followed_file_that_is_cut_or_replaced_ends_the_run() {
    type Change = fn(&Path);
    let cases: [(Change, &str); 3] = [
        (|path| std::fs::write(path, "{}").expect("written"), "was cut to 2 bytes while followed"),
        (|path| std::fs::remove_file(path).expect("removed"), "was removed while followed"),
        (
            |path| {
                std::fs::write(path.with_extension("new"), "{\"n\":1}\n").expect("written");
                std::fs::rename(path.with_extension("new"), path).expect("renamed");
            },
            "was replaced by another file while followed",
        ),
    ];
    for (change, expected) in cases {
        let (_folder, path) = folder("rows.jsonl", b"{\"n\":1}\n");
        let source = open(&file(&path, Compression::Auto, true), 100, 1 << 16).expect("opened");
        let (_, result) = collect(source, |_| {
            change(&path);
            false
        });
        let error = result.expect_err("changed").to_string();
        assert!(error.contains(expected) && error.contains(&path.display().to_string()), "{error}");
    }
}

#[test]
fn a_compressed_file_cannot_be_followed() {
    let (_folder, path) = folder("rows.gz", &gzip("{}\n"));
    let error = open(&file(&path, Compression::Auto, true), 1, 1).err().expect("refused");
    assert!(error.to_string().ends_with("is compressed and cannot be followed; follow a plain file"), "{error}");
}

#[test]
fn a_pipe_hands_over_each_line_when_it_is_there() {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    let framer = Framer::new(Format::Json, Limits { rows: 100, bytes: 1 << 16, record: 1 << 20 });
    let detached = stdin::Detached { stream: reader, compression: Compression::Auto, framer };
    writer.write_all(b"{\"n\":1}\n{\"n\":2}\n{\"n\"").expect("written");
    let mut step = 0;
    // The next line is written only when the one before has arrived: it must not wait for more.
    let mut writer = Some(writer);
    let watch = |_: &Chunk| {
        step += 1;
        match step {
            1 => writer.iter_mut().for_each(|w| w.write_all(b":3}\n{\"n\":4}").expect("written")),
            _ => writer = None,
        }
        false
    };
    let (opened, chunks, next) = (Vec::new(), Vec::new(), Vec::new());
    let mut collector = Collector { opened, chunks, next, stopped: Arc::default(), watch };
    detached.run("pipe", &mut collector).expect("read");
    let blocks: Vec<String> = collector.chunks.chunks(1).map(text).collect();
    assert_eq!(blocks, ["{\"n\":1}\n{\"n\":2}\n", "{\"n\":3}\n", "{\"n\":4}"]);
}

#[test]
fn a_pipe_on_which_nothing_comes_can_be_stopped() {
    let (reader, _writer) = std::io::pipe().expect("a pipe");
    let framer = Framer::new(Format::Json, Limits { rows: 100, bytes: 1 << 16, record: 1 << 20 });
    let detached = stdin::Detached { stream: reader, compression: Compression::Auto, framer };
    let mut collector = Collector {
        opened: Vec::new(),
        chunks: Vec::new(),
        next: Vec::new(),
        stopped: Arc::new(true.into()),
        watch: |_: &Chunk| false,
    };
    detached.run("pipe", &mut collector).expect("stopped");
    assert!(collector.chunks.is_empty());
}

fn generator(kind: GeneratorKind, rows: Option<u64>, rate: Option<u64>) -> Config {
    config(Connector::Generator(Generator { kind, rows, rate, seed: 7 }))
}

#[test]
fn generated_vectors_fill_the_number_of_rows() {
    let mut config = generator(GeneratorKind::Vectors(4), Some(250), None);
    config.schema = schema("features", "f32[4]");
    let (chunks, result) = collect(open(&config, 100, 1 << 16).expect("opened"), |_| false);
    result.expect("made");
    let batches: Vec<&Batch> = chunks
        .iter()
        .map(|(chunk, _)| match chunk {
            Chunk::Rows(batch) => batch,
            Chunk::Raw(_) => panic!("bytes, not rows"),
        })
        .collect();
    assert_eq!(batches.iter().map(|b| b.rows()).collect::<Vec<_>>(), [100, 100, 50]);
    let offsets: Vec<u64> = batches.iter().flat_map(|b| b.offsets.iter().copied()).collect();
    assert_eq!(offsets, (1..=250).collect::<Vec<_>>());
    assert!(batches.iter().all(|b| b.columns.schema() == config.schema && b.event_times.is_empty()));
    assert_ne!(batches[0].columns.column(0), batches[1].columns.column(0));
}

#[test]
fn vectors_of_another_schema_are_refused() {
    let config = generator(GeneratorKind::Vectors(4), None, None);
    let error = open(&config, 100, 1 << 16).err().expect("refused").to_string();
    assert!(error.contains("features = \"f32[4]\", and is of i64"), "{error}");
}

#[test]
fn generated_text_is_decoded_like_any_other() {
    let columns = Arc::new(Schema::new(vec![
        Field::new("transaction_id", DataType::Int64, false),
        Field::new("amount", DataType::Float64, false),
    ]));
    let vectors = schema("features", "f32[8]");
    let cases = [
        (GeneratorKind::Transactions, Format::Json, &columns),
        (GeneratorKind::Transactions, Format::Csv, &columns),
        (GeneratorKind::VectorLines(8), Format::Json, &vectors),
    ];
    for (kind, format, schema) in cases {
        let mut config = generator(kind, Some(250), None);
        (config.format, config.schema) = (format, schema.clone());
        let (chunks, result) = collect(open(&config, 100, 1 << 16).expect("opened"), |_| false);
        result.expect("made");
        let mut decoder = Decoder::new(format, schema, None, 1 << 20).expect("a decoder");
        let decoded: Vec<_> = chunks.iter().map(|(c, _)| decoder.decode(raw(c)).expect("decoded")).collect();
        assert!(decoded.iter().all(|d| d.rejected.is_empty()));
        assert_eq!(decoded.iter().map(|d| d.batch.rows()).sum::<usize>(), 250);
    }
}

#[test]
fn rows_at_a_rate_carry_the_time_at_which_they_were_due() {
    let config = generator(GeneratorKind::VectorLines(2), Some(20), Some(1000));
    let (chunks, result) = collect(open(&config, 100, 1 << 16).expect("opened"), |_| {
        // A pipeline that is slow does not slow the schedule down.
        std::thread::sleep(Duration::from_millis(2));
        false
    });
    result.expect("made");
    let start = chunks[0].1;
    let mut row = 0;
    for (chunk, since) in &chunks {
        assert_eq!(*since, start + Duration::from_millis(row));
        row += raw(chunk).ends.len() as u64;
    }
    assert_eq!(row, 20);
    assert!(chunks.len() < 20, "rows that were due meanwhile go together");
}

#[test]
fn a_generator_without_end_ends_when_it_is_stopped() {
    for rate in [None, Some(10_000)] {
        let config = generator(GeneratorKind::Transactions, None, rate);
        let mut chunks = 0;
        let (_, result) = collect(open(&config, 100, 1 << 16).expect("opened"), |_| {
            chunks += 1;
            chunks == 3
        });
        result.expect("stopped");
        assert_eq!(chunks, 3);
    }
    let error = open(&generator(GeneratorKind::Transactions, None, Some(0)), 1, 1).err().expect("refused");
    assert!(error.to_string().contains("rate = 0"));
}

/// Reads a source to its end, and again from behind each of its chunks: the rest must be the same.
fn resumes_anywhere(config: &Config) {
    let source = || open(config, 40, 1 << 10).expect("opened");
    let (whole, result) = collect_from(source(), &[], |_| false);
    result.expect("read");
    assert!(whole.chunks.len() > 3, "{} chunks", whole.chunks.len());
    for (index, next) in whole.next.iter().enumerate() {
        let partition = whole.opened[0].partition.clone();
        let Next { place, byte, identity } = *next;
        let start = Position { next: place, byte, identity, ..Position::new(partition, 1) };
        let (rest, result) = collect_from(source(), std::slice::from_ref(&start), |_| false);
        result.expect("read on");
        assert_eq!(rest.opened, [start]);
        assert_eq!(text(&rest.chunks), text(&whole.chunks[index + 1..]), "behind chunk {index}");
        if let Some((chunk, _)) = rest.chunks.first() {
            assert_eq!((raw(chunk).first_offset, &raw(chunk).header), (place, &raw(&whole.chunks[0].0).header));
        }
    }
}

#[test]
fn a_file_is_read_on_from_behind_any_chunk() {
    let text = lines(1000);
    let (_plain, plain) = folder("rows.jsonl", text.as_bytes());
    let (_packed, packed) = folder("rows.jsonl.gz", &gzip(&text));
    let csv: String = std::iter::once("n,text\n".into()).chain((0..400).map(|n| format!("{n},\"a\nb\"\n"))).collect();
    let (_csv, csv) = folder("rows.csv", csv.as_bytes());
    resumes_anywhere(&file(&plain, Compression::Auto, false));
    resumes_anywhere(&file(&packed, Compression::Auto, false));
    resumes_anywhere(&Config { format: Format::Csv, ..file(&csv, Compression::Auto, false) });
}

#[test]
fn a_generator_goes_on_with_the_row_behind_any_chunk() {
    resumes_anywhere(&generator(GeneratorKind::Transactions, Some(500), None));
}

#[test]
fn a_file_that_is_not_the_one_that_was_read_is_refused() {
    let (_folder, path) = folder("rows.jsonl", lines(100).as_bytes());
    let config = file(&path, Compression::Auto, false);
    let (whole, _) = collect_from(open(&config, 40, 1 << 10).expect("opened"), &[], |_| false);
    let Next { place, byte, identity } = whole.next[0];
    let start = Position { next: place, byte, identity, ..Position::new(whole.opened[0].partition.clone(), 1) };
    for (content, reason) in [(lines(100).replace('1', "2"), "another file"), (lines(3), "was cut or replaced")] {
        std::fs::write(&path, content).expect("written");
        let (collected, result) =
            collect_from(open(&config, 40, 1 << 10).expect("opened"), std::slice::from_ref(&start), |_| false);
        let error = result.expect_err("refused").to_string();
        assert!(error.contains(reason) && error.contains("rows.jsonl"), "{error}");
        assert!(collected.chunks.is_empty());
    }
}
