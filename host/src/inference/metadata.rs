//! What a model file says of itself beside its graph: its version, and the names of its features in
//! order (custom metadata `model.version` and `features`).

use ort::session::Session;

/// The parts of a model's metadata that the host uses.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Metadata {
    /// Version, where the file has one.
    pub(super) version: Option<String>,
    /// Names of the features, in the order of the input's columns.
    pub(super) features: Option<Vec<String>>,
}

impl Metadata {
    /// Reads the metadata of a loaded model; the error is a reason in words.
    pub(super) fn read(session: &Session) -> Result<Self, String> {
        let metadata = session.metadata().map_err(|e| format!("its metadata cannot be read: {e}"))?;
        let custom = |key| metadata.custom(key).filter(|value: &String| !value.trim().is_empty());
        let version = custom("model.version")
            .or_else(|| custom("version"))
            // ONNX has a number for this, which is 0 where nobody set it.
            .or_else(|| metadata.version().filter(|&v| v > 0).map(|v| v.to_string()));
        let features = custom("features").map(|text| parse_features(&text)).transpose()?;
        Ok(Self { version, features })
    }
}

/// Feature names from `a,b,c` or `["a","b","c"]`.
fn parse_features(text: &str) -> Result<Vec<String>, String> {
    let text = text.trim();
    if text.starts_with('[') {
        return serde_json::from_str(text)
            .map_err(|e| format!("its metadata `features` starts like a JSON list of names but is none: {e}"));
    }
    Ok(text.split(',').map(|name| name.trim().to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn feature_names_come_as_a_comma_list_or_as_json() {
        let want = vec!["a".to_owned(), "b c".to_owned()];
        assert_eq!(parse_features("a, b c"), Ok(want.clone()));
        assert_eq!(parse_features(r#" ["a", "b c"] "#), Ok(want));
        assert!(parse_features(r#"["a", 3]"#).unwrap_err().contains("`features`"));
    }
}
