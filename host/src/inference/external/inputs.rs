//! What is sent of a batch's rows, by what the protocol takes.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int32Type, Int64Type, Schema, TimeUnit, TimestampMillisecondType, UInt32Type,
    UInt64Type,
};
use serde_json::{Map, Number, Value};

use super::rows::Features;
use crate::inference::features::{Changed, Features as Columns, Rows};
use crate::inference::http::Wants;
use crate::record::format_type;

/// Where a batch has what is sent; the numbers are indices of columns.
#[derive(Debug)]
pub(super) enum Inputs {
    /// Numbers, this many a row where that is known; else as many as most rows of a batch have.
    Tensor(Columns, Option<usize>),
    /// One text.
    Text(usize),
    /// Columns by name.
    Objects(Vec<(String, usize)>),
}

/// What is sent, and the rows of the batch that it is of.
pub(super) struct Read {
    pub features: Features,
    /// Indices of the rows, ascending; all of them when absent.
    pub kept: Option<Vec<u32>>,
    /// The others, with the reason.
    pub rejected: Vec<(u32, String)>,
}

impl Inputs {
    /// Finds the columns.
    pub(super) fn of(input: &Schema, names: &[String], wants: Wants) -> Result<Self, String> {
        let columns = names.iter().map(|name| {
            input.column_with_name(name).ok_or_else(|| {
                let has: Vec<&str> = input.fields().iter().map(|f| f.name().as_str()).collect();
                format!("its input has no column `{name}`; it has {}", has.join(", "))
            })
        });
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let types = || {
            let one =
                |(_, f): &(usize, &arrow::datatypes::Field)| format!("`{}` {}", f.name(), format_type(f.data_type()));
            columns.iter().map(one).collect::<Vec<_>>().join(", ")
        };
        match wants {
            Wants::Tensor => {
                if let [(index, field)] = columns[..] {
                    match field.data_type() {
                        DataType::FixedSizeList(item, n) if *item.data_type() == DataType::Float32 => {
                            return Ok(Self::Tensor(Columns::Vector(index), usize::try_from(*n).ok()));
                        }
                        DataType::List(item) if *item.data_type() == DataType::Float32 => {
                            return Ok(Self::Tensor(Columns::List(index), None));
                        }
                        _ => {}
                    }
                }
                if columns.iter().all(|(_, f)| matches!(f.data_type(), DataType::Float32 | DataType::Float64)) {
                    let width = columns.len();
                    return Ok(Self::Tensor(
                        Columns::Columns(columns.into_iter().map(|(i, _)| i).collect()),
                        Some(width),
                    ));
                }
                Err(format!(
                    "`features` wants one column of type f32[N] or list<f32>, or columns of type f32 or f64, and has {}",
                    types()
                ))
            }
            Wants::Texts => match columns[..] {
                [(index, field)] if *field.data_type() == DataType::Utf8 => Ok(Self::Text(index)),
                _ => Err(format!("`features` wants one column of type utf8 for this protocol, and has {}", types())),
            },
            Wants::Objects => {
                Ok(Self::Objects(columns.into_iter().map(|(index, f)| (f.name().clone(), index)).collect()))
            }
        }
    }

    /// Rows of a list have this many numbers.
    pub(super) fn know_width(&mut self, width: usize) {
        if let Self::Tensor(_, known) = self {
            known.get_or_insert(width);
        }
    }

    /// Reads a batch.
    pub(super) fn read(&self, batch: &RecordBatch) -> Result<Read, String> {
        let changed = |Changed| "the batch is not of the schema that was checked".to_owned();
        match self {
            Self::Tensor(columns, known) => {
                let Some(width) = known.or_else(|| columns.usual_length(batch)) else {
                    let rejected = (0..batch.num_rows() as u32).map(|row| (row, "it has no features".to_owned()));
                    let features = Features::Tensor { values: Vec::new(), width: 0 };
                    return Ok(Read { features, kept: Some(Vec::new()), rejected: rejected.collect() });
                };
                let mut buffer = Vec::new();
                let (values, kept, rejected) = match columns.read(batch, width, &mut buffer).map_err(changed)? {
                    Rows::Borrowed(values) => (values.to_vec(), None, Vec::new()),
                    Rows::Gathered => (buffer, None, Vec::new()),
                    Rows::Some { kept, rejected } => (buffer, Some(kept), rejected),
                };
                Ok(Read { features: Features::Tensor { values, width }, kept, rejected })
            }
            Self::Text(index) => {
                let column = batch.columns().get(*index).ok_or(Changed).map_err(changed)?;
                let texts = column.as_string_opt::<i32>().ok_or(Changed).map_err(changed)?.clone();
                if texts.null_count() == 0 {
                    return Ok(Read { features: Features::Texts(texts), kept: None, rejected: Vec::new() });
                }
                let name = batch.schema_ref().field(*index).name().clone();
                let (nulls, kept): (Vec<u32>, Vec<u32>) =
                    (0..texts.len() as u32).partition(|&row| texts.is_null(row as usize));
                let rejected = nulls.into_iter().map(|row| (row, format!("column `{name}` is null"))).collect();
                let texts = kept.iter().map(|&row| Some(texts.value(row as usize))).collect();
                Ok(Read { features: Features::Texts(texts), kept: Some(kept), rejected })
            }
            Self::Objects(columns) => {
                let object = |row: usize| -> Map<String, Value> {
                    let value = |(name, index): &(String, usize)| {
                        (name.clone(), batch.columns().get(*index).map_or(Value::Null, |c| json(c.as_ref(), row)))
                    };
                    columns.iter().map(value).collect()
                };
                let objects = (0..batch.num_rows()).map(object).collect();
                Ok(Read { features: Features::Objects(objects), kept: None, rejected: Vec::new() })
            }
        }
    }
}

