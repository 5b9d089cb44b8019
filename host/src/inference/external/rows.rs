//! Rows on their way through the operator.
//!
//! A [`Row`] cannot be copied. Who holds it is its one owner, and resolving it takes it: completion,
//! timeout, retry and shutdown cannot both answer the same row.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{Array, StringArray};
use serde_json::{Map, Value};

/// What is sent of rows that were submitted together.
#[derive(Debug)]
pub(super) enum Features {
    /// Numbers, `width` a row.
    Tensor {
        /// They, row by row.
        values: Vec<f32>,
        /// Numbers of a row.
        width: usize,
    },
    /// A text a row.
    Texts(StringArray),
    /// Columns by name.
    Objects(Vec<Map<String, Value>>),
}

/// Stands for the hash of a key that is null.
pub(super) const NO_KEY: u64 = 0;

/// Rows that were submitted together.
#[derive(Debug)]
pub(super) struct Submitted {
    pub features: Features,
    /// When that was.
    pub at: Instant,
    /// Hash of the source and partition that they came from.
    pub partition: u64,
    /// Place of each row in it.
    pub places: Vec<u64>,
    /// Hash of each row's key, [`NO_KEY`] where it is null; empty without a key column.
    pub keys: Vec<u64>,
}

/// A row that is to be answered.
#[derive(Debug)]
pub(super) struct Row {
    /// Its number at the hub.
    pub id: u64,
    pub of: Rc<Submitted>,
    /// Its index among those.
    pub index: u32,
}

impl Row {
    pub(super) fn key(&self) -> Option<u64> {
        self.of.keys.get(self.index as usize).copied().filter(|&key| key != NO_KEY)
    }

    pub(super) fn place(&self) -> u64 {
        self.of.places.get(self.index as usize).copied().unwrap_or_default()
    }

    /// How many numbers it has; rows of one request have the same.
    pub(super) fn width(&self) -> usize {
        if let Features::Tensor { width, .. } = self.of.features { width } else { 0 }
    }

    /// Its numbers; none when it has others.
    pub(super) fn numbers(&self) -> &[f32] {
        match &self.of.features {
            Features::Tensor { values, width } => {
                let start = self.index as usize * width;
                values.get(start..start + width).unwrap_or_default()
            }
            Features::Texts(_) | Features::Objects(_) => &[],
        }
    }

    /// What stands for its features in a cache.
    pub(super) fn feature_bytes(&self, out: &mut Vec<u8>) {
        match &self.of.features {
            Features::Tensor { .. } => self.numbers().iter().for_each(|v| out.extend_from_slice(&v.to_le_bytes())),
            Features::Texts(texts) => out.extend_from_slice(text(texts, self.index).as_bytes()),
            Features::Objects(objects) => {
                // Maps keep the order in which the columns stand, so equal rows are equal text.
                if let Some(object) = objects.get(self.index as usize) {
                    let _ = serde_json::to_writer(&mut *out, object);
                }
            }
        }
    }

    /// Its features for a log.
    pub(super) fn features_json(&self) -> String {
        match &self.of.features {
            Features::Tensor { .. } => {
                let one = |v: &f32| serde_json::Number::from_f64(f64::from(*v)).map_or(Value::Null, Value::Number);
                Value::Array(self.numbers().iter().map(one).collect()).to_string()
            }
            Features::Texts(texts) => Value::String(text(texts, self.index).to_owned()).to_string(),
            Features::Objects(objects) => objects
                .get(self.index as usize)
                .map_or_else(String::new, |object| serde_json::to_string(object).unwrap_or_default()),
        }
    }
}

fn text(texts: &StringArray, index: u32) -> &str {
    let index = index as usize;
    if index < texts.len() { texts.value(index) } else { "" }
}

/// The rows of a request, and what is sent of them.
#[derive(Debug, Default)]
pub(super) struct Request {
    /// Names the rows, the same in each attempt and after a restart: 32 hex digits.
    pub id: String,
    pub rows: usize,
    pub width: usize,
    pub values: Vec<f32>,
    pub texts: Vec<Arc<str>>,
    pub objects: Vec<Map<String, Value>>,
}

impl Request {
    /// What is sent of `rows`. `seed` is the operator's: another one's requests have other names.
    pub(super) fn of(rows: &[Row], seed: u64) -> Self {
        let mut request = Self { id: id(rows, seed), rows: rows.len(), ..Self::default() };
        for row in rows {
            match &row.of.features {
                Features::Tensor { width, .. } => {
                    request.width = *width;
                    request.values.extend_from_slice(row.numbers());
                }
                Features::Texts(texts) => request.texts.push(text(texts, row.index).into()),
                Features::Objects(objects) => request.objects.extend(objects.get(row.index as usize).cloned()),
            }
        }
        request
    }
}

/// A name for these rows, made of where they came from.
fn id(rows: &[Row], seed: u64) -> String {
    let mut hash = xxhash_rust::xxh3::Xxh3::with_seed(seed);
    for row in rows {
        hash.update(&row.of.partition.to_le_bytes());
        hash.update(&row.place().to_le_bytes());
    }
    format!("{:032x}", hash.digest128())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Rows with one number each.
    pub(in crate::inference::external) fn submitted(values: &[f32], keys: &[u64], at: Instant) -> Rc<Submitted> {
        Rc::new(Submitted {
            features: Features::Tensor { values: values.to_vec(), width: 1 },
            at,
            partition: 1,
            places: (0..values.len() as u64).collect(),
            keys: keys.to_vec(),
        })
    }

    pub(in crate::inference::external) fn row(id: u64, of: &Rc<Submitted>, index: u32) -> Row {
        Row { id, of: Rc::clone(of), index }
    }

    #[test]
    fn a_request_is_named_by_where_its_rows_came_from() {
        let of = submitted(&[1.0, 2.0], &[], Instant::now());
        let again = submitted(&[1.0, 2.0], &[], Instant::now());
        let name = |rows: &[Row]| Request::of(rows, 1).id;
        assert_eq!(name(&[row(7, &of, 0), row(8, &of, 1)]), name(&[row(1, &again, 0), row(2, &again, 1)]));
        assert_ne!(name(&[row(7, &of, 0)]), name(&[row(8, &of, 1)]));
        assert_ne!(name(&[row(7, &of, 0)]), Request::of(&[row(7, &of, 0)], 2).id);
        assert_eq!(name(&[row(7, &of, 0)]).len(), 32);
    }

    #[test]
    fn a_request_holds_the_features_of_its_rows_in_their_order() {
        let of = submitted(&[1.0, 2.0, 3.0], &[], Instant::now());
        let request = Request::of(&[row(0, &of, 2), row(1, &of, 0)], 1);
        assert_eq!((request.rows, request.width, &request.values[..]), (2, 1, &[3.0, 1.0][..]));
    }
}
