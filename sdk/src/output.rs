//! Output ports: where `process` puts its rows.
//!
//! `type Out = Features` for a `#[derive(Row)]` struct is one port, `out.push(row)`. A struct with
//! `#[derive(Ports)]` names several, the first being the main output:
//!
//! ```
//! use millstream_sdk::prelude::*;
//!
//! #[derive(Row)]
//! struct Scored { score: f64 }
//!
//! #[derive(Row)]
//! struct Alert { reason: String }
//!
//! #[derive(Ports)]
//! struct Outputs { scored: Port<Scored>, alerts: Port<Alert> }
//!
//! fn emit(out: &mut Output<Outputs>) {
//!     out.scored.push(Scored { score: 0.9 });
//!     out.alerts.push(Alert { reason: "too good".into() });
//! }
//! ```
//!
//! Any number of rows may follow from one input row, none included. The host joins each to the
//! columns of the row that it came from.

use std::ops::{Deref, DerefMut};

use millstream_batch::{Port as _, PortBuilder};

use crate::row::{Field, Row};

/// One output port.
pub struct Port<T: Row> {
    builder: PortBuilder<T::Builders>,
    /// The input row in hand.
    current: u32,
}

impl<T: Row> Default for Port<T> {
    fn default() -> Self {
        Self { builder: PortBuilder::new(T::builders()), current: 0 }
    }
}

impl<T: Row> Port<T> {
    /// Emits a row. It may be shorter-lived than `T` says: with `type Out = Alert<'static>`, an
    /// `Alert` that borrows from the input row is taken as well.
    #[inline]
    pub fn push<R: Row<Builders = T::Builders>>(&mut self, row: R) {
        row.write(&mut self.builder.columns);
        self.builder.end_row(self.current);
    }

    #[doc(hidden)]
    pub fn describe(name: &'static str) -> PortDescription {
        PortDescription { name, fields: T::FIELDS }
    }

    #[doc(hidden)]
    #[inline]
    pub fn begin(&mut self, row: u32) {
        self.current = row;
    }

    #[doc(hidden)]
    pub fn undo(&mut self) {
        let kept = self.builder.origins().partition_point(|origin| *origin < self.current);
        self.builder.truncate(kept);
    }

    #[doc(hidden)]
    pub fn builder(&mut self) -> &mut PortBuilder<T::Builders> {
        &mut self.builder
    }
}

/// The output of an operator: derefs to its port, or to the struct that names its ports.
pub struct Output<T: PortSet> {
    pub(crate) ports: T::Ports,
}

impl<T: PortSet> Default for Output<T> {
    fn default() -> Self {
        Self { ports: T::ports() }
    }
}

impl<T: PortSet> Deref for Output<T> {
    type Target = T::Ports;

    #[inline]
    fn deref(&self) -> &T::Ports {
        &self.ports
    }
}

impl<T: PortSet> DerefMut for Output<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T::Ports {
        &mut self.ports
    }
}

/// What can be an operator's `Out`: a row, or a struct of ports. Implemented by the derives.
pub trait PortSet {
    /// What `Output` derefs to.
    type Ports;

    /// Names and fields of the ports, the main one first.
    fn describe() -> Vec<PortDescription>;

    /// Empty ports.
    fn ports() -> Self::Ports;

    /// Says which input row the next output rows come from.
    fn begin(ports: &mut Self::Ports, row: u32);

    /// Takes back what the input row in hand has emitted.
    fn undo(ports: &mut Self::Ports);

    /// The ports as the answer takes them, in the order of `describe`.
    fn list(ports: &mut Self::Ports) -> Vec<&mut dyn millstream_batch::Port>;
}

/// Name and fields of a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortDescription {
    /// Name by which a pipeline reaches it.
    pub name: &'static str,
    /// Its columns.
    pub fields: &'static [Field],
}
