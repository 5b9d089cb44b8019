//! Shapes of requests and replies, every datatype, and that no reply breaks the reader.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::inference::http::protocol::Outputs;

const NUMBERS: PredictionType = PredictionType::Numbers(1);

fn binary(output: Option<&str>, prediction: PredictionType) -> OpenInferenceBinary {
    OpenInferenceBinary::new(OpenInference::new("m", None, "features", output, prediction), output)
}

fn sent(output: Option<&str>, values: &[f32], width: usize) -> (String, Vec<u8>) {
    let mut out = Vec::new();
    let inputs = Inputs::Tensor { values, rows: values.len() / width, width };
    let encoded = binary(output, NUMBERS).encode(inputs, "42", &mut out).unwrap();
    let tensors = out.split_off(encoded.json_bytes.unwrap());
    (String::from_utf8(out).unwrap(), tensors)
}

/// A reply of one tensor.
fn reply(
    datatype: &str,
    shape: &str,
    bytes: &[u8],
    rows: usize,
    prediction: PredictionType,
) -> Result<Outputs, String> {
    let size = bytes.len();
    let json = format!(
        r#"{{"model_version":"3","outputs":[{{"name":"score","datatype":"{datatype}","shape":{shape},"parameters":{{"binary_data_size":{size}}}}}]}}"#
    );
    decode(None, &json, bytes, rows, prediction)
}

fn decode(
    output: Option<&str>,
    json: &str,
    tensors: &[u8],
    rows: usize,
    prediction: PredictionType,
) -> Result<Outputs, String> {
    let head = Head { json_bytes: Some(json.len()), ..Head::of(200) };
    let body = [json.as_bytes(), tensors].concat();
    let reply = binary(output, prediction).decode(&head, &body, rows).map_err(|error| error.reason)?;
    Ok(reply.outputs)
}

fn numbers(datatype: &str, bytes: &[u8], rows: usize) -> Vec<f32> {
    match reply(datatype, &format!("[{rows}]"), bytes, rows, NUMBERS).unwrap() {
        Outputs::Numbers { values, .. } => values,
        Outputs::Texts(_) => panic!("text"),
    }
}

