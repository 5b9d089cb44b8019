//! What keeps calls of a server from making things worse when it is slow, broken or gone.
//!
//! Every part is a plain state machine, used from one thread: the clock is handed in as `now`, chance
//! as a generator. Nobody here sleeps, locks, allocates per call or does I/O. The dispatcher asks in
//! this order:
//!
//! 1. [`Balancer::pick`]: which endpoint, of those whose [`Breaker`] and [`Limiter`] let a call through.
//! 2. [`Breaker::acquire`] and [`Limiter::begin`] of that endpoint, [`Balancer::begin`].
//! 3. When the call has ended: [`Breaker::settle`], [`Limiter::end`], [`Balancer::end`],
//!    [`ServiceTime::record`], [`Hedge::record`], each with what came of it, an [`Outcome`].
//! 4. When it is to be sent again: [`RetryBudget::withdraw`], then [`Backoff::wait`].

mod backoff;
mod balance;
mod breaker;
mod budget;
mod concurrency;
mod fastest;
mod hedge;
mod latency;
mod outcome;
mod sample;
mod service;
#[cfg(test)]
mod tests;
mod window;

pub use backoff::{Backoff, MAX_RETRY_AFTER};
pub use balance::Balancer;
pub use breaker::{Breaker, BreakerCounts, BreakerState, Permit};
pub use budget::RetryBudget;
pub use concurrency::Limiter;
pub use hedge::Hedge;
pub use outcome::Outcome;
pub use sample::Sample;
pub use service::ServiceTime;
