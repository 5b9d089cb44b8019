//! What was measured, beside its bar, as a table and as JSON.

use std::fmt::Write;

use serde::Serialize;

/// What a figure has to reach.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bar {
    /// Not more than this.
    AtMost(f64),
    /// Not less than this.
    AtLeast(f64),
}

/// One figure.
#[derive(Clone, Debug, Serialize)]
pub struct Measure {
    /// What was measured.
    pub name: String,
    /// The figure.
    pub value: f64,
    /// Its unit.
    pub unit: &'static str,
    /// What it has to reach, when there is a bar.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bar: Option<Bar>,
    /// Whether it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub met: Option<bool>,
}

impl Measure {
    pub(super) fn new(name: impl Into<String>, value: f64, unit: &'static str, bar: Option<Bar>) -> Self {
        let met = bar.map(|bar| match bar {
            Bar::AtMost(limit) => value <= limit,
            Bar::AtLeast(limit) => value >= limit,
        });
        Self { name: name.into(), value, unit, bar, met }
    }
}

/// All figures, aligned.
pub fn table(measures: &[Measure]) -> String {
    let rows: Vec<[String; 5]> = measures
        .iter()
        .map(|m| {
            let bar = match m.bar {
                Some(Bar::AtMost(limit)) => format!("≤ {}", number(limit)),
                Some(Bar::AtLeast(limit)) => format!("≥ {}", number(limit)),
                None => String::new(),
            };
            let met = m.met.map_or("", |met| if met { "met" } else { "MISSED" });
            [m.name.clone(), number(m.value), m.unit.into(), bar, met.into()]
        })
        .collect();
    let header = ["what", "value", "unit", "bar", ""].map(String::from);
    let width = |i: usize| rows.iter().chain([&header]).map(|r| r[i].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..5).map(width).collect();
    let mut out = String::new();
    for [name, value, unit, bar, met] in std::iter::once(&header).chain(&rows) {
        let [n, v, u, b, _] = [widths[0], widths[1], widths[2], widths[3], widths[4]];
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{}", format!("{name:n$}  {value:>v$}  {unit:u$}  {bar:>b$}  {met}").trim_end());
    }
    out
}

/// Three or more digits that count, thousands apart.
fn number(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude >= 1000.0 {
        let digits = format!("{value:.0}");
        let mut out = String::new();
        for (i, c) in digits.chars().enumerate() {
            if i > 0 && (digits.len() - i).is_multiple_of(3) && c != '-' {
                out.push(',');
            }
            out.push(c);
        }
        out
    } else if magnitude >= 100.0 {
        format!("{value:.0}")
    } else if magnitude >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.3}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_met_on_its_side() {
        let met = |value, bar| Measure::new("x", value, "u", Some(bar)).met;
        assert_eq!((met(1.5, Bar::AtMost(1.5)), met(1.6, Bar::AtMost(1.5))), (Some(true), Some(false)));
        assert_eq!((met(2.0, Bar::AtLeast(2.0)), met(1.9, Bar::AtLeast(2.0))), (Some(true), Some(false)));
    }

    #[test]
    fn the_table_aligns_and_says_what_was_missed() {
        let measures = [
            Measure::new("throughput", 1_234_567.0, "rows/s", Some(Bar::AtLeast(2e6))),
            Measure::new("ratio", 0.9, "ratio", None),
        ];
        assert_eq!(
            table(&measures),
            "what            value  unit            bar\n\
             throughput  1,234,567  rows/s  ≥ 2,000,000  MISSED\n\
             ratio           0.900  ratio\n"
        );
    }
}
