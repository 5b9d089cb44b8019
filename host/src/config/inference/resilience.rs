//! `[operator.NAME.batch]`, `.retry`, `.breaker`, `.concurrency` and `.hedge`.

use std::time::Duration;

use super::external::{LONGEST, SHORTEST};
use crate::config::reader::Reader;
use crate::config::units::show_duration;
use crate::inference::external::{BatchConfig, BreakerConfig, ConcurrencyConfig, HedgeConfig, RetryConfig};

const SECOND: Duration = Duration::from_secs(1);

/// The tables of calls over a network; a model on a thread has none of them.
pub(super) fn read(
    reader: &mut Reader<'_>,
    remote: bool,
    attempt: Duration,
    capacity: usize,
    urls: usize,
) -> (RetryConfig, BreakerConfig, ConcurrencyConfig, Option<HedgeConfig>) {
    let retry = RetryConfig {
        attempts: if remote { 3 } else { 1 },
        base: Duration::from_millis(25),
        max: SECOND,
        budget: 0.2,
        budget_floor: 10.0,
    };
    let breaker = BreakerConfig {
        window: 10 * SECOND,
        min_calls: 20,
        failure_rate: 0.5,
        slow_rate: 0.8,
        slow_after: attempt.mul_f64(0.8),
        consecutive: 5,
        open_for: SECOND,
        max_open: 30 * SECOND,
        probes: 3,
    };
    let concurrency = ConcurrencyConfig { adaptive: remote, initial: 10.min(capacity), min: 1, max: capacity };
    if !remote {
        return (retry, breaker, concurrency, None);
    }
    (
        self::retry(reader, retry),
        self::breaker(reader, breaker, attempt),
        limit(reader, concurrency),
        hedge(reader, urls),
    )
}

/// `[operator.NAME.batch]`; `one_row` names a protocol that sends one row a request.
pub(super) fn batch(reader: &mut Reader<'_>, one_row: Option<&'static str>) -> BatchConfig {
    let mut config = BatchConfig { max_rows: 1, max_delay: Duration::ZERO };
    let Some(mut table) = reader.table("batch") else { return config };
    // As for an embedded model.
    config.max_rows = table.count("max_rows", config.max_rows, 1..=65_536);
    config.max_delay = table.duration("max_delay", config.max_delay, Duration::ZERO..=60 * SECOND);
    if let (Some(protocol), Some(node)) = (one_row.filter(|_| config.max_rows > 1), table.take("max_rows")) {
        table.cx.report(
            table
                .cx
                .error(&node.at, format!("{protocol} sends one row a request"))
                .expected("expected 1")
                .help("remove `max_rows`; `capacity` says how many requests are in flight at once"),
        );
    } else if config.max_rows == 1 && !config.max_delay.is_zero() {
        no_effect(&mut table, "max_delay", "requests hold one row, and nobody is waited for; raise `max_rows`");
    }
    table.finish();
    config
}

fn retry(reader: &mut Reader<'_>, mut config: RetryConfig) -> RetryConfig {
    let Some(mut table) = reader.table("retry") else { return config };
    // Beyond, a request costs a server that fails more than it is worth.
    config.attempts = count(&mut table, "attempts", config.attempts, 1, 20);
    config.base = table.duration("base", config.base, SHORTEST..=60 * SECOND);
    config.max = table.duration("max", config.max.max(config.base), SHORTEST..=LONGEST);
    at_least(&mut table, "max", config.max, "base", config.base);
    // More than every attempt that there may be.
    config.budget = table.number("budget", 0.0..=20.0).unwrap_or(config.budget);
    config.budget_floor = table.number("budget_floor", 0.0..=1e6).unwrap_or(config.budget_floor);
    table.finish();
    config
}

