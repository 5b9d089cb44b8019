//! `[operator.NAME]` of an inference operator that answers later, once validated: the model runs in
//! servers of its own, or embedded on a thread of its own.

use std::time::Duration;

/// An operator whose rows are answered later.
#[derive(Clone, Debug)]
pub struct ExternalConfig {
    /// Name in the pipeline.
    pub name: String,
    /// Name of the model, as its server knows it (or `[models]`, when it is embedded).
    pub model: String,
    /// Version of the model that is asked for; none leaves the choice to the server.
    pub version: Option<String>,
    /// Columns that are sent, in order: one `f32[N]`, one `list<f32>` or several of `f32`/`f64` for
    /// protocols of tensors; one of text for those of text; any for a template.
    pub features: Vec<String>,
    /// Column of the prediction that is added.
    pub output: String,
    /// What stands before the names of the other columns that are added. Default: nothing.
    pub prefix: String,
    /// Whether `prediction_source`, `error_class`, `model_name`, `model_version`, `attempts` and
    /// `latency_ms` are added. Default true.
    pub provenance: bool,
    /// Order in which rows leave. Default unordered.
    pub order: Order,
    /// Column by which rows are ordered, remembered (`last_known_good`) and sampled.
    pub key: Option<String>,
    /// Requests in flight at most. Default 100.
    pub capacity: usize,
    /// Rows that are answered and wait for their turn at most. Default ten times the capacity.
    pub waiting: usize,
    /// Boolean column: only rows where it is true are sent.
    pub when: Option<String>,
    /// Share of the rows that is sent, by a stable hash of key (or place); 1 sends all.
    pub sample: f64,
    /// Times.
    pub timeouts: Timeouts,
    /// Where the model runs.
    pub place: Place,
    /// Rows of a request.
    pub batch: BatchConfig,
    /// Attempts.
    pub retry: RetryConfig,
    /// The circuit breaker of each endpoint.
    pub breaker: BreakerConfig,
    /// Requests in flight at each endpoint.
    pub concurrency: ConcurrencyConfig,
    /// A second request for a slow one; none is off, the default.
    pub hedge: Option<HedgeConfig>,
    /// What answers a row when the model does not, in this order.
    pub fallback: Vec<Fallback>,
    /// Answers that are kept; none is off, the default.
    pub cache: Option<CacheConfig>,
    /// Share of the requests that is logged, 0 to 1. Default 0.
    pub log_sample: f64,
}

impl ExternalConfig {
    /// Models of `[models]` that it needs.
    pub fn embedded_models(&self) -> impl Iterator<Item = &str> {
        let own = matches!(self.place, Place::Thread(_)).then_some(self.model.as_str());
        let links = self.fallback.iter().filter_map(|link| match link {
            Fallback::Embedded { model } => Some(model.as_str()),
            _ => None,
        });
        own.into_iter().chain(links)
    }
}

/// Order in which rows leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// As they came.
    Ordered,
    /// As they are answered.
    #[default]
    Unordered,
    /// Rows of one key as they came.
    Key,
}

/// Times, all of a row's way through the operator.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// From the moment a row is taken for a request until it must be answered, retries included.
    /// Default 2 s.
    pub record: Duration,
    /// Of one attempt. Default: the record's.
    pub attempt: Duration,
    /// Of a connection's making. Default 250 ms.
    pub connect: Duration,
    /// In the queue for a request; none waits, and the sources with it. Default none.
    pub queue: Option<Duration>,
}

/// Where the model runs.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "one an operator")]
pub enum Place {
    /// In servers of its own.
    Endpoint(EndpointConfig),
    /// Embedded, on a thread of its own.
    Thread(ThreadConfig),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Endpoint(endpoint) => write!(f, "at {}", endpoint.urls.join(", ")),
            Self::Thread(_) => f.write_str("on a thread of its own"),
        }
    }
}

/// Servers of a model.
#[derive(Clone, Debug)]
pub struct EndpointConfig {
    /// How they are spoken to.
    pub protocol: ProtocolConfig,
    /// Their base addresses, without the protocol's path.
    pub urls: Vec<String>,
    /// Type of the prediction.
    pub prediction: PredictionType,
    /// Headers of each request, in order. Values are secrets: they are never shown.
    pub headers: Vec<(String, Secret)>,
    /// Sent as `Authorization: Bearer`.
    pub bearer: Option<Secret>,
    /// Whether HTTP/2 is spoken without TLS (h2c, prior knowledge). Default false.
    pub http2: bool,
    /// A PEM file of certificate authorities that are trusted beside the machine's.
    pub ca_file: Option<std::path::PathBuf>,
    /// Bytes of a reply at most. Default 4 MiB.
    pub max_reply_bytes: usize,
    /// How status codes are understood, where it differs from the default.
    pub classes: Vec<(u16, StatusClass)>,
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

/// How a server is spoken to.
#[derive(Clone, Debug, PartialEq)]
pub enum ProtocolConfig {
    /// Open Inference Protocol v2 (`oip-v2`).
    OpenInference {
        /// Whether tensors travel as bytes (the binary extension). Default false.
        binary: bool,
        /// Name of the input tensor. Default `features`.
        input: String,
        /// Name of the output tensor; none takes the first.
        output: Option<String>,
    },
    /// TensorFlow Serving (`tensorflow`), `:predict` by rows.
    TensorFlow {
        /// Name of the signature; none takes the server's default.
        signature: Option<String>,
    },
    /// TorchServe (`torchserve`).
    TorchServe {
        /// Whether a request holds one row (a list of numbers), or a list of rows. Default one.
        rows: bool,
    },
    /// Embeddings in the manner of OpenAI (`openai-embeddings`).
    OpenAiEmbeddings,
    /// Chat in the manner of OpenAI (`openai-chat`), one row a request.
    OpenAiChat {
        /// The system's message.
        system: Option<String>,
        /// Tokens of an answer at most.
        max_tokens: Option<u32>,
        /// Default 0.
        temperature: f64,
    },
    /// A JSON template (`template`), one row a request.
    Template {
        /// Path of the request, such as `/score`.
        path: String,
        /// JSON in which the string `"{{column}}"` stands for the value of a column, and
        /// `{{column}}` inside of a longer string for its text.
        body: String,
        /// JSON pointer (RFC 6901) of the prediction in the reply, such as `/result/score`.
        prediction: String,
        /// JSON pointer of the model's version in the reply.
        version: Option<String>,
    },
}

/// Type of a prediction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PredictionType {
    /// So many numbers a row: `f32`, or `f32[N]`.
    Numbers(usize),
    /// Text.
    Text,
}

