//! `make kafka-throughput`: Kafka → enrichment → Kafka, exactly once, one worker, on a broker of this
//! machine. Prints rows a second, as a `read_committed` reader sees them come, and where the host's
//! processor time goes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use millstream_tests::kafka::{Broker, Isolation};
use millstream_tests::{Job, plugin};

const ROWS: u64 = 1_000_000;

fn fields(source: &str) -> String {
    format!(
        "event_time = \"timestamp\"\n[source.{source}.fields]\ntransaction_id = \"i64\"\ntimestamp = \"timestamp\"\n\
         user_id = \"utf8\"\namount = \"f64\"\n"
    )
}

fn head(name: &str) -> String {
    format!(
        "[pipeline]\nname = \"{name}\"\nworkers = 1\n[state]\npath = \"state\"\n[plugins]\nfolder = \"plugins\"\nwatch = false\n"
    )
}

fn sink(input: &str, topic: &str, delivery: &str, broker: &Broker) -> String {
    format!(
        "[sink.out]\nconnector = \"kafka\"\ninputs = [\"{input}\"]\ntopic = \"{topic}\"\nkey = \"user_id\"\n\
         delivery = \"{delivery}\"\n[sink.out.client]\n\"bootstrap.servers\" = \"{}\"\n",
        broker.bootstrap()
    )
}

/// Ticks of processor time of each thread of a process, by its name.
fn threads(pid: u32) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        let Ok(stat) = std::fs::read_to_string(task.path().join("stat")) else { continue };
        let (Some((_, name)), Some((_, rest))) = (stat.split_once('('), stat.rsplit_once(") ")) else { continue };
        let name = name.split(')').next().unwrap_or_default().to_owned();
        let ticks: u64 = rest.split(' ').skip(11).take(2).filter_map(|n| n.parse::<u64>().ok()).sum();
        *found.entry(name).or_default() += ticks;
    }
    found
}

fn main() -> Result<(), String> {
    let broker = Broker::start()?;
    broker.create_topic("in", 4, &[]);
    broker.create_topic("out", 4, &[]);
    let load = Job::new(
        &(head("load")
            + &format!("[source.made]\nconnector = \"generator\"\nkind = \"transactions\"\nrows = {ROWS}\n")
            + &fields("made")
            + &sink("made", "in", "at_least_once", &broker)),
    );
    let loaded = load.run().succeeded().report();
    println!("generator → Kafka, at least once: {:.0} rows/s", loaded["rows_per_second"].as_f64().unwrap_or_default());

    let source = format!(
        "[source.transactions]\nconnector = \"kafka\"\ntopics = [\"in\"]\ngroup = \"enrich\"\nauto_offset_reset = \"earliest\"\n\
         client = {{ \"bootstrap.servers\" = \"{}\" }}\n",
        broker.bootstrap()
    );
    let operator = "[operator.enrich]\nplugin = \"simple-enrichment\"\ninputs = [\"transactions\"]\nkey = \"user_id\"\n\
                    forward = [\"transaction_id\", \"user_id\", \"amount\", \"timestamp\"]\n";
    let job = Job::new(
        &(head("enrich")
            + &source
            + &fields("transactions")
            + operator
            + &sink("enrich", "out", "exactly_once", &broker)),
    );
    job.install(&plugin("simple-enrichment"), "simple-enrichment.wasm");
    let tail = broker.tail("out", Isolation::ReadCommitted);
    let mut running = job.start();
    let mut first: Option<(Instant, u64)> = None;
    let (rate, times) = loop {
        std::thread::sleep(Duration::from_millis(20));
        let seen = tail.count();
        match first {
            None if seen > 0 => first = Some((Instant::now(), seen)),
            Some((since, before)) if seen >= ROWS => {
                break ((seen - before) as f64 / since.elapsed().as_secs_f64(), threads(running.pid()));
            }
            _ => running.wait_until("it runs", |_| true),
        }
    };
    let report = running.stop("TERM").succeeded().report();
    let total: u64 = times.values().sum();
    let librdkafka: u64 = times.iter().filter(|(name, _)| name.starts_with("rdk:")).map(|(_, t)| t).sum();
    println!("Kafka → enrichment → Kafka, exactly once, one worker: {rate:.0} rows/s");
    println!("processor time in librdkafka's threads: {:.0} %", 100.0 * librdkafka as f64 / total.max(1) as f64);
    for (name, ticks) in times.iter().filter(|(_, ticks)| **ticks * 50 > total) {
        println!("  {name}: {:.0} %", 100.0 * *ticks as f64 / total.max(1) as f64);
    }
    println!("epochs: {}", report["epoch"]["steps"]);
    Ok(())
}
