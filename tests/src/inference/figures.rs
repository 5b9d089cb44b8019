//! Figures with the bars that they are measured by, as a table and as JSON.

use std::fmt::Write;

use serde_json::{Value, json};

/// One figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// What was measured.
    pub name: String,
    /// How much.
    pub value: f64,
    /// Of what.
    pub unit: &'static str,
    /// The bar; none is for information.
    pub bar: Option<Bar>,
}

/// What a figure should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bar {
    /// Not more.
    AtMost(f64),
    /// Not less.
    AtLeast(f64),
}

impl Figure {
    pub(super) fn new(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { name: name.into(), value, unit, bar: None }
    }

    pub(super) fn at_most(mut self, most: f64) -> Self {
        self.bar = Some(Bar::AtMost(most));
        self
    }

    pub(super) fn at_least(mut self, least: f64) -> Self {
        self.bar = Some(Bar::AtLeast(least));
        self
    }

    /// Whether it is on the right side of its bar.
    pub fn is_met(&self) -> bool {
        match self.bar {
            None => true,
            Some(Bar::AtMost(most)) => self.value <= most,
            Some(Bar::AtLeast(least)) => self.value >= least,
        }
    }
}

/// A number with as many places as tell something.
pub(super) fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 1_000.0 => {
            let digits = format!("{:.0}", v);
            let mut out = String::from(if value < 0.0 { "-" } else { "" });
            for (at, digit) in digits.chars().enumerate() {
                if at > 0 && (digits.len() - at).is_multiple_of(3) {
                    out.push(',');
                }
                out.push(digit);
            }
            out
        }
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Markdown.
pub fn table(figures: &[Figure]) -> String {
    let mut out = String::from("| what | value | bar |\n| --- | --- | --- |\n");
    for figure in figures {
        let missed = if figure.is_met() { "" } else { " (missed)" };
        let bar = match figure.bar {
            None => String::new(),
            Some(Bar::AtMost(most)) => format!("at most {}{missed}", short(most)),
            Some(Bar::AtLeast(least)) => format!("at least {}{missed}", short(least)),
        };
        let _ = writeln!(out, "| {} | {} {} | {bar} |", figure.name, short(figure.value), figure.unit);
    }
    out
}

/// The same as JSON.
pub fn json(figures: &[Figure]) -> Value {
    let one = |figure: &Figure| {
        let (most, least) = match figure.bar {
            Some(Bar::AtMost(most)) => (Some(most), None),
            Some(Bar::AtLeast(least)) => (None, Some(least)),
            None => (None, None),
        };
        json!({
            "name": figure.name, "value": figure.value, "unit": figure.unit, "at_most": most, "at_least": least,
            "met": figure.is_met(),
        })
    };
    figures.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_bar_is_named() {
        let figures = [
            Figure::new("rows", 12_345.6, "rows/s").at_least(18_000.0),
            Figure::new("latency", 0.123, "ms").at_most(0.3),
            Figure::new("share", 33.3, "%"),
        ];
        let text = table(&figures);
        assert!(text.contains("| rows | 12,346 rows/s | at least 18,000 (missed) |"), "{text}");
        assert!(text.contains("| latency | 0.12 ms | at most 0.30 |"), "{text}");
        assert!(text.contains("| share | 33.3 % |  |"), "{text}");
        assert_eq!(json(&figures)[0]["met"], Value::from(false));
    }
}
