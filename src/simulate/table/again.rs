//! What happens again and again, told once: of a repetition only what is new is left.
//!
//! Rule: only lines that repeat in the same order are left out, and the line that stands for them says which ones, how long
//! they took, and what they cost; how the tree stood is never left out the first time.

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
        folded.extend_from_slice(&lines[told..steps[step + length]]);
        for number in 1..rounds {
            folded.extend(again(begin, &round(0), &round(number - 1), &round(number)));
        }
        step += rounds * length;
        told = steps[step - 1] + 1;
    }
    folded.extend_from_slice(&lines[told..]);
    folded
}

/// How long a round, as a number of steps, is that is repeated from the first of these steps on, and how often it is there.
fn rounds_at(lines: &[Line], steps: &[usize]) -> Option<(usize, usize)> {
    let keys = |from: usize, length: usize| {
        let steps = steps.get(from..from + length);
        steps.map(|steps| steps.iter().map(|at| lines[*at].key.as_deref()))
    };
    ROUND
        .take_while(|length| 2 * length <= steps.len())
        .find_map(|length| {
            let is_alike = |number: &usize| match (keys(0, length), keys(number * length, length)) {
                (Some(first), Some(this)) => first.eq(this),
                _ => false,
            };
            let told = states(lines, steps, 0, length);
            let is_known = |number: &usize| {
                let mut states = states(lines, steps, number * length, length).into_iter();
                states.all(|state| told.contains(&state))
            };
            let is_again = |number: &usize| is_alike(number) && is_known(number);
            let rounds = 1 + (1..steps.len()).take_while(is_again).count();
            (rounds > 1).then_some((length, rounds))
        })
}

/// How the tree stood from the first of a round of steps to the one after it.
fn states<'a>(lines: &'a [Line], steps: &[usize], first: usize, length: usize) -> Vec<&'a str> {
    let from = steps.get(first).copied().unwrap_or(lines.len());
    let to = steps.get(first + length).copied().unwrap_or(lines.len());
    let states = lines[from..to].iter().filter(|line| line.key.is_none());
    states.map(|line| line.cells[WHAT].as_str()).collect()
}

/// The line that stands for a repetition.
fn again(begin: Begin, first: &[&Line], before: &[&Line], this: &[&Line]) -> Option<Line> {
    let span = |round: &[&Line]| Some((round.first()?.from, round.last()?.to));
    let ((start, end), (from, to)) = (span(first)?, span(this)?);
    let mut why = format!(
        "the same steps as from {} to {}",
        format_time(start),
        format_time(end)
    );
    if to - from != end - start {
        why = format!(
            "{why}, in {} instead of {}",
            format_time(to - from),
            format_time(end - start)
        );
    }
    let mut nexts = this.iter().map(|line| line.cells[NEXT].as_str());
    let next = match begin {
        // What comes of a retry is told at its end, what comes of a death with it.
        Begin::Retry => nexts.rfind(|next| !next.is_empty()),
        Begin::Death => nexts.next(),
    };
    let mut charges: Vec<&str> = Vec::new();
    for (before, this) in before.iter().zip(this) {
        let now = this.cells[CHARGED].as_str();
        if before.cells[CHARGED] != now && !charges.contains(&now) {
            charges.push(now);
        }
    }
    Some(Line {
        from,
        to,
        key: Some(format!("again {}", first.len())),
        cells: [
            "…".to_owned(),
            "as before".to_owned(),
            why,
            charges.join(", "),
            next.unwrap_or_default().to_owned(),
        ],
    })
}
