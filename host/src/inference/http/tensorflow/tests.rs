//! Shapes of requests and replies, and that no reply breaks the reader.

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::inference::http::protocol::Outputs;

const NUMBERS: PredictionType = PredictionType::Numbers(1);

fn tensorflow(prediction: PredictionType) -> TensorFlow {
    TensorFlow::new("m", None, None, prediction)
}

fn reply(body: &str, rows: usize, prediction: PredictionType) -> Result<Outputs, String> {
    let reply = tensorflow(prediction).decode(&Head::of(200), body.as_bytes(), rows);
    reply.map(|reply| reply.outputs).map_err(|error| error.reason)
}

#[test]
fn a_request_is_that_of_the_protocol() {
    let sent = |protocol: TensorFlow, values: &[f32], width| {
        let mut out = Vec::new();
        let inputs = Inputs::Tensor { values, rows: values.len() / width, width };
        protocol.encode(inputs, "42", &mut out).map(|_| String::from_utf8(out).unwrap())
    };
    let named = TensorFlow::new("m", None, Some("serving_default"), NUMBERS);
    assert_eq!(
        sent(named, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.5], 3).unwrap(),
        r#"{"signature_name":"serving_default","instances":[[1.0,2.0,3.0],[4.0,5.0,6.5]]}"#
    );
    assert_eq!(sent(tensorflow(NUMBERS), &[1.0], 1).unwrap(), r#"{"instances":[[1.0]]}"#);
    let refused = sent(tensorflow(NUMBERS), &[1.0, f32::NAN, 2.0], 1).unwrap_err();
    assert_eq!(refused.rows.len(), 1);
    assert_eq!(refused.rows[0].row, 1);
}

#[test]
fn versions_are_numbers_or_labels() {
    let path = |version| TensorFlow::new("m", version, None, NUMBERS).path().to_owned();
    assert_eq!(path(None), "/v1/models/m:predict");
    assert_eq!(path(Some("3")), "/v1/models/m/versions/3:predict");
    assert_eq!(path(Some("canary")), "/v1/models/m/labels/canary:predict");
}

#[test]
fn a_reply_is_that_of_the_protocol() {
    let numbers = |values: &[f32], width| Outputs::Numbers { values: values.to_vec(), width };
    assert_eq!(reply(r#"{"predictions":[[0.1],[0.9]]}"#, 2, NUMBERS).unwrap(), numbers(&[0.1, 0.9], 1));
    assert_eq!(reply("{\n  \"predictions\": [0.1, 0.9\n  ]\n}", 2, NUMBERS).unwrap(), numbers(&[0.1, 0.9], 1));
    let three = PredictionType::Numbers(3);
    assert_eq!(reply(r#"{"predictions":[[1,2,3]]}"#, 1, three).unwrap(), numbers(&[1.0, 2.0, 3.0], 3));
    assert_eq!(
        reply(r#"{"predictions":["cat","dog"]}"#, 2, PredictionType::Text).unwrap(),
        Outputs::Texts(vec!["cat".into(), "dog".into()])
    );
}

#[test]
fn tokens_that_are_no_json_are_read() {
    let Outputs::Numbers { values, .. } =
        reply(r#"{"predictions":[[NaN],[Infinity],[-Infinity],[1.5]]}"#, 4, NUMBERS).unwrap()
    else {
        panic!("text")
    };
    assert!(values[0].is_nan());
    assert_eq!(values[1..], [f32::INFINITY, f32::NEG_INFINITY, 1.5]);
}

#[test]
fn what_is_no_reply_is_refused() {
    let refused = |body| reply(body, 2, NUMBERS).unwrap_err();
    assert_eq!(refused("{}"), "no `predictions` in the reply");
    assert_eq!(refused(r#"{"predictions":[[1]]}"#), "1 numbers of shape [1, 1] instead of [2] or [2, 1]");
    assert!(refused(r#"{"predictions":[{"score":1},{"score":2}]}"#).contains("invalid type: map"));
    assert!(refused(r#"{"predictions":[[1],[2]"#).contains("EOF"));
}

proptest! {
    #[test]
    fn what_a_server_reads_is_what_was_sent(
        width in 1usize..9,
        numbers in prop::collection::vec(any::<f32>().prop_filter("finite", |v| v.is_finite()), 1..100),
    ) {
        let rows = numbers.len() / width;
        prop_assume!(rows > 0);
        let values = &numbers[..rows * width];
        let protocol = tensorflow(PredictionType::Numbers(width));
        let mut out = Vec::new();
        protocol.encode(Inputs::Tensor { values, rows, width }, "1", &mut out).unwrap();
        let request: Value = serde_json::from_slice(&out).unwrap();
        let read: Vec<Vec<f64>> = serde_json::from_value(request["instances"].clone()).unwrap();
        prop_assert_eq!(read.len(), rows);
        let read: Vec<f32> = read.concat().into_iter().map(|v| v as f32).collect();
        prop_assert_eq!(&read, values);
        // The server is the identity.
        let reply = format!(r#"{{"predictions":{}}}"#, request["instances"]);
        let reply = protocol.decode(&Head::of(200), reply.as_bytes(), rows).unwrap();
        prop_assert_eq!(reply.outputs, Outputs::Numbers { values: read, width });
    }

    #[test]
    fn no_bytes_break_the_reader(body in prop::collection::vec(any::<u8>(), 0..300), rows in 0usize..5) {
        let _ = tensorflow(NUMBERS).decode(&Head::of(200), &body, rows);
    }

    #[test]
    fn no_text_of_its_characters_breaks_the_reader(body in r#"[\[\]{}",:0-9NaIfinty\\-]{0,80}"#, rows in 0usize..5) {
        let _ = reply(&format!(r#"{{"predictions":{body}"#), rows, NUMBERS);
        let _ = reply(&format!(r#"{{"predictions":[{body}]}}"#), rows, PredictionType::Text);
    }
}
