//! `[operator.NAME]` of an inference operator.
//!
//! Without tables of its own it is an embedded model on the workers. With `[operator.NAME.endpoint]`
//! the model runs in servers, with `[operator.NAME.thread]` on a thread of its own; both answer later.

mod endpoint;
mod external;
mod fallback;
mod protocol;
mod resilience;
#[cfg(test)]
mod tests;
mod url;

use super::context::Text;
use super::pipeline::OperatorKind;
use super::reader::Reader;
use crate::inference::OperatorConfig;

/// Reads what an inference operator adds to the keys that all operators have; names the columns that
/// must be there and the embedded models that it uses.
pub(super) fn read(
    name: String,
    reader: &mut Reader<'_>,
    columns: &mut Vec<(&'static str, Text)>,
    models: &mut Vec<Text>,
) -> OperatorKind {
    if reader.has("endpoint") || reader.has("thread") {
        return OperatorKind::External(Box::new(external::read(name, reader, columns, models)));
    }
    reader.describe("an inference operator");
    let model = reader.required_text("model", "fraud");
    let features = features(reader, true);
    let output = output(&name, reader, &features);
    columns.extend(features.iter().cloned().map(|text| ("feature", text)));
    models.extend(model.clone());
    OperatorKind::Inference(OperatorConfig {
        name,
        model: model.map(|t| t.value).unwrap_or_default(),
        features: features.into_iter().map(|t| t.value).collect(),
        output,
        max_batch: reader.count("max_batch", 256, 1..=65_536),
        provenance: reader.boolean("provenance", true),
    })
}

/// The columns of the features, in order.
fn features(reader: &mut Reader<'_>, required: bool) -> Vec<Text> {
    let written = reader.has("features");
    let features = if required || written { reader.required_text_or_texts("features", "features") } else { None }
        .unwrap_or_default();
    if let Some(node) = reader.take("features")
        && matches!(&node.value, super::tree::Value::List(items) if items.is_empty())
    {
        let diagnostic = reader.cx.error(&node.at, format!("`{}.features` is empty", reader.path));
        reader.cx.report(diagnostic.expected("expected at least one column"));
    }
    features
}

/// The column that is added; it must be a new one.
fn output(name: &str, reader: &mut Reader<'_>, features: &[Text]) -> String {
    let output = reader.required_text("output", "score");
    if let Some(output) = output.as_ref().filter(|o| features.iter().any(|f| f.value == o.value)) {
        let diagnostic = reader
            .cx
            .error(&output.at, format!("`{}` is both a feature and the output of `{name}`", output.shown))
            .expected("expected the name of a new column");
        reader.cx.report(diagnostic.help("give the output a name of its own, such as `score`"));
    }
    output.map(|t| t.value).unwrap_or_default()
}
