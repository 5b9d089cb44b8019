//! Chat in the manner of OpenAI (vLLM, SGLang, TensorRT-LLM), one row a request:
//!
//! ```text
//! POST /v1/chat/completions
//! {"model":"m","messages":[{"role":"system","content":"…"},{"role":"user","content":"…"}],
//!  "temperature":0,"max_tokens":8,"stream":false}
//! {"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"…"},
//!  "finish_reason":"stop"}],"usage":{…}}
//! ```
//!
//! An answer that was cut off, at its length or by a content filter, or refused, comes with status
//! 200 and is no answer: the row fails for good. Where numbers are promised, the answer must be one,
//! or an array of them.

use serde::de::MapAccess;

use super::error_class::ErrorClass;
use super::object::{Fields, Object, Objects, Version, read};
use super::openai;
use super::protocol::{Encoded, Head, Inputs, Outputs, Protocol, Reply, ReplyError, Unsendable, Wants};
use super::tensor::{Collect, Tensor, outputs};
use super::text::{one_line, write_count, write_string};
use crate::inference::external::PredictionType;

/// Answers to one question at most; one is asked for.
const MAX_CHOICES: usize = 16;

/// `openai-chat`.
#[derive(Debug)]
pub struct OpenAiChat {
    /// Up to the user's text.
    before: Vec<u8>,
    /// Behind it.
    after: Vec<u8>,
    prediction: PredictionType,
}

impl OpenAiChat {
    /// Asks `model`.
    pub fn new(
        model: &str,
        version: Option<&str>,
        system: Option<&str>,
        max_tokens: Option<u32>,
        temperature: f64,
        prediction: PredictionType,
    ) -> Result<Self, String> {
        openai::no_version(version)?;
        if !temperature.is_finite() || temperature < 0.0 {
            return Err(format!("a temperature of {temperature}; it is 0 or more"));
        }
        let mut before = b"{\"model\":".to_vec();
        write_string(model, &mut before);
        before.extend_from_slice(b",\"messages\":[");
        if let Some(system) = system {
            before.extend_from_slice(b"{\"role\":\"system\",\"content\":");
            write_string(system, &mut before);
            before.extend_from_slice(b"},");
        }
        before.extend_from_slice(b"{\"role\":\"user\",\"content\":");
        let mut after = format!("}}],\"temperature\":{temperature}").into_bytes();
        if let Some(max_tokens) = max_tokens {
            after.extend_from_slice(b",\"max_tokens\":");
            write_count(max_tokens as usize, &mut after);
        }
        after.extend_from_slice(b",\"stream\":false}");
        Ok(Self { before, after, prediction })
    }
}

#[derive(Default)]
struct Message {
    content: Option<String>,
    refusal: Option<String>,
}

impl Fields for Message {
    fn field<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "content" => self.content = map.next_value()?,
            "refusal" => self.refusal = map.next_value()?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

#[derive(Default)]
struct Choice {
    message: Message,
    finish_reason: Option<String>,
}

impl Fields for Choice {
    fn field<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "message" => map.next_value_seed(Object(&mut self.message))?,
            "finish_reason" => self.finish_reason = map.next_value()?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

#[derive(Default)]
struct Parsed {
    model: Version,
    choices: Vec<Choice>,
}

impl Fields for Parsed {
    fn field<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "model" => self.model = map.next_value()?,
            "choices" => {
                map.next_value_seed(Objects { into: &mut self.choices, max: MAX_CHOICES, reader: Choice::default })?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn unfinished(reason: String) -> ReplyError {
    ReplyError { class: ErrorClass::Unfinished, reason }
}

/// The answer of a choice, if it was not cut off.
fn answer(choice: Choice) -> Result<String, ReplyError> {
    match choice.finish_reason.as_deref() {
        Some("length") => return Err(unfinished("the answer was cut off at `max_tokens`".to_owned())),
        Some("content_filter") => return Err(unfinished("the answer was held back by a content filter".to_owned())),
        _ => {}
    }
    if let Some(refusal) = choice.message.refusal.filter(|refusal| !refusal.is_empty()) {
        return Err(unfinished(format!("the model refused to answer: {}", one_line(&refusal))));
    }
    choice.message.content.ok_or_else(|| ReplyError::bad("an answer without content"))
}

impl Protocol for OpenAiChat {
    fn wants(&self) -> Wants {
        Wants::Texts
    }

    fn max_rows(&self) -> usize {
        1
    }

    fn path(&self) -> &str {
        "/v1/chat/completions"
    }

    fn encode(&self, inputs: Inputs<'_>, _: &str, out: &mut Vec<u8>) -> Result<Encoded, Unsendable> {
        let Inputs::Texts(texts) = inputs else { return Err(inputs.foreign("text")) };
        let [text] = texts else { return Err(inputs.foreign("one row a request")) };
        out.extend_from_slice(&self.before);
        write_string(text, out);
        out.extend_from_slice(&self.after);
        Ok(Encoded::default())
    }

    fn decode(&self, _: &Head, body: &[u8], rows: usize) -> Result<Reply, ReplyError> {
        let mut parsed = Parsed::default();
        read(body, Object(&mut parsed)).map_err(|error| ReplyError::json(&error))?;
        let choice = parsed.choices.into_iter().next().ok_or_else(|| ReplyError::bad("no `choices` in the reply"))?;
        let answer = answer(choice)?;
        let outputs = match self.prediction {
            PredictionType::Text => Outputs::Texts(vec![answer]),
            PredictionType::Numbers(_) => {
                let mut tensor = Tensor::default();
                read(answer.trim().as_bytes(), Collect::into(&mut tensor, self.prediction))
                    .map_err(|_| ReplyError::bad(format!("the answer is no number: {}", one_line(&answer))))?;
                let shape: Vec<usize> = tensor.shape().collect();
                outputs(tensor, shape, rows, self.prediction)?
            }
        };
        Ok(Reply { outputs, model_version: parsed.model.0 })
    }

    fn is_permanent(&self, _: u16, body: &[u8]) -> bool {
        openai::quota_is_spent(body)
    }
}

#[cfg(test)]
mod tests;
