//! An account for people.
//!
//! Rule: a child is a paragraph of WHAT, PROOF, DECIDED, BUDGET, NEXT and DO; what is well is one line. What others wrote
//! cannot move the cursor of a terminal.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::account::{Account, ChildAccount, Finding, Left, Step};
use super::next::named;
use crate::identify::Piece;

/// Most pieces of evidence that are shown; the JSON has all.
const MOST_PROOFS: usize = 5;
/// The widest that a column is made for the sake of one long cell.
const WIDEST: usize = 72;

/// Prints an account.
pub fn text(account: &Account) -> String {
    let mut text = headline(account);
    for note in &account.notes {
        write(&mut text, &format!("\nNOTE: {note}"));
    }
    text.push('\n');
    for child in &account.children {
        text.push('\n');
        paragraph(&mut text, child, account.at);
    }
    text
}

fn headline(account: &Account) -> String {
    let Account {
        tree,
        reason,
        message,
        workers,
        up,
        ..
    } = account;
    let mut text = String::new();
    let up = format!("{up} of {workers} workers up");
    match account.ready {
        None => write(
            &mut text,
            &format!(
                "{tree}: Coppice has not looked at this tree yet; if that stays so, no operator runs that looks after this namespace"
            ),
        ),
        Some(true) if account.children.is_empty() => write(
            &mut text,
            &format!("{tree} is Ready ({reason}), {up}: {message}"),
        ),
        Some(ready) => {
            let is = if ready { "is Ready" } else { "is not Ready" };
            let since = account.since.map_or_else(String::new, |since| {
                let seconds = account.at.as_second() - since.as_second();
                format!(", for {}", span(seconds.max(0)))
            });
            write(
                &mut text,
                &format!("{tree} {is} ({reason}), {up}{since}: {message}"),
            );
        }
    }
    text
}

fn paragraph(text: &mut String, child: &ChildAccount, now: Timestamp) {
    write(text, &format!("{}: {}\n", child.child, child.state));
    let mut section = |label: &str, lines: Vec<String>| {
        for (index, line) in lines.iter().enumerate() {
            let label = if index == 0 { label } else { "" };
            write(text, format!("  {label:<8} {line}").trim_end());
            text.push('\n');
        }
    };
    if child.faults.is_empty() {
        section("WHAT", vec!["no fault of it is known".to_owned()]);
    }
    for fault in &child.faults {
        section("WHAT", what(fault, now));
        section("PROOF", table(&fault.proof));
        section("DECIDED", decided(fault, now));
    }
    section(
        "BUDGET",
        child.budget.iter().map(|b| left(b, now)).collect(),
    );
    section(
        "NEXT",
        child.next.iter().map(|step| next(step, now)).collect(),
    );
    section("DO", advice(&child.faults));
    section("NOTE", child.warnings.clone());
}

fn what(fault: &Finding, now: Timestamp) -> Vec<String> {
    let meaning = fault.meaning.split_inclusive(". ").next();
    let meaning = meaning.map_or("", str::trim_end);
    let slots = match fault.slots.as_slice() {
        [] => String::new(),
        slots => format!("{} ", named(slots)),
    };
    let mut lines = vec![
        format!("{slots}{}. {meaning}", fault.name),
        fault.message.clone(),
    ];
    let mut about = Vec::new();
    if let Some(since) = fault.since {
        let word = if fault.present { "since" } else { "last at" };
        about.push(format!("{word} {since} ({})", when(since, now)));
    }
    if fault.times > 1 {
        about.push(format!("{} of the last faults", fault.times));
    }
    if let Some(container) = &fault.container {
        about.push(format!("container {container}"));
    }
    if let Some(confidence) = &fault.confidence {
        about.push(confidence.to_lowercase());
    }
    lines.push(about.join("; "));
    lines.retain(|line| !line.is_empty());
    lines
}

fn decided(fault: &Finding, now: Timestamp) -> Vec<String> {
    let Some(decided) = &fault.decided else {
        return Vec::new();
    };
    let by = match decided.rule.as_str() {
        "" => String::new(),
        "verdict" => format!(", by the built-in rule of the verdict {}", decided.verdict),
        rule => format!(", by the rule {rule}"),
    };
    vec![
        decided.what.clone(),
        format!("at {} ({}){by}", decided.at, when(decided.at, now)),
    ]
}

