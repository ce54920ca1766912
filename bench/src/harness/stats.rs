//! Medians, and how busy the machine was.

use std::fmt;

/// Values of several runs, at least one.
pub struct Sample(Vec<f64>);

impl Sample {
    /// Of these values; `None` if there are none.
    pub fn new(mut values: Vec<f64>) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        values.sort_by(f64::total_cmp);
        Some(Self(values))
    }

    /// The middle value, or the mean of the two in the middle.
    pub fn median(&self) -> f64 {
        let middle = self.0.len() / 2;
        if self.0.len() % 2 == 1 {
            self.0[middle]
        } else {
            f64::midpoint(self.0[middle - 1], self.0[middle])
        }
    }

    fn ends(&self) -> (f64, f64) {
        (self.0[0], self.0[self.0.len() - 1])
    }
}

/// For the note of a row: count, extremes, load average of the last minute.
impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (min, max) = self.ends();
        let count = self.0.len();
        write!(
            f,
            "{count} runs, min {}, max {}, load average {}",
            significant(min),
            significant(max),
            load_average()
        )
    }
}

/// Rounded to four significant digits: what follows is noise.
pub fn significant(value: f64) -> f64 {
    format!("{value:.3e}").parse().unwrap_or(value)
}

fn load_average() -> String {
    std::fs::read_to_string("/proc/loadavg")
        .ok()
        .and_then(|text| text.split_whitespace().next().map(str::to_owned))
        .unwrap_or_else(|| "unknown".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        let median = |values: &[f64]| Sample::new(values.to_vec()).map(|s| s.median());
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn four_digits_are_kept() {
        assert_eq!(significant(1_234_567.0), 1_235_000.0);
        assert_eq!(significant(0.001_234_567), 0.001_235);
        assert_eq!(significant(0.0), 0.0);
    }
}
