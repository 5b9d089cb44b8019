//! Durations (`"500ms"`, `"30d"`) and sizes in bytes (`"64MiB"`, `"1MB"`).

use std::time::Duration;

const DURATIONS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

const SIZES: [(&str, u64); 8] = [
    ("B", 1),
    ("kB", 1_000),
    ("KB", 1_000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
];

/// The duration that `text` names: a whole number and one of `ms`, `s`, `m`, `h`, `d`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    quantity(text, &DURATIONS).map(Duration::from_millis)
}

/// The bytes that `text` names: a whole number and one of `B`, `kB`, `KiB`, `MB`, `MiB`, `GB`, `GiB`.
pub(super) fn size(text: &str) -> Option<u64> {
    quantity(text, &SIZES)
}

fn quantity(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// The duration in the largest unit that divides it, as a pipeline file writes it.
pub(super) fn show_duration(duration: Duration) -> String {
    show(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX), &DURATIONS)
}

/// The size in the largest binary unit that divides it, as a pipeline file writes it.
pub(super) fn show_size(bytes: u64) -> String {
    show(bytes, &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)])
}

fn show(value: u64, units: &[(&str, u64)]) -> String {
    let exact = units.iter().rev().find(|(_, factor)| value >= *factor && value.is_multiple_of(*factor));
    let (unit, factor) = exact.or(units.first()).copied().unwrap_or(("", 1));
    format!("{}{unit}", value / factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_a_number_and_a_unit() {
        let read = |t| duration(t).map(|d| d.as_millis());
        assert_eq!(read("500ms"), Some(500));
        assert_eq!(read("1s"), Some(1_000));
        assert_eq!(read("5m"), Some(300_000));
        assert_eq!(read("24h"), Some(86_400_000));
        assert_eq!(read("30 d"), Some(2_592_000_000));
        for bad in ["", "5", "s", "-1s", "1.5s", "1w", "1S", "99999999999999999999s", "18446744073709551615d"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn sizes_tell_binary_from_decimal_units() {
        assert_eq!(size("64MiB"), Some(64 << 20));
        assert_eq!(size("256KiB"), Some(256 << 10));
        assert_eq!(size("1MB"), Some(1_000_000));
        assert_eq!(size("2 GiB"), Some(2 << 30));
        for bad in ["", "12", "MiB", "1mib", "1TB", "18446744073709551615GiB"] {
            assert_eq!(size(bad), None, "{bad}");
        }
    }

    #[test]
    fn values_are_shown_as_a_file_writes_them() {
        assert_eq!(show_duration(Duration::from_millis(1_500)), "1500ms");
        assert_eq!(show_duration(Duration::from_secs(3_600)), "1h");
        assert_eq!(show_duration(Duration::ZERO), "0ms");
        assert_eq!(show_size(64 << 20), "64MiB");
        assert_eq!(show_size(1_000), "1000B");
    }
}
