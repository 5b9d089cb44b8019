//! Features of a terminal, for fraud scoring: count, mean amount and share of unusually large
//! amounts over 1 and 7 days.
//!
//! Keyed by terminal. All windows are in event time (UTC) and include the row in hand: `1d` is the
//! current hour and the 23 before it (back 23 to 24 hours), `7d` the current day and the 6 before
//! it (back 6 to 7 days); up to one tile of the oldest rows is missing. "Current" is the newest
//! event time that the terminal has reached. A late row enters the tiles that it belongs to; one
//! older than a window does not enter it.
//!
//! An amount is **unusually large** when it is more than `factor` times (default 3) the terminal's
//! mean over the 7 days before the row (without it), provided that these hold at least `history`
//! rows (default 5). Whether a row is large is decided once, when it arrives.
//!
//! Configuration: `factor`, `history`.

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
    /// Transactions in 1 day.
    terminal_count_1d: u32,
    /// Their mean amount.
    terminal_mean_1d: f64,
    /// The share of them that was unusually large, 0 to 1.
    terminal_large_share_1d: f64,
    /// Transactions in 7 days.
    terminal_count_7d: u32,
    /// Their mean amount.
    terminal_mean_7d: f64,
    /// The share of them that was unusually large, 0 to 1.
    terminal_large_share_7d: f64,
}

/// What is kept per terminal: 840 bytes.
#[derive(State, Default)]
#[state(version = 1, ttl = "7d")]
pub struct Activity {
    day: Tiles<24, Hour>,
    week: Tiles<7, Day>,
    /// 1 for a large amount, 0 for another, so that the mean is the share.
    large_day: Tiles<24, Hour>,
    large_week: Tiles<7, Day>,
}

/// The operator.
pub struct Terminals {
    factor: f64,
    history: u32,
}

#[operator(counters = ["large_amounts"])]
impl KeyedOperator for Terminals {
    type In<'a> = Transaction;
    type Out = Features;
    type State = Activity;

    fn open(config: &Config) -> Result<Self> {
        config.allow_only(&["factor", "history"])?;
        let factor = config.value_or("factor", 3.0_f64)?;
        if factor.is_nan() || factor <= 0.0 {
            return Err(Error::configuration(format!("config.factor = {factor} must be above 0")));
        }
        Ok(Self { factor, history: config.value_or("history", 5)? })
    }

    fn process(
        &mut self,
        tx: Transaction,
        terminal: &mut Activity,
        out: &mut Output<Features>,
        cx: &Context,
    ) -> Result<()> {
        ensure!(tx.amount.is_finite(), "amount {} is not a number", tx.amount);
        terminal.week.advance_to(tx.timestamp);
        let usual = terminal.week.mean();
        let large = terminal.week.count() >= self.history.max(1) && tx.amount > self.factor * usual;
        let indicator = f64::from(u8::from(large));
        terminal.day.add(tx.timestamp, tx.amount);
        terminal.week.add(tx.timestamp, tx.amount);
        terminal.large_day.add(tx.timestamp, indicator);
        terminal.large_week.add(tx.timestamp, indicator);
        cx.count(Self::LARGE_AMOUNTS, u64::from(large));
        out.push(Features {
            terminal_count_1d: terminal.day.count(),
            terminal_mean_1d: terminal.day.mean(),
            terminal_large_share_1d: terminal.large_day.mean(),
            terminal_count_7d: terminal.week.count(),
            terminal_mean_7d: terminal.week.mean(),
            terminal_large_share_7d: terminal.large_week.mean(),
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
