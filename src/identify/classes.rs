//! The classes of faults, for people.
//!
//! Rule: all that is said of a class comes from where it is declared.

use std::fmt::Write as _;

use crate::model::fault::{Class, Shown, Verdict};

/// All classes in a table.
pub fn list() -> String {
    let mut text = format!(
        "{:<30} {:<14} {:<15} {:<8} MEANING\n",
        "CLASS", "FAMILY", "VERDICT", "SHOWN"
    );
    for class in Class::ALL {
        let meaning = class.meaning();
        let first = meaning
            .split_inclusive(". ")
            .next()
            .unwrap_or(meaning)
            .trim_end();
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{:<30} {:<14} {:<15} {:<8} {first}",
            class.as_str(),
            class.family().as_str(),
            class.verdict().map_or("-", Verdict::as_str),
            shown(class.shown()),
        );
    }
    text
}

/// What is done about faults where no rule of the user's matches: a line for each verdict.
pub fn policy() -> String {
    let verdicts = [
        (Verdict::Application, "Restart", "Charged"),
        (Verdict::Unknown, "Restart", "Charged"),
        (Verdict::Infrastructure, "Replace", "Exempt"),
        (Verdict::Hold, "Hold", "Exempt"),
        (Verdict::Wait, "Wait", "Exempt"),
    ];
    let mut text = format!(
        "{:<15} {:<8} {:<8} {:<8} WHAT FOLLOWS\n",
        "VERDICT", "ACTION", "CHARGE", "CLASSES"
    );
    for (verdict, action, charge) in verdicts {
        let mut classes = Class::ALL
            .iter()
            .filter(|class| class.verdict() == Some(verdict));
        let count = classes.clone().count();
        let example = classes.next().map_or("none", |class| class.as_str());
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{:<15} {action:<8} {charge:<8} {count:<8} {}; for example {example}",
            verdict.as_str(),
            verdict.reaction(),
        );
    }
    let without = Class::ALL.iter().filter(|class| class.verdict().is_none());
    let _ = writeln!(
        text,
        "\nThe other {} classes have no verdict: they explain or sum up other faults, or are none.\n\
         Rules of yours are asked first: those in `faultPolicy` of the worker, then those of the supervisors above it, the root's\n\
         last, each list in its order. The first rule that matches decides; where none does, the table above. A rule changes what\n\
         follows from a fault, and never its class.",
        without.count(),
    );
    text
}

/// All that there is to know of a class.
pub fn explain(class: Class) -> String {
    let verdict = class.verdict().map_or("-", Verdict::as_str);
    format!(
        "{class}, of the family {}\n\n{}\n\nverdict  {verdict}: {}\nshown by {}\ndo       {}\nmore     docs/{}\n",
        class.family().as_str(),
        class.meaning(),
        reaction(class.verdict()),
        shown(class.shown()),
        class.advice(),
        class.page(),
    )
}

/// What a tree does about a fault of that class.
fn reaction(verdict: Option<Verdict>) -> &'static str {
    verdict.map_or(
        "nothing by itself: it explains or sums up other faults, or is none",
        Verdict::reaction,
    )
}

/// What shows that a class is identified.
fn shown(shown: Shown) -> &'static str {
    match shown {
        Shown::Cluster => "cluster",
        Shown::Sample => "sample",
        Shown::Source => "source",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_rules_are_a_line_for_each_verdict() {
        let table = policy();
        let lines: Vec<&str> = table.lines().collect();
        let first_words = |line: &&str| {
            line.split_whitespace()
                .take(3)
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(
            lines[1..6].iter().map(first_words).collect::<Vec<_>>(),
            [
                "Application Restart Charged",
                "Unknown Restart Charged",
                "Infrastructure Replace Exempt",
                "Hold Hold Exempt",
                "Wait Wait Exempt",
            ]
        );
        let counts = lines[1..6]
            .iter()
            .map(|line| line.split_whitespace().nth(3).unwrap());
        let sum: usize = counts.map(|count| count.parse::<usize>().unwrap()).sum();
        let without = Class::ALL.iter().filter(|class| class.verdict().is_none());
        assert_eq!(sum + without.count(), Class::ALL.len());
        // A verdict that restarts is charged, as its reaction says.
        for (line, verdict) in [(1, Verdict::Application), (4, Verdict::Hold)] {
            assert!(lines[line].contains(verdict.reaction()), "{}", lines[line]);
        }
        assert!(table.contains("Rules of yours are asked first"));
    }
}
