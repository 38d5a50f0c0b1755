//! Least, greatest, mean and percentiles of figures.

use std::collections::VecDeque;

/// How many of the latest figures percentiles are taken from.
pub const SUMMARY_WINDOW: usize = 1000;

/// Figures over time: extremes and mean of all, percentiles of the latest.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    count: u64,
    sum: u64,
    min: u64,
    max: u64,
    latest: VecDeque<u64>,
}

/// What a set of figures is like. All 0 when there are none.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Spread {
    /// How many there are.
    pub count: u64,
    /// The least.
    pub min: u64,
    /// The greatest.
    pub max: u64,
    /// The mean, rounded down.
    pub avg: u64,
    sorted: Vec<u64>,
}

impl Summary {
    pub(super) fn add(&mut self, figure: u64) {
        self.min = if self.count == 0 { figure } else { self.min.min(figure) };
        self.max = self.max.max(figure);
        self.count += 1;
        self.sum = self.sum.saturating_add(figure);
        self.latest.push_back(figure);
        if self.latest.len() > SUMMARY_WINDOW {
            self.latest.pop_front();
        }
    }

    /// What the figures are like.
    pub fn spread(&self) -> Spread {
        let mut sorted: Vec<u64> = self.latest.iter().copied().collect();
        sorted.sort_unstable();
        let avg = self.sum.checked_div(self.count).unwrap_or(0);
        Spread { count: self.count, min: self.min, max: self.max, avg, sorted }
    }
}

impl FromIterator<u64> for Spread {
    fn from_iter<T: IntoIterator<Item = u64>>(figures: T) -> Self {
        let mut summary = Summary::default();
        figures.into_iter().for_each(|figure| summary.add(figure));
        summary.spread()
    }
}

impl Spread {
    /// The figure that `percent` of all are below, between two of them by proportion; none without figures.
    pub fn percentile(&self, percent: f64) -> Option<f64> {
        let (first, last) = (*self.sorted.first()?, *self.sorted.last()?);
        let position = percent / 100.0 * (self.sorted.len() as f64 + 1.0);
        if position < 1.0 {
            return Some(first as f64);
        }
        if position >= self.sorted.len() as f64 {
            return Some(last as f64);
        }
        let (below, above) = (self.sorted[position as usize - 1], self.sorted[position as usize]);
        Some(below as f64 + position.fract() * (above - below) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_tells_extremes_mean_and_percentiles() {
        let spread: Spread = [40, 10, 20, 30].into_iter().collect();
        assert_eq!((spread.count, spread.min, spread.max, spread.avg), (4, 10, 40, 25));
        assert_eq!(spread.percentile(50.0), Some(25.0));
        assert_eq!(spread.percentile(1.0), Some(10.0));
        assert_eq!(spread.percentile(99.9), Some(40.0));
        assert_eq!(Spread::default().percentile(50.0), None);
    }

    #[test]
    fn a_summary_keeps_extremes_for_ever_and_forgets_old_figures() {
        let mut summary = Summary::default();
        (0..3000).for_each(|figure| summary.add(figure));
        let spread = summary.spread();
        assert_eq!((spread.count, spread.min, spread.max, spread.avg), (3000, 0, 2999, 1499));
        assert_eq!(spread.sorted.len(), SUMMARY_WINDOW);
    }
}
