//! `millstream checkpoint`: what is in checkpoint storage, and whether it is as it was written.

use clap::{Args, Subcommand};

use super::exit::Failure;
use super::numbers;
use super::output::Output;
use super::table::{Align, Table};
use crate::app;
use crate::report::{CheckpointList, CheckpointReport, PositionReport, VerifyReport, utc};

/// What to do with checkpoints.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the snapshots, the epoch log and the savepoints
    List(Place),
    /// Show one snapshot: where its sources go on, its operators and files
    Inspect(Inspect),
    /// Read every file and check it against what was written
    Verify(Place),
}

/// Arguments that name a checkpoint storage.
#[derive(Debug, Args)]
pub(super) struct Place {
    /// `checkpoint.path` of a pipeline: a folder, or `s3://bucket/prefix` (with the usual `AWS_…`
    /// variables)
    #[arg(value_name = "DIR|URL")]
    location: String,
}

/// Arguments of `checkpoint inspect`.
#[derive(Debug, Args)]
pub(super) struct Inspect {
    #[command(flatten)]
    place: Place,
    /// The epoch of the snapshot; the newest one when it is left out
    epoch: Option<u64>,
}

pub(super) fn execute(command: &Command, output: &Output) -> Result<(), Failure> {
    match command {
        Command::List(place) => {
            let list = app::list_checkpoints(&place.location)?;
            if output.json { output.object(&list) } else { output.text(&show_list(&list)) }
        }
        Command::Inspect(Inspect { place, epoch }) => {
            let found = app::inspect_checkpoint(&place.location, *epoch)?;
            if output.json { output.object(&found) } else { output.text(&show_one(&found)) }
        }
        Command::Verify(place) => {
            let found = app::verify_checkpoints(&place.location)?;
            if output.json {
                output.object(&found)?
            } else {
                output.text(&show_verified(&found))?
            }
            if found.ok { Ok(()) } else { Err(Failure::Found) }
        }
    }
}

fn show_list(list: &CheckpointList) -> String {
    let mut snapshots = Table::new(&[Align::Right, Align::Right, Align::Left, Align::Right, Align::Right]);
    snapshots.row(["EPOCH", "RUN", "TAKEN", "FILES", "SIZE"]);
    for s in &list.snapshots {
        let (files, size) = (numbers::count(s.files as u64), numbers::bytes(s.bytes));
        snapshots.row([s.epoch.to_string(), s.run.to_string(), utc(s.created_at_ms), files, size]);
    }
    let mut facts = Table::default();
    let pipeline = list.snapshots.last().map_or("unknown", |s| s.pipeline.as_str());
    facts.row(["pipeline", pipeline]);
    facts.row(["newest run", &list.newest_run.to_string()]);
    let log = &list.log;
    let epochs = match (log.first_epoch, log.last_epoch) {
        (Some(first), Some(last)) => {
            let (records, size) = (numbers::count(log.records as u64), numbers::bytes(log.bytes));
            format!("epochs {first} to {last} in {records} records of {size}, committed to {}", log.committed)
        }
        _ => "empty".to_owned(),
    };
    facts.row(["epoch log", &epochs]);
    let savepoints = if list.savepoints.is_empty() { "none".to_owned() } else { list.savepoints.join(", ") };
    facts.row(["savepoints", &savepoints]);
    let snapshots = if list.snapshots.is_empty() { "no snapshots\n".to_owned() } else { snapshots.render(0) };
    format!("{}\n\n{}\n{snapshots}", list.location, facts.render(0))
}

fn show_one(found: &CheckpointReport) -> String {
    let s = &found.snapshot;
    let mut facts = Table::default();
    facts.row(["pipeline", &s.pipeline]);
    facts.row(["run", &s.run.to_string()]);
    facts.row(["taken", &format!("{} by Millstream {}", utc(s.created_at_ms), s.version)]);
    facts.row(["size", &format!("{} in {} files", numbers::bytes(s.bytes), numbers::count(s.files as u64))]);
    facts.row(["operators", &found.operators.join(", ")]);
    let mut files = Table::new(&[Align::Left, Align::Right]);
    for file in &found.files {
        files.row([file.name.as_str(), &numbers::bytes(file.bytes), &file.object]);
    }
    let (facts, positions) = (facts.render(0), show_positions(&found.positions));
    format!("snapshot of epoch {}\n\n{facts}\n{positions}\nFILES\n{}", s.epoch, files.render(2))
}

