//! Axes: where a value lies between 0 and 1, and which values are written beside it.

/// One axis.
pub struct Axis {
    scale: Scale,
    from: f64,
    to: f64,
    /// Values written, with their text.
    pub ticks: Vec<(f64, String)>,
}

#[derive(Clone, Copy)]
enum Scale {
    Linear,
    Log,
    /// By the distance to 100 %: each step to the right takes away nine tenths of what is left.
    Percentile,
}

impl Scale {
    fn of(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::Log => value.max(f64::MIN_POSITIVE).log10(),
            Self::Percentile => -(1.0 - value).max(f64::MIN_POSITIVE).log10(),
        }
    }
}

impl Axis {
    /// From 0 to a little above the largest value.
    pub fn from_zero(most: f64, ticks_wanted: usize, text: impl Fn(f64) -> String) -> Self {
        let most = if most > 0.0 { most } else { 1.0 };
        let rough = most / ticks_wanted as f64;
        let magnitude = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|m| m * magnitude).find(|step| *step >= rough);
        let step = step.unwrap_or(rough);
        let steps = (most / step).ceil() as usize;
        let ticks = (0..=steps).map(|n| n as f64 * step).map(|value| (value, text(value))).collect();
        Self { scale: Scale::Linear, from: 0.0, to: steps as f64 * step, ticks }
    }

    /// Logarithmic, from just below the least value to just above the largest.
    pub fn log(least: f64, most: f64, text: impl Fn(f64) -> String) -> Self {
        let (least, most) = (least.max(1e-9), most.max(least.max(1e-9)));
        let digits: &[f64] = if (most / least).log10() > 3.2 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let (first, last) = (least.log10().floor() as i32, most.log10().ceil() as i32);
        let all: Vec<f64> = (first..=last)
            .flat_map(|power| digits.iter().map(move |digit| digit * 10f64.powi(power)))
            .collect();
        let from = all.iter().copied().rfind(|tick| *tick <= least * 1.001).unwrap_or(least);
        let to = all.iter().copied().find(|tick| *tick >= most * 0.999).unwrap_or(most);
        let to = if to > from { to } else { from * 10.0 };
        let ticks = all.into_iter().filter(|tick| (from..=to).contains(tick)).map(|tick| (tick, text(tick)));
        Self { scale: Scale::Log, from, to, ticks: ticks.collect() }
    }

    /// Shares from 0 to 1 by their distance to 1, out to one in so many.
    pub fn percentiles(one_in: f64) -> Self {
        let nines = one_in.max(100.0).log10().min(7.0);
        let names = ["0", "50 %", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %", "99.9999 %", "99.99999 %"];
        let shares = [0.0, 0.5].into_iter().chain((1..=7).map(|n| 1.0 - 10f64.powi(-n)));
        let to = 1.0 - 10f64.powf(-nines);
        let ticks = shares.zip(names).filter(|(share, _)| *share <= to + 1e-12);
        Self {
            scale: Scale::Percentile,
            from: 0.0,
            to,
            ticks: ticks.map(|(share, name)| (share, name.into())).collect(),
        }
    }

    /// Where a value lies: 0 at the axis's beginning, 1 at its end; never beyond.
    pub fn place(&self, value: f64) -> f64 {
        let (from, to) = (self.scale.of(self.from), self.scale.of(self.to));
        ((self.scale.of(value) - from) / (to - from)).clamp(0.0, 1.0)
    }

    /// The value at the end.
    pub fn to(&self) -> f64 {
        self.to
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_lie_between_the_ends() {
        let axis = Axis::from_zero(4.3e6, 5, |value| value.to_string());
        assert_eq!(axis.to(), 5e6);
        assert_eq!(axis.place(2.5e6), 0.5);
        let axis = Axis::log(7.2, 480.0, |value| value.to_string());
        assert_eq!((axis.from, axis.to), (5.0, 500.0));
        assert!((axis.place(50.0) - 0.5).abs() < 1e-9);
        let axis = Axis::percentiles(10_000.0);
        assert_eq!(axis.ticks.last().unwrap().1, "99.99 %");
        assert!((axis.place(0.99) - 0.5).abs() < 1e-9);
        assert_eq!(axis.place(1.0), 1.0);
    }

    #[test]
    fn an_axis_of_nothing_is_still_one() {
        assert!(Axis::from_zero(0.0, 5, |_| String::new()).to() > 0.0);
        assert!(Axis::log(0.0, 0.0, |_| String::new()).place(1.0).is_finite());
        assert!(Axis::log(10.0, 10.0, |_| String::new()).place(10.0).is_finite());
    }
}
