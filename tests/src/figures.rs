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

/// Student's t of 95 % for 20 pairs, which is more than that for a greater number of them.
const STUDENT: f64 = 2.093;

/// The mean of paired differences in percent, and the half width of its 95 % confidence interval: for 20 pairs
/// and more.
pub fn mean_with_confidence(figures: &[f64]) -> (f64, f64) {
    let count = figures.len() as f64;
    let mean = figures.iter().sum::<f64>() / count;
    let squares: f64 = figures.iter().map(|figure| (figure - mean).powi(2)).sum();
    let deviation = (squares / (count - 1.0)).sqrt();
    (mean, STUDENT * deviation / count.sqrt())
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
        assert_eq!(mean_with_confidence(&[2.0; 20]), (2.0, 0.0));
    }

    #[test]
    fn the_interval_follows_from_the_deviation() {
        let figures: Vec<f64> = (0..100).map(|n| f64::from(n % 2)).collect();
        let (mean, half) = mean_with_confidence(&figures);
        assert!((mean - 0.5).abs() < 1e-9);
        // The deviation of a fair coin, 0.5, corrected for the sample: 2.093 * 0.5025 / 10.
        assert!((half - 0.1052).abs() < 1e-3, "{half}");
    }
}
