//! The real model servers serve the demo's model, and say of themselves what the protocols need to know.

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{HeaderMap, Request};
use hyper_util::rt::TokioIo;
use millstream_tests::servers::RealServer;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

/// Status, headers and body of a request.
fn post(server: &RealServer, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> (u16, HeaderMap, Bytes) {
    Runtime::new().unwrap().block_on(async {
        let stream = TcpStream::connect(server.address()).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut request = Request::post(path).header("host", "x");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let reply = sender.send_request(request.body(Full::new(Bytes::from(body))).unwrap()).await.unwrap();
        let (head, body) = reply.into_parts();
        (head.status.as_u16(), head.headers, body.collect().await.unwrap().to_bytes())
    })
}

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

/// Two rows of 15 features.
fn rows() -> [[f32; 15]; 2] {
    [std::array::from_fn(|i| i as f32 / 10.0), [-0.5; 15]]
}

fn infer(server: &RealServer) -> Value {
    let input = json!({"name": "features", "shape": [2, 15], "datatype": "FP32", "data": rows().concat()});
    let body = json!({"id": "42", "inputs": [input]}).to_string();
    let (status, _, body) = post(server, "/v2/models/fraud/infer", &JSON, body.into());
    assert_eq!(status, 200, "{body:?}\n{}", server.log());
    serde_json::from_slice(&body).unwrap()
}

fn scores(of: &Value) -> Vec<f32> {
    serde_json::from_value(of.clone()).unwrap()
}

#[test]
fn mlserver_and_kserve_give_the_same_scores_in_every_protocol() {
    let test = "mlserver_and_kserve_give_the_same_scores_in_every_protocol";
    let (Some(mlserver), Some(kserve)) = (RealServer::mlserver(test), RealServer::kserve(test)) else { return };
    let reply = infer(&mlserver);
    assert_eq!((&reply["model_version"], &reply["id"]), (&json!("1"), &json!("42")));
    let output = &reply["outputs"][0];
    assert_eq!((&output["name"], &output["shape"]), (&json!("score"), &json!([2, 1])));
    let expected = scores(&output["data"]);
    assert!(expected.iter().all(|score| (0.0..=1.0).contains(score)) && expected[0] != expected[1], "{expected:?}");

    assert_eq!(scores(&infer(&kserve)["outputs"][0]["data"]), expected);

    let body = json!({"instances": rows()}).to_string();
    let (status, _, body) = post(&kserve, "/v1/models/fraud:predict", &JSON, body.into());
    let reply: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((status, reply), (200, json!({"predictions": expected.iter().map(|s| [s]).collect::<Vec<_>>()})));

    let input =
        json!({"name": "features", "shape": [2, 15], "datatype": "FP32", "parameters": {"binary_data_size": 120}});
    let head = json!({"inputs": [input], "parameters": {"binary_data_output": true}}).to_string();
    let tensor = rows().concat().into_iter().flat_map(f32::to_le_bytes);
    let length = head.len().to_string();
    let headers = [("content-type", "application/octet-stream"), ("inference-header-content-length", &length)];
    let body = head.bytes().chain(tensor).collect();
    let (status, headers, body) = post(&kserve, "/v2/models/fraud/infer", &headers, body);
    assert_eq!(status, 200, "{body:?}\n{}", kserve.log());
    let split: usize = headers["inference-header-content-length"].to_str().unwrap().parse().unwrap();
    let bytes: Vec<f32> = body[split..].chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    assert_eq!(bytes, expected);
}
