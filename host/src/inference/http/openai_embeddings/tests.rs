//! Shapes of requests and replies, and that no reply breaks the reader.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn embeddings(width: usize) -> OpenAiEmbeddings {
    OpenAiEmbeddings::new("m", None, PredictionType::Numbers(width)).unwrap()
}

fn reply(body: &str, rows: usize, width: usize) -> Result<Reply, String> {
    embeddings(width).decode(&Head::of(200), body.as_bytes(), rows).map_err(|error| error.reason)
}

#[test]
fn a_request_is_that_of_the_protocol() {
    let mut out = Vec::new();
    embeddings(2).encode(Inputs::Texts(&["a", "b \"c\""]), "42", &mut out).unwrap();
    assert_eq!(
        std::str::from_utf8(&out).unwrap(),
        r#"{"model":"m","input":["a","b \"c\""],"encoding_format":"float"}"#
    );
    assert_eq!(embeddings(2).path(), "/v1/embeddings");
    assert_eq!(embeddings(2).wants(), Wants::Texts);
}

#[test]
fn vectors_are_put_in_order_by_their_index() {
    let body = r#"{"object":"list","model":"m-2","data":[
        {"object":"embedding","index":1,"embedding":[3,4]},
        {"object":"embedding","index":0,"embedding":[1,2]}],"usage":{"prompt_tokens":4,"total_tokens":4}}"#;
    let reply = reply(body, 2, 2).unwrap();
    assert_eq!(reply.outputs, Outputs::Numbers { values: vec![1.0, 2.0, 3.0, 4.0], width: 2 });
    assert_eq!(reply.model_version.as_deref(), Some("m-2"));
}

#[test]
fn what_is_no_vector_for_each_text_is_refused() {
    let refused = |data: &str| reply(&format!(r#"{{"data":[{data}]}}"#), 2, 1).unwrap_err();
    let one = r#"{"index":0,"embedding":[1]}"#;
    assert_eq!(refused(one), "1 embeddings for 2 texts");
    assert_eq!(refused(&format!("{one},{one}")), "no embedding with index 1, or one twice");
    assert_eq!(refused(&format!(r#"{one},{{"embedding":[1]}}"#)), "no embedding with index 0, or one twice");
    assert_eq!(refused(&format!(r#"{one},{{"index":1,"embedding":[1,2]}}"#)), "embedding 1 has 2 numbers instead of 1");
    assert!(refused(&format!("{one},{one},{one}")).contains("more than 2 objects"));
    assert!(refused(r#"{"index":0,"embedding":"AAAA"}"#).contains("text where a number"));
}

#[test]
fn versions_and_texts_are_refused_at_the_start() {
    assert!(OpenAiEmbeddings::new("m", Some("3"), PredictionType::Numbers(1)).unwrap_err().contains("version `3`"));
    assert!(OpenAiEmbeddings::new("m", None, PredictionType::Text).is_err());
}

#[test]
fn a_spent_quota_is_permanent() {
    assert!(embeddings(1).is_permanent(429, br#"{"error":{"message":"m","code":"insufficient_quota"}}"#));
    assert!(!embeddings(1).is_permanent(429, br#"{"error":{"message":"m","code":"rate_limit_exceeded"}}"#));
}

proptest! {
    #[test]
    fn what_a_server_reads_is_what_was_sent(texts in prop::collection::vec(any::<String>(), 1..20)) {
        let slices: Vec<&str> = texts.iter().map(String::as_str).collect();
        let mut out = Vec::new();
        embeddings(1).encode(Inputs::Texts(&slices), "1", &mut out).unwrap();
        let request: Value = serde_json::from_slice(&out).unwrap();
        let read: Vec<String> = serde_json::from_value(request["input"].clone()).unwrap();
        prop_assert_eq!(&read, &texts);
        // The server says how long each text is, in any order.
        let mut data: Vec<Value> = read.iter().enumerate().map(|(index, text)| json!({"index": index, "embedding": [text.len()]})).collect();
        data.reverse();
        let reply = reply(&json!({"data": data}).to_string(), texts.len(), 1).unwrap();
        let lengths = texts.iter().map(|text| text.len() as f32).collect();
        prop_assert_eq!(reply.outputs, Outputs::Numbers { values: lengths, width: 1 });
    }

    #[test]
    fn no_bytes_break_the_reader(body in prop::collection::vec(any::<u8>(), 0..200), rows in 0usize..4) {
        let _ = embeddings(1).decode(&Head::of(200), &body, rows);
    }
}
