//! Random numbers that are the same on every platform and in every version, which no crate promises.

/// Draws from a fixed distribution in constant time (Vose's alias method): slot `i` gives `i` below
/// its threshold and the alias otherwise.
#[derive(Clone, Debug)]
pub(super) struct Alias {
    slots: Vec<(u32, u32)>,
}

impl Alias {
    /// A table for these weights.
    pub(super) fn new(weights: &[f64]) -> Self {
        let scale = weights.len() as f64 / weights.iter().sum::<f64>();
        let mut left: Vec<f64> = weights.iter().map(|weight| weight * scale).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) = (0..left.len()).partition(|&i| left[i] < 1.0);
        let mut slots: Vec<(u32, u32)> = (0..left.len() as u32).map(|i| (u32::MAX, i)).collect();
        while let (Some(&under), Some(&over)) = (small.last(), large.last()) {
            small.pop();
            slots[under] = ((left[under] * f64::from(u32::MAX)) as u32, over as u32);
            left[over] -= 1.0 - left[under];
            if left[over] < 1.0 {
                large.pop();
                small.push(over);
            }
        }
        Self { slots }
    }

    /// An index, as often as its weight says.
    pub(super) fn sample(&self, random: &mut Random) -> u32 {
        let bits = random.next();
        let slot = ((bits >> 32) * self.slots.len() as u64) >> 32;
        let (threshold, alias) = self.slots[slot as usize];
        if (bits as u32) < threshold { slot as u32 } else { alias }
    }
}

/// SplitMix64: one word of state, an addition and two multiplications a number.
#[derive(Clone, Debug)]
pub(super) struct Random(pub(super) u64);

impl Random {
    /// 64 random bits.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub(super) fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u64
    }

    /// A number from 0 to 1, 1 not included.
    pub(super) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A number with mean 0 and deviation 1, nearly normal: four uniform ones added up, which needs no
    /// logarithm that platforms round differently. It stays within 3.5 deviations.
    pub(super) fn normal(&mut self) -> f64 {
        let bits = self.next();
        let sum = (bits & 0xffff) + (bits >> 16 & 0xffff) + (bits >> 32 & 0xffff) + (bits >> 48);
        (sum as f64 / 65_536.0 - 2.0) * 1.732_050_807_568_877_2
    }

    /// `mean`, rounded up or down so that it is right on average.
    pub(super) fn about(&mut self, mean: f64) -> u64 {
        (mean + self.unit()) as u64
    }
}
