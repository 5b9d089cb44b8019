//! Batches through an operator without state.

use std::cell::Cell;

use millstream_batch::{Answer, Input, InputKind};

use super::{Description, Operator, Plugin, Runner, begin, describe, finish, layout_error, reject, take_row};
use crate::context::{Context, Host};
use crate::output::{Output, PortSet};
use crate::row::{ReadRow, Row};
use crate::{Config, Error, Result};

/// Takes batches through an [`Operator`].
pub struct Stateless<Op: Operator> {
    operator: Op,
    output: Output<Op::Out>,
    answer: Answer,
    counters: Vec<Cell<u64>>,
}

impl<Op: Operator + Plugin> Runner for Stateless<Op> {
    type In<'a> = Op::In<'a>;
    type Out = Op::Out;

    fn describe() -> Description {
        describe::<Op, Op::In<'static>, Op::Out>(None)
    }

    fn open(config: &Config) -> Result<Self> {
        Ok(Self {
            operator: Op::open(config)?,
            output: Output::default(),
            answer: Answer::new(),
            counters: vec![Cell::new(0); Op::COUNTERS.len()],
        })
    }

    fn process(&mut self, batch: &[u8], host: &dyn Host) -> Result<Vec<u8>> {
        let input = Input::parse(batch).map_err(layout_error)?;
        if input.kind() != InputKind::Batch {
            return Err(Error::fatal("the operator sets no timers, but was handed some"));
        }
        let views = Op::In::bind(|index| input.raw_column(index)).map_err(layout_error)?;
        begin::<Op::Out>(&mut self.answer, &mut self.output, &self.counters, &input);
        for row in 0..input.rows() {
            let number = row as u32;
            Op::Out::begin(&mut self.output.ports, number);
            let result = take_row::<Op::In<'_>>(&views, row).and_then(|value| {
                let context = Context {
                    host,
                    input: &input,
                    counters: &self.counters,
                    event_time: value.event_time().or(input.event_time(row)).unwrap_or(i64::MIN),
                    key: None,
                    clear_state: Cell::new(false),
                };
                self.operator.process(value, &mut self.output, &context)
            });
            if let Err(error) = result {
                Op::Out::undo(&mut self.output.ports);
                reject(&mut self.answer, number, error)?;
            }
        }
        finish::<Op::Out>(&mut self.answer, &mut self.output, &self.counters)
    }
}
