//! The smallest useful enrichment, and the one that the benchmarks run: a user's last amount, the
//! ratio of the current amount to it, and count and mean over 24 hours.
//!
//! Keyed by user. All windows are in event time and include the row in hand. `24h` is the current
//! hour (UTC) and the 23 before it, so it reaches back between 23 and 24 hours: up to an hour of
//! the oldest rows is missing. "Current" is the newest event time that the user has reached; a row
//! older than the window is answered but does not enter it. The last amount is that of the row
//! processed before.

use millstream_sdk::prelude::*;

/// What is read of a transaction.
#[derive(Row)]
pub struct Transaction {
    amount: f64,
    #[event_time]
    timestamp: i64,
}

/// What is added to it.
#[derive(Row, Debug, PartialEq)]
pub struct Features {
    /// The user's amount before this one; 0 for the first.
    last_amount: f64,
    /// Current over last amount; 1 for the first and after an amount of 0.
    amount_ratio: f64,
    /// Transactions in 24 hours.
    count_24h: u32,
    /// Their mean amount.
    mean_24h: f64,
}

/// What is kept per user.
#[derive(State, Default)]
#[state(version = 1, ttl = "24h")]
pub struct Profile {
    last_amount: Option<f64>,
    day: Tiles<24, Hour>,
}

/// The operator.
#[derive(Default)]
pub struct Enrich;

#[operator]
impl KeyedOperator for Enrich {
    type In<'a> = Transaction;
    type Out = Features;
    type State = Profile;

    fn process(&mut self, tx: Transaction, user: &mut Profile, out: &mut Output<Features>, _: &Context) -> Result<()> {
        ensure!(tx.amount.is_finite(), "amount {} is not a number", tx.amount);
        user.day.add(tx.timestamp, tx.amount);
        let last = user.last_amount.replace(tx.amount);
        out.push(Features {
            last_amount: last.unwrap_or(0.0),
            amount_ratio: last.filter(|last| *last != 0.0).map_or(1.0, |last| tx.amount / last),
            count_24h: user.day.count(),
            mean_24h: user.day.mean(),
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
