//! What became of a row, and where its prediction came from.

use std::sync::Arc;
use std::time::Duration;

use crate::inference::http::{ErrorClass, Outputs};

/// Where a prediction came from: the words of the column `prediction_source`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PredictionSource {
    /// The model, at the first attempt.
    Primary,
    /// The model, at a later one.
    Retry,
    /// The model, by the second request for a slow one.
    Hedge,
    /// An answer that was kept, or that another row with the same features waited for.
    Cache,
    /// The last answer of the model for the row's key.
    LastKnownGood,
    /// The embedded model of the fallback chain.
    Embedded,
    /// The constant of the fallback chain.
    Constant,
    /// None: the row was not to be sent.
    Skipped,
}

impl PredictionSource {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Primary,
        Self::Retry,
        Self::Hedge,
        Self::Cache,
        Self::LastKnownGood,
        Self::Embedded,
        Self::Constant,
        Self::Skipped,
    ];

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Retry => "retry",
            Self::Hedge => "hedge",
            Self::Cache => "cache",
            Self::LastKnownGood => "last_known_good",
            Self::Embedded => "embedded",
            Self::Constant => "constant",
            Self::Skipped => "skipped",
        }
    }
}

/// A prediction.
#[derive(Clone, Debug)]
pub(super) enum Prediction {
    /// None.
    Nothing,
    /// That of a row of a reply, which its rows share.
    Of(Arc<Outputs>, u32),
    /// Numbers of its own.
    Numbers(Arc<[f32]>),
    /// A text of its own.
    Text(Arc<str>),
}

impl Prediction {
    /// The same, but that it keeps nothing of its neighbours in memory; none where there is none.
    pub(super) fn alone(&self) -> Option<Self> {
        match (self.numbers(), self.text()) {
            (Some(numbers), _) => Some(Self::Numbers(numbers.into())),
            (None, Some(text)) => Some(Self::Text(text.into())),
            (None, None) => None,
        }
    }

    pub(super) fn numbers(&self) -> Option<&[f32]> {
        match self {
            Self::Of(outputs, row) => match &**outputs {
                Outputs::Numbers { values, width } => {
                    let start = *row as usize * width;
                    values.get(start..start + width)
                }
                Outputs::Texts(_) => None,
            },
            Self::Numbers(numbers) => Some(numbers),
            Self::Nothing | Self::Text(_) => None,
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Of(outputs, row) => match &**outputs {
                Outputs::Texts(texts) => texts.get(*row as usize).map(String::as_str),
                Outputs::Numbers { .. } => None,
            },
            Self::Text(text) => Some(text),
            Self::Nothing | Self::Numbers(_) => None,
        }
    }
}

/// What became of a row.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub prediction: Prediction,
    /// `Err` is the reason for the dead-letter sink.
    pub source: Result<PredictionSource, Arc<str>>,
    /// Why the model did not answer.
    pub error: Option<ErrorClass>,
    /// As the server names it; none leaves the version of the settings.
    pub version: Option<Arc<str>>,
    /// Name of the model that answered, where it is not the operator's.
    pub model: Option<Arc<str>>,
    pub attempts: u32,
    pub latency: Duration,
}

impl Answer {
    /// Of a row that was not to be sent.
    pub(super) fn skipped() -> Self {
        Self {
            prediction: Prediction::Nothing,
            source: Ok(PredictionSource::Skipped),
            error: None,
            version: None,
            model: None,
            attempts: 0,
            latency: Duration::ZERO,
        }
    }

    /// Of a row that cannot be sent at all.
    pub(super) fn rejected(reason: &str, error: Option<ErrorClass>) -> Self {
        Self { source: Err(reason.into()), error, ..Self::skipped() }
    }
}
