//! Embeddings and chat in the manner of OpenAI.

use std::fmt::Write;

use hyper::body::Bytes;
use serde::Deserialize;
use serde_json::Value;

use super::{Asked, Input, Making, Refused, Shape, Spoken, bad, embed, list, number, refuse};

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

#[derive(Deserialize)]
struct Embeddings {
    model: String,
    input: OneOrMore,
}

#[derive(Deserialize)]
struct Chat {
    model: String,
    messages: Vec<Message>,
    #[serde(default)]
    stream: bool,
}

#[derive(Deserialize)]
struct Message {
    role: String,
    content: String,
}

pub(super) fn read_embeddings(body: &Bytes) -> Result<Asked, Refused> {
    let request: Embeddings = serde_json::from_slice(body).map_err(bad)?;
    let texts = match request.input {
        OneOrMore::One(text) => vec![text],
        OneOrMore::More(texts) => texts,
    };
    Ok(Asked { spoken: Spoken::Embeddings, model: request.model, version: None, input: Input::Texts(texts) })
}

pub(super) fn read_chat(body: &Bytes) -> Result<Asked, Refused> {
    let request: Chat = serde_json::from_slice(body).map_err(bad)?;
    if request.stream {
        return refuse(400, "streaming is not served");
    }
    let last = request.messages.into_iter().rev().find(|message| message.role == "user");
    let text = last.ok_or_else(|| bad("there is no message of the user"))?.content;
    Ok(Asked { spoken: Spoken::Chat, model: request.model, version: None, input: Input::Texts(vec![text]) })
}

/// In reverse order: `index` says which is which.
pub(super) fn write_embeddings(asked: &Asked, texts: &[String], making: &Making<'_>) -> String {
    let answered = texts.len() - usize::from(making.shape == Shape::FewerRows && !texts.is_empty());
    let shift = usize::from(making.shape == Shape::Mismatch);
    let model = Value::from(asked.model.as_str());
    let mut out = String::from("{\"object\":\"list\",\"data\":");
    list(&mut out, texts[..answered].iter().enumerate().rev(), |out, (at, text)| {
        let _ = write!(out, "{{\"object\":\"embedding\",\"index\":{},\"embedding\":", at + shift);
        if making.shape == Shape::OtherType {
            out.push_str("\"a text\"");
        } else {
            list(out, embed(text, making.width()), number);
        }
        out.push('}');
    });
    let _ = write!(out, ",\"model\":{model},\"usage\":{{\"prompt_tokens\":1,\"total_tokens\":1}}}}");
    out
}

pub(super) fn write_chat(asked: &Asked, texts: &[String], making: &Making<'_>) -> String {
    let said = format!("echo: {}", texts.first().map_or("", String::as_str));
    let content = if making.shape == Shape::OtherType { Value::from(1) } else { Value::from(said) };
    let reason = if making.shape == Shape::Unfinished { "length" } else { "stop" };
    let choice =
        serde_json::json!({"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": reason});
    let choices = if matches!(making.shape, Shape::FewerRows | Shape::Mismatch) { vec![] } else { vec![choice] };
    serde_json::json!({
        "id": "1", "object": "chat.completion", "created": 1, "model": asked.model, "choices": choices,
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    })
    .to_string()
}
