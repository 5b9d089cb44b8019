//! An inference operator that answers later: what is the same wherever its model runs, and what its
//! tables must agree on.

use std::time::Duration;

use super::endpoint::{self, Endpoint};
use super::{fallback, features, output, resilience};
use crate::config::context::Text;
use crate::config::reader::Reader;
use crate::config::units::show_duration;
use crate::inference::external::{
    CacheConfig, ExternalConfig, Fallback, Order, Place, PredictionType, ProtocolConfig, ThreadConfig, Timeouts,
};

/// Execution providers that ONNX Runtime may have.
const PROVIDERS: [&str; 7] = ["cpu", "cuda", "tensorrt", "migraphx", "openvino", "coreml", "webgpu"];
/// Longest time that a record may wait for its prediction; a stream that waits longer is none.
pub(super) const LONGEST: Duration = Duration::from_secs(3_600);
/// The clock of the operator.
pub(super) const SHORTEST: Duration = Duration::from_millis(1);

/// Reads the operator; see [`super::read`].
pub(super) fn read(
    name: String,
    reader: &mut Reader<'_>,
    columns: &mut Vec<(&'static str, Text)>,
    models: &mut Vec<Text>,
) -> ExternalConfig {
    let remote = reader.has("endpoint");
    reader.describe(if remote { "a model in servers of its own" } else { "a model on a thread of its own" });
    if remote && reader.has("thread") {
        reader.take("thread");
        let at = reader.key("thread");
        reader.cx.report(
            reader
                .cx
                .error_at(&at, format!("`{name}` has both an `endpoint` and a `thread`"))
                .expected("expected one of the two: a model runs in servers, or on a thread of this process")
                .help("remove one of the tables"),
        );
    }
    misplaced(reader);
    let model = reader.required_text("model", "fraud");
    let timeouts = timeouts(reader, remote);
    let capacity = reader.count("capacity", 100, 1..=1_000_000);
    let waiting = reader.count("waiting", capacity.saturating_mul(10), 0..=100_000_000);
    let endpoint = endpoint::read(reader);
    let template = endpoint.as_ref().is_some_and(|e| matches!(e.config.protocol, ProtocolConfig::Template { .. }));
    let mut features = features(reader, !template);
    if let Some(endpoint) = &endpoint {
        check_features(reader, endpoint, &mut features);
    }
    let output = output(&name, reader, &features);
    let prediction = endpoint.as_ref().map_or(PredictionType::Numbers(1), |e| e.config.prediction);
    let fallback = fallback::read(reader, remote.then_some(prediction), models);
    if !remote {
        models.extend(model.clone());
    }
    let order = order(reader);
    let key = reader.text("key", "user_id");
    let sample = reader.number("sample", 0.0..=1.0).unwrap_or(1.0);
    check_key(reader, &name, order, key.as_ref(), sample, &fallback);
    let when = reader.text("when", "needs_score");
    let (urls, one_row) =
        endpoint.as_ref().map_or((0, None), |e| (e.config.urls.len(), endpoint::one_row(&e.config.protocol)));
    let (retry, breaker, concurrency, hedge) = resilience::read(reader, remote, timeouts.attempt, capacity, urls);
    columns.extend(features.iter().cloned().map(|text| ("feature", text)));
    columns.extend(key.iter().cloned().map(|text| ("key", text)));
    columns.extend(when.iter().cloned().map(|text| ("when", text)));
    let config = ExternalConfig {
        model: model.map(|t| t.value).unwrap_or_default(),
        version: endpoint.as_ref().and_then(|e| e.model_version.clone()),
        features: features.into_iter().map(|t| t.value).collect(),
        output,
        prefix: reader.text("prefix", "accurate_").map(|t| t.value).unwrap_or_default(),
        provenance: reader.boolean("provenance", true),
        order,
        key: key.map(|t| t.value),
        capacity,
        waiting,
        when: when.map(|t| t.value),
        sample,
        timeouts,
        batch: resilience::batch(reader, one_row),
        retry,
        breaker,
        concurrency,
        hedge,
        fallback,
        cache: cache(reader),
        log_sample: reader.number("log_sample", 0.0..=1.0).unwrap_or(0.0),
        place: match endpoint {
            Some(endpoint) => Place::Endpoint(endpoint.config),
            None => Place::Thread(thread(reader)),
        },
        name,
    };
    check_cache(reader, &config);
    config
}

/// Keys of an embedded model on the workers have another place here.
fn misplaced(reader: &mut Reader<'_>) {
    let Some(at) = reader.key_at("max_batch") else { return };
    reader.take("max_batch");
    let path = &reader.path;
    reader.cx.report(
        reader
            .cx
            .error(at, format!("unknown key `max_batch` in `[{path}]`"))
            .expected("not a key of a model that answers later")
            .help(format!("write `max_rows` in `[{path}.batch]`")),
    );
}

fn order(reader: &mut Reader<'_>) -> Order {
    let orders = [("ordered", Order::Ordered), ("unordered", Order::Unordered), ("key", Order::Key)];
    reader.choice("order", &orders).unwrap_or_default()
}

fn timeouts(reader: &mut Reader<'_>, remote: bool) -> Timeouts {
    let range = || SHORTEST..=LONGEST;
    let record = reader.duration("timeout", Duration::from_secs(2), range());
    let mut timeouts =
        Timeouts { record, attempt: record, connect: Duration::from_millis(250).min(record), queue: None };
    timeouts.queue = reader.optional_duration("queue_timeout", range());
    if !remote {
        return timeouts;
    }
    timeouts.attempt = reader.duration("attempt_timeout", record, range());
    shorter(reader, "attempt_timeout", timeouts.attempt, "timeout", record);
    timeouts.connect = reader.duration("connect_timeout", timeouts.connect.min(timeouts.attempt), range());
    if timeouts.attempt <= record {
        shorter(reader, "connect_timeout", timeouts.connect, "attempt_timeout", timeouts.attempt);
    }
    timeouts
}

/// Reports a time that is longer than the one that holds it.
fn shorter(reader: &mut Reader<'_>, key: &'static str, value: Duration, outer: &'static str, limit: Duration) {
    let Some(node) = reader.take(key).filter(|_| value > limit) else { return };
    let (path, shown) = (reader.path.clone(), show_duration(limit));
    reader.cx.report(
        reader
            .cx
            .error(&node.at, format!("`{path}.{key}` is longer than `{outer}`"))
            .expected(format!("expected at most `\"{shown}\"`, which is `{outer}`"))
            .help(format!("lower `{key}` or raise `{outer}`")),
    );
}

/// How many features, and of a template which, the protocol takes.
fn check_features(reader: &mut Reader<'_>, endpoint: &Endpoint, features: &mut Vec<Text>) {
    let protocol = &endpoint.config.protocol;
    if matches!(protocol, ProtocolConfig::OpenAiEmbeddings | ProtocolConfig::OpenAiChat { .. })
        && let Some(second) = features.get(1)
    {
        reader.cx.report(
            reader
                .cx
                .error(&second.at, format!("`{}.features` names {} columns", reader.path, features.len()))
                .expected("expected one column of text, as this protocol sends one text a row")
                .help("join the texts in a plugin before, or use `protocol = \"template\"`"),
        );
    }
    let Some(body) = &endpoint.body else { return };
    let listed = reader.has("features");
    for column in &endpoint.columns {
        if features.iter().any(|f| f.value == *column) {
            continue;
        }
        if listed {
            reader.cx.report(
                reader
                    .cx
                    .error(&body.at, format!("the body sends `{{{{{column}}}}}`, which is not a feature"))
                    .expected("expected columns of `features` between `{{` and `}}`")
                    .help("add it to `features`, or leave `features` away: the body tells them"),
            );
        } else {
            features.push(Text { value: column.clone(), shown: column.clone(), at: body.at.clone() });
        }
    }
}

/// What needs a key has one, and a key is needed.
fn check_key(
    reader: &mut Reader<'_>,
    name: &str,
    order: Order,
    key: Option<&Text>,
    sample: f64,
    fallback: &[Fallback],
) {
    let remembers = fallback.iter().any(|f| matches!(f, Fallback::LastKnownGood { .. }));
    let (at, message) = match (order, key) {
        (Order::Key, None) => ("order", format!("`{name}` orders rows by key and has none")),
        (_, None) if remembers => ("fallback", format!("`{name}` remembers predictions by key and has none")),
        (Order::Ordered | Order::Unordered, Some(key)) if !remembers && sample >= 1.0 => {
            reader.cx.report(
                reader
                    .cx
                    .error(&key.at, format!("`{}.key` has no effect", reader.path))
                    .help(
                        "rows have a key for `order = \"key\"`, `sample` and the fallback `last_known_good`; remove it",
                    )
                    .into_warning(),
            );
            return;
        }
        _ => return,
    };
    let at = reader.key(at);
    reader.cx.report(
        reader
            .cx
            .error_at(&at, message)
            .expected("needs the column of the key")
            .help(format!("add `key = \"user_id\"` to `[{}]`", reader.path)),
    );
}

fn thread(reader: &mut Reader<'_>) -> ThreadConfig {
    let mut config = ThreadConfig { providers: vec!["cpu".to_owned()], allow_cpu_fallback: false, threads: 1 };
    let Some(mut table) = reader.table("thread") else { return config };
    table.describe("a model on a thread of its own");
    if let Some(providers) = table.texts("providers", "cuda") {
        for provider in providers.iter().filter(|p| !PROVIDERS.contains(&p.value.as_str())) {
            let mut diagnostic = table
                .cx
                .error(&provider.at, format!("`{}` is not an execution provider", provider.shown))
                .expected(format!("expected some of {}", crate::config::nearest::list(&PROVIDERS)));
            if let Some(near) = crate::config::nearest::nearest(&provider.shown, PROVIDERS) {
                diagnostic = diagnostic.help(format!("did you mean `{near}`?"));
            }
            table.cx.report(diagnostic);
        }
        if let (true, Some(node)) = (providers.is_empty(), table.take("providers")) {
            let diagnostic = table.cx.error(&node.at, format!("`{}.providers` is empty", table.path));
            table.cx.report(diagnostic.expected("expected at least one execution provider"));
        }
        config.providers = providers.into_iter().map(|t| t.value).collect();
    }
    config.allow_cpu_fallback = table.boolean("allow_cpu_fallback", config.allow_cpu_fallback);
    // More than the processors of any machine that runs one.
    config.threads = table.count("threads", config.threads, 1..=256);
    table.finish();
    config
}

fn cache(reader: &mut Reader<'_>) -> Option<CacheConfig> {
    let mut table = reader.table("cache")?;
    let day = Duration::from_secs(24 * 3_600);
    let config = CacheConfig {
        max_entries: table.integer("max_entries", 1..=1_000_000_000).unwrap_or(100_000),
        ttl: table.duration("ttl", Duration::from_secs(60), SHORTEST..=30 * day),
    };
    table.finish();
    Some(config)
}

/// Answers of chance are not worth keeping.
fn check_cache(reader: &mut Reader<'_>, config: &ExternalConfig) {
    let Place::Endpoint(endpoint) = &config.place else { return };
    let random = matches!(endpoint.protocol, ProtocolConfig::OpenAiChat { temperature, .. } if temperature > 0.0);
    if config.cache.is_some() && random {
        let at = reader.key("cache");
        reader.cx.report(
            reader
                .cx
                .error_at(&at, "answers are kept, and the server is asked to vary them")
                .help("set `temperature = 0`, or remove the table `cache`")
                .into_warning(),
        );
    }
}
