//! Shapes of requests and replies, and that no reply breaks the reader.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::inference::http::protocol::Outputs;

const NUMBERS: PredictionType = PredictionType::Numbers(1);

fn oip() -> OpenInference {
    OpenInference::new("m", None, "features", Some("score"), NUMBERS)
}

fn sent(protocol: &OpenInference, values: &[f32], width: usize) -> Result<String, Unsendable> {
    let mut out = Vec::new();
    let inputs = Inputs::Tensor { values, rows: values.len() / width, width };
    protocol.encode(inputs, "42", &mut out).map(|_| String::from_utf8(out).unwrap())
}

fn reply(prediction: PredictionType, output: Option<&str>, body: &str, rows: usize) -> Result<Reply, String> {
    let protocol = OpenInference::new("m", None, "features", output, prediction);
    protocol.decode(&Head::of(200), body.as_bytes(), rows).map_err(|error| error.reason)
}

#[test]
fn a_request_is_that_of_the_protocol() {
    assert_eq!(
        sent(&oip(), &[1.0, 2.0, 3.0, 4.0, 5.5, -6e20], 3).unwrap(),
        concat!(
            r#"{"id":"42","inputs":[{"name":"features","shape":[2,3],"datatype":"FP32","#,
            r#""data":[1.0,2.0,3.0,4.0,5.5,-6e+20]}],"outputs":[{"name":"score"}]}"#
        )
    );
    let first = OpenInference::new("m", None, "x \"1\"", None, NUMBERS);
    assert_eq!(
        sent(&first, &[0.5], 1).unwrap(),
        r#"{"id":"42","inputs":[{"name":"x \"1\"","shape":[1,1],"datatype":"FP32","data":[0.5]}]}"#
    );
}

#[test]
fn the_version_is_in_the_path_only_when_it_is_asked_for() {
    assert_eq!(oip().path(), "/v2/models/m/infer");
    let versioned = OpenInference::new("a/b", Some("3"), "x", None, NUMBERS);
    assert_eq!(versioned.path(), "/v2/models/a%2Fb/versions/3/infer");
}

#[test]
fn rows_that_json_cannot_say_are_named_and_the_others_are_not() {
    let values = [1.0, f32::NAN, 3.0, 4.0, f32::INFINITY, f32::NEG_INFINITY];
    let refused = sent(&oip(), &values, 2).unwrap_err();
    let rows: Vec<usize> = refused.rows.iter().map(|row| row.row).collect();
    assert_eq!(rows, [0, 2]);
    assert_eq!(refused.rows[0].reason, "number 2 of its features is NaN, which JSON cannot say; `binary = true` can");
    assert!(refused.rows[1].reason.starts_with("number 1 of its features is inf"));
}

#[test]
fn inputs_of_another_kind_are_refused_as_a_whole() {
    let error = oip().encode(Inputs::Texts(&["a", "b"]), "1", &mut Vec::new()).unwrap_err();
    assert_eq!(error.rows.len(), 2);
}

#[test]
fn a_reply_is_that_of_the_protocol() {
    let body = r#"{"model_name":"m","model_version":"3","id":"42",
        "outputs":[{"name":"score","shape":[2,1],"datatype":"FP32","data":[0.1,0.9]}]}"#;
    let expected =
        Reply { outputs: Outputs::Numbers { values: vec![0.1, 0.9], width: 1 }, model_version: Some("3".into()) };
    assert_eq!(reply(NUMBERS, Some("score"), body, 2).unwrap(), expected);
    assert_eq!(reply(NUMBERS, None, body, 2).unwrap(), expected);
}

