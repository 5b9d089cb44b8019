//! Taking an answer over: first everything that can fail, then everything that has an effect.

use millstream_batch::{AnswerView, Increment};

use super::emit;
use super::error::{Fault, one_line};
use super::generation::Generation;
use super::keys::{Dense, Migrated};
use super::outcome::{Outcome, RowRejected};
use super::runner::Rows;
use super::slots::{Keyed, Slots};
use crate::record::Batch;

/// An answer that may be applied.
pub(super) struct Accepted {
    answer: AnswerView,
    ports: Vec<Batch>,
}

/// Checks what the layout does not know of, and makes the output rows of `part`.
pub(super) fn accept(generation: &Generation, part: &Batch, answer: Vec<u8>, keys: usize) -> Result<Accepted, Fault> {
    let answer = AnswerView::parse(answer, &generation.answers, part.rows(), keys)
        .map_err(|e| Fault::Answer(one_line(&e.to_string())))?;
    if let Some(error) = answer.errors().find(|e| e.code == 3) {
        return Err(Fault::Fatal(one_line(error.message)));
    }
    if answer.timers().len() > 0 {
        return Err(Fault::Answer("it sets timers, but its description says that it sets none".into()));
    }
    match generation.state() {
        None if answer.slots().len() > 0 => {
            return Err(Fault::Answer("it writes state, but its description says that it keeps none".into()));
        }
        Some(state) if state.fixed_size > 0 => {
            let size = state.fixed_size as usize;
            if let Some(wrong) = answer.slots().filter_map(|s| s.bytes).find(|bytes| bytes.len() != size) {
                return Err(Fault::Answer(format!("a slot of {} bytes, but its description says {size}", wrong.len())));
            }
        }
        _ => {}
    }
    let ports = generation.columns.ports.iter().enumerate();
    let ports = ports.map(|(at, plan)| emit::rows(part, &answer, at, plan)).collect::<Result<_, _>>();
    Ok(Accepted { ports: ports.map_err(|e| Fault::Answer(one_line(&e.to_string())))?, answer })
}

impl Accepted {
    /// Writes slots and hands over rows, errors and counters. `first` is the index in `rows` of the
    /// first row of the part.
    pub(super) fn apply<S: Slots>(
        self,
        generation: &Generation,
        rows: &Rows<'_>,
        first: usize,
        keyed: Option<(&mut Keyed<'_, S>, &Dense)>,
        migrated: &Migrated,
        out: &mut Outcome,
    ) {
        if let (Some((keyed, dense)), Some(state)) = (keyed, generation.state()) {
            // Those that the plugin changed as well are written over.
            for (key, slot) in migrated {
                keyed.slots.put(*key, state.version, slot);
            }
            for change in self.answer.slots() {
                let key = dense.in_batch(change.key as usize);
                match change.bytes {
                    Some(slot) => keyed.slots.put(key, state.version, slot),
                    None => keyed.slots.delete(key),
                }
            }
        }
        for error in self.answer.errors() {
            let reason = format!("{}: {}", generation.plugin.label(), one_line(error.message));
            out.rejected.push(RowRejected { row: rows.place(first + error.row as usize), reason });
        }
        for counter in self.answer.counters() {
            let Some(sum) = out.counters.get_mut(counter.index as usize) else { continue };
            match counter.by {
                Increment::Whole(by) => sum.whole = sum.whole.saturating_add(by),
                Increment::Fraction(by) => sum.fraction += by,
            }
        }
        for (parts, rows) in out.parts.iter_mut().zip(self.ports) {
            if !rows.is_empty() {
                parts.push(rows);
            }
        }
    }
}
