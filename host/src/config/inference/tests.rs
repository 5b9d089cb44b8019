//! What inference operators that answer later become, and golden tests of what is said about bad
//! ones; see `config::tests`.

use std::path::Path;
use std::time::Duration;

use crate::config::tests::{messages_of, read_text};
use crate::config::{OperatorKind, Pipeline};
use crate::inference::external::*;

const GOOD: &str = r#"[pipeline]
name = "fraud"
dead_letters = "rejected"

[models.fast]
path = "fast.onnx"

[source.payments]
connector = "stdin"
format = "json"

[source.payments.fields]
user_id = "utf8"
features = "f32[8]"
text = "utf8"
amount = "f64"
needs_score = "bool"

[operator.score]
kind = "inference"
inputs = ["payments"]
model = "fraud"
version = "3"
features = "features"
output = "score"
order = "key"
key = "user_id"
timeout = "3s"
attempt_timeout = "500ms"
connect_timeout = "100ms"
queue_timeout = "1s"
capacity = 1000
waiting = 5000
when = "needs_score"
sample = 0.1
prefix = "accurate_"
provenance = false
log_sample = 0.01

[operator.score.endpoint]
protocol = "oip-v2"
urls = ["http://127.0.0.1:8080/", "https://models.example:8443/fraud"]
binary = true
input = "x"
output = "y"
predictions = 2
bearer = "${TOKEN}"
http2 = true
ca_file = "ca.pem"
max_reply = "1MiB"

[operator.score.endpoint.headers]
X-Tenant = "payments"
x-key = "${TOKEN}"

[operator.score.endpoint.classes]
"500" = "permanent"
"418" = "overload"

[operator.score.batch]
max_rows = 32
max_delay = "2ms"

[operator.score.retry]
attempts = 4
base = "10ms"
max = "2s"
budget = 0.1
budget_floor = 1

[operator.score.breaker]
window = "5s"
min_calls = 10
failure_rate = 0.25
slow_rate = 1
slow_after = "300ms"
consecutive = 0
open_for = "2s"
max_open = "1m"
probes = 5

[operator.score.concurrency]
initial = 20
min = 2
max = 200

[operator.score.hedge]
quantile = 0.9
budget = 0.1

[[operator.score.fallback]]
kind = "last_known_good"
max_age = "10m"
max_keys = 1000

[[operator.score.fallback]]
kind = "embedded"
model = "fast"

[[operator.score.fallback]]
kind = "constant"
value = 0

[operator.score.cache]
max_entries = 10
ttl = "5s"

[sink.rejected]
connector = "stdout"
inputs = ["score"]
"#;

/// A pipeline with an operator of the fewest lines.
const SMALL: &str = r#"[pipeline]
name = "fraud"

[source.payments]
connector = "stdin"
format = "json"

[source.payments.fields]
user_id = "utf8"
features = "f32[8]"
text = "utf8"
amount = "f64"

[operator.score]
inputs = ["payments"]
kind = "inference"
model = "fraud"
features = "features"
output = "score"

[operator.score.endpoint]
protocol = "oip-v2"
urls = ["http://localhost:8080"]

[sink.scores]
connector = "stdout"
inputs = ["score"]
"#;

const PROTOCOL: &str = "protocol = \"oip-v2\"";
const URLS: &str = "urls = [\"http://localhost:8080\"]";
const SINK: &str = "[sink.scores]";
const TEMPLATE: &str = r#"protocol = "template"
path = "/score"
prediction = "/result/0"
body = '{ "user": "{{user_id}}", "say": "{{ text }} of {{user_id}}" }'"#;

macro_rules! golden {
    ($($good:ident, $name:ident: $edits:expr;)*) => {
        $(#[test]
        fn $name() {
            insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
                insta::assert_snapshot!(stringify!($name), messages_of($good, &$edits, &[]));
            });
        })*
    };
}

