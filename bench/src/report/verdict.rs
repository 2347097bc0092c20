//! A row of the table of bounds, put into words.
use super::numbers;
use crate::measurement::Row;

/// What became of a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It holds.
    Holds,
    /// It does not.
    Missed,
    /// No pair of runs succeeded.
    None,
}

impl Verdict {
    /// As it is printed.
    pub fn word(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Missed => "MISSED",
            Self::None => "no verdict",
        }
    }
}

/// The cells of a row.
pub struct Cells {
    /// What is promised.
    pub what: String,
    /// The bound.
    pub bound: String,
    /// The median over the pairs; a dash when there is none.
    pub median: String,
    /// Smallest to largest, and over how many pairs.
    pub spread: String,
    /// What became of it.
    pub verdict: Verdict,
    /// The figures behind it, and why it is so.
    pub reason: String,
}

impl Cells {
    /// Of a row.
    pub fn of(row: &Row) -> Self {
        let shown = |value: f64| numbers::value(row.bound, value);
        let verdict = match row.holds() {
            Some(true) => Verdict::Holds,
            Some(false) => Verdict::Missed,
            None => Verdict::None,
        };
        let parts = [row.detail.as_str(), row.note.as_str()];
        Self {
            what: row.what.clone(),
            bound: numbers::bound(row.bound),
            median: row.median().map_or_else(|| "–".to_owned(), shown),
            spread: spread(row),
            verdict,
            reason: parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; "),
        }
    }
}

fn spread(row: &Row) -> String {
    let least = row.values.iter().copied().min_by(f64::total_cmp);
    let most = row.values.iter().copied().max_by(f64::total_cmp);
    let (Some(least), Some(most)) = (least, most) else { return "–".to_owned() };
    let (from, to) = (numbers::value(row.bound, least), numbers::value(row.bound, most));
    // The unit once, where both have the same.
    let unit = |text: &str| text.split_once(' ').map(|(_, unit)| unit.to_owned());
    let from =
        if unit(&from) == unit(&to) { from.split(' ').next().unwrap_or_default().to_owned() } else { from };
    format!("{from} – {to} ({})", row.values.len())
}

/// How many rows hold, were missed, have no verdict, in words.
pub fn summary(rows: &[Row]) -> String {
    let count = |verdict| rows.iter().filter(|row| Cells::of(row).verdict == verdict).count();
    let (holds, missed, none) = (count(Verdict::Holds), count(Verdict::Missed), count(Verdict::None));
    let mut text = format!("{holds} of {} bounds hold", rows.len());
    if missed > 0 {
        text += &format!(", {missed} missed");
    }
    if none > 0 {
        text += &format!(", {none} without a verdict");
    }
    text
}
