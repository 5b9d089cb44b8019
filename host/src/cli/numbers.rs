//! Numbers for people.

/// Thousands apart: `1,234,567`.
pub(super) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Bytes in the unit that leaves one to four digits: `182 MiB`.
pub(super) fn bytes(value: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (amount, unit) = scale(value as f64, 1024.0, &UNITS);
    if unit == "B" { format!("{value} B") } else { format!("{} {unit}", significant(amount)) }
}

/// Microseconds in the unit that reads best: `12 µs`, `0.84 ms`, `3.1 s`.
pub(super) fn microseconds(value: f64) -> String {
    const UNITS: [&str; 3] = ["µs", "ms", "s"];
    let (amount, unit) = scale(value, 1000.0, &UNITS);
    format!("{} {unit}", significant(amount))
}

/// Seconds: `0.42 s`, `3 min 7 s`.
pub(super) fn seconds(value: f64) -> String {
    if value < 60.0 {
        return format!("{} s", significant(value));
    }
    let whole = value.round() as u64;
    let (hours, minutes, seconds) = (whole / 3600, whole / 60 % 60, whole % 60);
    if hours > 0 { format!("{hours} h {minutes} min") } else { format!("{minutes} min {seconds} s") }
}

/// A rate in short: `812 rows/s`, `1.23M rows/s`.
pub(super) fn rate(value: f64) -> String {
    const UNITS: [&str; 4] = ["", "k", "M", "G"];
    let (amount, unit) = scale(value, 1000.0, &UNITS);
    format!("{}{unit} rows/s", significant(amount))
}

/// Three significant digits, none after the point from 100 on.
pub(super) fn significant(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 || v == 0.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

fn scale<'a>(mut value: f64, step: f64, units: &[&'a str]) -> (f64, &'a str) {
    let mut units = units.iter();
    let mut unit = units.next().copied().unwrap_or_default();
    // What would be shown as 1000 belongs to the next unit.
    while value >= step - 0.5 {
        let Some(next) = units.next() else { break };
        unit = next;
        value /= step;
    }
    (value, unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0, 1_023, 1_024, 191_000_000].map(bytes), ["0 B", "1023 B", "1.00 KiB", "182 MiB"]);
        assert_eq!(
            [0.0, 12.34, 840.0, 999.7, 3_100_000.0].map(microseconds),
            ["0 µs", "12.3 µs", "840 µs", "1.00 ms", "3.10 s"]
        );
        assert_eq!([0.42, 59.0, 187.4, 7_260.0].map(seconds), ["0.42 s", "59.0 s", "3 min 7 s", "2 h 1 min"]);
        assert_eq!([812.0, 1_234_567.0].map(rate), ["812 rows/s", "1.23M rows/s"]);
    }
}
