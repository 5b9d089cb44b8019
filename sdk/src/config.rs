//! The operator's `config` table of the pipeline file, as `open` sees it: text values by key.

use std::fmt::Display;
use std::str::FromStr;

use crate::{Error, Result};

/// Configuration of one operator. Every error names the key, the value and what was expected.
#[derive(Clone, Debug, Default)]
pub struct Config {
    entries: Vec<(String, String)>,
}

impl Config {
    /// Wraps the pairs that the host hands over.
    pub fn new(entries: Vec<(String, String)>) -> Self {
        Self { entries }
    }

    /// The text of `key`, if it is set.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.entries.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// Refuses keys that the operator does not know, so that a typing error does not silently
    /// leave a default in force.
    pub fn allow_only(&self, known: &[&str]) -> Result<()> {
        match self.entries.iter().find(|(k, _)| !known.contains(&k.as_str())) {
            None => Ok(()),
            Some((key, _)) if known.is_empty() => {
                Err(Error::configuration(format!("unknown key `{key}` in `config`; the operator has no settings")))
            }
            Some((key, _)) => {
                Err(Error::configuration(format!("unknown key `{key}` in `config`; known are {}", known.join(", "))))
            }
        }
    }

    /// The value of `key`, or `None` if it is not set.
    pub fn value<T: FromStr>(&self, key: &str) -> Result<Option<T>>
    where
        T::Err: Display,
    {
        self.get(key).map(|text| parse(key, text)).transpose()
    }

    /// The value of `key`, or `default` if it is not set.
    pub fn value_or<T: FromStr>(&self, key: &str, default: T) -> Result<T>
    where
        T::Err: Display,
    {
        Ok(self.value(key)?.unwrap_or(default))
    }

    /// A list, `"1.0, 2.5"` or `"[1.0, 2.5]"`, or `None` if it is not set.
    pub fn list<T: FromStr>(&self, key: &str) -> Result<Option<Vec<T>>>
    where
        T::Err: Display,
    {
        let Some(text) = self.get(key) else { return Ok(None) };
        let inner = text.trim();
        let inner = inner.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(inner).trim();
        let inner = inner.strip_suffix(',').unwrap_or(inner);
        if inner.is_empty() {
            return Ok(Some(Vec::new()));
        }
        inner.split(',').map(|item| parse(key, item)).collect::<Result<_>>().map(Some)
    }
}

impl<K: Into<String>, V: Into<String>, const N: usize> From<[(K, V); N]> for Config {
    fn from(entries: [(K, V); N]) -> Self {
        Self { entries: entries.into_iter().map(|(k, v)| (k.into(), v.into())).collect() }
    }
}

fn parse<T: FromStr>(key: &str, text: &str) -> Result<T>
where
    T::Err: Display,
{
    let text = text.trim();
    text.parse().map_err(|error| {
        let kind = std::any::type_name::<T>();
        Error::configuration(format!("config.{key} = `{text}` is not a value of type {kind}: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_with_and_without_brackets() {
        let config = Config::from([("a", "1, 2.5"), ("b", "[1,2.5,]"), ("c", "[]")]);
        assert_eq!(config.list::<f64>("a").unwrap(), Some(vec![1.0, 2.5]));
        assert_eq!(config.list::<f64>("b").unwrap(), Some(vec![1.0, 2.5]));
        assert_eq!(config.list::<f64>("c").unwrap(), Some(vec![]));
        assert_eq!(config.list::<f64>("d").unwrap(), None);
    }

    #[test]
    fn an_error_names_the_key_and_the_value() {
        let config = Config::from([("threshold", "much")]);
        let error = config.value::<f64>("threshold").unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Configuration);
        assert!(error.message().contains("config.threshold = `much`"), "{error}");
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_known_ones() {
        let error = Config::from([("treshold", "1")]).allow_only(&["threshold"]).unwrap_err();
        assert_eq!(error.message(), "unknown key `treshold` in `config`; known are threshold");
    }
}
