//! Shapes of requests and replies, and that no reply breaks the reader.

use proptest::prelude::*;

use super::*;
use crate::inference::http::protocol::Outputs;

const NUMBERS: PredictionType = PredictionType::Numbers(1);

fn sent(rows: bool, values: &[f32], width: usize) -> Result<String, Unsendable> {
    let protocol = TorchServe::new("m", None, rows, NUMBERS);
    let mut out = Vec::new();
    let inputs = Inputs::Tensor { values, rows: values.len() / width, width };
    protocol.encode(inputs, "42", &mut out).map(|_| String::from_utf8(out).unwrap())
}

fn reply(body: &str, rows: usize, prediction: PredictionType) -> Result<Outputs, String> {
    let protocol = TorchServe::new("m", None, true, prediction);
    protocol.decode(&Head::of(200), body.as_bytes(), rows).map(|reply| reply.outputs).map_err(|error| error.reason)
}

#[test]
fn a_request_is_a_row_or_a_list_of_rows() {
    assert_eq!(sent(false, &[1.0, 2.5], 2).unwrap(), "[1.0,2.5]");
    assert_eq!(sent(true, &[1.0, 2.5], 1).unwrap(), "[[1.0],[2.5]]");
    assert_eq!(sent(false, &[1.0, f32::NAN], 2).unwrap_err().rows[0].row, 0);
    assert_eq!(sent(false, &[1.0, 2.0], 1).unwrap_err().rows.len(), 2);
    let path = |version| TorchServe::new("m", version, false, NUMBERS).path().to_owned();
    assert_eq!(path(None), "/predictions/m");
    assert_eq!(path(Some("1.0")), "/predictions/m/1.0");
    let rows = |rows| TorchServe::new("m", None, rows, NUMBERS).max_rows();
    assert_eq!((rows(false), rows(true)), (1, usize::MAX));
}

#[test]
fn a_reply_is_what_most_handlers_give() {
    let numbers = |values: &[f32], width| Outputs::Numbers { values: values.to_vec(), width };
    for body in ["0.5", "[0.5]", "[[0.5]]", " 0.5\n"] {
        assert_eq!(reply(body, 1, NUMBERS).unwrap(), numbers(&[0.5], 1), "{body}");
    }
    assert_eq!(reply("[0.5,0.25]", 1, PredictionType::Numbers(2)).unwrap(), numbers(&[0.5, 0.25], 2));
    assert_eq!(reply("[[0.5],[0.25]]", 2, NUMBERS).unwrap(), numbers(&[0.5, 0.25], 1));
    let text = PredictionType::Text;
    assert_eq!(reply(r#""cat""#, 1, text).unwrap(), Outputs::Texts(vec!["cat".into()]));
    for plain in ["a cat", "3 cats", "true or not", "nothing"] {
        assert_eq!(reply(plain, 1, text).unwrap(), Outputs::Texts(vec![plain.into()]));
    }
    assert_eq!(reply(r#"["cat","dog"]"#, 2, text).unwrap(), Outputs::Texts(vec!["cat".into(), "dog".into()]));
}

#[test]
fn what_is_no_prediction_is_refused() {
    assert!(reply("a cat", 1, NUMBERS).unwrap_err().contains("not what the protocol says"));
    assert!(reply(r#"{"score":1}"#, 1, NUMBERS).unwrap_err().contains("map"));
    assert!(reply("[1]", 2, NUMBERS).unwrap_err().contains("instead of [2]"));
    assert!(reply("", 1, NUMBERS).is_err());
    assert!(reply("3", 1, PredictionType::Text).unwrap_err().contains("where text is expected"));
}

proptest! {
    #[test]
    fn no_bytes_break_the_reader(body in prop::collection::vec(any::<u8>(), 0..200), rows in 0usize..4) {
        for prediction in [NUMBERS, PredictionType::Text] {
            let _ = TorchServe::new("m", None, false, prediction).decode(&Head::of(200), &body, rows);
        }
    }
}
