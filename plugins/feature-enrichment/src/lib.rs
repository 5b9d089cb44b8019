//! Features of a user's spending, for fraud scoring: the amount beside the last one, and count and
//! mean over 1, 7 and 30 days.
//!
//! Keyed by user. All windows are in event time (UTC) and include the row in hand:
//!
//! | window | tiles | reaches back | error |
//! | --- | --- | --- | --- |
//! | `1d` | the current hour and the 23 before | 23 to 24 h | up to 1 h of the oldest rows is missing |
//! | `7d` | the current day and the 6 before | 6 to 7 days | up to 1 day of the oldest rows is missing |
//! | `30d` | the current day and the 29 before | 29 to 30 days | up to 1 day of the oldest rows is missing |
//!
//! "Current" is the newest event time that the user has reached. A late row enters the tiles that
//! it belongs to and is answered with the windows as they stand; one that is older than a window
//! does not enter it. The last amount is that of the row processed before.

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
    /// The amount of this transaction.
    current_amount: f64,
    /// The user's amount before this one; 0 for the first.
    last_amount: f64,
    /// Current over last amount; 1 for the first and after an amount of 0.
    amount_ratio: f64,
    /// Transactions in 1 day.
    count_1d: u32,
    /// Their mean amount.
    mean_1d: f64,
    /// Transactions in 7 days.
    count_7d: u32,
    /// Their mean amount.
    mean_7d: f64,
    /// Transactions in 30 days.
    count_30d: u32,
    /// Their mean amount.
    mean_30d: f64,
}

/// What is kept per user: 705 bytes.
#[derive(State, Default)]
#[state(version = 1, ttl = "30d")]
pub struct Profile {
    last_amount: Option<f64>,
    day: Tiles<24, Hour>,
    month: Tiles<30, Day>,
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
        user.month.add(tx.timestamp, tx.amount);
        let last = user.last_amount.replace(tx.amount);
        let week = user.month.last(7);
        out.push(Features {
            current_amount: tx.amount,
            last_amount: last.unwrap_or(0.0),
            amount_ratio: last.filter(|last| *last != 0.0).map_or(1.0, |last| tx.amount / last),
            count_1d: user.day.count(),
            mean_1d: user.day.mean(),
            count_7d: week.count,
            mean_7d: week.mean(),
            count_30d: user.month.count(),
            mean_30d: user.month.mean(),
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
