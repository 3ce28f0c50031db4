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
