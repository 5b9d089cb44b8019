//! May this generation take over from that one? Decided from descriptions alone.

use super::OperatorConfig;
use super::columns::Columns;
use super::description::Description;
use super::plugin::Plugin;
use arrow::datatypes::Schema;

/// Whether `new` may take over `operator` from `old`, whose input has the schema `input`.
///
/// # Errors
/// One line that says what differs.
pub(super) fn may_replace(old: &Plugin, new: &Plugin, operator: &OperatorConfig, input: &Schema) -> Result<(), String> {
    let name = &operator.name;
    let columns = |d: &Description| Columns::bind(d, operator.forward.as_deref(), input);
    let columns_new = columns(new.description()).map_err(|e| format!("operator `{name}`: {e}"))?;
    let columns_old = columns(old.description()).map_err(|e| format!("operator `{name}`: {e}"))?;
    same_ports(old.description(), new.description()).map_err(|e| format!("operator `{name}`: {e}"))?;
    // Nullability of forwarded columns is the same on both sides, so this compares the plugin's.
    for (a, b) in columns_old.ports.iter().zip(&columns_new.ports) {
        if a.schema != b.schema {
            return Err(format!(
                "operator `{name}`: its output would have other columns ({}) than now ({}); a running pipeline cannot change them, restart it",
                list(&b.schema),
                list(&a.schema)
            ));
        }
    }
    let (was, is) = (old.description().state, new.description().state);
    match (was.map(|s| s.version), is.map(|s| s.version)) {
        (was, is) if was == is => Ok(()),
        (Some(was), Some(is)) if is > was && new.migrates_state() => Ok(()),
        (Some(was), Some(is)) if is > was => Err(format!(
            "operator `{name}`: its state has version {is}, the running one {was}, and it does not export `migrate-state`"
        )),
        (Some(was), Some(is)) => {
            Err(format!("operator `{name}`: its state has version {is}, older than version {was} of the running one"))
        }
        (None, _) => Err(format!("operator `{name}`: it keeps state per key, the running one does not")),
        (_, None) => Err(format!("operator `{name}`: it keeps no state, the running one does")),
    }
}

fn same_ports(old: &Description, new: &Description) -> Result<(), String> {
    let names = |d: &Description| d.outputs.iter().map(|p| p.name.clone()).collect::<Vec<_>>();
    let (was, is) = (names(old), names(new));
    if was == is { Ok(()) } else { Err(format!("its output ports are {is:?}, those of the running one {was:?}")) }
}

fn list(schema: &Schema) -> String {
    let columns: Vec<_> = schema
        .fields()
        .iter()
        .map(|f| {
            let null = if f.is_nullable() { " or null" } else { "" };
            format!("{}: {}{null}", f.name(), crate::record::format_type(f.data_type()))
        })
        .collect();
    columns.join(", ")
}
