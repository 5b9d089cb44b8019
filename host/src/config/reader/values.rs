//! Values that are not text: booleans, numbers, durations and sizes, each within a range. A string
//! that names a variable is read as the value that the variable holds.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::Reader;
use crate::config::tree::Value;
use crate::config::units;

impl Reader<'_> {
    pub(in crate::config) fn boolean(&mut self, key: &'static str, default: bool) -> bool {
        let Some(node) = self.take(key) else { return default };
        let path = self.key(key);
        match &node.value {
            Value::Boolean(value) => *value,
            Value::Text(written) if written.contains("${") => {
                match self.cx.text(&path, node, "true").map(|t| t.value.parse()) {
                    None => default,
                    Some(Ok(value)) => value,
                    Some(Err(_)) => {
                        self.cx.wrong_type(&path, node, "a boolean such as `true` or `false`");
                        default
                    }
                }
            }
            _ => {
                self.cx.wrong_type(&path, node, "a boolean such as `true` or `false`");
                default
            }
        }
    }

    /// A whole number within `range`.
    pub(in crate::config) fn integer(&mut self, key: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        let node = self.take(key)?;
        let path = self.key(key);
        let value = match &node.value {
            Value::Integer(value) => *value,
            // A variable is text, whatever it holds.
            Value::Text(written) if written.contains("${") => {
                let text = self.cx.text(&path, node, "1")?;
                match text.value.trim().parse() {
                    Ok(value) => value,
                    Err(_) => {
                        self.cx.wrong_type(&path, node, "an integer");
                        return None;
                    }
                }
            }
            _ => {
                self.cx.wrong_type(&path, node, "an integer");
                return None;
            }
        };
        let within = u64::try_from(value).ok().filter(|v| range.contains(v));
        if within.is_none() {
            let (low, high) = (range.start(), range.end());
            let expected = if *high == u64::MAX {
                format!("expected at least {low}")
            } else {
                format!("expected {low} to {high}")
            };
            self.cx.report(self.cx.error(&node.at, format!("`{path}` is out of range")).expected(expected));
        }
        within
    }

    /// An integer as a `usize`; `range` must lie within it.
    pub(in crate::config) fn count(&mut self, key: &'static str, default: usize, range: RangeInclusive<u64>) -> usize {
        self.integer(key, range).and_then(|v| usize::try_from(v).ok()).unwrap_or(default)
    }

    /// A number within `range`.
    pub(in crate::config) fn number(&mut self, key: &'static str, range: RangeInclusive<f64>) -> Option<f64> {
        let node = self.take(key)?;
        let path = self.key(key);
        let value = match &node.value {
            Value::Float(value) => Some(*value),
            Value::Integer(value) => Some(*value as f64),
            Value::Text(written) if written.contains("${") => {
                self.cx.text(&path, node, "0.1")?.value.trim().parse().ok()
            }
            _ => None,
        };
        let Some(value) = value else {
            self.cx.wrong_type(&path, node, "a number");
            return None;
        };
        let within = Some(value).filter(|v| range.contains(v));
        if within.is_none() {
            let expected = format!("expected {} to {}", range.start(), range.end());
            self.cx.report(self.cx.error(&node.at, format!("`{path}` is out of range")).expected(expected));
        }
        within
    }

    /// A duration that has a default.
    pub(in crate::config) fn duration(
        &mut self,
        key: &'static str,
        default: Duration,
        range: RangeInclusive<Duration>,
    ) -> Duration {
        self.optional_duration(key, range).unwrap_or(default)
    }

    pub(in crate::config) fn optional_duration(
        &mut self,
        key: &'static str,
        range: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        let node = self.take(key)?;
        let path = self.key(key);
        const WANTED: &str = "a duration such as `\"500ms\"`, `\"1s\"`, `\"5m\"`, `\"24h\"` or `\"30d\"`";
        if !matches!(node.value, Value::Text(_)) {
            self.cx.wrong_type(&path, node, WANTED);
            return None;
        }
        let text = self.cx.text(&path, node, "1s")?;
        match units::duration(&text.value) {
            Some(value) if range.contains(&value) => Some(value),
            Some(_) => {
                let (low, high) = (units::show_duration(*range.start()), units::show_duration(*range.end()));
                let message = format!("`{path}` is out of range");
                self.cx
                    .report(self.cx.error(&node.at, message).expected(format!("expected `\"{low}\"` to `\"{high}\"`")));
                None
            }
            None => {
                let message = format!("`{}` is not a duration", text.shown);
                self.cx.report(self.cx.error(&node.at, message).expected(format!("expected {WANTED}")));
                None
            }
        }
    }

    /// A size in bytes: text with a unit, or a plain number of bytes.
    pub(in crate::config) fn size(&mut self, key: &'static str, default: u64, range: RangeInclusive<u64>) -> u64 {
        let Some(node) = self.take(key) else { return default };
        let path = self.key(key);
        const WANTED: &str = "a size such as `\"64MiB\"`, `\"256KiB\"` or `\"1MB\"`, or a number of bytes";
        let value = match &node.value {
            Value::Integer(value) => u64::try_from(*value).ok(),
            Value::Text(_) => {
                let Some(text) = self.cx.text(&path, node, "64MiB") else { return default };
                let Some(value) = units::size(&text.value).or_else(|| text.value.trim().parse().ok()) else {
                    let message = format!("`{}` is not a size", text.shown);
                    self.cx.report(self.cx.error(&node.at, message).expected(format!("expected {WANTED}")));
                    return default;
                };
                Some(value)
            }
            _ => {
                self.cx.wrong_type(&path, node, WANTED);
                return default;
            }
        };
        match value.filter(|v| range.contains(v)) {
            Some(value) => value,
            None => {
                let (low, high) = (units::show_size(*range.start()), units::show_size(*range.end()));
                let message = format!("`{path}` is out of range");
                self.cx
                    .report(self.cx.error(&node.at, message).expected(format!("expected `\"{low}\"` to `\"{high}\"`")));
                default
            }
        }
    }

    /// [`Reader::size`] as a `usize`.
    pub(in crate::config) fn bytes(&mut self, key: &'static str, default: usize, range: RangeInclusive<u64>) -> usize {
        usize::try_from(self.size(key, default as u64, range)).unwrap_or(default)
    }
}
