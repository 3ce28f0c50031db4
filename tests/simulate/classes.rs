//! Whether each class of fault is acted out so that the engine calls it by its name.
//!
//! Rule: every class is in one of two lists: acted out, or refused with a reason.

use coppice::model::fault::Class;
use coppice::simulate::{Fault, Plan, Row, read, simulate};

use super::ONE;

/// How many classes a simulated cluster can show. The others stand only in Events, or sum up several Pods, or are none.
const ACTED_OUT: usize = 121;

fn timeline(class: Class, at: &str) -> Vec<Row> {
    let fault: Fault = format!("app={class}{at}").parse().unwrap();
    let plan = Plan {
        faults: vec![fault],
        ..Plan::default()
    };
    simulate(&read("test", ONE).unwrap(), &plan).unwrap()
}

#[test]
fn every_class_is_called_by_its_name_or_refused_with_a_reason() {
    let (acted_out, refused): (Vec<Class>, Vec<Class>) = Class::ALL
        .iter()
        .partition(|class| format!("app={class}").parse::<Fault>().is_ok());
    for class in &acted_out {
        // Later than the start, a class of the start needs a Pod that starts.
        let rows = timeline(*class, "");
        let named = format!("{class}: ");
        let told = rows
            .iter()
            .filter(|row| row.why.starts_with(&named))
            .count();
        assert!(told > 0, "{class}: {rows:#?}");
        let other = |row: &&Row| {
            let is_fault = ["died", "held", "waits", "not created"].contains(&row.event.as_str());
            is_fault && !row.why.starts_with(&named)
        };
        assert_eq!(rows.iter().find(other), None, "{class}");
    }
    for class in refused {
        let error = format!("app={class}").parse::<Fault>().unwrap_err();
        assert!(error.contains("cannot be acted out: "), "{error}");
    }
    assert_eq!(acted_out.len(), ACTED_OUT);
}

#[test]
fn a_class_of_the_start_befalls_the_successor_of_a_pod_that_was_deleted() {
    let faults = ["app=PodDeleted@1m", "app=ImageNotFound@1m"];
    let plan = Plan {
        faults: faults.map(|text| text.parse().unwrap()).to_vec(),
        ..Plan::default()
    };
    let rows = simulate(&read("test", ONE).unwrap(), &plan).unwrap();
    let told: Vec<(&str, i64)> = rows
        .iter()
        .filter(|row| ["died", "held"].contains(&row.event.as_str()))
        .map(|row| (row.event.as_str(), row.at))
        .collect();
    assert_eq!(told, [("died", 60), ("held", 61)]);
}

#[test]
fn missing_capacity_passes_and_a_missing_image_stays() {
    let ends = |class| timeline(class, "").last().unwrap().why.clone();
    assert!(ends(Class::InsufficientCpu).starts_with("Ready (AllUp)"));
    assert!(ends(Class::RegistryUnavailable).starts_with("Ready (AllUp)"));
    assert!(ends(Class::ImageNotFound).starts_with("Stalled (Held)"));
}
