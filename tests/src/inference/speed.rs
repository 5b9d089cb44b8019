//! The rows of the table of speed. Each starts a model server that answers after 50 ms, and a host.

use super::arrivals::Arrivals;
use super::figures::Figure;
use super::host::{Run, number};
use super::ordered::ordered;
use super::pipeline::{Pipeline, Source};
use super::rows::quantile;
use crate::faults::ModelProcess;

/// What a server takes, in milliseconds.
const DELAY: f64 = 50.0;

/// The measurements, in the order in which they run.
pub const NAMES: &[&str] = &["latency", "ordered", "throughput", "batches", "memory", "combined"];

/// How long measurements are.
#[derive(Clone, Copy, Debug)]
pub struct Length {
    /// A fifth of the rows: to see that everything works, not for figures.
    pub quick: bool,
}

impl Length {
    fn rows(self, rows: u64) -> u64 {
        if self.quick { rows / 5 } else { rows }
    }
}

/// Runs one measurement.
///
/// # Errors
/// When it is unknown or something cannot be run.
pub fn measure(name: &str, length: Length) -> Result<Vec<Figure>, String> {
    match name {
        "latency" => latency(length),
        "ordered" => in_order(length),
        "throughput" => throughput(length),
        "batches" => batches(length),
        "memory" => memory(),
        "combined" => combined(length),
        _ => Err(format!("there is no measurement `{name}`; there are: {}", NAMES.join(", "))),
    }
}

fn server(flags: &str) -> Result<ModelProcess, String> {
    ModelProcess::start(&format!("--delay-ms {DELAY} {flags}"))
}

/// Latencies above the server's, seen by a row in the operator and from end to end; and how late the
/// server itself was.
fn above(what: &str, run: &mut Run, bars: Option<[f64; 3]>) -> Vec<Figure> {
    let mut figures = Vec::new();
    for (at, (q, name)) in [(0.5, "p50"), (0.95, "p95"), (0.99, "p99")].into_iter().enumerate() {
        let figure =
            Figure::new(format!("{what}: latency above the server's, {name}"), run.rows.quantile(q) - DELAY, "ms");
        figures.push(bars.map_or(figure.clone(), |bars| figure.at_most(bars[at])));
    }
    for name in ["p50", "p99"] {
        let end_to_end = number(&run.report, &format!("/latency/{name}_us")) / 1_000.0;
        figures.push(Figure::new(format!("{what}: end to end above the server's, {name}"), end_to_end - DELAY, "ms"));
    }
    let late = number(&run.counters, "/late_us_mean") / 1_000.0;
    figures.push(Figure::new(format!("{what}: of which the server was late, mean"), late, "ms"));
    figures
}

/// What both cost, and what went wrong.
fn costs(what: &str, run: &Run) -> Vec<Figure> {
    let requests = number(&run.counters, "/requests").max(1.0);
    vec![
        Figure::new(format!("{what}: host, processor time a request"), run.host_cpu * 1e6 / requests, "µs"),
        Figure::new(format!("{what}: host, of a core"), 100.0 * run.host_cpu / run.seconds(), "%"),
        Figure::new(format!("{what}: server, of a core"), 100.0 * run.server_cpu / run.seconds(), "%"),
        Figure::new(format!("{what}: rows not answered at the first try"), run.errors() as f64, "rows"),
    ]
}

fn latency(length: Length) -> Result<Vec<Figure>, String> {
    let mut figures = Vec::new();
    for (what, http2, adaptive) in [
        ("1,000 rows/s, capacity 100", false, false),
        ("the same over HTTP/2", true, false),
        ("the same with an adaptive limit", false, true),
    ] {
        let mut server = server("")?;
        let source = Source::Vectors { rate: Some(1_000), rows: length.rows(20_000) };
        let pipeline = Pipeline { http2, adaptive, ..Pipeline::new(source, &[server.url()], 100) };
        let mut run = Run::of(&pipeline, &mut server, 2_000)?;
        let bars = (!http2 && !adaptive).then_some([0.3, 0.6, 3.0]);
        figures.push(Figure::new(format!("{what}: throughput"), run.rows_per_second(), "rows/s"));
        figures.extend(above(what, &mut run, bars));
        figures.extend(costs(what, &run));
    }
    Ok(figures)
}