golden! {
    // Keys.
    GOOD, unknown_keys: [("when =", "wehn ="), ("binary =", "binray ="), ("max_rows", "rows"), ("attempts", "times"),
        ("probes", "probs"), ("initial", "start"), ("quantile", "percentile"), ("max_keys", "keys"), ("ttl", "age")];
    SMALL, key_of_an_embedded_model: [("kind =", "max_batch = 64\nkind =")];
    SMALL, keys_of_other_protocols: [(PROTOCOL, "protocol = \"tensorflow\"\nbinary = true\ndimensions = 3\nrows = true")];
    SMALL, version_of_a_protocol_without: [(PROTOCOL, "protocol = \"openai-embeddings\"\ndimensions = 3"),
        ("kind =", "version = \"3\"\nkind =")];
    SMALL, missing_keys_of_an_endpoint: [(PROTOCOL, ""), (URLS, "")];
    SMALL, endpoint_that_is_no_table: [("[operator.score.endpoint]\n", ""), (PROTOCOL, "endpoint = \"oip-v2\""), (URLS, "")];
    SMALL, unknown_protocol: [(PROTOCOL, "protocol = \"oip\"\nbinary = true")];
    SMALL, endpoint_and_thread: [(SINK, "[operator.score.thread]\n[sink.scores]")];
    // Times and numbers.
    GOOD, times_that_contradict: [("timeout = \"3s\"", "timeout = \"400ms\""), ("connect_timeout = \"100ms\"", "connect_timeout = \"2s\"")];
    SMALL, connecting_takes_longer_than_an_attempt: [("kind =", "attempt_timeout = \"100ms\"\nconnect_timeout = \"200ms\"\nkind =")];
    GOOD, numbers_out_of_range: [("sample = 0.1", "sample = 1.5"), ("failure_rate = 0.25", "failure_rate = 0.0"),
        ("quantile = 0.9", "quantile = nan"), ("capacity = 1000", "capacity = 0"), ("budget = 0.1\nbudget_floor", "budget = \"a\"\nbudget_floor")];
    GOOD, waits_that_contradict: [("max = \"2s\"", "max = \"5ms\""), ("max_open = \"1m\"", "max_open = \"1s\"")];
    GOOD, limits_that_contradict: [("min = 2", "min = 300")];
    GOOD, limit_that_starts_outside: [("initial = 20", "initial = 201")];
    SMALL, settings_without_effect: [("kind =", "key = \"user_id\"\nkind ="), (URLS, "urls = [\"http://localhost:8080\"]\nca_file = \"ca.pem\""),
        (SINK, "[operator.score.batch]\nmax_delay = \"1ms\"\n[operator.score.concurrency]\nadaptive = false\nmin = 2\n\
                [operator.score.breaker]\nslow_after = \"2s\"\n[sink.scores]")];
    // Keys of rows and columns.
    GOOD, order_by_a_key_that_is_not_there: [("key = \"user_id\"\n", ""), ("[[operator.score.fallback]]\nkind = \"last_known_good\"\nmax_age = \"10m\"\nmax_keys = 1000\n", "")];
    GOOD, last_known_good_without_a_key: [("order = \"key\"\nkey = \"user_id\"\n", "")];
    GOOD, columns_that_do_not_fit: [("when = \"needs_score\"", "when = \"amount\""), ("key = \"user_id\"", "key = \"usr_id\"")];
    SMALL, two_texts: [(PROTOCOL, "protocol = \"openai-chat\""), ("\"features\"\noutput", "[\"text\", \"user_id\"]\noutput")];
    // Urls and secrets.
    SMALL, url_without_a_scheme: [("http://localhost", "localhost")];
    SMALL, url_of_another_scheme: [("http://localhost", "grpc://localhost")];
    SMALL, url_with_a_query: [(":8080", ":8080/v1?key=1")];
    SMALL, url_that_is_none: [("localhost:8080", "local host")];
    SMALL, url_with_a_password: [("localhost:8080", "ada:hunter3@localhost:8080")];
    SMALL, no_urls: [(URLS, "urls = []")];
    SMALL, bearer_token_in_the_clear: [("localhost:8080", "models.example"), (PROTOCOL, "protocol = \"oip-v2\"\nbearer = \"hunter3\"")];
    SMALL, bad_headers: [(SINK, "[operator.score.endpoint.headers]\n\"a b\" = \"x\"\nContent-Type = \"x\"\nx-a = 1\nx-b = \"hunter3\\n\"\nx-c = \"1\"\nX-C = \"2\"\n[sink.scores]")];
    SMALL, two_authorizations: [(PROTOCOL, "protocol = \"oip-v2\"\nbearer = \"${TOKEN}\""), (SINK, "[operator.score.endpoint.headers]\nAuthorization = \"${TOKEN}\"\n[sink.scores]")];
    SMALL, bad_classes: [(SINK, "[operator.score.endpoint.classes]\n\"200\" = \"retriable\"\n\"4xx\" = \"permanent\"\n\"500\" = \"retryable\"\n[sink.scores]")];
    // Requests.
    SMALL, rows_of_a_protocol_of_one: [(PROTOCOL, "protocol = \"torchserve\""), (SINK, "[operator.score.batch]\nmax_rows = 2\n[sink.scores]")];
    SMALL, hedge_with_one_url: [(SINK, "[operator.score.hedge]\n[sink.scores]")];
    SMALL, answers_of_chance_are_kept: [(PROTOCOL, "protocol = \"openai-chat\"\ntemperature = 0.5"), ("\"features\"\noutput", "\"text\"\noutput"),
        (SINK, "[operator.score.cache]\n[sink.scores]")];
    // Templates.
    SMALL, template_without_its_keys: [(PROTOCOL, "protocol = \"template\""), ("features = \"features\"\n", "")];
    SMALL, body_that_is_not_json: [(PROTOCOL, TEMPLATE), ("features = \"features\"\n", ""), ("\"{{user_id}}\",", "{{user_id}},")];
    SMALL, body_without_a_column: [(PROTOCOL, TEMPLATE), ("features = \"features\"\n", ""), ("\"{{user_id}}\", \"say\": \"{{ text }} of {{user_id}}\"", "1")];
    SMALL, body_with_a_column_that_is_no_feature: [(PROTOCOL, TEMPLATE), ("\"features\"\noutput", "[\"user_id\"]\noutput")];
    SMALL, body_with_a_column_that_is_not_there: [(PROTOCOL, TEMPLATE), ("features = \"features\"\n", ""), ("{{ text }}", "{{ txt }}")];
    SMALL, bad_pointers_and_types: [(PROTOCOL, TEMPLATE), ("features = \"features\"\n", ""), ("\"/result/0\"", "\"result/0\"\nversion = \"/a~2\"\ntype = \"f64\""),
        ("\"/score\"", "\"score\"")];
    // Fallbacks.
    GOOD, fallback_twice: [("kind = \"embedded\"\nmodel = \"fast\"", "kind = \"constant\"\nvalue = 1")];
    GOOD, dead_letter_before_others: [("kind = \"embedded\"\nmodel = \"fast\"", "kind = \"dead_letter\"")];
    GOOD, constant_of_a_wrong_type: [("value = 0", "value = \"low\"")];
    SMALL, fallbacks_of_a_text: [(PROTOCOL, "protocol = \"openai-chat\""), ("\"features\"\noutput", "\"text\"\noutput"), (SINK,
        "[[operator.score.fallback]]\nkind = \"embedded\"\nmodel = \"fast\"\n[[operator.score.fallback]]\nkind = \"constant\"\nvalue = 0\n[sink.scores]")];
    SMALL, bad_fallbacks: [(SINK, "[[operator.score.fallback]]\nkind = \"last_known\"\nmax_age = \"1s\"\n[[operator.score.fallback]]\nmodel = \"x\"\n\
        [[operator.score.fallback]]\nkind = \"last_known_good\"\n[sink.scores]")];
    SMALL, fallback_that_is_no_list: [(SINK, "[operator.score.fallback]\nkind = \"constant\"\nvalue = 0\n[sink.scores]")];
    GOOD, unknown_embedded_model: [("model = \"fast\"", "model = \"fats\"")];
    // A thread.
    SMALL, thread_with_keys_of_an_endpoint: [("[operator.score.endpoint]", "[operator.score.thread]"), (PROTOCOL, "providers = [\"gpu\", \"cudaa\"]"), (URLS, "thread = 2"),
        (SINK, "[operator.score.retry]\n[operator.score.hedge]\n[models.fraud]\npath = \"x.onnx\"\n[sink.scores]")];
}

