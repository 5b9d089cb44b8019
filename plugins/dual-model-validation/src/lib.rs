//! Compares two models on the same rows: a fast one that scores every row, and an accurate one that
//! scores some of them. Whether the fast one may be trusted is then a number, and where it may not, a
//! row.
//!
//! Keyed by what agreement is to be told apart by: a segment of customers, a country, the version of a
//! model. A row is **compared** when it has both scores. The models **agree** on it when both scores are
//! on the same side of `threshold` (a score that equals it is on the upper side). The row **diverges**
//! when they do not agree, or when the scores are more than `tolerance` apart; then it is on the side
//! output `divergences` too. A score that is no finite number agrees with none and diverges.
//!
//! Every row goes on. The columns that are added hold nothing where a row is not compared; else the
//! agreement of its key until and with this row, since the key was first seen.
//!
//! Configuration: `threshold` (default 0.5), `tolerance` (default 0.1).

use millstream_sdk::prelude::*;

/// What is read of a row.
#[derive(Row, Debug, PartialEq)]
pub struct Scores<'a> {
    /// Score of the fast model.
    fast_score: f32,
    /// Score of the accurate model; none where it was not asked, or did not answer.
    accurate_score: Option<f32>,
    /// Version of the fast model.
    model_version: Option<&'a str>,
    /// Version of the accurate model.
    accurate_model_version: Option<&'a str>,
}

/// What is added to it; nothing where the row is not compared.
#[derive(Row, Debug, Default, PartialEq)]
pub struct Agreement {
    /// Whether both scores lead to the same decision.
    agrees: Option<bool>,
    /// Rows of the key that were compared.
    compared: Option<u64>,
    /// The share of them that agreed, 0 to 1.
    agreement: Option<f64>,
    /// Mean absolute difference of their scores, of those that are numbers; none while there is none.
    mean_difference: Option<f64>,
}

/// A row whose scores diverge. Columns that the row had are beside it.
#[derive(Row, Debug, PartialEq)]
pub struct Divergence<'a> {
    /// Score of the fast model.
    fast_score: f32,
    /// Score of the accurate model.
    accurate_score: f32,
    /// Version of the fast model.
    model_version: Option<&'a str>,
    /// Version of the accurate model.
    accurate_model_version: Option<&'a str>,
    /// How far the scores are apart; NaN when one of them is no number.
    difference: f64,
    /// Whether both lead to the same decision all the same.
    agrees: bool,
}

/// The two outputs.
#[derive(Ports)]
pub struct Outputs {
    /// Every row.
    compared: Port<Agreement>,
    /// Rows whose scores diverge.
    divergences: Port<Divergence<'static>>,
}

/// What is kept per key: 32 bytes.
#[derive(State, Clone, Debug, Default, PartialEq)]
#[state(version = 1)]
pub struct Counts {
    compared: u64,
    agreed: u64,
    /// Rows whose difference is a finite number.
    measured: u64,
    difference_sum: f64,
}

impl Counts {
    fn add(&mut self, difference: f64, agrees: bool) {
        self.compared += 1;
        self.agreed += u64::from(agrees);
        if difference.is_finite() {
            self.measured += 1;
            self.difference_sum += difference;
        }
    }

    fn agreement(&self, agrees: bool) -> Agreement {
        Agreement {
            agrees: Some(agrees),
            compared: Some(self.compared),
            agreement: Some(self.agreed as f64 / self.compared as f64),
            mean_difference: (self.measured > 0).then(|| self.difference_sum / self.measured as f64),
        }
    }
}

/// The operator.
pub struct DualModelValidation {
    threshold: f32,
    tolerance: f64,
}

#[operator(counters = ["compared", "agreed", "divergences"])]
impl KeyedOperator for DualModelValidation {
    type In<'a> = Scores<'a>;
    type Out = Outputs;
    type State = Counts;

    fn open(config: &Config) -> Result<Self> {
        config.allow_only(&["threshold", "tolerance"])?;
        let threshold = config.value_or("threshold", 0.5_f32)?;
        let tolerance = config.value_or("tolerance", 0.1_f64)?;
        if !threshold.is_finite() {
            return Err(Error::configuration(format!("config.threshold = {threshold} must be a finite number")));
        }
        if tolerance.is_nan() || tolerance < 0.0 {
            return Err(Error::configuration(format!("config.tolerance = {tolerance} must not be below 0")));
        }
        Ok(Self { threshold, tolerance })
    }

    fn process(&mut self, row: Scores<'_>, counts: &mut Counts, out: &mut Output<Outputs>, cx: &Context) -> Result<()> {
        let Some(accurate) = row.accurate_score else {
            out.compared.push(Agreement::default());
            return Ok(());
        };
        let fast = row.fast_score;
        let numbers = fast.is_finite() && accurate.is_finite();
        let agrees = numbers && (fast >= self.threshold) == (accurate >= self.threshold);
        let difference = if numbers { (f64::from(fast) - f64::from(accurate)).abs() } else { f64::NAN };
        counts.add(difference, agrees);
        cx.count(Self::COMPARED, 1);
        cx.count(Self::AGREED, u64::from(agrees));
        out.compared.push(counts.agreement(agrees));
        if !agrees || difference > self.tolerance {
            cx.count(Self::DIVERGENCES, 1);
            out.divergences.push(Divergence {
                fast_score: fast,
                accurate_score: accurate,
                model_version: row.model_version,
                accurate_model_version: row.accurate_model_version,
                difference,
                agrees,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