fn left(left: &Left, now: Timestamp) -> String {
    let Left {
        who,
        allowed,
        period_seconds,
        exceeded,
        ..
    } = left;
    if *allowed == 0 {
        return format!("{who} allows no restart: after the next charge {exceeded}");
    }
    let mut text = format!(
        "{} of {allowed} restarts left within {period_seconds} s at {who}",
        left.left
    );
    if let Some(at) = left.more_at {
        let _ = write!(text, "; one charge leaves the window {}", when(at, now));
    }
    if left.left == 0 {
        let _ = write!(text, "; after the next charge {exceeded}");
    }
    text
}

fn next(step: &Step, now: Timestamp) -> String {
    match step.at {
        None => step.what.clone(),
        Some(at) if at <= now => format!("{} now", step.what),
        Some(at) => format!("{} at {at} ({})", step.what, when(at, now)),
    }
}

fn advice(faults: &[Finding]) -> Vec<String> {
    let several = faults
        .iter()
        .filter(|fault| !fault.advice.is_empty())
        .count()
        > 1;
    let mut lines = Vec::new();
    for fault in faults {
        if !fault.advice.is_empty() {
            lines.push(if several {
                format!("{}: {}", fault.name, fault.advice)
            } else {
                fault.advice.clone()
            });
        }
        let page = format!("docs/{}", fault.page);
        if !lines.contains(&page) {
            lines.push(page);
        }
    }
    lines
}

/// The pieces in columns.
fn table(proof: &[Piece]) -> Vec<String> {
    let shown = &proof[..proof.len().min(MOST_PROOFS)];
    let width = |cell: fn(&Piece) -> &str| {
        let widths = shown.iter().map(|piece| cell(piece).chars().count());
        widths.filter(|width| *width <= WIDEST).max().unwrap_or(0)
    };
    let (object, field) = (width(|piece| &piece.object), width(|piece| &piece.field));
    let mut lines: Vec<String> = shown
        .iter()
        .map(|piece| {
            format!(
                "{:<object$}  {:<field$}  {}",
                piece.object, piece.field, piece.value
            )
        })
        .collect();
    if proof.len() > shown.len() {
        lines.push(format!("and {} more", proof.len() - shown.len()));
    }
    lines
}

/// How far away a time is.
fn when(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second() - at.as_second();
    match seconds {
        0 => "just now".to_owned(),
        1.. => format!("{} ago", span(seconds)),
        _ => format!("in {}", span(-seconds)),
    }
}

fn span(seconds: i64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    let two = |big: i64, unit: &str, small: i64, smaller: &str| match small {
        0 => format!("{big} {unit}"),
        small => format!("{big} {unit} {small} {smaller}"),
    };
    match seconds {
        ..60 => format!("{seconds} s"),
        60..3600 => two(minutes, "min", seconds % 60, "s"),
        3600..86400 => two(hours, "h", minutes % 60, "min"),
        _ => two(days, "d", hours % 24, "h"),
    }
}

/// Adds text without what is no text.
fn write(text: &mut String, more: &str) {
    let is_text = |c: char| c == '\n' || !c.is_control();
    text.extend(more.chars().map(|c| if is_text(c) { c } else { ' ' }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_two_units() {
        let table = [
            (0, "just now"),
            (59, "59 s ago"),
            (60, "1 min ago"),
            (290, "4 min 50 s ago"),
            (3600, "1 h ago"),
            (90_061, "1 d 1 h ago"),
            (-25, "in 25 s"),
        ];
        let now = Timestamp::from_second(1_000_000).unwrap();
        for (ago, told) in table {
            let at = Timestamp::from_second(1_000_000 - ago).unwrap();
            assert_eq!(when(at, now), told);
        }
    }

    #[test]
    fn what_others_wrote_does_not_move_the_cursor() {
        let mut text = String::new();
        write(&mut text, "a\u{1b}[2Jb\rc");
        assert_eq!(text, "a [2Jb c");
    }
}