fn external(pipeline: &Pipeline) -> &ExternalConfig {
    let Some(OperatorKind::External(config)) = pipeline.operators.first().map(|o| &o.kind) else {
        panic!("not an operator that answers later: {:?}", pipeline.operators);
    };
    config
}

fn small(edits: &[(&str, &str)]) -> ExternalConfig {
    let mut text = SMALL.to_owned();
    for (from, to) in edits {
        assert!(text.contains(from), "{from}");
        text = text.replacen(from, to, 1);
    }
    let (pipeline, warnings) = read_text(&text, &[]).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    external(&pipeline).clone()
}

fn endpoint(config: &ExternalConfig) -> &EndpointConfig {
    let Place::Endpoint(endpoint) = &config.place else { panic!("not an endpoint") };
    endpoint
}

#[test]
fn every_setting_is_read() {
    let (pipeline, warnings) = read_text(GOOD, &[]).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("every_setting", format!("{:#?}", external(&pipeline)));
    });
    let endpoint = endpoint(external(&pipeline));
    assert_eq!(endpoint.bearer, Some(Secret("hunter2".to_owned())));
    assert_eq!(endpoint.headers[1], ("x-key".to_owned(), Secret("hunter2".to_owned())));
    assert_eq!(endpoint.ca_file.as_deref(), Some(Path::new("demo/ca.pem")));
}

