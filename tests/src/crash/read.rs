//! Reads input and output of the crash loop for the oracle: files as they are, topics through the
//! independent client.

use serde_json::Value;

use super::oracle::{Content, Given, Letter, Place, Row};
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

/// The output file.
pub fn file_output(job: &Job, name: &str) -> Vec<Row> {
    job.rows(name).iter().map(|v| row(v, 0, None, None)).collect()
}

/// The output topic, as `read_committed` sees it.
pub fn topic_output(broker: &Broker, topic: &str) -> Vec<Row> {
    let record = |r: &Record| {
        // Each record must say where it comes from; one that does not is at no place of the input.
        let position = place(r.header("millstream-position").unwrap_or("none@0"));
        let epoch = r.header("millstream-epoch").and_then(|e| e.parse().ok());
        row(&r.json(), r.partition, Some(position), epoch)
    };
    broker.consume(topic, Isolation::ReadCommitted).iter().map(record).collect()
}

fn row(v: &Value, partition: u32, position: Option<Place>, epoch: Option<u64>) -> Row {
    let number = |name: &str| v[name].as_u64().unwrap_or_else(|| panic!("no `{name}` in the output row {v}"));
    let user = v["user"].as_str().unwrap_or_default().to_owned();
    Row { partition, id: number("id"), user, count: number("count"), position, epoch }
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

/// The file of dead letters.
pub fn file_letters(job: &Job, name: &str) -> Vec<Letter> {
    crate::parse_lines(&job.text(name)).iter().map(letter).collect()
}

/// The topic of dead letters, as `read_committed` sees it.
pub fn topic_letters(broker: &Broker, topic: &str) -> Vec<Letter> {
    broker.consume(topic, Isolation::ReadCommitted).iter().map(|r| letter(&r.json())).collect()
}

fn letter(v: &Value) -> Letter {
    let place = Place {
        partition: file_name(v["partition"].as_str().unwrap_or_default()),
        offset: v["offset"].as_u64().unwrap_or(u64::MAX),
    };
    Letter { place, raw: v["raw"].as_str().map(str::to_owned) }
}
