//! What OpenAI's ways of asking have in common: who says what in an error, and that versions are
//! part of a model's name.

use serde_json::Value;

/// Whether the body says that the money is spent. The status is that of "too many requests", but
/// waiting does not help.
pub(super) fn quota_is_spent(body: &[u8]) -> bool {
    // No error of this kind is long; a body of megabytes is not read for it.
    if body.len() > 64 * 1024 {
        return false;
    }
    let Ok(value) = serde_json::from_slice::<Value>(body) else { return false };
    let error = value.get("error").unwrap_or(&value);
    ["code", "type"].iter().any(|field| error.get(field).and_then(Value::as_str) == Some("insufficient_quota"))
}

/// Refuses a version, which could not be asked for.
pub(super) fn no_version(version: Option<&str>) -> Result<(), String> {
    match version {
        None => Ok(()),
        Some(version) => {
            Err(format!("version `{version}` cannot be asked for: in OpenAI's protocol it is part of the model's name"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spent_quota_is_told_from_a_busy_server() {
        assert!(quota_is_spent(
            br#"{"error":{"message":"m","type":"insufficient_quota","code":"insufficient_quota"}}"#
        ));
        assert!(quota_is_spent(br#"{"error":{"message":"m","type":"x","param":null,"code":"insufficient_quota"}}"#));
        assert!(!quota_is_spent(br#"{"error":{"message":"m","type":"requests","code":"rate_limit_exceeded"}}"#));
        assert!(!quota_is_spent(b"insufficient_quota"));
        assert!(!quota_is_spent(b"[]"));
    }
}
