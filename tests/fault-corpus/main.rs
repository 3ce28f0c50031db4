//! Identification against samples of real faults.
//!
//! Rule: a sample is either answered rightly or named in [`NOT_YET`], never both.

mod describe;
mod sample;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use coppice::model::fault::{Class, Evidence, identify_block, identify_end, identify_refusal};
use coppice::model::pod::{ContainerView, PodConditionType, PodPhase, PodView};
use serde::Deserialize;

use sample::Sample;

/// Samples whose class needs evidence that is not looked at yet.
const NOT_YET: &[(&str, &str)] = &[
    ("002-StartupProbeKilled.yaml", PROBE),
    ("040-ReadinessProbeFailing.yaml", PROBE),
    ("077-LivenessProbeKilled.json", PROBE),
    ("079-ReadinessProbeFailing.json", PROBE),
    ("162-LivenessProbeKilled.json", PROBE),
    ("163-LivenessProbeKilled.json", PROBE),
    ("054-RegistryHostNotFound.txt", PULL),
    ("073-RegistryUnavailable.json", PULL),
    ("087-ImageNotFoundOrUnauthorized.json", PULL),
    ("010-DraPrepareFailed.yaml", CREATING),
    ("126-MultiAttach.json", CREATING),
    ("129-CniPluginFailed.json", CREATING),
    ("131-RuntimeHandlerMissing.json", CREATING),
    ("157-CsiDriverMissing.json", CREATING),
    ("158-ConfigMapMissing.json", CREATING),
    (
        "161-StuckTerminating.json",
        "that a stop fails stands only in an Event",
    ),
    ("030-SecretMissing.json", DEREFERENCE),
    ("031-ConfigMapMissing.json", DEREFERENCE),
    (
        "046-AppExitedNonZero.txt",
        "shows a Job before its Pod has ended",
    ),
];

const PROBE: &str = "that a probe failed stands only in an Event";
const PULL: &str = "an old kubelet told the cause of a failed pull only in an Event";
const CREATING: &str = "what holds up volumes, devices and the sandbox stands only in an Event";
const DEREFERENCE: &str = "shows only that a volume names an object that does not exist";

#[derive(Deserialize)]
struct Entry {
    file: String,
    accept: Vec<String>,
}

#[test]
fn samples_are_answered_rightly() {
    let mut wrong = Vec::new();
    for entry in index() {
        let answer = answer(&directory().join("samples").join(&entry.file));
        let right = entry.accept.contains(&answer);
        let excused = NOT_YET.iter().any(|(file, _)| *file == entry.file);
        match (right, excused) {
            (true, true) => wrong.push(format!(
                "{}: passes now, take it out of NOT_YET",
                entry.file
            )),
            (false, false) => {
                wrong.push(format!("{}: {answer}, not {:?}", entry.file, entry.accept));
            }
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_index_names_exactly_the_samples_there_are() {
    let named: BTreeSet<String> = index().into_iter().map(|entry| entry.file).collect();
    let there: BTreeSet<String> = std::fs::read_dir(directory().join("samples"))
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(named, there);
    for (file, _) in NOT_YET {
        assert!(named.contains(*file), "{file} is not a sample");
    }
}

/// The name of the class, `NoFault` when there is none.
fn answer(file: &Path) -> String {
    let class = match sample::read(file) {
        Sample::Refused(refusal) => Some(identify_refusal(&refusal).class),
        Sample::Pod(pod) => judge(&pod),
    };
    class.map_or("NoFault", Class::as_str).to_owned()
}

fn judge(pod: &PodView) -> Option<Class> {
    let now = sample::latest_time(pod);
    let evidence = Evidence {
        pod,
        node: None,
        node_gone: false,
    };
    let disrupted = pod
        .condition(PodConditionType::DisruptionTarget)
        .is_some_and(|c| c.is_true);
    let ended = pod.judged().any(|c| c.last_end().is_some());
    let init_failed = pod
        .init_containers
        .iter()
        .any(|c| c.judged && ContainerView::failed_runs(c) > 0);
    let over = pod.is_terminal() || pod.is_deleting() || disrupted || ended || init_failed;
    if over {
        let class = identify_end(&evidence, now).class;
        // Whether a clean end is a fault depends on the restart type, which a sample does not have.
        let clean = class == Class::AppExitedZero && pod.phase == PodPhase::Succeeded;
        return (!clean).then_some(class);
    }
    identify_block(&evidence, now).map(|fault| fault.class)
}

fn index() -> Vec<Entry> {
    let text = std::fs::read_to_string(directory().join("index.json")).expect("the index");
    serde_json::from_str(&text).expect("JSON")
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fault-corpus")
}
