//! Names of column types, as pipelines and plugins write them.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, TimeUnit};

/// Largest length of a fixed-size list; a row of 64 Ki floats is 256 KiB already.
const MAX_LIST: i32 = 65_536;

/// The Arrow type of a type name such as `f64`, `utf8`, `timestamp` or `f32[128]`.
pub fn parse_type(name: &str) -> Option<DataType> {
    Some(match name {
        "bool" => DataType::Boolean,
        "i32" => DataType::Int32,
        "i64" => DataType::Int64,
        "u32" => DataType::UInt32,
        "u64" => DataType::UInt64,
        "f32" => DataType::Float32,
        "f64" => DataType::Float64,
        "utf8" => DataType::Utf8,
        "binary" => DataType::Binary,
        "timestamp" => DataType::Timestamp(TimeUnit::Millisecond, None),
        "date" => DataType::Date32,
        "list<f32>" => DataType::List(item()),
        _ => {
            let size: i32 = name.strip_prefix("f32[")?.strip_suffix(']')?.parse().ok()?;
            if !(1..=MAX_LIST).contains(&size) {
                return None;
            }
            DataType::FixedSizeList(item(), size)
        }
    })
}

/// The name of an Arrow type in a pipeline file; Arrow's own name when a pipeline has none.
pub fn format_type(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "bool".into(),
        DataType::Int32 => "i32".into(),
        DataType::Int64 => "i64".into(),
        DataType::UInt32 => "u32".into(),
        DataType::UInt64 => "u64".into(),
        DataType::Float32 => "f32".into(),
        DataType::Float64 => "f64".into(),
        DataType::Utf8 => "utf8".into(),
        DataType::Binary => "binary".into(),
        DataType::Timestamp(TimeUnit::Millisecond, _) => "timestamp".into(),
        DataType::Date32 => "date".into(),
        DataType::List(_) => "list<f32>".into(),
        DataType::FixedSizeList(_, n) => format!("f32[{n}]"),
        other => other.to_string(),
    }
}

/// The item of a list of floats: not nullable, as models want numbers.
fn item() -> Arc<Field> {
    Arc::new(Field::new("item", DataType::Float32, false))
}