#[test]
fn what_is_not_said_has_a_default() {
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("defaults", format!("{:#?}", small(&[])));
    });
    let config = small(&[("kind =", "timeout = \"200ms\"\ncapacity = 4\nkind =")]);
    assert_eq!(config.timeouts.attempt, Duration::from_millis(200));
    assert_eq!(config.timeouts.connect, Duration::from_millis(200), "not longer than an attempt");
    assert_eq!(config.breaker.slow_after, Duration::from_millis(160));
    assert_eq!((config.concurrency.initial, config.concurrency.max, config.waiting), (4, 4, 40));
}

#[test]
fn without_endpoint_and_thread_a_model_is_embedded_on_the_workers() {
    let text = SMALL.replace("[operator.score.endpoint]\n", "[models.fraud]\npath = \"x.onnx\"\n");
    let text = text.replace(PROTOCOL, "").replace(URLS, "");
    let (pipeline, _) = read_text(&text, &[]).unwrap();
    assert!(matches!(&pipeline.operators[0].kind, OperatorKind::Inference(c) if c.model == "fraud"));
}

#[test]
fn a_thread_has_a_model_of_the_file_and_no_network() {
    let config = small(&[
        ("[operator.score.endpoint]", "[operator.score.thread]"),
        (PROTOCOL, "providers = [\"cuda\", \"cpu\"]\nallow_cpu_fallback = true\nthreads = 4"),
        (URLS, "[operator.score.batch]\nmax_rows = 64"),
        (SINK, "[models.fraud]\npath = \"x.onnx\"\n[sink.scores]"),
    ]);
    let Place::Thread(thread) = &config.place else { panic!("not a thread") };
    assert_eq!((thread.providers.join(" ").as_str(), thread.threads), ("cuda cpu", 4));
    assert!(thread.allow_cpu_fallback);
    assert_eq!((config.retry.attempts, config.batch.max_rows, config.concurrency.adaptive), (1, 64, false));
}

