//! Identification against samples of real faults.
//!
//! Rule: each sample has an answer that is right, and the exact one unless [`NOT_EXACT`] says what the file lacks.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use coppice::identify::{Answer, identify};
use jiff::Timestamp;
use serde::Deserialize;

/// Samples that do not hold what decides for the exact class, and what that would be.
const NOT_EXACT: &[(&str, &str)] = &[
    (
        "010-DraPrepareFailed.yaml",
        "the Event FailedPrepareDynamicResources",
    ),
    ("030-SecretMissing.yaml", "that the Secret does not exist"),
    (
        "031-ConfigMapMissing.yaml",
        "that the ConfigMap does not exist",
    ),
    (
        "033-StatefulSetStuck.yaml",
        "of which revision the Pod is, and which one is wanted",
    ),
    (
        "141-ImagePlatformMismatch.yaml",
        "the line of the log that says it",
    ),
    ("149-WebhookUnavailable.json", "the webhook"),
];

/// Samples that hold nothing of what happened.
const NOTHING: &[(&str, &str)] = &[(
    "046-AppExitedNonZero.yaml",
    "a Job before its Pod has ended, with no failure in its status or its Events",
)];

/// The least share of answers that a field or an Event proves, in percent.
const PROVED: usize = 70;

#[derive(Deserialize)]
struct Entry {
    file: String,
    class: String,
    accept: Vec<String>,
}

/// A sample and the answer to it.
struct Judged {
    entry: Entry,
    answer: Answer,
}

impl Judged {
    fn is_right(&self) -> bool {
        self.entry
            .accept
            .iter()
            .any(|class| class == self.answer.class)
    }

    fn is_sure(&self) -> bool {
        matches!(self.answer.confidence, "Proved" | "Witnessed")
    }
}

#[test]
fn samples_are_answered_rightly() {
    let all = judged();
    let mut wrong = Vec::new();
    for sample in &all {
        let (file, class) = (&sample.entry.file, sample.answer.class);
        if NOTHING.iter().any(|(known, _)| known == file) {
            if class != "NoFault" {
                wrong.push(format!("{file}: {class}, where nothing is to be seen"));
            }
        } else if !sample.is_right() {
            wrong.push(format!(
                "{file}: {class}, not {:?}: {}",
                sample.entry.accept, sample.answer.message
            ));
        }
        let is_exact = class == sample.entry.class;
        let is_excused = NOT_EXACT
            .iter()
            .chain(NOTHING)
            .any(|(known, _)| known == file);
        if sample.is_right() && is_exact == is_excused {
            wrong.push(format!("{file}: {class}, and NOT_EXACT says otherwise"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn most_answers_are_proved_and_those_are_right() {
    let all = judged();
    let sure: Vec<&Judged> = all.iter().filter(|sample| sample.is_sure()).collect();
    let share = sure.len() * 100 / all.len();
    println!(
        "{} of {} answers are proved or witnessed ({share} %)",
        sure.len(),
        all.len()
    );
    assert!(
        share >= PROVED,
        "only {share} % of the answers are proved or witnessed"
    );
    let wrong = sure.iter().filter(|sample| {
        !sample.is_right() && !NOTHING.iter().any(|(file, _)| *file == sample.entry.file)
    });
    let wrong: Vec<&str> = wrong.map(|sample| sample.entry.file.as_str()).collect();
    assert!(wrong.is_empty(), "sure and wrong: {wrong:?}");
}

/// What is claimed to be proved can be looked up.
#[test]
fn a_fault_that_is_sure_names_its_evidence() {
    for sample in judged() {
        let is_fault = sample.answer.class != "NoFault";
        let names = !sample.answer.evidence.is_empty();
        assert!(
            !is_fault || !sample.is_sure() || names,
            "{}",
            sample.entry.file
        );
    }
}

#[test]
fn the_index_names_exactly_the_samples_there_are() {
    let named: BTreeSet<String> = index().into_iter().map(|entry| entry.file).collect();
    let there: BTreeSet<String> = std::fs::read_dir(directory().join("samples"))
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(named, there);
    for (file, _) in NOT_EXACT.iter().chain(NOTHING) {
        assert!(named.contains(*file), "{file} is not a sample");
    }
}

fn judged() -> Vec<Judged> {
    let judge = |entry: Entry| Judged {
        answer: answer(&directory().join("samples").join(&entry.file)),
        entry,
    };
    index().into_iter().map(judge).collect()
}

fn answer(file: &Path) -> Answer {
    let text = std::fs::read_to_string(file).expect("a sample");
    let name = file.display().to_string();
    // Long after all that happened.
    let clock: Timestamp = "2100-01-01T00:00:00Z".parse().expect("a time");
    let answers = identify(&name, &text, clock).expect("objects");
    assert_eq!(answers.warnings, [""; 0], "{name}");
    assert_eq!(answers.answers.len(), 1, "{name}");
    answers.answers.into_iter().next().expect("an answer")
}

fn index() -> Vec<Entry> {
    let text = std::fs::read_to_string(directory().join("index.json")).expect("the index");
    serde_json::from_str(&text).expect("JSON")
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fault-corpus")
}
