//! Shapes of requests and replies, answers that are none, and that no reply breaks the reader.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn chat(prediction: PredictionType) -> OpenAiChat {
    OpenAiChat::new("m", None, None, None, 0.0, prediction).unwrap()
}

fn reply(choice: Value, prediction: PredictionType) -> Result<Outputs, ReplyError> {
    let body = json!({"id": "x", "object": "chat.completion", "model": "m-1", "choices": [choice], "usage": {"total_tokens": 2}});
    let reply = chat(prediction).decode(&Head::of(200), body.to_string().as_bytes(), 1)?;
    assert_eq!(reply.model_version.as_deref(), Some("m-1"));
    Ok(reply.outputs)
}

fn says(content: &str) -> Value {
    json!({"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"})
}

#[test]
fn a_request_is_that_of_the_protocol() {
    let sent = |protocol: &OpenAiChat| {
        let mut out = Vec::new();
        protocol.encode(Inputs::Texts(&["Is \"1\" odd?"]), "42", &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    let full = OpenAiChat::new("m", None, Some("Answer\nyes or no."), Some(8), 0.25, PredictionType::Text).unwrap();
    assert_eq!(
        sent(&full),
        concat!(
            r#"{"model":"m","messages":[{"role":"system","content":"Answer\nyes or no."},"#,
            r#"{"role":"user","content":"Is \"1\" odd?"}],"temperature":0.25,"max_tokens":8,"stream":false}"#
        )
    );
    assert_eq!(
        sent(&chat(PredictionType::Text)),
        r#"{"model":"m","messages":[{"role":"user","content":"Is \"1\" odd?"}],"temperature":0,"stream":false}"#
    );
    let two = full.encode(Inputs::Texts(&["a", "b"]), "1", &mut Vec::new()).unwrap_err();
    assert_eq!(two.rows[0].reason, "this protocol sends one row a request");
    assert_eq!(full.max_rows(), 1);
}

#[test]
fn an_answer_is_text_or_the_numbers_in_it() {
    let text = reply(says(" yes\n"), PredictionType::Text).unwrap();
    assert_eq!(text, Outputs::Texts(vec![" yes\n".into()]));
    let numbers = |content, width| reply(says(content), PredictionType::Numbers(width));
    assert_eq!(numbers(" 0.75\n", 1).unwrap(), Outputs::Numbers { values: vec![0.75], width: 1 });
    assert_eq!(numbers("[0.25, 1]", 2).unwrap(), Outputs::Numbers { values: vec![0.25, 1.0], width: 2 });
    assert_eq!(numbers("about 1", 1).unwrap_err().reason, "the answer is no number: about 1");
    assert!(numbers("[1]", 2).unwrap_err().reason.contains("instead of [1, 2]"));
}

#[test]
fn an_answer_that_was_cut_off_is_none() {
    let cut = |reason: &str| {
        let mut choice = says("It is");
        choice["finish_reason"] = reason.into();
        reply(choice, PredictionType::Text)
    };
    assert_eq!(cut("length").unwrap_err().class, ErrorClass::Unfinished);
    assert_eq!(cut("content_filter").unwrap_err().class, ErrorClass::Unfinished);
    assert!(cut("eos").is_ok(), "what else servers say is the end");
    let refusal = json!({"message": {"content": null, "refusal": "No."}, "finish_reason": "stop"});
    let refused = reply(refusal, PredictionType::Text).unwrap_err();
    assert_eq!((refused.class, refused.reason.as_str()), (ErrorClass::Unfinished, "the model refused to answer: No."));
}

#[test]
fn what_is_no_answer_is_refused() {
    let error = reply(json!({"message": {"content": null}}), PredictionType::Text).unwrap_err();
    assert_eq!((error.class, error.reason.as_str()), (ErrorClass::BadReply, "an answer without content"));
    let refused =
        |body: &str| chat(PredictionType::Text).decode(&Head::of(200), body.as_bytes(), 1).unwrap_err().reason;
    assert_eq!(refused("{}"), "no `choices` in the reply");
    assert!(refused("data: {}").contains("not what the protocol says"));
    assert!(refused(&format!(r#"{{"choices":[{}{{}}]}}"#, "{},".repeat(50))).contains("more than 16 objects"));
}

#[test]
fn settings_that_cannot_be_are_refused_at_the_start() {
    let new = |version, temperature| OpenAiChat::new("m", version, None, None, temperature, PredictionType::Text);
    assert!(new(Some("1"), 0.0).is_err());
    assert!(new(None, f64::NAN).is_err());
    assert!(new(None, -1.0).is_err());
}

proptest! {
    #[test]
    fn what_a_server_reads_is_what_was_sent_and_its_answer_is_read(text in any::<String>(), system in any::<String>()) {
        let protocol = OpenAiChat::new("m", None, Some(&system), None, 0.0, PredictionType::Text).unwrap();
        let mut out = Vec::new();
        protocol.encode(Inputs::Texts(&[&text]), "1", &mut out).unwrap();
        let request: Value = serde_json::from_slice(&out).unwrap();
        prop_assert_eq!(request["messages"][0]["content"].as_str(), Some(system.as_str()));
        prop_assert_eq!(request["messages"][1]["content"].as_str(), Some(text.as_str()));
        prop_assert_eq!(reply(says(&text), PredictionType::Text).unwrap(), Outputs::Texts(vec![text]));
    }

    #[test]
    fn no_bytes_break_the_reader(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = chat(PredictionType::Text).decode(&Head::of(200), &body, 1);
    }
}
