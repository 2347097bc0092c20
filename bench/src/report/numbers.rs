//! Numbers as people read them: three significant digits and a unit.
use crate::measurement::Bound;

/// Nanoseconds, e.g. `812 ns`, `8.12 µs`, `1.25 ms`.
pub fn time(ns: f64) -> String {
    scaled(ns, &[(1e9, " s"), (1e6, " ms"), (1e3, " µs"), (1.0, " ns")])
}

/// So many a second, e.g. `4.12 M/s`, `250 k/s`.
pub fn rate(per_second: f64) -> String {
    scaled(per_second, &[(1e9, " G/s"), (1e6, " M/s"), (1e3, " k/s"), (1.0, " /s")])
}

/// A plain number of things, e.g. `100 M`, `250 k`.
pub fn count(things: f64) -> String {
    scaled(things, &[(1e9, " G"), (1e6, " M"), (1e3, " k"), (1.0, "")])
}

/// A value in its bound's unit.
pub fn value(bound: Bound, value: f64) -> String {
    match bound {
        Bound::RatioAtMost(_) | Bound::RatioAtLeast(_) => format!("{value:.2} x"),
        Bound::NsAtMost(_) => time(value),
        Bound::RateAtLeast(_) => rate(value),
        Bound::BytesAtMost(_) => format!("{} B", digits(value)),
    }
}

/// The bound, e.g. `≤ 1.25 x`, `≥ 4 M/s`.
pub fn bound(bound: Bound) -> String {
    match bound {
        Bound::RatioAtMost(most) => format!("≤ {} x", digits(most)),
        Bound::RatioAtLeast(least) => format!("≥ {} x", digits(least)),
        Bound::NsAtMost(most) => format!("≤ {}", time(most)),
        Bound::RateAtLeast(least) => format!("≥ {}", rate(least)),
        Bound::BytesAtMost(most) => format!("≤ {} B", digits(most)),
    }
}

fn scaled(value: f64, units: &[(f64, &str)]) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let last = units.len() - 1;
    // 999.6 of one unit would be printed as 1000: the larger unit has it then.
    let at = units.iter().position(|(scale, _)| value.abs() >= scale * 0.9995).unwrap_or(last);
    let (scale, unit) = units[at];
    format!("{}{unit}", digits(value / scale))
}

/// Three significant digits, without zeros that say nothing.
pub fn digits(value: f64) -> String {
    let places = match value.abs() {
        large if large >= 99.95 => 0,
        large if large >= 9.995 => 1,
        _ => 2,
    };
    let text = format!("{value:.places$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_and_a_unit() {
        assert_eq!(time(812.0), "812 ns");
        assert_eq!(time(8123.0), "8.12 µs");
        assert_eq!(time(999_700.0), "1 ms");
        assert_eq!(time(12_340_000.0), "12.3 ms");
        assert_eq!(rate(4_000_000.0), "4 M/s");
        assert_eq!(rate(0.0), "0");
        assert_eq!(count(250_000.0), "250 k");
        assert_eq!(bound(Bound::RateAtLeast(4e6)), "≥ 4 M/s");
        assert_eq!(bound(Bound::RatioAtMost(1.25)), "≤ 1.25 x");
        assert_eq!(bound(Bound::RatioAtLeast(2.0)), "≥ 2 x");
        assert_eq!(value(Bound::BytesAtMost(12.0), 11.26), "11.3 B");
    }
}
