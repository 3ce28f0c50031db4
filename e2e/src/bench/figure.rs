//! A figure with its goal and its peer: a row of the table, and of `target/bench.json`.
//!
//! Rule: the file holds the newest figure of each row; a row says what it was compared with.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// One row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Figure {
    pub(super) name: String,
    /// The figure itself.
    pub(super) value: f64,
    pub(super) unit: String,
    /// What the figure must be, in words.
    pub(super) goal: String,
    /// Whether it is so.
    pub(super) pass: bool,
    /// Who did the same in the same run.
    pub(super) peer: Option<String>,
    /// The peer's figure, in the same unit.
    pub(super) peer_value: Option<f64>,
    /// `value` divided by `peer_value`.
    pub(super) ratio: Option<f64>,
    /// What else was seen, for people; not in the file.
    #[serde(skip)]
    pub(super) notes: Vec<String>,
}

/// What a figure must be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Goal {
    /// No more than that.
    Limit(f64),
    /// No more than that, and no more than that many times the peer's figure.
    LimitAndShare(f64, f64),
    /// No more than that many times the peer's figure.
    ShareOfPeer(f64),
    /// At least that many times the peer's figure.
    LeastOfPeer(f64),
}

impl Figure {
    /// A figure and, where there is one, its peer's.
    pub(super) fn new(
        name: &str,
        value: f64,
        unit: &str,
        goal: Goal,
        peer: Option<(&str, f64)>,
    ) -> Self {
        let ratio = peer
            .filter(|(_, figure)| *figure != 0.0)
            .map(|(_, figure)| value / figure);
        let (pass, goal) = match goal {
            Goal::Limit(most) => (value <= most, format!("≤ {most} {unit}")),
            Goal::LimitAndShare(most, of_peer) => (
                value <= most && ratio.is_none_or(|ratio| ratio <= of_peer),
                format!("≤ {most} {unit}, ≤ {of_peer} × peer"),
            ),
            Goal::ShareOfPeer(of_peer) => (
                ratio.is_some_and(|ratio| ratio <= of_peer),
                format!("≤ {of_peer} × peer"),
            ),
            Goal::LeastOfPeer(of_peer) => (
                ratio.is_some_and(|ratio| ratio >= of_peer),
                format!("≥ {of_peer} × peer"),
            ),
        };
        Self {
            name: name.to_owned(),
            value,
            unit: unit.to_owned(),
            goal,
            pass,
            peer: peer.map(|(name, _)| name.to_owned()),
            peer_value: peer.map(|(_, figure)| figure),
            ratio,
            notes: Vec::new(),
        }
    }

    /// The same with something more to say about it.
    #[must_use]
    pub(super) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// The same, which also fails unless this is so.
    #[must_use]
    pub(super) fn only_if(mut self, is_so: bool) -> Self {
        self.pass &= is_so;
        self
    }

    /// The figure in a few words.
    pub(super) fn line(&self) -> String {
        let word = if self.pass { "ok" } else { "MISSED" };
        let [name, value, unit, goal] = [
            &self.name,
            &number(self.value),
            self.unit.as_str(),
            &self.goal,
        ];
        format!("{name}: {value} {unit} ({goal}: {word})")
    }
}

/// The figures as a table, with what else was seen below it.
pub(super) fn table(figures: &[Figure]) -> String {
    let head = [
        "ROW", "COPPICE", "UNIT", "GOAL", "", "PEER", "PEER'S", "RATIO",
    ]
    .map(str::to_owned);
    let rows = figures.iter().map(|figure| {
        let of_peer = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), number);
        [
            figure.name.clone(),
            number(figure.value),
            figure.unit.clone(),
            figure.goal.clone(),
            if figure.pass { "ok" } else { "MISSED" }.to_owned(),
            figure.peer.clone().unwrap_or_else(|| "-".to_owned()),
            of_peer(figure.peer_value),
            of_peer(figure.ratio),
        ]
    });
    let rows: Vec<[String; 8]> = std::iter::once(head).chain(rows).collect();
    let widths: [usize; 8] = std::array::from_fn(|column| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or_default()
    });
    let mut table = String::new();
    for row in &rows {
        let cells = row.iter().zip(widths);
        let line: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        // Writing to a String cannot fail.
        let _ = writeln!(table, "{}", line.join("  ").trim_end());
    }
    for figure in figures.iter().filter(|figure| !figure.notes.is_empty()) {
        let _ = writeln!(table, "\n{}:", figure.name);
        for note in &figure.notes {
            let _ = writeln!(table, "  {note}");
        }
    }
    table
}

