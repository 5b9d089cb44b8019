//! What the Kafka parts of a pipeline must agree on: with each other, with the state and with the
//! time between two checkpoints.

use std::time::Duration;

use crate::config::context::Context;
use crate::config::graph::Parts;
use crate::config::sink::Sink;
use crate::config::units::show_duration;
use crate::kafka::Properties;
use crate::sink::{Connector, Delivery, Kafka};
use crate::source;

/// A transaction lives for an epoch and its commit, and a slow broker must not end it before.
const EPOCHS_A_TRANSACTION: u32 = 3;

/// Reports what does not fit; returns the client that all exactly-once sinks share.
pub(in crate::config) fn check(
    cx: &Context<'_>,
    parts: &Parts,
    interval: Duration,
    has_state: bool,
) -> Option<Properties> {
    if !has_state {
        state(cx, parts);
    }
    let once: Vec<(&Sink, &Kafka)> = sinks(parts).filter(|(_, k)| k.delivery == Delivery::ExactlyOnce).collect();
    for (sink, kafka) in &once {
        timeout(cx, sink, kafka, interval);
    }
    if let [(first, first_kafka), rest @ ..] = once.as_slice() {
        for (sink, kafka) in rest {
            same_client(cx, (first, first_kafka), (sink, kafka));
        }
        if let Some((other, _)) = sinks(parts).find(|(_, k)| k.delivery == Delivery::AtLeastOnce) {
            let (name, first) = (&other.config.name, &first.config.name);
            cx.report(
                cx.error_at(
                    &format!("{}.delivery", other.table),
                    format!("sinks `{first}` and `{name}` differ in what they promise"),
                )
                .expected("after a failure this one may hold records twice, the other does not")
                .help("give both the same `delivery`, unless readers of this one can bear duplicates")
                .into_warning(),
            );
        }
    }
    once.first().map(|(_, kafka)| kafka.client.clone())
}

fn sinks(parts: &Parts) -> impl Iterator<Item = (&Sink, &Kafka)> {
    parts.sinks.iter().filter_map(|(sink, _)| match &sink.config.connector {
        Connector::Kafka(kafka) => Some((sink, kafka)),
        _ => None,
    })
}

/// Positions and transactions mean nothing to a process that forgets them.
fn state(cx: &Context<'_>, parts: &Parts) {
    let sources = parts.sources.iter().filter(|s| matches!(s.config.connector, source::Connector::Kafka(_)));
    let source = sources.map(|s| format!("source `{}` reads", s.config.name)).next();
    let Some(what) = source.or_else(|| sinks(parts).map(|(s, _)| format!("sink `{}` writes to", s.config.name)).next())
    else {
        return;
    };
    cx.report(
        cx.sources
            .whole(format!("{what} Kafka, but the file has no `[state]`"))
            .expected("needs a folder that remembers positions and epochs")
            .help("add `[state]` and below it `path = \"out/state\"`"),
    );
}

fn timeout(cx: &Context<'_>, sink: &Sink, kafka: &Kafka, interval: Duration) {
    const NAME: &str = "transaction.timeout.ms";
    let timeout = kafka.client.transaction_timeout();
    let least = interval * EPOCHS_A_TRANSACTION;
    if timeout >= least {
        return;
    }
    let (timeout, interval) = (timeout.as_millis(), show_duration(interval));
    cx.report(
        cx.error_at(
            &place(sink, kafka, NAME),
            format!(
                "`{NAME}` of sink `{}` is {timeout}, too short for a checkpoint every {interval}",
                sink.config.name
            ),
        )
        .expected(format!("expected at least {} (three intervals)", least.as_millis()))
        .help(format!(
            "set `{NAME} = {}` in `[{}.client]`, or lower `checkpoint.interval`; the broker's \
             transaction.max.timeout.ms (15 minutes unless set) bounds it",
            least.as_millis(),
            sink.table
        )),
    );
}

/// The place of a property, else of its table.
fn place(sink: &Sink, kafka: &Kafka, property: &str) -> String {
    match kafka.client.get(property) {
        Some(_) => format!("{}.client.{property}", sink.table),
        None => format!("{}.client", sink.table),
    }
}

/// One producer writes the transaction of all of them.
fn same_client(cx: &Context<'_>, (first, first_kafka): (&Sink, &Kafka), (sink, kafka): (&Sink, &Kafka)) {
    // What is wrong with one of them was said already.
    if !(first.kafka.complete && sink.kafka.complete) {
        return;
    }
    let Some(property) = first_kafka.client.difference(&kafka.client) else { return };
    let (one, other) = (&first.config.name, &sink.config.name);
    cx.report(
        cx.error_at(
            &place(sink, kafka, &property),
            format!("exactly-once sinks `{one}` and `{other}` have different clients: `{property}`"),
        )
        .expected("expected the same properties: one transaction, of one producer, holds the records of both")
        .help("make the two tables equal, or set `delivery = \"at_least_once\"` for one of the sinks"),
    );
}
