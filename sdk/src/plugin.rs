//! What an operator implements, and how a batch goes through it.

mod keyed;
mod stateless;

pub use keyed::Keyed;
pub use stateless::Stateless;

use std::cell::Cell;

use millstream_batch::{Answer, FORMAT, Input, LayoutError};

use crate::context::{Context, Host};
use crate::output::{Output, PortDescription, PortSet};
use crate::row::{Field, ReadRow, Row};
use crate::state::State;
use crate::{Config, Error, ErrorKind, Result};

/// An operator without state: each row for itself.
pub trait Operator: Sized {
    /// The row that it reads.
    type In<'a>: ReadRow<'a>;
    /// The row that it emits, or a struct of ports.
    type Out: PortSet;

    /// Makes the operator, once per worker, from its `config` table. `#[operator]` supplies this
    /// from `Default` where it is missing.
    fn open(config: &Config) -> Result<Self>;

    /// Processes one row. An error of kind rejected takes back what the row has emitted and sends it
    /// to the dead-letter sink; other errors end the batch.
    fn process(&mut self, row: Self::In<'_>, out: &mut Output<Self::Out>, cx: &Context) -> Result<()>;
}

/// An operator with state per key.
pub trait KeyedOperator: Sized {
    /// The row that it reads.
    type In<'a>: ReadRow<'a>;
    /// The row that it emits, or a struct of ports.
    type Out: PortSet;
    /// What it keeps per key.
    type State: State;

    /// Makes the operator, once per worker, from its `config` table. `#[operator]` supplies this
    /// from `Default` where it is missing.
    fn open(config: &Config) -> Result<Self>;

    /// Processes one row of a key; the rows of a key come in order. An error of kind rejected takes
    /// back what the row has emitted and what it has changed in the state, and sends it to the
    /// dead-letter sink; other errors end the batch, of which nothing is kept then. What the row has
    /// changed in `self` stays either way: `self` is for what `open` made and for scratch memory.
    fn process(
        &mut self,
        row: Self::In<'_>,
        state: &mut Self::State,
        out: &mut Output<Self::Out>,
        cx: &Context,
    ) -> Result<()>;
}

/// The operator that a plugin's crate exports. Implemented by `#[operator]`.
pub trait Plugin {
    /// Name by which a pipeline finds it.
    const NAME: &'static str;
    /// Semantic version.
    const VERSION: &'static str;
    /// Names of its counters.
    const COUNTERS: &'static [&'static str];
    /// Host interfaces that it would like.
    const CAPABILITIES: &'static [&'static str];
    /// How batches go through it.
    type Runner: Runner;
}

/// Takes batches through an operator.
pub trait Runner: Sized {
    /// The row that the operator reads.
    type In<'a>: ReadRow<'a>;
    /// The row that it emits, or a struct of ports.
    type Out: PortSet;

    /// What the host learns of the operator before it opens it.
    fn describe() -> Description;

    /// Makes the operator.
    fn open(config: &Config) -> Result<Self>;

    /// One packed batch in, one packed answer out.
    fn process(&mut self, batch: &[u8], host: &dyn Host) -> Result<Vec<u8>>;
}

/// What a plugin says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    /// Name by which a pipeline finds it.
    pub name: &'static str,
    /// Semantic version.
    pub version: &'static str,
    /// Version of the packed layout.
    pub batch_format: u32,
    /// Columns that it reads.
    pub inputs: &'static [Field],
    /// Its ports, the main one first.
    pub outputs: Vec<PortDescription>,
    /// Its keyed state, if it has one.
    pub state: Option<StateDescription>,
    /// Names of its counters.
    pub counters: &'static [&'static str],
    /// Host interfaces that it would like.
    pub capabilities: &'static [&'static str],
}

/// What a plugin says of its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateDescription {
    /// Version of the slot's layout.
    pub version: u32,
    /// Milliseconds after the last write when a slot expires; 0 is never.
    pub ttl_ms: u64,
    /// Size of a slot when it is fixed, 0 when it varies.
    pub fixed_size: u32,
}

fn describe<P: Plugin, In: Row, Out: PortSet>(state: Option<StateDescription>) -> Description {
    Description {
        name: P::NAME,
        version: P::VERSION,
        batch_format: FORMAT.into(),
        inputs: In::FIELDS,
        outputs: Out::describe(),
        state,
        counters: P::COUNTERS,
        capabilities: P::CAPABILITIES,
    }
}

#[inline]
fn take_row<'a, In: ReadRow<'a>>(views: &In::Views, row: usize) -> Result<In> {
    In::read(views, row).map_err(|missing| {
        Error::rejected(format!("column `{0}` has no value; the operator declares `{0}` as required", missing.column))
    })
}

/// Answers a row with its error; errors that are not about the row end the batch.
fn reject(answer: &mut Answer, row: u32, error: Error) -> Result<()> {
    if error.kind() != ErrorKind::Rejected {
        return Err(error);
    }
    answer.row_error(row, error.kind() as u32, error.message());
    Ok(())
}

/// Drops what a batch that failed has left behind, and starts the answer to the next one.
fn begin<Out: PortSet>(answer: &mut Answer, output: &mut Output<Out>, counters: &[Cell<u64>], input: &Input<'_>) {
    answer.start(input);
    Out::list(&mut output.ports).into_iter().for_each(|port| port.clear());
    counters.iter().for_each(|counter| counter.set(0));
}

fn finish<Out: PortSet>(answer: &mut Answer, output: &mut Output<Out>, counters: &[Cell<u64>]) -> Result<Vec<u8>> {
    for (index, counter) in counters.iter().enumerate() {
        let by = counter.take();
        if by > 0 {
            answer.count(index as u32, by);
        }
    }
    answer.finish(&mut Out::list(&mut output.ports)).map_err(layout_error)
}

/// Host and plugin do not agree on the bytes between them: no row is to blame.
fn layout_error(error: LayoutError) -> Error {
    Error::fatal(error.to_string())
}
