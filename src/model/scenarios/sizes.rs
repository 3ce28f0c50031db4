//! How heavy statuses become when everything goes wrong at once.
//!
//! Rule: a limit that is broken on purpose is written down here.

use std::fmt::Write;
use std::sync::Arc;

use super::super::fit;
use super::{many, supervisor, worker};
use crate::api::v1alpha1::ChargeStatus;
use crate::model::lab::{Behaviour, Lab};
use crate::model::window::api_time;

#[test]
fn the_status_of_a_thousand_replicas_stays_small() {
    for behaviour in [
        Behaviour::Healthy,
        Behaviour::NoImage,
        Behaviour::NoCapacity,
    ] {
        let mut lab = Lab::new(&many(1000, 1));
        lab.behave("a", behaviour);
        lab.run(40);
        let weight = fit::weight(&*lab.world.workers["a"].status);
        println!("{behaviour:?}: the status of the Worker has {weight} bytes");
        // A thousand replicas that all wait are a little more than the limit, with no word too many.
        let limit = fit::LARGEST_WORKER * 11 / 10;
        assert!(weight <= limit, "{behaviour:?}: {weight}");
        let writes = lab.writes;
        lab.run(10);
        assert_eq!(lab.writes, writes, "what is left out is not written again");
    }
}

/// The most that the status of a tree ever weighs whose workers, below that many supervisors, all crash.
fn heaviest_tree(supervisors: usize) -> usize {
    let mut spec = String::from("children:\n");
    let pod = "{spec: {containers: [{name: app, image: one}]}}";
    for number in 0..supervisors {
        let _ = writeln!(spec, "- {{name: jobs-{number:030}, supervisor: {{}}}}");
    }
    let apps: Vec<String> = (0..256 - supervisors)
        .map(|n| format!("app-{n:030}"))
        .collect();
    for (number, app) in apps.iter().enumerate() {
        let parent = format!("jobs-{:030}", number % supervisors);
        let _ = writeln!(
            spec,
            "- {{name: {app}, parent: {parent}, worker: {{template: {pod}}}}}"
        );
    }
    let mut lab = Lab::new(&spec);
    for app in &apps {
        lab.behave(app, Behaviour::Crash(1, 1));
    }
    let mut heaviest = 0;
    for _ in 0..60 {
        lab.run(1);
        heaviest = heaviest.max(fit::weight(&lab.world.tree.status));
    }
    println!("{supervisors} supervisors: the status of the tree had at most {heaviest} bytes");
    heaviest
}

#[test]
fn the_status_of_256_children_that_all_crash_stays_small() {
    assert!(heaviest_tree(8) <= fit::LARGEST_TREE);
    // A supervisor for every worker is the most that can be remembered: words alone are not enough then.
    assert!(heaviest_tree(128) <= 2 * fit::LARGEST_TREE);
}

#[test]
fn messages_of_the_dying_do_not_make_a_flat_tree_heavy() {
    let mut spec = String::from("children:\n");
    for number in 0..256 {
        let _ = writeln!(
            spec,
            "- {{name: c{number}, worker: {{template: {{spec: {{containers: [{{name: app, image: one}}]}}}}}}}}"
        );
    }
    let mut lab = Lab::new(&spec);
    for number in 0..256 {
        lab.behave(&format!("c{number}"), Behaviour::Crash(1, 1));
    }
    lab.last_words = "x".repeat(300);
    let mut heaviest = 0;
    for _ in 0..30 {
        lab.run(3);
        heaviest = heaviest.max(fit::weight(&lab.world.tree.status));
    }
    println!("256 workers: the status of the tree had at most {heaviest} bytes");
    assert!(heaviest <= 2 * fit::LARGEST_TREE, "{heaviest}");
}

/// Windows as long as nobody needs them: nothing that a decision rests on is left out, as long as the API server takes it.
const LONG_WINDOW: &str = "intensity: {maxRestarts: 100, periodSeconds: 3600}";

#[test]
fn a_hundred_charges_of_each_of_a_thousand_replicas_can_be_stored() {
    let mut lab = Lab::new(&format!("{LONG_WINDOW}{}", many(1000, 1)));
    lab.run(10);
    let charges = vec![api_time(lab.now); 100];
    let worker = lab.world.workers.get_mut("a").unwrap();
    for slot in &mut Arc::make_mut(&mut worker.status).slots {
        slot.charges.clone_from(&charges);
    }
    // One stays alive, and is a quorum.
    for slot in 0..999 {
        lab.kill("a", slot, 1);
    }
    lab.run(3);
    let status = &lab.world.workers["a"].status;
    let parked = status.slots.iter().filter(|slot| slot.parked.is_some());
    assert_eq!(parked.count(), 999, "their windows have overflowed");
    let weight = fit::weight(&**status);
    println!("a hundred charges each: the status of the Worker has {weight} bytes");
    assert!(weight <= 1024 * 1024, "{weight}");
}

/// More than the limit, on purpose: a window that is not whole would give up too late.
#[test]
fn a_hundred_charges_of_each_of_128_supervisors_can_be_stored() {
    let mut spec = String::from("children:\n");
    for number in 0..128 {
        let name = format!("jobs-{number:030}");
        spec += &supervisor(&name, "", LONG_WINDOW);
        spec += &worker(&format!("app-{number:030}"), &name, "");
    }
    let mut lab = Lab::new(&spec);
    lab.run(10);
    let now = lab.now;
    for record in &mut lab.tree_mut().status.supervisors {
        if record.name != "(root)" {
            record.charges = vec![ChargeStatus {
                child: record.name.replace("jobs", "app"),
                times: vec![api_time(now); 99],
                failed_starts: 0,
            }];
        }
    }
    for number in 0..128 {
        lab.kill(&format!("app-{number:030}"), 0, 1);
    }
    lab.run(3);
    let first = format!("jobs-{:030}", 0);
    assert_eq!(lab.charges(&first).values().sum::<usize>(), 100);
    let weight = fit::weight(&lab.world.tree.status);
    println!("a hundred charges each: the status of the tree has {weight} bytes");
    assert!(weight <= 6 * fit::LARGEST_TREE, "{weight}");
}
