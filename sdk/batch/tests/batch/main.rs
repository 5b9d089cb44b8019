//! The packed layout against plain rows, against hostile bytes, and against its own past.

mod golden;
mod hostile;
mod refusals;
mod round_trip;
mod rows;