#[test]
fn each_protocol_is_read() {
    let text = ("\"features\"\noutput", "\"text\"\noutput");
    let read = |lines: &str, more: &[(&str, &str)]| {
        let config = small(&[&[(PROTOCOL, lines)], more].concat());
        (endpoint(&config).protocol.clone(), endpoint(&config).prediction)
    };
    let (protocol, prediction) = read("protocol = \"tensorflow\"\nsignature = \"s\"\npredictions = 3", &[]);
    assert_eq!(protocol, ProtocolConfig::TensorFlow { signature: Some("s".to_owned()) });
    assert_eq!(prediction, PredictionType::Numbers(3));
    let rows = (SINK, "[operator.score.batch]\nmax_rows = 2\n[sink.scores]");
    assert_eq!(read("protocol = \"torchserve\"\nrows = true", &[rows]).0, ProtocolConfig::TorchServe { rows: true });
    let embeddings = read("protocol = \"openai-embeddings\"\ndimensions = 384", &[text]);
    assert_eq!(embeddings, (ProtocolConfig::OpenAiEmbeddings, PredictionType::Numbers(384)));
    let (protocol, prediction) = read("protocol = \"openai-chat\"\nsystem = \"Be brief.\"\nmax_tokens = 8", &[text]);
    let system = Some("Be brief.".to_owned());
    assert_eq!(protocol, ProtocolConfig::OpenAiChat { system, max_tokens: Some(8), temperature: 0.0 });
    assert_eq!(prediction, PredictionType::Text);
}

#[test]
fn a_template_tells_its_columns() {
    let config = small(&[(PROTOCOL, TEMPLATE), ("features = \"features\"\n", "")]);
    assert_eq!(config.features, ["user_id", "text"]);
    assert_eq!(endpoint(&config).prediction, PredictionType::Numbers(1));
    let listed = ("features = \"features\"", "features = [\"amount\", \"text\", \"user_id\"]");
    let config = small(&[(PROTOCOL, &format!("{TEMPLATE}\ntype = \"f32[4]\"\nversion = \"/v\"")), listed]);
    assert_eq!(config.features, ["amount", "text", "user_id"]);
    assert_eq!(endpoint(&config).prediction, PredictionType::Numbers(4));
    let ProtocolConfig::Template { path, prediction, version, .. } = &endpoint(&config).protocol else { panic!() };
    assert_eq!((path.as_str(), prediction.as_str(), version.as_deref()), ("/score", "/result/0", Some("/v")));
    let text = small(&[(PROTOCOL, &format!("{TEMPLATE}\ntype = \"text\"")), ("features = \"features\"\n", "")]);
    assert_eq!(endpoint(&text).prediction, PredictionType::Text);
}

#[test]
fn loopback_needs_no_tls_for_a_token() {
    for host in ["localhost:8080", "127.0.0.1", "[::1]:80", "models.localhost", "127.8.9.10:1"] {
        small(&[("localhost:8080", host), (PROTOCOL, "protocol = \"oip-v2\"\nbearer = \"${TOKEN}\"")]);
    }
}

#[test]
fn secrets_are_never_shown() {
    for edits in [
        vec![("http://localhost:8080", "ftp://ada:${TOKEN}@x")],
        vec![("http://localhost:8080", "${TOKEN}")],
        vec![(PROTOCOL, "protocol = \"oip-v2\"\nbearer = \"${TOKEN}\\n\"")],
        vec![(PROTOCOL, "protocol = \"${TOKEN}\"")],
        vec![(
            PROTOCOL,
            "protocol = \"template\"\npath = \"${TOKEN}\"\nprediction = \"${TOKEN}\"\nbody = \"${TOKEN}\"",
        )],
        vec![(SINK, "[operator.score.endpoint.headers]\nx-a = \"${TOKEN}\\n\"\n[sink.scores]")],
        vec![("kind =", "sample = \"${TOKEN}\"\nkind =")],
        vec![(SINK, "[[operator.score.fallback]]\nkind = \"constant\"\nvalue = \"${TOKEN}\"\n[sink.scores]")],
    ] {
        let shown = messages_of(SMALL, &edits, &[]);
        assert!(!shown.is_empty() && !shown.contains("hunter2"), "{edits:?}: {shown}");
    }
    let (pipeline, _) = read_text(GOOD, &[]).unwrap();
    assert!(!format!("{pipeline:?}").contains("hunter2"));
}
