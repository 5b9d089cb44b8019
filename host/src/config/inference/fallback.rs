//! `[[operator.NAME.fallback]]`: what answers a row when the model does not, in this order.

use std::time::Duration;

use super::external::SHORTEST;
use crate::config::context::Text;
use crate::config::reader::Reader;
use crate::config::tree::Value;
use crate::inference::external::{Constant, Fallback, PredictionType};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    LastKnownGood,
    Embedded,
    Constant,
    Skip,
    DeadLetter,
}

const KINDS: [(&str, Kind); 5] = [
    ("last_known_good", Kind::LastKnownGood),
    ("embedded", Kind::Embedded),
    ("constant", Kind::Constant),
    ("skip", Kind::Skip),
    ("dead_letter", Kind::DeadLetter),
];

/// Reads the chain. The type of the prediction is none where only the model tells.
pub(super) fn read(
    reader: &mut Reader<'_>,
    prediction: Option<PredictionType>,
    models: &mut Vec<Text>,
) -> Vec<Fallback> {
    let mut chain = Vec::new();
    let mut seen: Vec<(&str, Kind)> = Vec::new();
    for mut table in reader.tables("fallback") {
        let Some(kind) = table.required_choice("kind", &KINDS) else {
            table.lenient();
            table.finish();
            continue;
        };
        let word = KINDS.iter().find(|(_, k)| *k == kind).map_or("", |(word, _)| *word);
        place(&mut table, word, &seen);
        seen.push((word, kind));
        chain.extend(one(&mut table, kind, prediction, models));
        table.finish();
    }
    chain
}

/// Reports one that is there already, or that is never reached.
fn place(table: &mut Reader<'_>, word: &str, seen: &[(&str, Kind)]) {
    let Some(node) = table.take("kind") else { return };
    let last = seen.iter().find(|(_, kind)| matches!(kind, Kind::Constant | Kind::Skip | Kind::DeadLetter));
    let diagnostic = if seen.iter().any(|(other, _)| *other == word) {
        let diagnostic = table.cx.error(&node.at, format!("`{}` has `{word}` twice", table.path));
        diagnostic.expected("expected each kind once").help("remove one of the two")
    } else if let Some((last, _)) = last {
        let diagnostic = table.cx.error(&node.at, format!("the fallback `{word}` is never reached"));
        diagnostic
            .expected(format!("`{last}` stands before it, and never fails"))
            .help(format!("move `{last}` to the end, or remove this one"))
    } else {
        return;
    };
    table.cx.report(diagnostic);
}

fn one(
    table: &mut Reader<'_>,
    kind: Kind,
    prediction: Option<PredictionType>,
    models: &mut Vec<Text>,
) -> Option<Fallback> {
    match kind {
        Kind::LastKnownGood => {
            table.describe("a `last_known_good` fallback");
            table.require("max_age", "add `max_age = \"10m\"`: an older prediction does not answer");
            let year = Duration::from_secs(365 * 24 * 3_600);
            Some(Fallback::LastKnownGood {
                max_age: table.duration("max_age", Duration::from_secs(600), SHORTEST..=year),
                max_keys: table.integer("max_keys", 1..=1_000_000_000).unwrap_or(100_000),
            })
        }
        Kind::Embedded => {
            table.describe("an `embedded` fallback");
            if prediction == Some(PredictionType::Text)
                && let Some(node) = table.take("kind")
            {
                table.cx.report(
                    table
                        .cx
                        .error(&node.at, "an embedded model does not answer with text")
                        .expected("the prediction of this operator is text")
                        .help("use the fallback `constant` or `last_known_good`"),
                );
            }
            let model = table.required_text("model", "fraud")?;
            models.push(model.clone());
            Some(Fallback::Embedded { model: model.value })
        }
        Kind::Constant => {
            table.describe("a `constant` fallback");
            constant(table, prediction).map(|value| Fallback::Constant { value })
        }
        Kind::Skip => {
            table.describe("a `skip` fallback");
            Some(Fallback::Skip)
        }
        Kind::DeadLetter => {
            table.describe("a `dead_letter` fallback");
            Some(Fallback::DeadLetter)
        }
    }
}

fn constant(table: &mut Reader<'_>, prediction: Option<PredictionType>) -> Option<Constant> {
    let text = prediction == Some(PredictionType::Text);
    let help = if text { "add `value = \"unknown\"`" } else { "add `value = 0.0`" };
    let node = table.require("value", help)?;
    let path = table.key("value");
    let number = |value: f64| {
        let value = value as f32;
        if value.is_finite() {
            return Some(Constant::Number(value));
        }
        let diagnostic = table.cx.error(&node.at, format!("`{path}` is out of range"));
        table.cx.report(diagnostic.expected("expected a finite number of type `f32`"));
        None
    };
    match &node.value {
        Value::Text(written) if text || written.contains("${") => {
            let value = table.cx.text(&path, node, "unknown")?.value;
            match value.trim().parse() {
                _ if text => Some(Constant::Text(value)),
                Ok(value) => number(value),
                Err(_) => {
                    table.cx.wrong_type(&path, node, "a number such as `0.0`, as the prediction is one");
                    None
                }
            }
        }
        Value::Float(value) if !text => number(*value),
        Value::Integer(value) if !text => number(*value as f64),
        _ => {
            let wanted = if text {
                "a string such as `\"unknown\"`, as the prediction is text"
            } else {
                "a number such as `0.0`, as the prediction is one"
            };
            table.cx.wrong_type(&path, node, wanted);
            None
        }
    }
}
