//! Reads input and output of the crash loop for the oracle: files as they are, topics through the
//! independent client.

use serde_json::Value;

use super::oracle::{Content, Given, Letter, Place, Row, Violation};
use crate::Job;
use crate::kafka::{Broker, Isolation, Record};

/// The input file.
pub fn file_input(job: &Job, name: &str) -> Vec<Given> {
    let line = |(i, line): (usize, &str)| given(Place { partition: name.to_owned(), offset: i as u64 + 1 }, line);
    job.text(name).lines().enumerate().map(line).collect()
}

/// The input topic.
pub fn topic_input(broker: &Broker, topic: &str) -> Vec<Given> {
    let record = |r: Record| {
        let place = Place { partition: format!("{topic}/{}", r.partition), offset: r.offset };
        given(place, r.value.as_deref().unwrap_or_default())
    };
    broker.consume(topic, Isolation::ReadCommitted).into_iter().map(record).collect()
}

fn given(place: Place, line: &str) -> Given {
    let parsed: Option<Value> = serde_json::from_str(line).ok();
    let row = parsed.and_then(|v| Some(Content::Row { id: v["id"].as_u64()?, user: v["user"].as_str()?.to_owned() }));
    Given { place, content: row.unwrap_or_else(|| Content::Poison(line.to_owned())) }
}

/// The output file. What is no row of ours goes to `strange`.
pub fn file_output(job: &Job, name: &str, strange: &mut Vec<Violation>) -> Vec<Row> {
    let line =
        |(i, line): (usize, &str)| row(line, 0, None, None).ok_or_else(|| format!("line {} of {name}: {line}", i + 1));
    sort_out(job.text(name).lines().enumerate().map(line), strange)
}

/// The output topic, as `read_committed` sees it.
pub fn topic_output(broker: &Broker, topic: &str, strange: &mut Vec<Violation>) -> Vec<Row> {
    let record = |r: Record| {
        // Each record must say where it comes from; one that does not is at no place of the input.
        let position = place(r.header("millstream-position").unwrap_or("none@0"));
        let epoch = r.header("millstream-epoch").and_then(|e| e.parse().ok());
        row(r.value.as_deref()?, r.partition, Some(position), epoch)
    };
    let named = |r: Record| record(r.clone()).ok_or_else(|| format!("a record of {topic}: {r:?}"));
    sort_out(broker.consume(topic, Isolation::ReadCommitted).into_iter().map(named), strange)
}

fn row(text: &str, partition: u32, position: Option<Place>, epoch: Option<u64>) -> Option<Row> {
    let v: Value = serde_json::from_str(text).ok()?;
    let user = v["user"].as_str()?.to_owned();
    Some(Row { partition, id: v["id"].as_u64()?, user, count: v["count"].as_u64()?, position, epoch })
}

fn sort_out<T>(found: impl Iterator<Item = Result<T, String>>, strange: &mut Vec<Violation>) -> Vec<T> {
    let keep = |one: Result<T, String>| {
        one.map_err(|what| strange.push(Violation { rule: "O1", what: format!("not a row: {what}") })).ok()
    };
    found.filter_map(keep).collect()
}

/// `source/partition@place` without its source.
fn place(text: &str) -> Place {
    let (partition, offset) = text.rsplit_once('@').unwrap_or((text, ""));
    let partition = partition.split_once('/').map_or(partition, |(_, partition)| partition);
    Place { partition: file_name(partition), offset: offset.parse().unwrap_or(u64::MAX) }
}

/// A file's partition is its path, however it was written; a topic's is `topic/number`.
fn file_name(partition: &str) -> String {
    let file = partition.ends_with(".jsonl").then(|| partition.rsplit('/').next()).flatten();
    file.unwrap_or(partition).to_owned()
}

/// The file of dead letters. What is none goes to `strange`.
pub fn file_letters(job: &Job, name: &str, strange: &mut Vec<Violation>) -> Vec<Letter> {
    let line = |(i, line): (usize, &str)| letter(line).ok_or_else(|| format!("line {} of {name}: {line}", i + 1));
    sort_out(job.text(name).lines().enumerate().map(line), strange)
}

/// The topic of dead letters, as `read_committed` sees it.
pub fn topic_letters(broker: &Broker, topic: &str, strange: &mut Vec<Violation>) -> Vec<Letter> {
    let named =
        |r: Record| letter(r.value.as_deref().unwrap_or_default()).ok_or_else(|| format!("a record of {topic}: {r:?}"));
    sort_out(broker.consume(topic, Isolation::ReadCommitted).into_iter().map(named), strange)
}

fn letter(text: &str) -> Option<Letter> {
    let v: Value = serde_json::from_str(text).ok()?;
    let place = Place { partition: file_name(v["partition"].as_str()?), offset: v["offset"].as_u64()? };
    Some(Letter { place, raw: v["raw"].as_str().map(str::to_owned) })
}
