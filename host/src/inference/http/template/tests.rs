//! Placeholders, and that whatever a row holds, what is sent is JSON.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::inference::http::protocol::Outputs;

fn template(body: &str) -> Template {
    Template::new("/score", body, "/result/score", Some("/model/version"), PredictionType::Numbers(1)).unwrap()
}

fn sent(body: &str, row: Value) -> Result<String, Unsendable> {
    let Value::Object(row) = row else { panic!("a row is an object") };
    let mut out = Vec::new();
    template(body).encode(Inputs::Objects(&[row]), "42", &mut out).map(|_| String::from_utf8(out).unwrap())
}

fn reply(body: &str, prediction: PredictionType) -> Result<Reply, String> {
    let template = Template::new("/score", "{}", "/result/score", Some("/model/version"), prediction).unwrap();
    template.decode(&Head::of(200), body.as_bytes(), 1).map_err(|error| error.reason)
}

#[test]
fn values_and_texts_take_the_place_of_columns() {
    let body = r#"{"user": "{{user_id}}", "text": "Amount: {{ amount }}, by {{who}}.", "values": ["{{features}}", 1, null, "plain", [], {}]}"#;
    let row = json!({"user_id": 7, "amount": 1.5, "who": "\"A\"\n", "features": [1.0, 2.0]});
    assert_eq!(
        sent(body, row).unwrap(),
        r#"{"user":7,"text":"Amount: 1.5, by \"A\"\n.","values":[[1.0,2.0],1,null,"plain",[],{}]}"#
    );
    assert_eq!(columns(body).unwrap(), ["user_id", "amount", "who", "features"]);
}

#[test]
fn null_is_null_as_a_value_and_nothing_in_a_text() {
    assert_eq!(
        sent(r#"["{{a}}", "<{{a}}>", "{{a}}{{b}}"]"#, json!({"a": null, "b": true})).unwrap(),
        r#"[null,"<>","true"]"#
    );
}

#[test]
fn braces_that_do_not_close_are_text() {
    assert_eq!(sent(r#"["{{a", "a}}", "{a}"]"#, json!({})).unwrap(), r#"["{{a","a}}","{a}"]"#);
}

#[test]
fn a_template_that_is_none_is_refused_at_the_start() {
    let new = |path: &str, body: &str, pointer: &str| {
        Template::new(path, body, pointer, None, PredictionType::Text).unwrap_err()
    };
    assert!(new("/x", "{", "/a").contains("the template is not JSON"));
    assert!(new("/x", r#"{"{{a}}": 1}"#, "/a").contains("names of fields are not replaced"));
    assert!(new("/x", r#"["{{ }}"]"#, "/a").contains("names no column"));
    assert!(new("/x", "{}", "score").contains("no JSON pointer"));
    assert!(new("x", "{}", "/a").contains("does not begin with `/`"));
}

#[test]
fn a_column_that_the_row_lacks_is_named() {
    let refused = sent(r#"["{{a}}"]"#, json!({"b": 1})).unwrap_err();
    assert_eq!(refused.rows, [BadRow { row: 0, reason: "the row has no column `a`".into() }]);
}

#[test]
fn the_prediction_is_where_the_pointer_says() {
    let numbers = PredictionType::Numbers(1);
    let reply_of = reply(r#"{"result":{"score":0.5},"model":{"version":3}}"#, numbers).unwrap();
    assert_eq!(reply_of.outputs, Outputs::Numbers { values: vec![0.5], width: 1 });
    assert_eq!(reply_of.model_version.as_deref(), Some("3"));
    assert_eq!(reply(r#"{"result":{"score":[0.5]}}"#, numbers).unwrap().model_version, None);
    let text = reply(r#"{"result":{"score":"high"}}"#, PredictionType::Text).unwrap();
    assert_eq!(text.outputs, Outputs::Texts(vec!["high".into()]));
    assert_eq!(reply(r#"{"result":{}}"#, numbers).unwrap_err(), "nothing at `/result/score` in the reply");
    assert!(reply(r#"{"result":{"score":"high"}}"#, numbers).unwrap_err().contains("text where a number"));
    assert!(reply(r#"{"result":{"score":[1,2]}}"#, numbers).unwrap_err().contains("instead of [1]"));
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 12, 4, |inner| prop::collection::vec(inner, 0..4).prop_map(Value::from))
}

proptest! {
    #[test]
    fn whatever_a_row_holds_what_is_sent_is_the_template_with_its_values(a in value(), b in any::<String>()) {
        let sent = sent(r#"{"a":"{{a}}","b":"<{{b}}>","c":[{"d":"{{b}}"}]}"#, json!({"a": a, "b": b})).unwrap();
        // To the text and back, as doubles may lose their last digit in a reader that is not exact.
        let read: Value = serde_json::from_str(&sent).unwrap();
        let a: Value = serde_json::from_str(&a.to_string()).unwrap();
        prop_assert_eq!(read, json!({"a": a, "b": format!("<{b}>"), "c": [{"d": b}]}));
    }

    #[test]
    fn no_template_breaks_its_reader(body in ".{0,60}") {
        let _ = columns(&body);
        let _ = columns(&Value::from(body).to_string());
    }

    #[test]
    fn no_bytes_break_the_reader(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = template("{}").decode(&Head::of(200), &body, 1);
    }
}
