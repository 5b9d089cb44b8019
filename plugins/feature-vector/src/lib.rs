//! Model glue: the features of user and terminal as one standardised vector, the input of the fraud
//! model.
//!
//! Each feature is taken as it is or, where it is skewed, through `ln(1 + |x|)` with the sign of
//! `x`; then `(x - mean) / scale`, cut off at ±10, where a value says no more than "far out". The
//! order of the vector is that of [`FEATURES`].
//!
//! Configuration: `mean` and `scale`, lists with a number for each feature, as the model's training
//! prints them (after the logarithm). Without them the defaults below are used.

use millstream_sdk::prelude::*;

/// Number of features.
pub const LEN: usize = 15;

/// Farthest that a standardised feature may lie from its mean, in scales.
const LIMIT: f64 = 10.0;

/// What is read: the features of the operators before.
#[derive(Row)]
pub struct Features {
    current_amount: f64,
    last_amount: f64,
    amount_ratio: f64,
    count_1d: u32,
    mean_1d: f64,
    count_7d: u32,
    mean_7d: f64,
    count_30d: u32,
    mean_30d: f64,
    terminal_count_1d: u32,
    terminal_mean_1d: f64,
    terminal_large_share_1d: f64,
    terminal_count_7d: u32,
    terminal_mean_7d: f64,
    terminal_large_share_7d: f64,
}

/// What is added.
#[derive(Row, Debug, PartialEq)]
pub struct Vector {
    /// The standardised features.
    features: [f32; LEN],
}

/// A feature: its name, whether its logarithm is taken, and its default mean and scale.
pub struct Feature {
    /// Name of its column.
    pub name: &'static str,
    log: bool,
    mean: f64,
    scale: f64,
}

const fn feature(name: &'static str, log: bool, mean: f64, scale: f64) -> Feature {
    Feature { name, log, mean, scale }
}

/// The features in the order of the vector.
pub const FEATURES: [Feature; LEN] = [
    feature("current_amount", true, 3.6, 1.0),
    feature("last_amount", true, 3.6, 1.0),
    feature("amount_ratio", true, 0.85, 0.7),
    feature("count_1d", true, 1.2, 0.5),
    feature("mean_1d", true, 3.7, 0.8),
    feature("count_7d", true, 2.4, 0.7),
    feature("mean_7d", true, 3.8, 0.7),
    feature("count_30d", true, 3.2, 1.0),
    feature("mean_30d", true, 3.8, 0.7),
    feature("terminal_count_1d", true, 0.9, 0.4),
    feature("terminal_mean_1d", true, 3.7, 0.8),
    feature("terminal_large_share_1d", false, 0.05, 0.2),
    feature("terminal_count_7d", true, 1.9, 0.6),
    feature("terminal_mean_7d", true, 3.8, 0.6),
    feature("terminal_large_share_7d", false, 0.05, 0.1),
];

/// The operator.
pub struct Standardise {
    mean: [f64; LEN],
    scale: [f64; LEN],
}

#[operator]
impl Operator for Standardise {
    type In<'a> = Features;
    type Out = Vector;

    fn open(config: &Config) -> Result<Self> {
        config.allow_only(&["mean", "scale"])?;
        let scale = numbers(config, "scale", FEATURES.map(|feature| feature.scale))?;
        if let Some((feature, scale)) = FEATURES.iter().zip(scale).find(|(_, scale)| *scale <= 0.0) {
            let name = feature.name;
            return Err(Error::configuration(format!("config.scale of `{name}` is {scale}; it must be above 0")));
        }
        Ok(Self { mean: numbers(config, "mean", FEATURES.map(|feature| feature.mean))?, scale })
    }

    fn process(&mut self, row: Features, out: &mut Output<Vector>, _: &Context) -> Result<()> {
        let raw = [
            row.current_amount,
            row.last_amount,
            row.amount_ratio,
            row.count_1d.into(),
            row.mean_1d,
            row.count_7d.into(),
            row.mean_7d,
            row.count_30d.into(),
            row.mean_30d,
            row.terminal_count_1d.into(),
            row.terminal_mean_1d,
            row.terminal_large_share_1d,
            row.terminal_count_7d.into(),
            row.terminal_mean_7d,
            row.terminal_large_share_7d,
        ];
        let mut features = [0.0; LEN];
        for (at, target) in features.iter_mut().enumerate() {
            let feature = &FEATURES[at];
            ensure!(raw[at].is_finite(), "{} = {} is not a number", feature.name, raw[at]);
            let value = if feature.log { raw[at].signum() * raw[at].abs().ln_1p() } else { raw[at] };
            *target = ((value - self.mean[at]) / self.scale[at]).clamp(-LIMIT, LIMIT) as f32;
        }
        out.push(Vector { features });
        Ok(())
    }
}

fn numbers(config: &Config, key: &str, default: [f64; LEN]) -> Result<[f64; LEN]> {
    let Some(list) = config.list::<f64>(key)? else { return Ok(default) };
    if let Some(value) = list.iter().find(|value| !value.is_finite()) {
        return Err(Error::configuration(format!("config.{key} has {value}, which is not a number")));
    }
    <[f64; LEN]>::try_from(list).map_err(|list| {
        let names = FEATURES.map(|feature| feature.name).join(", ");
        let found = list.len();
        Error::configuration(format!("config.{key} has {found} numbers; there are {LEN} features: {names}"))
    })
}

#[cfg(test)]
mod tests;
