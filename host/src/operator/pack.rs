//! From rows to the packed buffer of a call. Buffers are kept between calls.

use std::cell::Cell;
use std::ops::Range;

use arrow::array::ArrayRef;
use millstream_batch::{InputKind, InputParts, Keys, LayoutError, NoKeys, write_arrow_input};

use super::error::Fault;
use super::generation::Generation;
use super::instance::Instance;
use super::keys::{Dense, Migrated, Table};
use super::runner::Rows;
use super::slots::{Keyed, Slots};
use crate::record::Batch;

/// Scratch space for packing.
#[derive(Default)]
pub(super) struct Packer {
    /// The packed buffer, once [`Packer::pack`] went well.
    pub(super) packed: Vec<u8>,
    pub(super) dense: Dense,
    columns: Vec<ArrayRef>,
}

impl Packer {
    /// Packs `part`, which is the rows `range` of `rows`. Slots of an older state version are
    /// carried over by the plugin first, and returned.
    pub(super) fn pack<S: Slots>(
        &mut self,
        generation: &Generation,
        instance: &mut Instance,
        rows: &Rows<'_>,
        part: &Batch,
        range: Range<usize>,
        keyed: Option<&Keyed<'_, S>>,
    ) -> Result<Migrated, Fault> {
        let columns = part.columns.columns();
        self.columns.extend(generation.columns.inputs.iter().filter_map(|&at| columns.get(at).cloned()));
        let migrated = self.write(generation, instance, rows, part, range, keyed);
        // Rows must not be kept alive until the next batch.
        self.columns.clear();
        migrated
    }

    fn write<S: Slots>(
        &mut self,
        generation: &Generation,
        instance: &mut Instance,
        rows: &Rows<'_>,
        part: &Batch,
        range: Range<usize>,
        keyed: Option<&Keyed<'_, S>>,
    ) -> Result<Migrated, Fault> {
        let Some(keyed) = keyed else {
            let parts: InputParts<'_, NoKeys> = parts(rows, part, None);
            write_arrow_input(&mut self.packed, &parts, &self.columns).map_err(broken)?;
            return Ok(Migrated::new());
        };
        self.dense.set(keyed, range, part.rows() == rows.batch.rows());
        let mut migrated = Migrated::new();
        loop {
            let table = Table {
                slots: &*keyed.slots,
                dense: &self.dense,
                len: self.dense.len(keyed),
                version: generation.state().map(|s| s.version),
                migrated: &migrated,
                stale: Cell::new(false),
            };
            let keys = Keys { index: self.dense.rows(keyed), table: &table };
            write_arrow_input(&mut self.packed, &parts(rows, part, Some(keys)), &self.columns).map_err(broken)?;
            if !table.stale.get() {
                return Ok(migrated);
            }
            // Only once: no slot of another version is left then.
            migrated = table.migrate(instance)?;
        }
    }
}

fn parts<'a, K: millstream_batch::KeyTable>(
    rows: &Rows<'_>,
    part: &'a Batch,
    keys: Option<Keys<'a, K>>,
) -> InputParts<'a, K> {
    InputParts {
        kind: InputKind::Batch,
        rows: part.rows(),
        event_times: &part.event_times,
        keys,
        watermark: rows.watermark,
        processing_time: rows.processing_time,
    }
}

/// Rows that cannot be packed are the host's mistake: schemas were compared when it was built.
fn broken(error: LayoutError) -> Fault {
    Fault::Host(format!("rows cannot be packed: {error}"))
}
