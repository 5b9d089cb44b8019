//! Calls, and finding the row that kills a plugin.
//!
//! After a failed call the rows are tried again by halves on a fresh instance, in order, so that
//! rows of one key never change places. What is left is a single row, which is rejected with what
//! happened; all others were processed.

use std::ops::Range;
use std::time::Duration;

use super::apply::accept;
use super::error::{Failure, Fault};
use super::outcome::{Outcome, RowRejected};
use super::runner::{Rows, Runner};
use super::slots::{Keyed, Slots};

/// Rows in a row that may fail alone before the plugin, and not the rows, is taken to be broken.
/// At the default deadline that many endless loops cost half a minute, which is long enough to
/// stand still.
const MAX_CONSECUTIVE: u32 = 32;

/// Rows of one batch that may run past the deadline, whatever happens between them.
const MAX_LATE: u32 = 32;

/// While a row is being looked for, parts get this share of the deadline: a part that needs longer
/// is only cut smaller, and a single row has the whole deadline before it is rejected. So an
/// endless loop in one of 1,024 rows costs about 3 deadlines and not 11.
const PROBE_SHARE: u32 = 8;

impl Runner {
    /// One call for the rows of a range. On success the answer is applied; otherwise nothing is.
    pub(super) fn attempt<S: Slots>(
        &mut self,
        rows: &Rows<'_>,
        keyed: &mut Option<Keyed<'_, S>>,
        range: Range<usize>,
        deadline: Duration,
        out: &mut Outcome,
    ) -> Result<(), Fault> {
        let slice;
        let part = if range.len() == rows.batch.rows() {
            rows.batch
        } else {
            slice = rows.batch.slice(range.start, range.len());
            &slice
        };
        let instance = match &mut self.instance {
            Some(instance) => instance,
            none => {
                out.stats.restarts += u64::from(std::mem::take(&mut self.failed));
                self.used = false;
                none.insert(self.generation.start(&self.engine, &self.config, &self.limits)?)
            }
        };
        instance.set_time(rows.processing_time, rows.watermark);
        let generation = &self.generation;
        let migrated = self.packer.pack(generation, instance, rows, part, range.clone(), keyed.as_ref())?;

        out.stats.calls += 1;
        let answer = match instance.process(&self.packer.packed, deadline) {
            Err(Fault::Retry(_)) => {
                out.stats.calls += 1;
                instance.process(&self.packer.packed, deadline)?
            }
            answered => answered?,
        };
        let dense = &self.packer.dense;
        let keys = keyed.as_ref().map_or(0, |keyed| dense.len(keyed));
        let accepted = accept(generation, part, answer, keys)?;

        // Nothing fails from here on.
        accepted.apply(generation, rows, range.start, keyed.as_mut().map(|k| (k, dense)), &migrated, out);
        out.stats.rows += part.rows() as u64;
        self.used = true;
        self.consecutive = 0;
        if instance.memory_bytes() > self.limits.recycle_bytes {
            self.instance = None;
            out.stats.recycles += 1;
        }
        Ok(())
    }

    /// Tries the rows of a range whose call failed with `fault` again, in smaller parts.
    pub(super) fn isolate<S: Slots>(
        &mut self,
        rows: &Rows<'_>,
        keyed: &mut Option<Keyed<'_, S>>,
        range: Range<usize>,
        fault: Fault,
        out: &mut Outcome,
    ) -> Result<(), Failure> {
        let mut fault = fault;
        self.give_up_instance(&fault, out)?;
        if range.len() > 1 {
            let middle = range.start + range.len() / 2;
            for half in [range.start..middle, middle..range.end] {
                let alone = half.len() == 1;
                let deadline = if alone { self.limits.deadline } else { self.limits.deadline / PROBE_SHARE };
                if let Err(fault) = self.attempt(rows, keyed, half.clone(), deadline, out) {
                    self.isolate(rows, keyed, half, fault, out)?;
                }
            }
            return Ok(());
        }
        // The row may only have met what others left behind in the instance.
        if self.used && !matches!(fault, Fault::Deadline(_) | Fault::Rejected(_) | Fault::Retry(_)) {
            match self.attempt(rows, keyed, range.clone(), self.limits.deadline, out) {
                Ok(()) => return Ok(()),
                Err(again) => fault = again,
            }
            self.give_up_instance(&fault, out)?;
        }
        self.reject(rows.place(range.start), &fault, out)
    }

    fn reject(&mut self, row: u32, fault: &Fault, out: &mut Outcome) -> Result<(), Failure> {
        out.rejected.push(RowRejected { row, reason: format!("{}: {fault}", self.generation.plugin.label()) });
        // A plugin that returns an error is at work; it is the row that it does not like.
        if !matches!(fault, Fault::Rejected(_) | Fault::Retry(_)) {
            self.consecutive += 1;
        }
        self.late += u32::from(matches!(fault, Fault::Deadline(_)));
        if self.consecutive >= MAX_CONSECUTIVE {
            return Err(self.failure(format!(
                "it failed on {MAX_CONSECUTIVE} rows one after the other, the last time with: {fault}"
            )));
        }
        if self.late >= MAX_LATE {
            return Err(self.failure(format!("{MAX_LATE} rows of one batch, each alone: {fault}")));
        }
        Ok(())
    }

    /// Throws the instance away, or stops when another one would not help.
    fn give_up_instance(&mut self, fault: &Fault, out: &mut Outcome) -> Result<(), Failure> {
        match fault {
            Fault::Fatal(_) | Fault::Configuration(_) | Fault::Host(_) => return Err(self.failure(fault)),
            Fault::Deadline(_) => out.stats.timeouts += 1,
            Fault::Rejected(_) | Fault::Retry(_) => {}
            _ => out.stats.traps += 1,
        }
        self.instance = None;
        self.failed = true;
        Ok(())
    }
}
