//! How long a server asks to be left alone: `retry-after-ms`, or `Retry-After` as seconds or as a
//! date.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Longest wait that is heeded: a server that says more is not believed.
const MAX: Duration = Duration::from_secs(300);

/// What the headers `retry-after-ms` and `Retry-After` ask for, `now` being the time of the wall.
pub(super) fn retry_after(millis: Option<&str>, after: Option<&str>, now: SystemTime) -> Option<Duration> {
    let millis = millis.and_then(|millis| duration(millis, 1e-3));
    let asked = millis.or_else(|| {
        let after = after?.trim();
        duration(after, 1.0).or_else(|| Some(date(after)?.duration_since(now).unwrap_or_default()))
    });
    asked.map(|asked| asked.min(MAX))
}

fn duration(text: &str, unit: f64) -> Option<Duration> {
    let number: f64 = text.trim().parse().ok()?;
    (number >= 0.0).then(|| Duration::try_from_secs_f64(number * unit).unwrap_or(MAX))
}

/// An HTTP date in the form that is written today: `Sun, 06 Nov 1994 08:49:37 GMT`.
fn date(text: &str) -> Option<SystemTime> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let (_, rest) = text.split_once(", ")?;
    let mut fields = rest.split(' ');
    let day: u64 = fields.next()?.parse().ok()?;
    let name = fields.next().filter(|name| name.len() == 3)?;
    let month = MONTHS.find(name).filter(|at| at % 3 == 0)? as u64 / 3 + 1;
    let year: u64 = fields.next()?.parse().ok()?;
    let mut clock = fields.next()?.split(':').map(|part| part.parse::<u64>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let is_date = fields.next() == Some("GMT") && fields.next().is_none() && clock.next().is_none();
    if !is_date || !(1970..=9999).contains(&year) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60
    {
        return None;
    }
    // Days since 1970, years beginning with March so that a leap day is the last of its year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    let days = days.checked_sub(719_468)?;
    UNIX_EPOCH.checked_add(Duration::from_secs(days * 86_400 + hour * 3_600 + minute * 60 + second))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn dates_are_those_of_the_standard() {
        assert_eq!(date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(at(784_111_777)));
        assert_eq!(date("Thu, 01 Jan 1970 00:00:00 GMT"), Some(at(0)));
        assert_eq!(date("Thu, 29 Feb 2024 23:59:59 GMT"), Some(at(1_709_251_199)));
        assert_eq!(date("Fri, 31 Dec 2100 00:00:00 GMT"), Some(at(4_133_894_400)));
        for wrong in
            ["", "soon", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 anF 1994 08:49:37 GMT", "Sun, 06 Nov 1994 25:00:00 GMT"]
        {
            assert_eq!(date(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn milliseconds_come_before_seconds_and_dates() {
        let now = at(784_111_777 - 90);
        let date = Some("Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(retry_after(Some("1500"), Some("9"), now), Some(Duration::from_millis(1500)));
        assert_eq!(retry_after(None, Some("2"), now), Some(Duration::from_secs(2)));
        assert_eq!(retry_after(None, Some("0.25"), now), Some(Duration::from_millis(250)));
        assert_eq!(retry_after(None, date, now), Some(Duration::from_secs(90)));
        assert_eq!(retry_after(None, date, at(784_111_800)), Some(Duration::ZERO), "a date that is past");
        assert_eq!(retry_after(None, Some("86400"), now), Some(MAX));
        assert_eq!(retry_after(None, Some("1e300"), now), Some(MAX));
        assert_eq!(retry_after(Some("no"), Some("-1"), now), None);
        assert_eq!(retry_after(None, Some("NaN"), now), None);
        assert_eq!(retry_after(None, None, now), None);
    }

    proptest! {
        #[test]
        fn no_header_breaks_it(text in ".{0,40}", seconds in 0u64..1 << 40) {
            retry_after(Some(&text), Some(&text), at(seconds));
            date(&format!("x, {text}"));
        }

        #[test]
        fn days_of_all_years_follow_each_other(day in 0u64..2_932_896) {
            // Written by hand the other way round, day by day within a year.
            let (mut year, mut left) = (1970, day);
            let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
            while left >= 365 + u64::from(leap(year)) {
                left -= 365 + u64::from(leap(year));
                year += 1;
            }
            let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            let mut month = 0;
            while left >= lengths[month] {
                left -= lengths[month];
                month += 1;
            }
            let name = &"JanFebMarAprMayJunJulAugSepOctNovDec"[month * 3..month * 3 + 3];
            let text = format!("Day, {:02} {name} {year} 00:00:00 GMT", left + 1);
            prop_assert_eq!(date(&text), Some(at(day * 86_400)), "{}", text);
        }
    }
}
