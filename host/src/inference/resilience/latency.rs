//! What time of an answer is usual, and how far from it is more than chance.

/// Weight of the newest answers in the mean.
const ALPHA: f64 = 0.4;
/// The same when they are slow: a server that has become slow is not taken as the new usual before the
/// limit has come down.
const ALPHA_SLOW: f64 = 0.1;
/// Deviations beyond the mean from which answers are slow.
const DEVIATIONS: f64 = 2.5;

/// Answers that are looked at together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Answers {
    pub(super) count: u32,
    seconds: f64,
    squares: f64,
}

impl Answers {
    pub(super) fn add(&mut self, seconds: f64) {
        self.count += 1;
        self.seconds += seconds;
        self.squares += seconds * seconds;
    }

    pub(super) fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.seconds / f64::from(self.count))
    }

    fn variance(&self) -> f64 {
        let mean = self.mean().unwrap_or_default();
        (self.squares / f64::from(self.count.max(1)) - mean * mean).max(0.0)
    }
}

/// The usual time of an answer, in seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usual {
    pub(super) mean: f64,
    /// Of the means of answers that were looked at together.
    variance: f64,
    /// Of single answers.
    spread: f64,
}

impl Usual {
    pub(super) fn new(answers: &Answers) -> Option<Self> {
        Some(Self { mean: answers.mean()?, variance: 0.0, spread: answers.variance() })
    }

    /// How slow `answers` are: 1 and above is more than chance, and more than `noise` times the mean
    /// above it.
    pub(super) fn slowness(&self, answers: &Answers, noise: f64) -> f64 {
        let Some(mean) = answers.mean() else { return 0.0 };
        // A few means tell little of how means deviate; the answers themselves say how much is chance.
        let chance = (self.spread / f64::from(answers.count)).sqrt();
        let deviation = self.variance.sqrt().max(chance);
        mean / (self.mean + (DEVIATIONS * deviation).max(noise * self.mean))
    }

    /// Takes in answers, by exponentially weighted mean and variance.
    pub(super) fn update(&mut self, answers: &Answers, slow: bool) {
        let Some(mean) = answers.mean() else { return };
        let alpha = if slow { ALPHA_SLOW } else { ALPHA };
        let difference = mean - self.mean;
        self.mean += alpha * difference;
        self.variance = (1.0 - alpha) * (self.variance + alpha * difference * difference);
        self.spread += alpha * (answers.variance() - self.spread);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(seconds: &[f64]) -> Answers {
        let mut answers = Answers::default();
        seconds.iter().for_each(|s| answers.add(*s));
        answers
    }

    #[test]
    fn mean_and_variances_are_weighted() {
        let mut usual = Usual::new(&answers(&[1.0, 3.0])).unwrap();
        assert_eq!((usual.mean, usual.variance, usual.spread), (2.0, 0.0, 1.0));
        usual.update(&answers(&[3.0, 3.0]), false);
        assert!((usual.mean - 2.4).abs() < 1e-12 && (usual.variance - 0.24).abs() < 1e-12);
        assert!((usual.spread - 0.6).abs() < 1e-12);
        usual.update(&answers(&[]), false);
        assert!((usual.mean - 2.4).abs() < 1e-12, "nothing was answered");
        usual.update(&answers(&[12.4]), true);
        assert!((usual.mean - 3.4).abs() < 1e-12);
    }

    #[test]
    fn slow_is_beyond_chance_and_beyond_noise() {
        let usual = Usual { mean: 1.0, variance: 0.0, spread: 0.0 };
        assert!((usual.slowness(&answers(&[1.1]), 0.1) - 1.0).abs() < 1e-12);
        assert_eq!(usual.slowness(&answers(&[]), 0.1), 0.0);
        let noisy = Usual { spread: 0.16, ..usual };
        assert!((noisy.slowness(&answers(&[1.5; 4]), 0.1) - 1.0).abs() < 1e-12, "0.4 / √4 · 2.5");
        assert!((noisy.slowness(&answers(&[1.1; 100]), 0.1) - 1.0).abs() < 1e-12, "0.4 / √100 · 2.5");
        let varied = Usual { variance: 0.04, ..usual };
        assert!((varied.slowness(&answers(&[1.5]), 0.1) - 1.0).abs() < 1e-12, "0.2 · 2.5");
    }
}
