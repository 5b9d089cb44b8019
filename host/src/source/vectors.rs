//! Vectors of random floats as columns: a pool of ready arrays, of which every chunk shares one.

use std::sync::Arc;

use arrow::array::{ArrayRef, FixedSizeListArray, Float32Array, RecordBatch};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{DataType, Field, SchemaRef};

use super::Chunk;
use super::generator::Make;
use crate::record::{Batch, format_type};

/// Bytes of an array of the pool, at most, and how many there are: enough that a model does not
/// find its input in the cache.
const ARRAY_BYTES: usize = 1 << 20;
const ARRAYS: usize = 8;

/// Rows of one column `features`.
pub(super) struct Vectors {
    pool: Vec<RecordBatch>,
    next: usize,
}

impl Vectors {
    /// Vectors of `size` floats, for a schema of one such column.
    pub fn new(schema: &SchemaRef, size: usize, seed: u64, batch_rows: usize) -> Result<Self, String> {
        let vector = |field: &Field| match field.data_type() {
            DataType::FixedSizeList(item, length)
                if item.data_type() == &DataType::Float32 && usize::try_from(*length) == Ok(size) =>
            {
                Some((item.clone(), *length))
            }
            _ => None,
        };
        let only = schema.fields().first().filter(|_| schema.fields().len() == 1);
        let Some((item, length)) = only.and_then(|field| vector(field)) else {
            let types: Vec<String> = schema.fields().iter().map(|f| format_type(f.data_type())).collect();
            return Err(format!(
                "the generator makes vectors of type f32[{size}]; its schema has to be features = \"f32[{size}]\", \
                 and is of {}",
                types.join(", ")
            ));
        };
        let rows = (ARRAY_BYTES / (size.max(1) * 4)).clamp(1, batch_rows.max(1));
        let mut random = Random::new(seed);
        let pool = (0..ARRAYS).map(|_| {
            let values = Float32Array::from_iter_values((0..rows * size).map(|_| random.float()));
            let vectors = FixedSizeListArray::try_new(item.clone(), length, Arc::new(values), None)?;
            RecordBatch::try_new(schema.clone(), vec![Arc::new(vectors) as ArrayRef])
        });
        let pool = pool.collect::<Result<_, _>>().map_err(|error| format!("cannot make vectors: {error}"))?;
        Ok(Self { pool, next: 0 })
    }
}

impl Make for Vectors {
    fn make(&mut self, first: u64, most: usize) -> (Chunk, u64) {
        let Some(columns) = self.pool.get(self.next) else {
            return (Chunk::Rows(Batch::empty(Arc::new(arrow::datatypes::Schema::empty()))), 0);
        };
        self.next = (self.next + 1) % self.pool.len();
        let rows = columns.num_rows().min(most);
        let columns = columns.slice(0, rows);
        let offsets = (first..).take(rows).collect();
        (Chunk::Rows(Batch { columns, offsets, event_times: ScalarBuffer::default() }), rows as u64)
    }
}

/// Random numbers (splitmix64): the same for the same seed everywhere.
pub(super) struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number between -2 and 2, about as standardised features are.
    pub fn float(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ bits >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^= bits >> 31;
        (bits >> 40) as f32 / (1 << 22) as f32 - 2.0
    }
}
