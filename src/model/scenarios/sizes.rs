//! How heavy statuses become when everything goes wrong at once.
//!
//! Rule: a limit that is broken on purpose is written down here.

use std::fmt::Write;

use super::super::fit;
use super::many;
use crate::model::lab::{Behaviour, Lab};

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
