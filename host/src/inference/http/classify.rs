//! Whether another attempt is worth it, by the status of a response. What servers mean by a status
//! differs (some say 500 when they are full), so a pipeline can say otherwise for each.
//!
//! ```text
//! 408 425 502 504    retriable
//! 429 503 529        overload; Retry-After is heeded
//! 500                retriable once: servers say it of a full queue, and of a bug
//! 401 403 404 405    retriable once, at another endpoint if there is one: it is not set up as it should be
//! 3xx                as those: redirects are not followed
//! all others         permanent: refused for the rows that were sent
//! ```

use std::time::Duration;

use super::error_class::ErrorClass;
use super::protocol::Head;
use crate::inference::external::StatusClass;

/// What is to be done after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Another attempt may succeed.
    Retriable,
    /// One more attempt may succeed; if it ends in the same way, none will.
    RetriableOnce,
    /// Another attempt may succeed later; until then the endpoint is to be left alone.
    Overload {
        /// For so long at least, if the server says so; at most five minutes.
        retry_after: Option<Duration>,
    },
    /// No attempt with these rows will succeed.
    Permanent,
}

/// How the status codes of a server are understood.
#[derive(Clone, Debug, Default)]
pub struct Statuses {
    differing: Vec<(u16, StatusClass)>,
}

impl Statuses {
    /// The default, but for `differing`.
    pub fn new(differing: &[(u16, StatusClass)]) -> Self {
        Self { differing: differing.to_vec() }
    }

    /// Judges an unsuccessful response; `is_permanent` if its body says so.
    pub fn judge(&self, head: &Head, is_permanent: bool) -> (Verdict, ErrorClass) {
        let overload = Verdict::Overload { retry_after: head.retry_after };
        let own = self.differing.iter().find(|(status, _)| *status == head.status);
        let verdict = match (own, head.status) {
            _ if is_permanent => Verdict::Permanent,
            (Some((_, StatusClass::Retriable)), _) => Verdict::Retriable,
            (Some((_, StatusClass::Overload)), _) => overload,
            (Some((_, StatusClass::Permanent)), _) => Verdict::Permanent,
            (None, 408 | 425 | 502 | 504) => Verdict::Retriable,
            (None, 429 | 503 | 529) => overload,
            (None, 300..=399 | 401 | 403 | 404 | 405 | 500) => Verdict::RetriableOnce,
            (None, _) => Verdict::Permanent,
        };
        let class = match (verdict, head.status) {
            (Verdict::Overload { .. }, _) => ErrorClass::Overload,
            // Refused for good, but not for its rows.
            (_, 429 | 503 | 529) if is_permanent => ErrorClass::Overload,
            (_, 400..=499) => ErrorClass::Status4xx,
            (_, 500..=599) => ErrorClass::Status5xx,
            _ => ErrorClass::StatusOther,
        };
        (verdict, class)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_the_table_above() {
        let judge = |status| Statuses::default().judge(&Head::of(status), false);
        for status in [408, 425] {
            assert_eq!(judge(status), (Verdict::Retriable, ErrorClass::Status4xx));
        }
        for status in [502, 504] {
            assert_eq!(judge(status), (Verdict::Retriable, ErrorClass::Status5xx));
        }
        for status in [429, 503, 529] {
            assert_eq!(judge(status), (Verdict::Overload { retry_after: None }, ErrorClass::Overload));
        }
        assert_eq!(judge(500), (Verdict::RetriableOnce, ErrorClass::Status5xx));
        for status in [401, 403, 404, 405] {
            assert_eq!(judge(status), (Verdict::RetriableOnce, ErrorClass::Status4xx));
        }
        for status in [400, 409, 413, 422, 499] {
            assert_eq!(judge(status), (Verdict::Permanent, ErrorClass::Status4xx));
        }
        for status in [501, 505, 507] {
            assert_eq!(judge(status), (Verdict::Permanent, ErrorClass::Status5xx));
        }
        for status in [301, 302, 308] {
            assert_eq!(judge(status), (Verdict::RetriableOnce, ErrorClass::StatusOther));
        }
        assert_eq!(judge(999), (Verdict::Permanent, ErrorClass::StatusOther));
    }

    #[test]
    fn a_pipeline_can_say_otherwise_and_a_body_has_the_last_word() {
        let statuses = Statuses::new(&[
            (500, StatusClass::Overload),
            (404, StatusClass::Retriable),
            (429, StatusClass::Permanent),
        ]);
        let retry_after = Some(Duration::from_secs(2));
        let head = |status| Head { retry_after, ..Head::of(status) };
        assert_eq!(statuses.judge(&head(500), false), (Verdict::Overload { retry_after }, ErrorClass::Overload));
        assert_eq!(statuses.judge(&head(404), false), (Verdict::Retriable, ErrorClass::Status4xx));
        assert_eq!(statuses.judge(&head(429), false), (Verdict::Permanent, ErrorClass::Status4xx));
        assert_eq!(statuses.judge(&head(503), true), (Verdict::Permanent, ErrorClass::Overload));
        assert_eq!(statuses.judge(&head(400), true), (Verdict::Permanent, ErrorClass::Status4xx));
    }
}
