//! What the operating system knows of this process.

use std::time::{Duration, Instant};

/// Clock ticks a second in `/proc`; Linux reports in this unit on every architecture.
const TICKS: f64 = 100.0;

/// Processor time of all threads so far, in seconds; 0 where it is not known.
pub(super) fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The second field, the name in parentheses, may hold spaces.
    let after = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let mut fields = after.split(' ').skip(11).map(|f| f.parse().unwrap_or(0.0));
    let (user, system): (f64, f64) = (fields.next().unwrap_or(0.0), fields.next().unwrap_or(0.0));
    (user + system) / TICKS
}

/// Peak of the resident memory in bytes; 0 where it is not known.
pub(super) fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.split_whitespace().next()).and_then(|kb| kb.parse::<u64>().ok()).map_or(0, |kb| kb * 1024)
}

/// When the process was started; now where it is not known.
pub(super) fn started() -> Instant {
    let now = Instant::now();
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let since_boot = after.split(' ').nth(19).and_then(|f| f.parse::<f64>().ok()).map(|t| t / TICKS);
    let uptime = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    let uptime = uptime.split(' ').next().and_then(|f| f.parse::<f64>().ok());
    let age = uptime.zip(since_boot).map(|(up, at)| (up - at).max(0.0));
    age.and_then(|a| Duration::try_from_secs_f64(a).ok()).and_then(|a| now.checked_sub(a)).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_used_time_and_memory_and_began_before_now() {
        let begun = Instant::now();
        let mut x = 0u64;
        while begun.elapsed() < Duration::from_millis(50) {
            x = x.wrapping_mul(31).wrapping_add(1);
        }
        std::hint::black_box(x);
        assert!(cpu_seconds() > 0.0);
        assert!(peak_memory() > 1 << 20);
        assert!(started() < Instant::now());
    }
}