#[test]
fn a_request_is_that_of_the_extension() {
    let (json, tensors) = sent(Some("score"), &[1.0, f32::NAN, f32::INFINITY, -2.5], 2);
    assert_eq!(
        json,
        concat!(
            r#"{"id":"42","inputs":[{"name":"features","shape":[2,2],"datatype":"FP32","#,
            r#""parameters":{"binary_data_size":16}}],"#,
            r#""outputs":[{"name":"score","parameters":{"binary_data":true}}]}"#
        )
    );
    assert_eq!(tensors, [1.0, f32::NAN, f32::INFINITY, -2.5].map(f32::to_le_bytes).concat());
    let (json, _) = sent(None, &[1.0], 1);
    assert!(
        json.ends_with(r#""parameters":{"binary_data_size":4}}],"parameters":{"binary_data_output":true}}"#),
        "{json}"
    );
    serde_json::from_str::<Value>(&json).unwrap();
    assert_eq!(binary(None, NUMBERS).content_type(), "application/octet-stream");
    assert_eq!(binary(None, NUMBERS).path(), "/v2/models/m/infer");
}

#[test]
fn every_datatype_of_numbers_becomes_f32() {
    assert_eq!(numbers("FP32", &[0.5f32, -1.0].map(f32::to_le_bytes).concat(), 2), [0.5, -1.0]);
    assert_eq!(numbers("FP64", &[0.1f64, 1e300].map(f64::to_le_bytes).concat(), 2), [0.1, f32::INFINITY]);
    assert_eq!(
        numbers("FP16", &[0x3c00u16, 0xc000, 0x7c00, 0x0001].map(u16::to_le_bytes).concat(), 4),
        [1.0, -2.0, f32::INFINITY, 2f32.powi(-24)]
    );
    assert_eq!(numbers("BF16", &[0x3f80u16, 0xbf80].map(u16::to_le_bytes).concat(), 2), [1.0, -1.0]);
    assert_eq!(numbers("INT8", &[0xff, 1], 2), [-1.0, 1.0]);
    assert_eq!(numbers("INT16", &(-300i16).to_le_bytes(), 1), [-300.0]);
    assert_eq!(numbers("INT32", &(-70_000i32).to_le_bytes(), 1), [-70_000.0]);
    assert_eq!(numbers("INT64", &(1i64 << 40).to_le_bytes(), 1), [(1u64 << 40) as f32]);
    assert_eq!(numbers("UINT8", &[200], 1), [200.0]);
    assert_eq!(numbers("UINT16", &60_000u16.to_le_bytes(), 1), [60_000.0]);
    assert_eq!(numbers("UINT32", &4_000_000_000u32.to_le_bytes(), 1), [4e9]);
    assert_eq!(numbers("UINT64", &u64::MAX.to_le_bytes(), 1), [u64::MAX as f32]);
    assert_eq!(numbers("BOOL", &[0, 1], 2), [0.0, 1.0]);
    let refused = reply("BYTES", "[1]", &[0; 4], 1, NUMBERS).unwrap_err();
    assert_eq!(refused, "an output of BYTES where numbers are expected");
}

#[test]
fn a_prediction_that_is_not_finite_is_passed_on() {
    let values = numbers("FP32", &[f32::NAN, f32::NEG_INFINITY].map(f32::to_le_bytes).concat(), 2);
    assert!(values[0].is_nan() && values[1] == f32::NEG_INFINITY);
}

#[test]
fn halves_of_every_kind_are_right() {
    for (bits, number) in [
        (0x0000, 0.0),
        (0x8000, -0.0),
        (0x3555, 0.333_251_95),
        (0x7bff, 65_504.0),
        (0x0400, 6.103_515_6e-5),
        (0x03ff, 6.097_555e-5),
        (0xfc00, f32::NEG_INFINITY),
    ] {
        assert_eq!(half(bits).to_bits(), f32::to_bits(number), "{bits:#x}");
    }
    assert!(half(0x7e00).is_nan());
}

#[test]
fn a_server_that_answers_in_json_is_understood() {
    let body = br#"{"model_version":"3","outputs":[{"name":"score","shape":[1],"datatype":"FP32","data":[0.5]}]}"#;
    let outputs = Outputs::Numbers { values: vec![0.5], width: 1 };
    assert_eq!(binary(Some("score"), NUMBERS).decode(&Head::of(200), body, 1).unwrap().outputs, outputs);
    // Also with the length of the JSON, which is all of it.
    assert_eq!(decode(None, std::str::from_utf8(body).unwrap(), &[], 1, NUMBERS).unwrap(), outputs);
}

#[test]
fn tensors_lie_one_behind_the_other_with_json_among_them() {
    let json = r#"{"outputs":[
        {"name":"a","datatype":"INT64","shape":[2],"parameters":{"binary_data_size":16}},
        {"name":"b","datatype":"FP32","shape":[2],"data":[7,8]},
        {"name":"c","datatype":"FP32","shape":[2,1],"parameters":{"binary_data_size":8}}]}"#;
    let tensors = [&[9u8; 16][..], &1f32.to_le_bytes(), &2f32.to_le_bytes()].concat();
    let of = |output| decode(Some(output), json, &tensors, 2, NUMBERS).unwrap();
    assert_eq!(of("c"), Outputs::Numbers { values: vec![1.0, 2.0], width: 1 });
    assert_eq!(of("b"), Outputs::Numbers { values: vec![7.0, 8.0], width: 1 });
}

#[test]
fn texts_are_lengths_and_bytes() {
    let text = PredictionType::Text;
    let bytes = [&3u32.to_le_bytes()[..], b"abc", &0u32.to_le_bytes(), &2u32.to_le_bytes(), "é".as_bytes()].concat();
    let texts = Outputs::Texts(vec!["abc".into(), String::new(), "é".into()]);
    assert_eq!(reply("BYTES", "[3]", &bytes, 3, text).unwrap(), texts);
    assert!(reply("BYTES", "[3]", &bytes[..bytes.len() - 1], 3, text).unwrap_err().contains("cut off"));
    assert!(reply("BYTES", "[1]", &[1, 0, 0, 0, 0xff], 1, text).unwrap_err().contains("not UTF-8"));
    assert!(reply("FP32", "[1]", &[0; 4], 1, text).unwrap_err().contains("where text is expected"));
}

