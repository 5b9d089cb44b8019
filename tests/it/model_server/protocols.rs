//! Requests and replies of each protocol, by hand.

use millstream_tests::faults::{ModelServer, Script, embed, predict};
use serde_json::{Value, json};

use super::{INFER, Seen, Wire};

fn post(server: &ModelServer, path: &str, body: &Value) -> Seen {
    let mut wire = Wire::to(server.address());
    wire.send(path, "content-type: application/json\r\n", body.to_string().as_bytes());
    wire.receive().unwrap()
}

#[test]
fn the_open_inference_protocol_as_json() {
    let server = ModelServer::start(Script::default());
    for data in [json!([1, 2, 3, 4.5, 5, 6]), json!([[1, 2, 3], [4.5, 5, 6]])] {
        let input = json!({"name": "features", "shape": [2, 3], "datatype": "FP32", "data": data});
        let body = json!({"id": "42", "inputs": [input], "outputs": [{"name": "score"}]});
        let seen = post(&server, INFER, &body).json();
        let output = json!({"name": "score", "shape": [2, 1], "datatype": "FP32", "data": [6.0, 15.5]});
        assert_eq!(seen, json!({"model_name": "m", "model_version": "1", "id": "42", "outputs": [output]}));
    }
    let version = post(&server, "/v2/models/m/versions/7/infer", &json!({"inputs": []}));
    assert_eq!(version.status, 400, "no inputs");
    assert_eq!(server.counts().rows, 4);
}

#[test]
fn the_open_inference_protocol_with_tensors_as_bytes() {
    let server = ModelServer::start(Script { outputs: 2, ..Script::default() });
    let rows = [[0.1_f32, f32::MAX], [f32::NAN, 1.0]];
    let input =
        json!({"name": "features", "shape": [2, 2], "datatype": "FP32", "parameters": {"binary_data_size": 16}});
    let head = json!({"inputs": [input], "parameters": {"binary_data_output": true}}).to_string();
    let tensor: Vec<u8> = rows.iter().flatten().flat_map(|x| x.to_le_bytes()).collect();
    let headers = format!("inference-header-content-length: {}\r\n", head.len());
    let mut wire = Wire::to(server.address());
    wire.send("/v2/models/m/versions/7/infer", &headers, &[head.as_bytes(), &tensor].concat());
    let seen = wire.receive().unwrap();
    let split: usize = seen.header("inference-header-content-length").unwrap().parse().unwrap();
    let json: Value = serde_json::from_slice(&seen.body[..split]).unwrap();
    assert_eq!((&json["model_version"], &json["outputs"][0]["shape"]), (&json!("7"), &json!([2, 2])));
    assert_eq!(json["outputs"][0]["parameters"], json!({"binary_data_size": 16}));
    let values: Vec<f32> =
        seen.body[split..].chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    assert_eq!(values[0], predict(&rows[0]));
    assert!(values[2].is_nan() && values.len() == 4, "{values:?}");
}

#[test]
fn what_a_model_server_would_refuse_is_refused() {
    let server = ModelServer::start(Script::default());
    let tensor = |shape: Value, datatype: &str, data: Value| json!({"inputs": [{"name": "features", "shape": shape, "datatype": datatype, "data": data}]});
    for body in [
        tensor(json!([2, 2]), "FP32", json!([1, 2, 3])),
        tensor(json!([1, 1]), "INT8", json!([1])),
        json!({"rows": []}),
        json!({"inputs": [{"name": "features", "shape": [1, 1], "datatype": "FP32"}]}),
    ] {
        let seen = post(&server, INFER, &body);
        assert_eq!(seen.status, 400, "{body}");
        assert!(seen.json()["error"].is_string());
    }
    let mut wire = Wire::to(server.address());
    wire.send(INFER, "", br#"{"inputs":[{"name":"x","shape":[1,1],"datatype":"FP32","data":[NaN]}]}"#);
    assert_eq!(wire.receive().unwrap().status, 400, "NaN is not JSON");
    assert_eq!(post(&server, "/v2/models/m/nothing", &json!({})).status, 404);
}

#[test]
fn tensorflow_by_rows() {
    let server = ModelServer::start(Script::default());
    let path = "/v1/models/m/versions/3:predict";
    let seen = post(&server, path, &json!({"signature_name": "s", "instances": [[1, 2.5], [3, 4]]}));
    assert_eq!(seen.json(), json!({"predictions": [[3.5], [7.0]]}));
    let mut wire = Wire::to(server.address());
    wire.send("/v1/models/m:predict", "", br#"{"instances":[[NaN,1],[1,-Infinity]]}"#);
    assert_eq!(String::from_utf8(wire.receive().unwrap().body).unwrap(), r#"{"predictions":[[NaN],[NaN]]}"#);
}

#[test]
fn torchserve_with_one_row_and_with_several() {
    let server = ModelServer::start(Script::default());
    assert_eq!(post(&server, "/predictions/m", &json!([1, 2.5])).json(), json!(3.5));
    assert_eq!(post(&server, "/predictions/m/2", &json!([[1, 2.5], [3, 4]])).json(), json!([[3.5], [7.0]]));
    let refused = post(&server, "/predictions/m", &json!([]));
    assert_eq!((refused.status, &refused.json()["code"]), (400, &json!(400)));
}

#[test]
fn embeddings_come_in_another_order_than_they_were_asked_for() {
    let server = ModelServer::start(Script { outputs: 3, ..Script::default() });
    let seen = post(&server, "/v1/embeddings", &json!({"model": "e", "input": ["a", "bc"]})).json();
    let [last, first] = [0, 1].map(|at| &seen["data"][at]);
    assert_eq!((&last["index"], &first["index"]), (&json!(1), &json!(0)));
    let numbers = |of: &Value| -> Vec<f32> { serde_json::from_value(of["embedding"].clone()).unwrap() };
    assert_eq!((numbers(first), numbers(last)), (embed("a", 3), embed("bc", 3)));
}

#[test]
fn chat_repeats_what_the_user_said() {
    let server = ModelServer::start(Script::default());
    let messages = json!([{"role": "system", "content": "be brief"}, {"role": "user", "content": "hello"}]);
    let seen = post(&server, "/v1/chat/completions", &json!({"model": "c", "messages": messages})).json();
    let choice = &seen["choices"][0];
    assert_eq!((&choice["message"]["content"], &choice["finish_reason"]), (&json!("echo: hello"), &json!("stop")));
    let refused = post(&server, "/v1/chat/completions", &json!({"model": "c", "messages": []}));
    assert_eq!((refused.status, &refused.json()["error"]["code"]), (400, &json!("400")));
}

#[test]
fn json_of_any_form() {
    let server = ModelServer::start(Script { version: "v9".into(), ..Script::default() });
    let seen = post(&server, "/score", &json!({"user": "u", "x": 1, "more": [2, {"y": 0.5}]})).json();
    assert_eq!(seen, json!({"result": {"score": 3.5, "scores": [3.5]}, "version": "v9"}));
}