/// Three digits that count, and no more.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Puts the figures into the file in the order of `known`; rows of other names stay, those of unknown names go.
pub(super) fn store(file: &Path, known: &[&str], figures: &[Figure]) -> Result<()> {
    let mut rows: Vec<Figure> = match std::fs::read(file) {
        Ok(text) => serde_json::from_slice(&text)
            .with_context(|| format!("read the figures in {}; delete it", file.display()))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error).with_context(|| format!("read {}", file.display())),
    };
    rows.retain(|row| !figures.iter().any(|figure| figure.name == row.name));
    rows.extend(figures.iter().cloned());
    let place = |row: &Figure| known.iter().position(|name| *name == row.name);
    rows.retain(|row| place(row).is_some());
    rows.sort_by_key(place);
    let write = || {
        std::fs::create_dir_all(file.parent().unwrap_or(file))?;
        std::fs::write(file, serde_json::to_string_pretty(&rows)? + "\n")
    };
    write().with_context(|| format!("write {}", file.display()))
}

/// The value below which `percent` of all lie; the values need not be in order.
pub(super) fn percentile(values: &[f64], percent: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share of a number of samples"
    )]
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    let index = rank.clamp(1, sorted.len().max(1)) - 1;
    sorted.get(index).copied().unwrap_or(f64::NAN)
}

/// Median, 99th percentile, extremes and number of some durations.
pub(super) fn spread(values: &[f64], unit: &str) -> String {
    let at = |percent| number(percentile(values, percent));
    format!(
        "median {} {unit}, p99 {} {unit}, {} to {} {unit}, {} samples",
        at(50.0),
        at(99.0),
        at(0.0),
        at(100.0),
        values.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(name: &str, value: f64) -> Figure {
        let goal = Goal::LimitAndShare(20.0, 1.1);
        Figure::new(name, value, "ms", goal, Some(("ReplicaSet", 10.0)))
    }

    #[test]
    fn a_goal_may_be_a_limit_and_a_share_of_the_peer() {
        assert!(figure("a", 11.0).pass);
        assert!(!figure("a", 12.0).pass, "more than 1.1 times the peer");
        assert!(!figure("a", 20.5).pass);
        let goal = Goal::LeastOfPeer(0.9);
        let rate = |value| Figure::new("r", value, "Pods/s", goal, Some(("POST", 100.0)));
        assert!(rate(90.0).pass && !rate(89.0).pass);
        let alone = Figure::new("a", 3.0, "s", Goal::Limit(3.0), None);
        assert!(alone.pass && alone.ratio.is_none());
        assert!(!alone.only_if(false).pass);
    }

    #[test]
    fn rows_that_were_not_measured_stay_in_the_file() {
        let folder = std::env::temp_dir().join(format!("coppice-bench-{}", std::process::id()));
        let file = folder.join("target").join("bench.json");
        let known = ["a", "b"];
        let older = [figure("b", 1.0), figure("a", 2.0)];
        store(&file, &["a", "b", "gone"], &[figure("gone", 5.0)]).unwrap();
        store(&file, &known, &older).unwrap();
        store(&file, &known, &[figure("b", 3.0).note("not in the file")]).unwrap();
        let text = std::fs::read(&file).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        let rows: Vec<Figure> = serde_json::from_slice(&text).unwrap();
        assert_eq!(rows, [figure("a", 2.0), figure("b", 3.0)]);
        let json: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let keys: Vec<&String> = json[0].as_object().unwrap().keys().collect();
        assert_eq!(keys.len(), 8, "{keys:?}");
    }

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        let at = |percent| percentile(&values, percent);
        let seen = [0.0, 50.0, 99.0, 100.0].map(at);
        assert_eq!(seen.map(number), ["1.00", "50.0", "99.0", "100"]);
        assert!(percentile(&[], 50.0).is_nan());
    }

    #[test]
    fn the_table_shows_all_and_says_more_below() {
        let alone = Figure::new("cold-start", 12.345, "s", Goal::Limit(3.0), None);
        let table = table(&[figure("heal", 9.0), alone.note("of 3 starts")]);
        println!("{table}");
        let lines: Vec<&str> = table.lines().collect();
        assert!(
            lines[1].contains("9.00") && lines[1].contains("0.90"),
            "{table}"
        );
        assert!(
            lines[2].contains("12.3") && lines[2].contains("MISSED"),
            "{table}"
        );
        assert_eq!(lines[4..], ["cold-start:", "  of 3 starts"]);
    }
}