fn in_order(length: Length) -> Result<Vec<Figure>, String> {
    let what = "ordered, 1 % of replies take 150 ms, 1,000 rows/s, capacity 100";
    let mut server = server("--tail 0.01:150")?;
    let source = Source::Vectors { rate: Some(1_000), rows: length.rows(20_000) };
    let pipeline = Pipeline { order: "ordered", ..Pipeline::new(source, &[server.url()], 100) };
    let mut arrivals = Arrivals::default();
    let run = Run::watched(&pipeline, &mut server, 2_000, |output| arrivals.look(output))?;
    // Many rows of the same distribution, at random places.
    let mut dice = crate::crash::Random::new(1);
    let mut least = ordered(200_000, 1_000.0, 100, |_| if dice.below(100) == 0 { 150.0 } else { DELAY });
    let mut seen = arrivals.latencies(1_000.0, DELAY);
    let mut figures = vec![
        Figure::new(format!("{what}: throughput"), arrivals.rows_per_second(), "rows/s").at_least(990.0),
        Figure::new(format!("{what}: p50, as rows come out"), quantile(&mut seen, 0.5), "ms"),
        Figure::new(format!("{what}: p50, by arithmetic"), quantile(&mut least, 0.5), "ms"),
        Figure::new(format!("{what}: p99, as rows come out"), quantile(&mut seen, 0.99), "ms"),
        Figure::new(format!("{what}: p99, by arithmetic"), quantile(&mut least, 0.99), "ms"),
    ];
    figures.extend(costs(what, &run));
    Ok(figures)
}

fn throughput(length: Length) -> Result<Vec<Figure>, String> {
    let mut figures = Vec::new();
    for (what, http2) in [("capacity 1,000, a row a request", false), ("the same over HTTP/2", true)] {
        let mut server = server("")?;
        let source = Source::Vectors { rate: None, rows: length.rows(300_000) };
        let pipeline = Pipeline { http2, ..Pipeline::new(source, &[server.url()], 1_000) };
        let run = Run::of(&pipeline, &mut server, 0)?;
        let rate = Figure::new(format!("{what}: throughput (ceiling 20,000)"), run.rows_per_second(), "rows/s");
        let mut costs = costs(what, &run);
        if http2 {
            figures.push(rate);
        } else {
            figures.push(rate.at_least(18_000.0));
            costs[0] = costs[0].clone().at_most(30.0);
        }
        figures.extend(costs);
        figures.push(Figure::new(format!("{what}: connections"), number(&run.counters, "/connections"), ""));
    }
    Ok(figures)
}

fn batches(length: Length) -> Result<Vec<Figure>, String> {
    let what = "capacity 1,000, batches of 32";
    let mut server = server("")?;
    let source = Source::Vectors { rate: None, rows: length.rows(1_000_000) };
    let pipeline = Pipeline { batch: 32, ..Pipeline::new(source, &[server.url()], 1_000) };
    let run = Run::of(&pipeline, &mut server, 0)?;
    let per_request = number(&run.counters, "/rows") / number(&run.counters, "/requests").max(1.0);
    let mut figures = vec![
        Figure::new(format!("{what}: throughput"), run.rows_per_second(), "rows/s").at_least(100_000.0),
        Figure::new(format!("{what}: rows of a request"), per_request, "rows"),
    ];
    figures.extend(costs(what, &run));
    Ok(figures)
}

fn memory() -> Result<Vec<Figure>, String> {
    let what = "100,000 rows in flight";
    // Long enough for all of them to be in flight at once.
    let mut server = ModelProcess::start("--delay-ms 10000")?;
    let source = Source::Vectors { rate: None, rows: 100_000 };
    let keys = "timeout = \"60s\"";
    let pipeline = Pipeline { batch: 100, keys, ..Pipeline::new(source, &[server.url()], 1_000) };
    let run = Run::of(&pipeline, &mut server, 0)?;
    let in_flight = number(&run.counters, "/max_in_flight");
    Ok(vec![
        Figure::new(format!("{what}: peak memory"), run.peak_memory(), "MB").at_most(300.0),
        Figure::new(format!("{what}: requests of 100 rows in flight"), in_flight, "requests").at_least(990.0),
        Figure::new(format!("{what}: rows not answered at the first try"), run.errors() as f64, "rows"),
    ])
}

fn combined(length: Length) -> Result<Vec<Figure>, String> {
    let what = "keyed enrichment, epochs of 1 s, and a call, 1,000 rows/s";
    let mut server = server("")?;
    let source = Source::Enriched { rate: 1_000, rows: length.rows(20_000) };
    let mut run = Run::of(&Pipeline::new(source, &[server.url()], 100), &mut server, 2_000)?;
    let mut figures = vec![Figure::new(format!("{what}: throughput"), run.rows_per_second(), "rows/s")];
    figures.extend(above(what, &mut run, Some([0.4, 1.0, 4.0])));
    figures.extend(costs(what, &run));
    figures.push(Figure::new(format!("{what}: peak memory"), run.peak_memory(), "MB"));
    Ok(figures)
}
