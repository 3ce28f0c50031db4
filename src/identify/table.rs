//! Answers for people.
//!
//! Rule: each answer is a paragraph that says what, why we think so, and what to do; what is well is counted.

use std::fmt::Write as _;

use super::Answer;
use crate::model::fault::Class;

/// Most pieces of evidence that are shown; the JSON has all.
const MOST_PROOFS: usize = 4;

/// Prints the answers.
pub fn table(answers: &[Answer]) -> String {
    let is_well = |answer: &&Answer| answer.class == Class::NoFault.as_str();
    let ill: Vec<String> = answers
        .iter()
        .filter(|answer| !is_well(answer))
        .map(paragraph)
        .collect();
    let well: Vec<&Answer> = answers.iter().filter(is_well).collect();
    let mut text = ill.join("\n");
    if !well.is_empty() && !ill.is_empty() {
        text.push('\n');
    }
    match well.as_slice() {
        [] => {}
        // Writing to a String cannot fail.
        [one] => drop(writeln!(text, "{}: nothing is wrong", one.object)),
        many => drop(writeln!(
            text,
            "Nothing is wrong with {} others: {}",
            many.len(),
            names(many)
        )),
    }
    text
}

fn names(answers: &[&Answer]) -> String {
    const MOST: usize = 5;
    let shown: Vec<&str> = answers
        .iter()
        .take(MOST)
        .map(|answer| answer.object.as_str())
        .collect();
    match answers.len().checked_sub(MOST) {
        None | Some(0) => shown.join(", "),
        Some(more) => format!("{} and {more} more", shown.join(", ")),
    }
}

fn paragraph(answer: &Answer) -> String {
    let mut text = format!("{}: {}", answer.object, answer.class);
    let verdict = answer.verdict.unwrap_or("explains only");
    let mut write = |label: &str, value: &str| {
        let _ = write!(text, "\n  {label:<8} {value}");
    };
    write("what", &answer.message);
    if let Some(since) = answer.since {
        write("since", &since.to_string());
    }
    write(
        "verdict",
        &format!("{verdict}; {}", answer.confidence.to_lowercase()),
    );
    if let Some(overlay) = answer
        .overlay
        .as_deref()
        .filter(|overlay| *overlay != "Running")
    {
        write("shown as", overlay);
    }
    for (index, piece) in answer.evidence.iter().take(MOST_PROOFS).enumerate() {
        let label = if index == 0 { "proof" } else { "" };
        write(
            label,
            &format!("{}, {}: {}", piece.object, piece.field, piece.value),
        );
    }
    if let Some(proximate) = &answer.proximate {
        write("ended by", proximate);
    }
    if !answer.contributing.is_empty() {
        write("also", &answer.contributing.join(", "));
    }
    write("do", answer.advice);
    text.push('\n');
    text
}