fn breaker(reader: &mut Reader<'_>, mut config: BreakerConfig, attempt: Duration) -> BreakerConfig {
    let Some(mut table) = reader.table("breaker") else { return config };
    // A window has ten buckets of at least ten milliseconds.
    config.window = table.duration("window", config.window, Duration::from_millis(100)..=LONGEST);
    config.min_calls = count(&mut table, "min_calls", config.min_calls, 1, 1_000_000);
    // A share of nothing would open it at the first failure; 1 is only when all fail.
    config.failure_rate = table.number("failure_rate", 0.01..=1.0).unwrap_or(config.failure_rate);
    config.slow_rate = table.number("slow_rate", 0.01..=1.0).unwrap_or(config.slow_rate);
    config.slow_after = table.duration("slow_after", config.slow_after, SHORTEST..=LONGEST);
    if table.has("slow_after") && config.slow_after >= attempt {
        let shown = show_duration(attempt);
        no_effect(&mut table, "slow_after", &format!("an attempt ends after `\"{shown}\"`; lower `slow_after`"));
    }
    config.consecutive = count(&mut table, "consecutive", config.consecutive, 0, 1_000_000);
    config.open_for = table.duration("open_for", config.open_for, SHORTEST..=LONGEST);
    config.max_open = table.duration("max_open", config.max_open.max(config.open_for), SHORTEST..=LONGEST);
    at_least(&mut table, "max_open", config.max_open, "open_for", config.open_for);
    config.probes = count(&mut table, "probes", config.probes, 1, 1_000);
    table.finish();
    config
}

fn limit(reader: &mut Reader<'_>, mut config: ConcurrencyConfig) -> ConcurrencyConfig {
    let capacity = config.max;
    let Some(mut table) = reader.table("concurrency") else { return config };
    config.adaptive = table.boolean("adaptive", config.adaptive);
    config.max = table.count("max", config.max, 1..=1_000_000);
    config.min = table.count("min", config.min, 1..=1_000_000);
    config.initial = table.count("initial", 10.clamp(config.min.min(config.max), config.max), 1..=1_000_000);
    let (min, max, initial) = (config.min, config.max, config.initial);
    if min > max {
        let key = if table.has("min") { "min" } else { "max" };
        let wrong = format!("`{}.min` is greater than `max`", table.path);
        report(&mut table, key, wrong, format!("`min` is {min}, `max` is {max}"), "lower `min` or raise `max`");
    } else if !(min..=max).contains(&initial) {
        let wrong = format!("`{}.initial` is not within `min` and `max`", table.path);
        report(&mut table, "initial", wrong, format!("expected {min} to {max}"), "change `initial`");
    }
    if !config.adaptive {
        for key in ["initial", "min"] {
            no_effect(&mut table, key, "the limit does not adapt: it is `max`; remove it, or set `adaptive = true`");
        }
    } else if min > capacity {
        no_effect(&mut table, "min", &format!("`capacity` allows {capacity} requests in all; raise it"));
    }
    table.finish();
    config
}

fn hedge(reader: &mut Reader<'_>, urls: usize) -> Option<HedgeConfig> {
    let mut table = reader.table("hedge")?;
    // Below the median, half of the requests would be sent twice.
    let quantile = table.number("quantile", 0.5..=0.9999).unwrap_or(0.95);
    let budget = table.number("budget", 0.0..=1.0).unwrap_or(0.05);
    if urls == 1 {
        table.cx.report(
            table
                .error("requests cannot be sent a second time: there is one endpoint")
                .expected("the second request goes to another endpoint than the first")
                .help("add a url to `endpoint.urls`, or remove this table"),
        );
    }
    table.finish();
    Some(HedgeConfig { quantile, budget })
}

fn count(table: &mut Reader<'_>, key: &'static str, default: u32, low: u64, high: u64) -> u32 {
    table.integer(key, low..=high).and_then(|v| u32::try_from(v).ok()).unwrap_or(default)
}

/// Reports a time that must not be below another.
fn at_least(table: &mut Reader<'_>, key: &'static str, value: Duration, other: &'static str, least: Duration) {
    if value < least {
        let wrong = format!("`{}.{key}` is shorter than `{other}`", table.path);
        let expected = format!("expected at least `\"{}\"`, which is `{other}`", show_duration(least));
        report(table, key, wrong, expected, &format!("raise `{key}` or lower `{other}`"));
    }
}

fn report(table: &mut Reader<'_>, key: &'static str, message: String, expected: String, help: &str) {
    let diagnostic = match table.take(key) {
        Some(node) => table.cx.error(&node.at, message),
        None => table.error(message),
    };
    table.cx.report(diagnostic.expected(expected).help(help));
}

/// Warns of a key that is written for nothing.
fn no_effect(table: &mut Reader<'_>, key: &'static str, help: &str) {
    if let Some(node) = table.take(key) {
        let diagnostic = table.cx.error(&node.at, format!("`{}.{key}` has no effect", table.path));
        table.cx.report(diagnostic.help(help).into_warning());
    }
}
