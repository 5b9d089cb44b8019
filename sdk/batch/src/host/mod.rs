//! The host's side: Arrow arrays to and from the packed layout.

mod answer;
mod input;

pub use answer::{AnswerSchemas, AnswerView};
pub use input::write_arrow_input;

use arrow::datatypes::{DataType, TimeUnit};

use crate::ColumnType;

#[cfg(target_endian = "big")]
compile_error!("Arrow columns are shared with the guest's buffer, which is little-endian");

/// The column type that holds an Arrow type; `None` when plugins cannot read it.
pub fn column_type(data_type: &DataType) -> Option<ColumnType> {
    Some(match data_type {
        DataType::Boolean => ColumnType::Bool,
        DataType::Int32 => ColumnType::I32,
        DataType::Int64 => ColumnType::I64,
        DataType::UInt32 => ColumnType::U32,
        DataType::UInt64 => ColumnType::U64,
        DataType::Float32 => ColumnType::F32,
        DataType::Float64 => ColumnType::F64,
        DataType::Utf8 => ColumnType::Utf8,
        DataType::Binary => ColumnType::Binary,
        DataType::Timestamp(TimeUnit::Millisecond, _) => ColumnType::Timestamp,
        DataType::Date32 => ColumnType::Date,
        DataType::List(item) if item.data_type() == &DataType::Float32 => ColumnType::ListF32,
        DataType::FixedSizeList(item, size) if item.data_type() == &DataType::Float32 => {
            ColumnType::fixed(u32::try_from(*size).ok()?)?
        }
        _ => return None,
    })
}
