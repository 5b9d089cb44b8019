//! The counters of inference operators that answer later.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::metrics::Text;
use crate::dataflow::HubStats;
use crate::inference::external::{EndpointStats, ExternalStats, Histogram, PredictionSource};
use crate::inference::http::ErrorClass;

/// An operator and its counters.
#[derive(Clone, Debug)]
pub struct Inference {
    /// Its name.
    pub operator: String,
    /// What it counts of its model.
    pub stats: Arc<ExternalStats>,
    /// What its hub counts of rows.
    pub hub: Arc<HubStats>,
}

const MICROSECONDS: f64 = 1e6;

/// A number among many: its name, its help and where it is.
type Named<T> = (&'static str, &'static str, fn(&T) -> &AtomicU64);

/// Appends the counters of all operators.
pub(super) fn render(operators: &[Inference], text: &mut Text) {
    if operators.is_empty() {
        return;
    }
    by_operator(operators, text);
    by_endpoint(operators, text);
}

fn by_operator(operators: &[Inference], text: &mut Text) {
    text.family("inference_rows_total", "counter", "Rows answered, by where the prediction came from");
    for o in operators {
        for source in PredictionSource::ALL {
            let labels = [("operator", o.operator.as_str()), ("source", source.as_str())];
            text.line("inference_rows_total", &labels, o.stats.rows(source));
        }
    }
    let counters: [Named<ExternalStats>; 5] = [
        ("inference_rejected_rows_total", "Rows that nothing answered", |s| &s.rejected),
        ("inference_retries_total", "Attempts behind the first", |s| &s.retries),
        ("inference_retries_refused_total", "Retries that the budget refused", |s| &s.retries_refused),
        ("inference_hedges_total", "Second requests for a slow one", |s| &s.hedges),
        ("inference_bisections_total", "Requests cut in halves to find a bad row", |s| &s.bisections),
    ];
    for (name, help, of) in counters {
        text.family(name, "counter", help);
        operators.iter().for_each(|o| text.line(name, &[("operator", &o.operator)], of(&o.stats).load(Relaxed)));
    }
    let gauges: [Named<Inference>; 4] = [
        ("inference_requests_in_flight", "Requests in flight", |o| &o.stats.requests_in_flight),
        ("inference_queued_rows", "Rows that wait to be taken", |o| &o.hub.queued),
        ("inference_in_flight_rows", "Rows that are taken and not answered", |o| &o.hub.in_flight),
        ("inference_waiting_rows", "Rows that are answered and wait for their turn", |o| &o.hub.waiting),
    ];
    for (name, help, of) in gauges {
        text.family(name, "gauge", help);
        operators.iter().for_each(|o| text.line(name, &[("operator", &o.operator)], of(o).load(Relaxed)));
    }
    text.family("inference_full_seconds_total", "counter", "Time for which rows waited because the operator was full");
    for o in operators {
        let seconds = o.hub.full_ns.load(Relaxed) as f64 / 1e9;
        text.line("inference_full_seconds_total", &[("operator", &o.operator)], seconds);
    }
    text.family("inference_restored_rows_total", "counter", "Rows asked for again after a restart");
    for o in operators {
        text.line("inference_restored_rows_total", &[("operator", &o.operator)], o.hub.restored.load(Relaxed));
    }
    text.family("inference_queue_seconds", "histogram", "Time that the oldest row of a request waited for it");
    for o in operators {
        histogram(text, "inference_queue_seconds", &[("operator", &o.operator)], &o.stats.queue_us, MICROSECONDS);
    }
    text.family("inference_batch_rows", "histogram", "Rows of a request");
    for o in operators {
        histogram(text, "inference_batch_rows", &[("operator", &o.operator)], &o.stats.batch_rows, 1.0);
    }
}

fn by_endpoint(operators: &[Inference], text: &mut Text) {
    let endpoints = || operators.iter().flat_map(|o| o.stats.endpoints.iter().map(|e| (o.operator.as_str(), e)));
    let families: [(&str, Named<EndpointStats>); 6] = [
        ("counter", ("inference_requests_total", "Calls of an endpoint", |e| &e.requests)),
        ("counter", ("inference_successes_total", "Calls that were answered", |e| &e.successes)),
        ("counter", ("inference_breaker_opened_total", "Times that the circuit breaker opened", |e| &e.opened)),
        ("gauge", ("inference_breaker_state", "The circuit breaker: 0 closed, 1 half-open, 2 open", |e| &e.breaker)),
        ("gauge", ("inference_endpoint_in_flight", "Calls of an endpoint in flight", |e| &e.in_flight)),
        ("gauge", ("inference_endpoint_limit", "Calls of an endpoint that may be in flight", |e| &e.limit)),
    ];
    for (kind, (name, help, of)) in families {
        text.family(name, kind, help);
        for (operator, e) in endpoints() {
            text.line(name, &[("operator", operator), ("endpoint", e.name())], of(e).load(Relaxed));
        }
    }
    text.family("inference_failures_total", "counter", "Calls that were not answered, by class");
    for (operator, e) in endpoints() {
        for class in ErrorClass::ALL {
            let labels = [("operator", operator), ("endpoint", e.name()), ("class", class.as_str())];
            text.line("inference_failures_total", &labels, e.failures(class));
        }
    }
    text.family("inference_latency_seconds", "histogram", "Time of answered calls");
    for (operator, e) in endpoints() {
        let labels = [("operator", operator), ("endpoint", e.name())];
        histogram(text, "inference_latency_seconds", &labels, &e.latency_us, MICROSECONDS);
    }
}

fn histogram<const N: usize>(text: &mut Text, name: &str, labels: &[(&str, &str)], of: &Histogram<N>, unit: f64) {
    let bucket = format!("{name}_bucket");
    let mut line = |le: &str, value: u64| {
        let labels: Vec<(&str, &str)> = labels.iter().copied().chain([("le", le)]).collect();
        text.line(&bucket, &labels, value);
    };
    for (bound, count) in of.cumulated() {
        line(&(bound as f64 / unit).to_string(), count);
    }
    line("+Inf", of.count());
    text.line(&format!("{name}_sum"), labels, of.sum() as f64 / unit);
    text.line(&format!("{name}_count"), labels, of.count());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operator_and_endpoint_has_its_series() {
        let stats = Arc::new(ExternalStats::new(["http://a".to_owned(), "http://b".to_owned()]));
        stats.retries.store(3, Relaxed);
        stats.endpoints[1].breaker.store(2, Relaxed);
        let operators = [Inference { operator: "score".into(), stats, hub: Arc::default() }];
        let mut text = Text::default();
        render(&operators, &mut text);
        for line in [
            "millstream_inference_retries_total{operator=\"score\"} 3",
            "millstream_inference_breaker_state{operator=\"score\",endpoint=\"http://b\"} 2",
            "millstream_inference_rows_total{operator=\"score\",source=\"last_known_good\"} 0",
            "millstream_inference_failures_total{operator=\"score\",endpoint=\"http://a\",class=\"timeout\"} 0",
            "millstream_inference_latency_seconds_bucket{operator=\"score\",endpoint=\"http://a\",le=\"0.0025\"} 0",
            "millstream_inference_latency_seconds_count{operator=\"score\",endpoint=\"http://a\"} 0",
        ] {
            assert!(text.0.lines().any(|l| l == line), "`{line}` is missing in\n{}", text.0);
        }
    }
}
