//! What order costs by arithmetic alone: rows that come at a rate, a bound on requests in flight, replies
//! that take their time, and rows that leave in the order in which they came. No host can be faster.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Milliseconds from coming to leaving of each row, in order, when `latency(i)` is how long request `i`
/// takes.
pub(super) fn ordered(
    rows: usize,
    per_second: f64,
    capacity: usize,
    mut latency: impl FnMut(usize) -> f64,
) -> Vec<f64> {
    // Ends of requests in flight, in nanoseconds, since f64 has no order.
    let mut in_flight: BinaryHeap<Reverse<u64>> = BinaryHeap::new();
    let mut left = 0.0_f64;
    (0..rows)
        .map(|row| {
            let came = row as f64 * 1_000.0 / per_second;
            let mut began = came;
            if in_flight.len() == capacity.max(1)
                && let Some(Reverse(first)) = in_flight.pop()
            {
                began = began.max(first as f64 / 1e6);
            }
            let ends = began + latency(row);
            in_flight.push(Reverse((ends * 1e6) as u64));
            left = left.max(ends);
            left - came
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_slow_replies_order_costs_nothing() {
        assert!(ordered(1_000, 1_000.0, 100, |_| 50.0).iter().all(|time| (time - 50.0).abs() < 1e-9));
    }

    #[test]
    fn rows_behind_a_slow_reply_wait_for_it() {
        let times = ordered(200, 1_000.0, 1_000, |row| if row == 10 { 150.0 } else { 50.0 });
        assert_eq!(times[..10], [50.0; 10]);
        // Row 60 comes 50 ms after row 10 and waits for the 100 ms that are left.
        assert_eq!((times[10], times[60], times[111]), (150.0, 100.0, 50.0));
    }

    #[test]
    fn a_full_table_holds_the_next_row_back() {
        let times = ordered(100, 1_000.0, 10, |_| 50.0);
        assert!(times[99] > 400.0, "{}", times[99]);
    }
}
