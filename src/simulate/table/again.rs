//! What happens again and again, told once: of a repetition only what is new is left.
//!
//! Rule: only lines that repeat in the same order are left out, and the line that stands for them says which ones.

use super::{CHARGED, Line, NEXT, WHAT};
use crate::simulate::time::format_time;

/// The fewest and most lines that are taken for one round.
const ROUND: std::ops::RangeInclusive<usize> = 4..=400;

/// What a round begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begin {
    /// What was given up is tried again, and ends as it did before.
    Retry,
    /// Something dies, and is restarted.
    Death,
}

impl Begin {
    fn event(self) -> &'static str {
        match self {
            Self::Retry => "tried again",
            Self::Death => "died",
        }
    }
}

/// Folds retries that end alike, and then deaths within what is left.
pub(super) fn fold(lines: &[Line]) -> Vec<Line> {
    fold_rounds(&fold_rounds(lines, Begin::Retry), Begin::Death)
}

fn fold_rounds(lines: &[Line], begin: Begin) -> Vec<Line> {
    // How the tree stands between two steps depends on more than the steps.
    let steps: Vec<usize> = (0..lines.len())
        .filter(|at| lines[*at].key.is_some())
        .collect();
    let mut folded = Vec::new();
    let (mut step, mut told) = (0, 0);
    while step < steps.len() {
        let begins = lines[steps[step]].cells[WHAT] == begin.event();
        let rounds = begins.then(|| rounds_at(lines, &steps[step..])).flatten();
        let Some((length, rounds)) = rounds else {
            step += 1;
            continue;
        };
        let round = |number: usize| {
            let from = step + number * length;
            let steps = &steps[from..from + length];
            steps.iter().map(|at| &lines[*at]).collect::<Vec<_>>()
        };
        folded.extend_from_slice(&lines[told..=steps[step + length - 1]]);
        for number in 1..rounds {
            folded.extend(again(begin, &round(0), &round(number - 1), &round(number)));
        }
        step += rounds * length;
        told = steps[step - 1] + 1;
    }
    folded.extend_from_slice(&lines[told..]);
    folded
}

/// How long a round is that is repeated from the first of these steps on, and how often it is there.
fn rounds_at(lines: &[Line], steps: &[usize]) -> Option<(usize, usize)> {
    let keys = |from: usize, length: usize| {
        let steps = steps.get(from..from + length);
        steps.map(|steps| steps.iter().map(|at| lines[*at].key.as_deref()))
    };
    ROUND
        .take_while(|length| 2 * length <= steps.len())
        .find_map(|length| {
            let is_again = |number: &usize| match (keys(0, length), keys(number * length, length)) {
                (Some(first), Some(this)) => first.eq(this),
                _ => false,
            };
            let rounds = 1 + (1..steps.len()).take_while(is_again).count();
            (rounds > 1).then_some((length, rounds))
        })
}

/// The line that stands for a repetition, and those of it that say something new.
fn again(begin: Begin, first: &[&Line], before: &[&Line], this: &[&Line]) -> Vec<Line> {
    let (Some(start), Some(end)) = (first.first(), first.last()) else {
        return Vec::new();
    };
    let next = |round: &[&Line]| {
        let mut nexts = round.iter().rev().map(|line| line.cells[NEXT].clone());
        nexts.find(|next| !next.is_empty()).unwrap_or_default()
    };
    let mut stands = Line {
        from: this.first().map_or(0, |line| line.from),
        to: this.last().map_or(0, |line| line.to),
        key: Some(format!("again {}", first.len())),
        cells: [
            "…".to_owned(),
            "as before".to_owned(),
            format!(
                "the same as from {} to {}",
                format_time(start.from),
                format_time(end.to)
            ),
            String::new(),
            String::new(),
        ],
    };
    if begin == Begin::Retry {
        stands.cells[NEXT] = next(this);
    }
    let news = before
        .iter()
        .zip(this)
        .filter(|(before, this)| before.cells[CHARGED] != this.cells[CHARGED]);
    let news = news.map(|(_, this)| (*this).clone());
    std::iter::once(stands).chain(news).collect()
}