/// What a status code says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusClass {
    /// Another attempt may succeed.
    Retriable,
    /// The server has too much to do; `Retry-After` is heeded.
    Overload,
    /// No attempt will succeed.
    Permanent,
}

/// An embedded model on a thread of its own.
#[derive(Clone, Debug)]
pub struct ThreadConfig {
    /// Execution providers in order of wish: `cpu`, `cuda`, `tensorrt`, … Default `cpu`.
    pub providers: Vec<String>,
    /// Whether the processor may do what the provider cannot. Default false.
    pub allow_cpu_fallback: bool,
    /// Threads of one call. Default 1.
    pub threads: usize,
}

/// Rows of a request.
#[derive(Clone, Copy, Debug)]
pub struct BatchConfig {
    /// Rows at most. Default 1.
    pub max_rows: usize,
    /// How long rows may wait for others when no request can be sent at once. Default 0.
    pub max_delay: Duration,
}

/// Attempts.
#[derive(Clone, Copy, Debug)]
pub struct RetryConfig {
    /// Attempts of a request at most, the first included. Default 3.
    pub attempts: u32,
    /// Longest wait before the first retry; it doubles, and a random share of it is waited. Default 25 ms.
    pub base: Duration,
    /// Longest wait of all. Default 1 s.
    pub max: Duration,
    /// Retries for each request, over time. Default 0.2.
    pub budget: f64,
    /// Retries a second that are always allowed. Default 10.
    pub budget_floor: f64,
}

/// A circuit breaker.
#[derive(Clone, Copy, Debug)]
pub struct BreakerConfig {
    /// Time that is looked at. Default 10 s.
    pub window: Duration,
    /// Calls in the window at least, before it judges. Default 20.
    pub min_calls: u32,
    /// Share of failed calls that opens it. Default 0.5.
    pub failure_rate: f64,
    /// Share of slow calls that opens it. Default 0.8.
    pub slow_rate: f64,
    /// A call is slow beyond this. Default 0.8 of the attempt's timeout.
    pub slow_after: Duration,
    /// Failures in a row that open it. Default 5; 0 is never.
    pub consecutive: u32,
    /// How long it stays open at first; it doubles with each failed trial, up to `max_open`. Default 1 s.
    pub open_for: Duration,
    /// Longest time open. Default 30 s.
    pub max_open: Duration,
    /// Calls let through on trial, all of which must succeed. Default 3.
    pub probes: u32,
}

/// Requests in flight at each endpoint, adapted to what it bears.
#[derive(Clone, Copy, Debug)]
pub struct ConcurrencyConfig {
    /// Whether the limit adapts; else it is `max`. Default true.
    pub adaptive: bool,
    /// Limit at the start. Default 10, or `max` if that is less.
    pub initial: usize,
    /// Least limit. Default 1.
    pub min: usize,
    /// Greatest limit. Default: the capacity.
    pub max: usize,
}

/// A second request for a slow one.
#[derive(Clone, Copy, Debug)]
pub struct HedgeConfig {
    /// Sent when the first is slower than this share of requests. Default 0.95.
    pub quantile: f64,
    /// Second requests for each first. Default 0.05.
    pub budget: f64,
}

/// What answers a row when the model does not.
#[derive(Clone, Debug, PartialEq)]
pub enum Fallback {
    /// The last answer of the model for the row's key.
    LastKnownGood {
        /// Not older than this.
        max_age: Duration,
        /// Keys that are remembered at most. Default 100,000.
        max_keys: u64,
    },
    /// An embedded model of `[models]`.
    Embedded {
        /// Its name.
        model: String,
    },
    /// Always the same prediction.
    Constant {
        /// It, one number or text, given to each place of the prediction.
        value: Constant,
    },
    /// The row goes on without a prediction.
    Skip,
    /// The row goes to the dead-letter sink. Also what happens behind the last of the chain.
    DeadLetter,
}

/// A prediction that is always the same.
#[derive(Clone, Debug, PartialEq)]
pub enum Constant {
    /// A number.
    Number(f32),
    /// A text.
    Text(String),
}

/// Answers that are kept.
#[derive(Clone, Copy, Debug)]
pub struct CacheConfig {
    /// Answers at most. Default 100,000.
    pub max_entries: u64,
    /// How long. Default 60 s.
    pub ttl: Duration,
}
