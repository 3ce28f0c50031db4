//! `coppice identify`: what is wrong with objects in a file, without a cluster.
//!
//! Rule: reading never fails for what is missing or strange inside an object; it then only knows less. What is judged is
//! judged by [`crate::model::fault`], as it is for a tree.

mod answer;
mod classes;
mod document;
mod evidence;
mod fields;
mod lease;
mod listed;
mod pod;
mod table;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

pub use answer::{Answer, Piece};
pub use classes::{explain, list, policy};
pub use table::table;

use document::{Document, Subject};

/// How old the newest time in a file may be for the file to show the present.
const FRESH: SignedDuration = SignedDuration::from_mins(10);

/// A file that does not say when it was made is taken to be this much younger than the newest time in it, so that what
/// may take a moment has had one.
const AFTERMATH: SignedDuration = SignedDuration::from_mins(1);

/// A file that nothing can be identified in, in words that say what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotKubernetes(pub String);

/// What was found in a file.
#[derive(Debug)]
pub struct Answers {
    /// One for each Pod and each object without Pods, the worst first.
    pub answers: Vec<Answer>,
    /// What was not understood, in words.
    pub warnings: Vec<String>,
}

/// Identifies what is wrong with the objects in a file. `source` is what messages call it. `clock` is the present, which
/// counts only for a file that is fresh.
pub fn identify(source: &str, text: &str, clock: Timestamp) -> Result<Answers, NotKubernetes> {
    let values = document::values(source, text)?;
    let now = moment(&values, clock);
    let mut warnings = Vec::new();
    let mut subjects: Vec<Subject> = Vec::new();
    let mut objects = Vec::new();
    let mut has_list = false;
    for value in values {
        match Document::of(source, value)? {
            Document::Evidence(document) => {
                warnings.extend(document.warnings(source));
                subjects.push(document.subject());
            }
            Document::Objects(some) => {
                has_list = true;
                objects.extend(some);
            }
        }
    }
    subjects.extend(listed::subjects(&objects));
    // A list may well be empty.
    if subjects.is_empty() && !has_list {
        return Err(NotKubernetes(format!("{source}: there is no object in it")));
    }
    let mut answers: Vec<Answer> = subjects.iter().map(|subject| subject.answer(now)).collect();
    sort(&mut answers);
    Ok(Answers { answers, warnings })
}

/// The objects of a file, those of lists one by one, and when it was made. What is evidence about one object is left out.
pub(crate) fn objects(
    source: &str,
    text: &str,
    clock: Timestamp,
) -> Result<(Vec<Value>, Timestamp), NotKubernetes> {
    let values = document::values(source, text)?;
    let now = moment(&values, clock);
    Ok((listed(source, values)?, now))
}

/// The objects of these documents, those of lists one by one.
pub(crate) fn listed(source: &str, values: Vec<Value>) -> Result<Vec<Value>, NotKubernetes> {
    let mut objects = Vec::new();
    for value in values {
        if let Document::Objects(some) = Document::of(source, value)? {
            objects.extend(some);
        }
    }
    Ok(objects)
}

/// The Pods among objects that are listed together, each with what is wrong with it.
pub(crate) fn pods(objects: &[Value], now: Timestamp) -> Vec<(&Value, Answer)> {
    let pods = objects.iter().filter(|object| object["kind"] == "Pod");
    // They come first.
    let subjects = listed::subjects(objects);
    pods.zip(subjects.iter().map(|subject| subject.answer(now)))
        .collect()
}

/// Puts the worst first. What is equally bad stays in the order of the file.
pub fn sort(answers: &mut [Answer]) {
    answers.sort_by_cached_key(Answer::rank);
}

/// When the file was made, as far as it tells.
fn moment(values: &[Value], clock: Timestamp) -> Timestamp {
    let newest = values.iter().filter_map(fields::newest_time).max();
    let newest = newest.unwrap_or(Timestamp::UNIX_EPOCH);
    let later = newest.checked_add(AFTERMATH).unwrap_or(newest);
    let age = clock.duration_since(newest);
    if age.is_negative() || age > FRESH {
        return later;
    }
    clock
}

#[cfg(test)]
pub(crate) mod tests;