#[test]
fn data_may_be_nested_of_any_type_and_anywhere_in_the_object() {
    let of = |output: &str, rows, width| {
        let body = format!(r#"{{"outputs":[{output}],"model_version":null,"parameters":{{"a":[1]}}}}"#);
        match reply(PredictionType::Numbers(width), None, &body, rows).unwrap().outputs {
            Outputs::Numbers { values, .. } => values,
            Outputs::Texts(_) => panic!("text"),
        }
    };
    assert_eq!(of(r#"{"data":[[1,2],[3,4]],"datatype":"INT64","shape":[2,2],"name":"a"}"#, 2, 2), [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(of(r#"{"name":"a","shape":[2],"datatype":"FP64","data":[0.1,1e-300]}"#, 2, 1), [0.1, 0.0]);
    assert_eq!(of(r#"{"name":"a","shape":[2],"datatype":"BOOL","data":[true,false]}"#, 2, 1), [1.0, 0.0]);
    let nan = of(r#"{"name":"a","shape":[3],"datatype":"FP32","data":[NaN,-Infinity,null]}"#, 3, 1);
    assert!(nan[0].is_nan() && nan[1] == f32::NEG_INFINITY && nan[2].is_nan());
}

#[test]
fn what_a_server_leaves_out_may_be_null() {
    // As KServe's Python server writes it.
    let body = r#"{"model_name":"m","model_version":null,"id":"42","parameters":null,
        "outputs":[{"name":"output-0","shape":[1],"datatype":"INT64","parameters":null,"data":[1]}]}"#;
    assert_eq!(reply(NUMBERS, None, body, 1).unwrap().model_version, None);
    let version = |version: &str| reply(NUMBERS, None, &body.replace("\"model_version\":null", version), 1);
    for (written, read) in [("3", "3"), ("-1", "-1"), ("1.5", "1.5"), (r#""v1""#, "v1")] {
        let reply = version(&format!("\"model_version\":{written}")).unwrap();
        assert_eq!(reply.model_version.as_deref(), Some(read));
    }
}

#[test]
fn texts_are_taken_where_text_is_promised() {
    let body = r#"{"outputs":[{"name":"label","shape":[2],"datatype":"BYTES","data":["a","b\n"]}]}"#;
    let texts = Outputs::Texts(vec!["a".into(), "b\n".into()]);
    assert_eq!(reply(PredictionType::Text, None, body, 2).unwrap().outputs, texts);
    assert!(reply(NUMBERS, None, body, 2).unwrap_err().contains("text where a number"));
}

#[test]
fn the_output_that_is_asked_for_is_taken_out_of_several() {
    let body = r#"{"outputs":[{"name":"label","shape":[1],"datatype":"INT64","data":[7]},
        {"name":"score","shape":[1],"datatype":"FP32","data":[0.5]}]}"#;
    let value = |output| match reply(NUMBERS, output, body, 1).unwrap().outputs {
        Outputs::Numbers { values, .. } => values[0],
        Outputs::Texts(_) => panic!("text"),
    };
    assert_eq!((value(Some("score")), value(None)), (0.5, 7.0));
    assert_eq!(
        reply(NUMBERS, Some("x"), body, 1).unwrap_err(),
        "no output `x` in the reply, which has `label`, `score`"
    );
}

#[test]
fn wrong_shapes_are_refused_with_what_was_expected() {
    let of = |shape: &str, data: &str, rows, width| {
        let body = format!(r#"{{"outputs":[{{"name":"a","shape":{shape},"datatype":"FP32","data":{data}}}]}}"#);
        reply(PredictionType::Numbers(width), None, &body, rows).unwrap_err()
    };
    assert_eq!(of("[2]", "[1,2]", 3, 1), "2 numbers of shape [2] instead of [3] or [3, 1]");
    assert_eq!(of("[3]", "[1,2]", 3, 1), "2 numbers of shape [3] instead of [3] or [3, 1]");
    assert_eq!(of("[2,2]", "[1,2,3,4]", 2, 3), "4 numbers of shape [2, 2] instead of [2, 3]");
    assert_eq!(of("[1,2]", "[1,2]", 2, 1), "2 numbers of shape [1, 2] instead of [2] or [2, 1]");
    assert!(of("[18446744073709551615,18446744073709551615]", "[1]", 1, 1).contains("instead of"));
    assert!(of("[-1]", "[1]", 1, 1).contains("not what the protocol says"));
    assert!(reply(NUMBERS, None, "{}", 1).unwrap_err().contains("no outputs"));
    assert!(reply(NUMBERS, None, r#"{"outputs":[{"name":"a"}]}"#, 1).unwrap_err().contains("without `data`"));
    assert!(reply(NUMBERS, None, "null", 1).unwrap_err().contains("no outputs"));
    for body in ["", "[]", "{", r#"{"outputs":{}}"#, r#"{"outputs":[1]}"#, "{}x", "\u{feff}{}"] {
        assert!(reply(NUMBERS, None, body, 1).unwrap_err().contains("the reply is not"), "{body}");
    }
}

#[test]
fn a_reply_of_thousands_of_outputs_is_refused() {
    let body = format!(r#"{{"outputs":[{}{{}}]}}"#, "{},".repeat(1000));
    assert!(reply(NUMBERS, None, &body, 1).unwrap_err().contains("more than 256 objects"));
    let deep = format!(r#"{{"x":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert!(reply(NUMBERS, None, &deep, 1).is_err());
}

/// A server as the specification says, on top of an independent JSON reader: gives each number back
/// with its sign turned.
fn serve(request: &[u8]) -> (Vec<f32>, String) {
    let request: Value = serde_json::from_slice(request).unwrap();
    let input = &request["inputs"][0];
    assert_eq!(input["datatype"], "FP32");
    let values: Vec<f32> = input["data"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect();
    let shape: Vec<usize> = serde_json::from_value(input["shape"].clone()).unwrap();
    assert_eq!(shape.iter().product::<usize>(), values.len());
    let turned: Vec<f64> = values.iter().map(|&v| -f64::from(v)).collect();
    let reply = json!({"model_name": "m", "id": request["id"], "outputs": [
        {"name": request["outputs"][0]["name"], "shape": shape, "datatype": "FP64", "data": turned}]});
    (values, reply.to_string())
}

proptest! {
    #[test]
    fn what_a_server_reads_is_what_was_sent_and_what_it_answers_is_read(
        width in 1usize..9,
        numbers in prop::collection::vec(any::<f32>().prop_filter("finite", |v| v.is_finite()), 1..100),
        id in any::<String>(),
    ) {
        let rows = numbers.len() / width;
        prop_assume!(rows > 0);
        let values = &numbers[..rows * width];
        let protocol = OpenInference::new("m", None, "features", Some("score"), PredictionType::Numbers(width));
        let mut out = Vec::new();
        protocol.encode(Inputs::Tensor { values, rows, width }, &id, &mut out).unwrap();
        let (read, reply) = serve(&out);
        prop_assert_eq!(&read, values);
        let reply = protocol.decode(&Head::of(200), reply.as_bytes(), rows).unwrap();
        let expected = values.iter().map(|v| -v).collect();
        prop_assert_eq!(reply.outputs, Outputs::Numbers { values: expected, width });
    }

    #[test]
    fn no_bytes_break_the_reader(body in prop::collection::vec(any::<u8>(), 0..300), rows in 0usize..5) {
        let _ = oip().decode(&Head::of(200), &body, rows);
    }

    #[test]
    fn no_damage_of_a_reply_breaks_the_reader(at in 0usize..140, byte in any::<u8>(), cut in 0usize..140) {
        let mut body = br#"{"model_version":"3","outputs":[{"name":"score","shape":[2,1],"datatype":"FP32","data":[0.1,NaN],"parameters":{"binary_data_size":8}}]}"#.to_vec();
        let at = at % body.len();
        body[at] = byte;
        let _ = oip().decode(&Head::of(200), &body, 2);
        body.truncate(cut);
        let _ = oip().decode(&Head::of(200), &body, 2);
    }
}