/// Where sources go on.
pub(super) fn show_positions(positions: &[PositionReport]) -> String {
    let mut table = Table::default();
    for p in positions {
        table.row([p.source.as_str(), &p.partition, &format!("goes on with {}", numbers::count(p.next))]);
    }
    let rows = if positions.is_empty() { "  none\n".to_owned() } else { table.render(2) };
    format!("SOURCES\n{rows}")
}

fn show_verified(found: &VerifyReport) -> String {
    let mut out = String::new();
    for bad in &found.bad {
        out.push_str(&format!("BAD  {}: {}\n", bad.object, bad.problem));
    }
    let verdict = match found.bad.len() {
        0 => "all as it was written".to_owned(),
        1 => "1 damaged or missing".to_owned(),
        n => format!("{n} damaged or missing"),
    };
    let (snapshots, savepoints) = (numbers::count(found.snapshots), numbers::count(found.savepoints));
    let (records, files) = (numbers::count(found.log_records), numbers::count(found.files));
    out.push_str(&format!(
        "{}: {verdict} (snapshots: {snapshots}, savepoints: {savepoints}, log records: {records}, files: {files} of {})\n",
        found.location,
        numbers::bytes(found.bytes)
    ));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{BadReport, FileReport, LogReport, SnapshotReport};

    fn snapshot() -> SnapshotReport {
        SnapshotReport {
            epoch: 1_204,
            run: 3,
            pipeline: "fraud-scoring".into(),
            created_at_ms: 1_700_000_000_000,
            version: "0.1.0".into(),
            files: 7,
            bytes: 104_857_600,
        }
    }

    #[test]
    fn a_storage_is_listed_on_one_screen() {
        let log = LogReport {
            records: 58,
            first_epoch: Some(1_150),
            last_epoch: Some(1_207),
            committed: 1_207,
            bytes: 9_000,
        };
        let (location, savepoints) = ("out/state/checkpoints".to_owned(), vec!["before-upgrade".to_owned()]);
        let mut list = CheckpointList { location, newest_run: 3, snapshots: vec![snapshot()], log, savepoints };
        assert_eq!(
            show_list(&list),
            "out/state/checkpoints\n\n\
             pipeline    fraud-scoring\nnewest run  3\n\
             epoch log   epochs 1150 to 1207 in 58 records of 8.79 KiB, committed to 1207\n\
             savepoints  before-upgrade\n\n\
             EPOCH  RUN  TAKEN                    FILES     SIZE\n \
             1204    3  2023-11-14 22:13:20 UTC      7  100 MiB\n"
        );
        list = CheckpointList { location: "s3://b/p".into(), ..CheckpointList::default() };
        assert_eq!(
            show_list(&list),
            "s3://b/p\n\npipeline    unknown\nnewest run  0\nepoch log   empty\nsavepoints  none\n\nno snapshots\n"
        );
    }

    #[test]
    fn a_snapshot_shows_where_its_sources_go_on_and_its_files() {
        let file = FileReport { name: "000012.sst".into(), object: "sst/ab.sst".into(), bytes: 2_048 };
        let position = PositionReport { source: "in".into(), partition: "payments/3".into(), next: 12_345 };
        let (operators, positions, files) = (vec!["count".into()], vec![position], vec![file]);
        let found =
            CheckpointReport { snapshot: snapshot(), positions, operators, files, ..CheckpointReport::default() };
        assert_eq!(
            show_one(&found),
            "snapshot of epoch 1204\n\n\
             pipeline   fraud-scoring\nrun        3\ntaken      2023-11-14 22:13:20 UTC by Millstream 0.1.0\n\
             size       100 MiB in 7 files\noperators  count\n\n\
             SOURCES\n  in  payments/3  goes on with 12,345\n\nFILES\n  000012.sst  2.00 KiB  sst/ab.sst\n"
        );
    }

    #[test]
    fn a_verdict_names_each_bad_file() {
        let good = VerifyReport {
            location: "ckpt".into(),
            ok: true,
            snapshots: 3,
            log_records: 1_000,
            ..VerifyReport::default()
        };
        assert_eq!(
            show_verified(&good),
            "ckpt: all as it was written (snapshots: 3, savepoints: 0, log records: 1,000, files: 0 of 0 B)\n"
        );
        let bad = vec![BadReport { object: "sst/ab.sst".into(), problem: "it is missing".into() }];
        let text = show_verified(&VerifyReport { bad, ..good });
        assert!(text.starts_with("BAD  sst/ab.sst: it is missing\nckpt: 1 damaged or missing ("), "{text}");
    }
}
