//! What answers a row when the model does not: the links of the chain, in the order of the settings.

use std::sync::Arc;
use std::time::Instant;

use moka::sync::Cache;

use super::answer::{Prediction, PredictionSource};
use super::rows::Row;
use super::{Constant, Fallback, PredictionType};
use crate::inference::{Model, Session};

/// The chain.
pub(super) struct Chain {
    links: Vec<Link>,
    /// Keys that are remembered, for the link that wants them.
    memory: Option<Memory>,
}

enum Link {
    LastKnownGood,
    Embedded(Box<Embedded>),
    Constant(Prediction),
    Skip,
}

struct Embedded {
    session: Session,
    name: Arc<str>,
    version: Arc<str>,
    out: Vec<f32>,
}

/// The last answer by key, each not older than its time.
type Memory = Cache<u64, (Prediction, Option<Arc<str>>)>;

/// What a link gave.
pub(super) struct Given {
    pub prediction: Prediction,
    pub source: PredictionSource,
    pub version: Option<Arc<str>>,
    pub model: Option<Arc<str>>,
}

impl Chain {
    /// Opens the chain on the thread that will use it. `models` are those that its embedded links name.
    pub(super) fn open(
        fallback: &[Fallback],
        prediction: PredictionType,
        models: &[(String, Arc<Model>)],
    ) -> Result<Self, String> {
        let mut chain = Self { links: Vec::new(), memory: None };
        for link in fallback {
            match link {
                Fallback::LastKnownGood { max_age, max_keys } => {
                    let memory = Cache::builder().max_capacity(*max_keys).time_to_live(*max_age).build();
                    chain.memory = Some(memory);
                    chain.links.push(Link::LastKnownGood);
                }
                Fallback::Embedded { model } => {
                    let found = models.iter().find(|(name, _)| name == model);
                    let (_, found) = found.ok_or_else(|| format!("there is no model `{model}` to fall back on"))?;
                    chain.links.push(Link::Embedded(Box::new(Embedded {
                        session: Session::open(found).map_err(|e| e.to_string())?,
                        name: found.name().into(),
                        version: found.version().into(),
                        out: Vec::new(),
                    })));
                }
                Fallback::Constant { value } => {
                    let constant = match (value, prediction) {
                        (Constant::Number(number), PredictionType::Numbers(width)) => {
                            Prediction::Numbers(std::iter::repeat_n(*number, width).collect())
                        }
                        (Constant::Text(text), _) => Prediction::Text(text.as_str().into()),
                        (Constant::Number(number), PredictionType::Text) => Prediction::Text(number.to_string().into()),
                    };
                    chain.links.push(Link::Constant(constant));
                }
                Fallback::Skip => chain.links.push(Link::Skip),
                // What happens behind the last link anyway.
                Fallback::DeadLetter => break,
            }
        }
        Ok(chain)
    }

    /// The model answered a row.
    pub(super) fn remember(&self, row: &Row, prediction: &Prediction, version: Option<&Arc<str>>) {
        let (Some(memory), Some(key)) = (&self.memory, row.key()) else { return };
        if let Some(alone) = prediction.alone() {
            memory.insert(key, (alone, version.cloned()));
        }
    }

    /// The first link that has something for the row; why those before it had nothing is nobody's
    /// business, but a model that fails is told of.
    pub(super) fn answer(&mut self, row: &Row) -> Option<Given> {
        let memory = self.memory.as_ref();
        self.links.iter_mut().find_map(|link| match link {
            Link::LastKnownGood => {
                let (prediction, version) = memory?.get(&row.key()?)?;
                let source = PredictionSource::LastKnownGood;
                Some(Given { prediction, source, version, model: None })
            }
            Link::Embedded(embedded) => embedded.answer(row),
            Link::Skip => {
                let (prediction, source) = (Prediction::Nothing, PredictionSource::Skipped);
                Some(Given { prediction, source, version: None, model: None })
            }
            Link::Constant(prediction) => {
                let (prediction, source) = (prediction.clone(), PredictionSource::Constant);
                Some(Given { prediction, source, version: None, model: None })
            }
        })
    }
}

impl Embedded {
    fn answer(&mut self, row: &Row) -> Option<Given> {
        let began = Instant::now();
        self.out.clear();
        match self.session.predict(row.numbers(), 1, &mut self.out) {
            Ok(()) if self.out.iter().all(|v| v.is_finite()) => Some(Given {
                prediction: Prediction::Numbers(Arc::from(&self.out[..])),
                source: PredictionSource::Embedded,
                version: Some(Arc::clone(&self.version)),
                model: Some(Arc::clone(&self.name)),
            }),
            Ok(()) => None,
            Err(error) => {
                tracing::warn!(model = %self.name, %error, took = ?began.elapsed(), "a fallback model failed");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::tests::{row, submitted};
    use super::*;
    use std::time::Duration;

    fn chain(links: &[Fallback], width: usize) -> Chain {
        Chain::open(links, PredictionType::Numbers(width), &[]).unwrap()
    }

    #[test]
    fn a_key_that_was_answered_gets_that_answer_and_others_the_next_link() {
        let remembered = Fallback::LastKnownGood { max_age: Duration::from_secs(60), max_keys: 100 };
        let constant = Fallback::Constant { value: Constant::Number(0.5) };
        let mut chain = chain(&[remembered, constant], 2);
        let of = submitted(&[1.0, 2.0], &[70, 80], Instant::now());
        chain.remember(&row(0, &of, 0), &Prediction::Numbers(Arc::from([0.1, 0.2])), Some(&"3".into()));
        let known = chain.answer(&row(0, &of, 0)).unwrap();
        assert_eq!((known.prediction.numbers(), known.version.as_deref()), (Some(&[0.1, 0.2][..]), Some("3")));
        assert_eq!(known.source, PredictionSource::LastKnownGood);
        let unknown = chain.answer(&row(1, &of, 1)).unwrap();
        assert_eq!((unknown.prediction.numbers(), unknown.source), (Some(&[0.5, 0.5][..]), PredictionSource::Constant));
    }

    #[test]
    fn an_answer_that_is_too_old_is_none() {
        let mut chain = chain(&[Fallback::LastKnownGood { max_age: Duration::from_millis(1), max_keys: 100 }], 1);
        let of = submitted(&[1.0], &[70], Instant::now());
        chain.remember(&row(0, &of, 0), &Prediction::Numbers(Arc::from([0.1])), None);
        std::thread::sleep(Duration::from_millis(5));
        assert!(chain.answer(&row(0, &of, 0)).is_none());
    }

    #[test]
    fn behind_a_dead_letter_nothing_answers() {
        let constant = Fallback::Constant { value: Constant::Number(0.5) };
        let of = submitted(&[1.0], &[], Instant::now());
        assert!(chain(&[Fallback::DeadLetter, constant], 1).answer(&row(0, &of, 0)).is_none());
        assert!(chain(&[], 1).answer(&row(0, &of, 0)).is_none());
    }

    #[test]
    fn a_model_that_is_not_there_is_named() {
        let link = Fallback::Embedded { model: "small".into() };
        let error = Chain::open(&[link], PredictionType::Numbers(1), &[]).err().unwrap();
        assert!(error.contains("`small`"), "{error}");
    }
}
