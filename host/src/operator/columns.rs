//! Which column goes where: from the rows before an operator to the plugin's packed input, and
//! from the plugin's answer to the rows behind it. Worked out once, when the operator is built.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};

use super::description::{Description, Port};
use crate::record::format_type;

/// The columns of one operator.
#[derive(Clone, Debug)]
pub(super) struct Columns {
    /// For each input of the plugin, the column of the operator's input.
    pub(super) inputs: Vec<usize>,
    /// One for each output port.
    pub(super) ports: Vec<PortColumns>,
}

/// The columns of one output port.
#[derive(Clone, Debug)]
pub(super) struct PortColumns {
    pub(super) schema: SchemaRef,
    pub(super) from: Vec<From>,
}

/// Where a column of an output comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// This column of the operator's input, by the origin row.
    Input(usize),
    /// This column of the plugin's port.
    Plugin(usize),
}

impl Columns {
    /// Finds every column that the plugin reads and lays out its outputs.
    ///
    /// # Errors
    /// One line that names the column, what was expected and what is there.
    pub(super) fn bind(plugin: &Description, forward: Option<&[String]>, input: &Schema) -> Result<Self, String> {
        let inputs = plugin.inputs.fields().iter().map(|f| find(f, input)).collect::<Result<_, _>>()?;
        let forwarded = match forward {
            None => (0..input.fields().len()).collect(),
            Some(names) => names
                .iter()
                .map(|n| position(n, input).ok_or_else(|| missing("forward", n, input)))
                .collect::<Result<Vec<_>, _>>()?,
        };
        let ports = plugin.outputs.iter().map(|port| lay_out(port, &forwarded, input)).collect();
        Ok(Self { inputs, ports })
    }
}

/// Forwarded columns in their order, each replaced by the plugin's column of the same name, then
/// the plugin's other columns.
fn lay_out(port: &Port, forwarded: &[usize], input: &Schema) -> PortColumns {
    let own = port.schema.fields();
    let mut fields: Vec<Arc<Field>> = Vec::with_capacity(forwarded.len() + own.len());
    let mut from = Vec::with_capacity(fields.capacity());
    let mut used = vec![false; own.len()];
    for &at in forwarded {
        let Some(field) = input.fields().get(at) else { continue };
        match own.iter().enumerate().find(|(_, f)| f.name() == field.name()) {
            Some((i, replacement)) => {
                if let Some(used) = used.get_mut(i) {
                    *used = true;
                }
                fields.push(replacement.clone());
                from.push(From::Plugin(i));
            }
            None => {
                fields.push(field.clone());
                from.push(From::Input(at));
            }
        }
    }
    for ((i, field), _) in own.iter().enumerate().zip(&used).filter(|(_, used)| !**used) {
        fields.push(field.clone());
        from.push(From::Plugin(i));
    }
    PortColumns { schema: Arc::new(Schema::new(fields)), from }
}

fn find(wanted: &Field, input: &Schema) -> Result<usize, String> {
    let at = position(wanted.name(), input).ok_or_else(|| {
        missing(&format!("the plugin reads {} from", format_type(wanted.data_type())), wanted.name(), input)
    })?;
    let found = input.field(at).data_type();
    if found != wanted.data_type() {
        return Err(format!(
            "the plugin reads column `{}` as {}, but the rows have it as {}",
            wanted.name(),
            format_type(wanted.data_type()),
            format_type(found)
        ));
    }
    Ok(at)
}

fn position(name: &str, schema: &Schema) -> Option<usize> {
    schema.fields().iter().position(|f| f.name() == name)
}

fn missing(who: &str, name: &str, schema: &Schema) -> String {
    let names: Vec<_> = schema.fields().iter().map(|f| format!("`{}`", f.name())).collect();
    format!("{who} column `{name}`, which the rows do not have; they have {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::DataType;

    use super::*;

    fn schema(fields: &[(&str, DataType)]) -> Schema {
        Schema::new(fields.iter().map(|(n, t)| Field::new(*n, t.clone(), false)).collect::<Vec<_>>())
    }

    fn plugin(inputs: Schema, output: Schema) -> Description {
        Description {
            name: "p".into(),
            version: "1".into(),
            inputs: Arc::new(inputs),
            outputs: vec![Port { name: "main".into(), schema: Arc::new(output) }],
            state: None,
            counters: vec![],
            capabilities: vec![],
        }
    }

    #[test]
    fn a_plugin_column_replaces_a_forwarded_one_in_its_place() {
        let input = schema(&[("a", DataType::Utf8), ("b", DataType::Int64), ("c", DataType::Int64)]);
        let plugin =
            plugin(schema(&[("c", DataType::Int64)]), schema(&[("d", DataType::Float64), ("b", DataType::Float64)]));
        let columns = Columns::bind(&plugin, None, &input).unwrap();
        assert_eq!(columns.inputs, [2]);
        let names: Vec<_> = columns.ports[0].schema.fields().iter().map(|f| f.name().as_str()).collect();
        assert_eq!(names, ["a", "b", "c", "d"]);
        assert_eq!(columns.ports[0].from, [From::Input(0), From::Plugin(1), From::Input(2), From::Plugin(0)]);
        assert_eq!(columns.ports[0].schema.field(1).data_type(), &DataType::Float64);
    }

    #[test]
    fn forward_chooses_and_orders_columns() {
        let input = schema(&[("a", DataType::Utf8), ("b", DataType::Int64)]);
        let columns =
            Columns::bind(&plugin(schema(&[]), schema(&[])), Some(&["b".into(), "a".into()]), &input).unwrap();
        assert_eq!(columns.ports[0].from, [From::Input(1), From::Input(0)]);
    }

    #[test]
    fn errors_name_the_column_and_what_is_there() {
        let input = schema(&[("a", DataType::Utf8)]);
        let reads = |name, t| Columns::bind(&plugin(schema(&[(name, t)]), schema(&[])), None, &input).unwrap_err();
        assert_eq!(
            reads("b", DataType::Int64),
            "the plugin reads i64 from column `b`, which the rows do not have; they have `a`"
        );
        assert_eq!(reads("a", DataType::Int64), "the plugin reads column `a` as i64, but the rows have it as utf8");
        let forward = Columns::bind(&plugin(schema(&[]), schema(&[])), Some(&["x".into()]), &input).unwrap_err();
        assert_eq!(forward, "forward column `x`, which the rows do not have; they have `a`");
    }
}