/// A value as JSON. What JSON cannot say, as NaN, is null.
fn json(column: &dyn Array, row: usize) -> Value {
    if column.is_null(row) {
        return Value::Null;
    }
    let float = |v: f64| Number::from_f64(v).map_or(Value::Null, Value::Number);
    match column.data_type() {
        DataType::Boolean => column.as_boolean().value(row).into(),
        DataType::Int32 => column.as_primitive::<Int32Type>().value(row).into(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).into(),
        DataType::UInt32 => column.as_primitive::<UInt32Type>().value(row).into(),
        DataType::UInt64 => column.as_primitive::<UInt64Type>().value(row).into(),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            column.as_primitive::<TimestampMillisecondType>().value(row).into()
        }
        DataType::Float32 => float(column.as_primitive::<Float32Type>().value(row).into()),
        DataType::Float64 => float(column.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8 => column.as_string::<i32>().value(row).into(),
        DataType::List(_) => list(column.as_list::<i32>().value(row).as_ref()),
        DataType::FixedSizeList(_, _) => list(column.as_fixed_size_list().value(row).as_ref()),
        _ => Value::Null,
    }
}

fn list(values: &dyn Array) -> Value {
    Value::Array((0..values.len()).map(|row| json(values, row)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, BooleanArray, Float32Array, Float64Array, Int64Array, ListArray, StringArray};
    use arrow::datatypes::{Field, Float32Type as F32};
    use std::sync::Arc;

    fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
        let fields: Vec<Field> =
            columns.iter().map(|(name, c)| Field::new(*name, c.data_type().clone(), true)).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, c)| c).collect()).unwrap()
    }

    fn read(batch: &RecordBatch, names: &[&str], wants: Wants) -> Read {
        let names: Vec<String> = names.iter().map(|&n| n.to_owned()).collect();
        Inputs::of(batch.schema_ref(), &names, wants).unwrap().read(batch).unwrap()
    }

    #[test]
    fn lists_have_the_length_of_most_and_others_are_rejected() {
        let lists = ListArray::from_iter_primitive::<F32, _, _>([
            None,
            Some(vec![Some(3.0)]),
            Some(vec![Some(1.0), Some(2.0)]),
            Some(vec![]),
            Some(vec![]),
            Some(vec![]),
            Some(vec![Some(4.0), Some(5.0)]),
        ]);
        let read = read(&batch(vec![("x", Arc::new(lists))]), &["x"], Wants::Tensor);
        assert!(matches!(&read.features, Features::Tensor { values, width: 2 } if values == &[1.0, 2.0, 4.0, 5.0]));
        assert_eq!((read.kept, read.rejected.len()), (Some(vec![2, 6]), 5));
    }

    #[test]
    fn columns_of_numbers_are_rows_of_a_tensor() {
        let (a, b) = (Float32Array::from(vec![1.0, 2.0]), Float64Array::from(vec![3.0, 4.0]));
        let read = read(&batch(vec![("a", Arc::new(a)), ("b", Arc::new(b))]), &["b", "a"], Wants::Tensor);
        assert!(matches!(&read.features, Features::Tensor { values, width: 2 } if values == &[3.0, 1.0, 4.0, 2.0]));
    }

    #[test]
    fn a_null_text_is_rejected() {
        let texts = StringArray::from(vec![Some("a"), None, Some("c")]);
        let read = read(&batch(vec![("t", Arc::new(texts))]), &["t"], Wants::Texts);
        assert!(matches!(&read.features, Features::Texts(t) if t.len() == 2 && t.value(1) == "c"));
        assert_eq!(read.rejected, [(1, "column `t` is null".to_owned())]);
    }

    #[test]
    fn objects_have_the_values_of_their_columns() {
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("yes", Arc::new(BooleanArray::from(vec![true]))),
            ("n", Arc::new(Int64Array::from(vec![-7]))),
            ("x", Arc::new(Float64Array::from(vec![f64::NAN]))),
            ("t", Arc::new(StringArray::from(vec!["a\"b"]))),
            ("l", Arc::new(ListArray::from_iter_primitive::<F32, _, _>([Some(vec![Some(1.5), None])]))),
        ];
        let read = read(&batch(columns), &["yes", "n", "x", "t", "l"], Wants::Objects);
        let Features::Objects(objects) = read.features else { panic!() };
        assert_eq!(
            Value::Object(objects[0].clone()).to_string(),
            r#"{"yes":true,"n":-7,"x":null,"t":"a\"b","l":[1.5,null]}"#
        );
    }

    #[test]
    fn columns_that_do_not_fit_are_named() {
        let batch = batch(vec![("t", Arc::new(StringArray::from(vec!["a"])))]);
        let of = |name: &str, wants| Inputs::of(batch.schema_ref(), &[name.to_owned()], wants).unwrap_err();
        assert!(of("t", Wants::Tensor).contains("`t` utf8"));
        assert!(of("u", Wants::Texts).contains("no column `u`; it has t"));
    }
}
