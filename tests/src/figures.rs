//! Figures of repeated runs: the middle one to quote, the outer ones to see how noisy the machine was.

/// Median, least and greatest of some runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The middle one, or the middle between two.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
}

impl Spread {
    /// Of at least one figure.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = figures.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median = match sorted.len() % 2 {
            0 => f64::midpoint(sorted[middle - 1], sorted[middle]),
            _ => sorted[middle],
        };
        Self {
            median,
            min: sorted[0],
            max: sorted[sorted.len() - 1],
        }
    }
}

/// The 97.5 % quantile of the normal distribution: 95 % lie within this many deviations.
const NORMAL: f64 = 1.96;

/// Its 95 % quantile: 95 % lie below so many deviations.
const NORMAL_ONE_SIDED: f64 = 1.645;

/// Where the middle of some differences lies, with its 95 % confidence intervals.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Middle {
    /// The estimate.
    pub middle: f64,
    /// The least that it may be.
    pub from: f64,
    /// The most that it may be.
    pub to: f64,
    /// The most that it may be, where it is not asked for the least: the bound of 95 % on that side alone.
    pub at_most: f64,
}

impl Middle {
    /// Of paired differences, 20 and more: the Hodges-Lehmann estimate (the median of the means of every two of
    /// them) and the intervals that Wilcoxon's signed-rank test does not refuse, in its normal approximation
    /// (Hollander, Wolfe, Chicken: Nonparametric Statistical Methods, 3.2 and 3.3). On a shared machine a few runs
    /// take twice as long for no reason of theirs: a mean and its deviation follow those, this hardly does.
    pub fn of(differences: &[f64]) -> Self {
        let mut means = Vec::with_capacity(differences.len() * (differences.len() + 1) / 2);
        for (n, one) in differences.iter().enumerate() {
            means.extend(
                differences[..=n]
                    .iter()
                    .map(|other| f64::midpoint(*one, *other)),
            );
        }
        means.sort_by(f64::total_cmp);
        let count = differences.len() as f64;
        let expected = count * (count + 1.0) / 4.0;
        let deviation = (expected * (2.0 * count + 1.0) / 6.0).sqrt();
        let outside = |within: f64| (expected - within * deviation).max(0.0) as usize;
        let from_above = |outside: usize| means[means.len() - 1 - outside];
        Self {
            middle: Spread::of(means.iter().copied()).median,
            from: means[outside(NORMAL)],
            to: from_above(outside(NORMAL)),
            at_most: from_above(outside(NORMAL_ONE_SIDED)),
        }
    }

    /// Each of them in other units, that keep their order.
    #[must_use]
    pub fn map(self, unit: impl Fn(f64) -> f64) -> Self {
        Self {
            middle: unit(self.middle),
            from: unit(self.from),
            to: unit(self.to),
            at_most: unit(self.at_most),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_an_even_number_is_between_two() {
        let spread = Spread::of([4.0, 1.0, 3.0, 2.0]);
        assert_eq!((spread.median, spread.min, spread.max), (2.5, 1.0, 4.0));
    }

    #[test]
    fn equal_figures_leave_no_doubt() {
        let all = Middle {
            middle: 2.0,
            from: 2.0,
            to: 2.0,
            at_most: 2.0,
        };
        assert_eq!(Middle::of(&[2.0; 20]), all);
    }

    /// For 20 pairs the tables of the signed-rank statistic leave out 52 sums on each side for 95 %, or 60 on one.
    #[test]
    fn the_intervals_are_those_of_the_tables() {
        let powers: Vec<f64> = (0..20).map(|n| f64::powi(2.0, n)).collect();
        let mut means: Vec<f64> = Vec::new();
        for (n, one) in powers.iter().enumerate() {
            means.extend(powers[n..].iter().map(|other| (one + other) / 2.0));
        }
        means.sort_by(f64::total_cmp);
        let told = Middle::of(&powers);
        assert_eq!((told.from, told.to), (means[52], means[210 - 53]));
        assert_eq!(told.at_most, means[210 - 61]);
        assert_eq!(told.middle, (means[104] + means[105]) / 2.0);
    }

    #[test]
    fn a_few_wild_figures_hardly_move_it() {
        let calm: Vec<f64> = (0..100).map(|n| f64::from(n % 11) - 5.0).collect();
        let mut wild = calm.clone();
        wild.extend([1_000.0; 5]);
        let (calm, wild) = (Middle::of(&calm), Middle::of(&wild));
        assert!((wild.middle - calm.middle).abs() < 0.5, "{calm:?} {wild:?}");
        assert!(wild.to - wild.from < 2.0, "{wild:?}");
    }
}
