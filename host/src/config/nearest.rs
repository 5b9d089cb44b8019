//! The nearest known name to a mistyped one.

/// Names listed at most when none is near.
const MAX_LISTED: usize = 24;

/// The known name that `name` was most likely meant to be.
pub(super) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A third of the letters wrong is about as far as a typing slip goes; names that are not
    // ASCII-sized are not compared at length.
    let allowed = (name.chars().take(64).count() / 3).max(1);
    known
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&shorten(name), &shorten(candidate)), candidate))
        .filter(|(distance, candidate)| {
            *distance <= allowed || (name.len() >= 3 && candidate.strip_prefix(name).is_some())
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Compares names whatever their case and separators, and keeps a hostile name from costing time.
fn shorten(name: &str) -> String {
    name.chars().take(64).map(|c| if c == '-' { '_' } else { c.to_ascii_lowercase() }).collect()
}

/// A help text: the nearest known name, or all of them.
pub(super) fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "there is none yet; add one to the file".to_owned(),
        None => format!("known: {}", list(&known)),
    }
}

/// Names in backquotes, separated by commas.
pub(super) fn list(names: &[&str]) -> String {
    let shown: Vec<String> = names.iter().take(MAX_LISTED).map(|n| format!("`{n}`")).collect();
    let more = names.len().saturating_sub(MAX_LISTED);
    if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_name_and_a_stranger_does_not() {
        let known = ["connector", "path", "format", "max_in_flight_rows"];
        assert_eq!(nearest("conector", known), Some("connector"));
        assert_eq!(nearest("max-in-flight-rows", known), Some("max_in_flight_rows"));
        assert_eq!(nearest("Path", known), Some("path"));
        assert_eq!(nearest("max_in_flight", known), Some("max_in_flight_rows"));
        assert_eq!(nearest("banana", known), None);
        assert_eq!(nearest("", known), None);
    }

    #[test]
    fn long_lists_are_cut() {
        let names: Vec<String> = (0..30).map(|i| format!("name{i}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert!(list(&names).ends_with("and 6 more"));
    }
}