#[test]
fn sizes_that_do_not_fit_are_refused() {
    let refused = |shape: &str, bytes: &[u8], rows| reply("FP32", shape, bytes, rows, NUMBERS).unwrap_err();
    assert_eq!(refused("[1]", &[0; 3], 1), "a tensor of 3 bytes, 4 a number");
    assert_eq!(refused("[2]", &[0; 4], 2), "1 numbers of shape [2] instead of [2] or [2, 1]");
    let json = r#"{"outputs":[{"name":"a","datatype":"FP32","shape":[1],"parameters":{"binary_data_size":4}}]}"#;
    let refused = |tensors: &[u8]| decode(None, json, tensors, 1, NUMBERS).unwrap_err();
    assert_eq!(refused(&[0; 2]), "a tensor of 4 bytes of which there are 2");
    assert_eq!(refused(&[0; 9]), "5 bytes behind the last tensor");
    let head = Head { json_bytes: Some(usize::MAX), ..Head::of(200) };
    let error = binary(None, NUMBERS).decode(&head, b"{}", 1).unwrap_err();
    assert!(error.reason.contains("whose JSON is said to be"), "{error}");
}

/// A server as the specification says: gives back each number as it is, as FP64.
fn serve(json_bytes: usize, body: &[u8]) -> (Vec<u32>, usize, Vec<u8>) {
    let (json, tensors) = body.split_at(json_bytes);
    let request: Value = serde_json::from_slice(json).unwrap();
    let input = &request["inputs"][0];
    assert_eq!(input["parameters"]["binary_data_size"], tensors.len());
    assert_eq!(request["outputs"][0]["parameters"]["binary_data"], true);
    let values: Vec<f32> = tensors.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    let tensors: Vec<u8> = values.iter().flat_map(|&v| f64::from(v).to_le_bytes()).collect();
    let json = json!({"outputs": [{"name": "score", "shape": input["shape"], "datatype": "FP64",
        "parameters": {"binary_data_size": tensors.len()}}]})
    .to_string();
    (values.iter().map(|v| v.to_bits()).collect(), json.len(), [json.as_bytes(), &tensors].concat())
}

proptest! {
    #[test]
    fn every_number_there_is_goes_there_and_back(
        width in 1usize..9,
        numbers in prop::collection::vec(any::<f32>(), 1..100),
        id in any::<String>(),
    ) {
        let rows = numbers.len() / width;
        prop_assume!(rows > 0);
        let values = &numbers[..rows * width];
        let protocol = binary(Some("score"), PredictionType::Numbers(width));
        let mut out = Vec::new();
        let encoded = protocol.encode(Inputs::Tensor { values, rows, width }, &id, &mut out).unwrap();
        let (read, json_bytes, body) = serve(encoded.json_bytes.unwrap(), &out);
        prop_assert_eq!(read, values.iter().map(|v| v.to_bits()).collect::<Vec<_>>());
        let head = Head { json_bytes: Some(json_bytes), ..Head::of(200) };
        let Outputs::Numbers { values: answered, .. } = protocol.decode(&head, &body, rows).unwrap().outputs else {
            panic!("text");
        };
        prop_assert_eq!(answered.len(), values.len());
        for (answered, value) in answered.iter().zip(values) {
            prop_assert!(answered == value || answered.is_nan() && value.is_nan());
        }
    }

    #[test]
    fn no_bytes_break_the_reader(
        body in prop::collection::vec(any::<u8>(), 0..300),
        json_bytes in prop::option::of(0usize..400),
        rows in 0usize..5,
    ) {
        let head = Head { json_bytes, ..Head::of(200) };
        let _ = binary(None, NUMBERS).decode(&head, &body, rows);
    }

    #[test]
    fn no_tensor_breaks_the_reader(
        datatype in prop::sample::select(vec!["FP32", "FP64", "FP16", "INT64", "BOOL", "BYTES", "X"]),
        bytes in prop::collection::vec(any::<u8>(), 0..64),
        shape in prop::collection::vec(any::<u64>(), 0..4),
        rows in 0usize..5,
        is_text in any::<bool>(),
    ) {
        let prediction = if is_text { PredictionType::Text } else { NUMBERS };
        let _ = reply(datatype, &json!(shape).to_string(), &bytes, rows, prediction);
    }
}
