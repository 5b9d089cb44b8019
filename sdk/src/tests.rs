//! Operators through the packed layout, by way of the harness.

mod keyed;
mod rows;
