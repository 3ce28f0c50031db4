//! Edits of the children: how many replicas they have, their templates, where they belong, whether they are there at all;
//! and specs that are refused.
//!
//! Rule: an edit stops and starts no more than it says, and nothing of it is a death. `edits` has those at awkward moments.

use super::{NESTED, ONE, many};
use crate::api::v1alpha1::Identity;
use crate::model::lab::{Behaviour, Lab};
use crate::model::names::revision;

#[test]
fn scaling_drops_the_highest_and_adds_the_lowest_free() {
    let mut lab = Lab::new(&many(3, 1));
    lab.run(6);
    lab.edit_replicas("a", 1);
    lab.run(5);
    assert_eq!(lab.live("a"), [0]);
    assert_eq!(lab.state(), "TFF AllUp");
    lab.edit_replicas("a", 2);
    lab.run(6);
    assert_eq!(lab.live("a"), [0, 1]);
    lab.edit_replicas("a", 0);
    lab.run(6);
    assert_eq!(lab.live("a"), [] as [i32; 0]);
    assert_eq!(lab.state(), "TFF AllUp", "no replicas count as up");
    assert_eq!(lab.world.tree.status.restarts, 0);
}

#[test]
fn scaling_down_and_up_again_at_once_makes_no_deaths() {
    let mut lab = Lab::new(&many(3, 1));
    lab.run(6);
    lab.kill("a", 2, 1);
    lab.run(40);
    let restarts = lab.world.tree.status.restarts;
    lab.edit_replicas("a", 1);
    lab.settle();
    lab.edit_replicas("a", 3);
    lab.run(10);
    assert_eq!(lab.live("a"), [0, 1, 2]);
    assert_eq!(lab.state(), "TFF AllUp");
    assert_eq!(lab.world.tree.status.restarts, restarts);
}

#[test]
fn a_number_stated_in_the_tree_is_put_back_and_one_left_out_is_not() {
    let mut lab = Lab::new(&many(2, 1));
    lab.run(6);
    lab.world.workers.get_mut("a").unwrap().replicas = 5;
    lab.run(6);
    assert_eq!(lab.world.workers["a"].replicas, 2);
    assert!(lab.events.contains(&"ScaleOverridden".to_owned()));
    lab.edit_worker("a", |worker| worker.replicas = None);
    lab.run(6);
    assert_eq!(lab.live("a"), [0, 1], "removing the line keeps the number");
    lab.world.workers.get_mut("a").unwrap().replicas = 3;
    lab.run(6);
    assert_eq!(lab.live("a"), [0, 1, 2]);
}

#[test]
fn a_changed_template_replaces_pods_one_at_a_time() {
    let mut lab = Lab::new(&many(3, 2));
    lab.run(6);
    lab.edit_template("a", "two");
    let revision = revision(
        &lab.world.tree.spec.children[0]
            .worker
            .as_ref()
            .unwrap()
            .template
            .0,
    );
    for _ in 0..30 {
        lab.run(1);
        assert!(
            lab.pods()
                .filter(|p| p.is_ready() && !p.is_deleting())
                .count()
                >= 2,
            "the quorum is kept"
        );
    }
    assert!(lab.pods().all(|p| p.revision == revision));
    assert_eq!(lab.state(), "TFF AllUp");
    assert_eq!(lab.world.tree.status.restarts, 0);
}

#[test]
fn a_broken_template_stops_at_the_first_replica() {
    let mut lab = Lab::new(&many(3, 1));
    lab.run(6);
    lab.behave("a", Behaviour::NoImage);
    lab.edit_template("a", "two");
    lab.run(60);
    assert_eq!(lab.pods().filter(|p| p.is_ready()).count(), 3);
    assert_eq!(lab.live("a").len(), 4);
    lab.behave("a", Behaviour::Healthy);
    lab.edit_template("a", "three");
    lab.run(30);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
}

#[test]
fn disabled_children_stop_and_start_again_as_new() {
    let mut lab = Lab::new(NESTED);
    lab.run(30);
    lab.edit(|spec| spec.children[1].enabled = false);
    lab.run(10);
    assert_eq!(lab.live("api"), [] as [i32; 0]);
    assert_eq!(lab.live("db"), [0]);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    lab.edit(|spec| spec.children[1].enabled = true);
    lab.run(20);
    assert_eq!(lab.live("api"), [0, 1, 2]);
    assert_eq!(lab.state(), "TFF AllUp");
    assert_eq!(lab.world.tree.status.restarts, 0);
}

#[test]
fn removed_children_are_stopped_and_forgotten_and_added_ones_start() {
    let mut lab = Lab::new(NESTED);
    lab.run(30);
    let ui = lab.world.tree.spec.children[3].clone();
    lab.edit(|spec| {
        spec.children.remove(3);
    });
    lab.run(5);
    assert!(!lab.world.workers.contains_key("ui"));
    lab.edit(|spec| spec.children.push(ui));
    lab.run(6);
    assert_eq!(lab.live("ui"), [0]);
    assert_eq!(lab.state(), "TFF AllUp");
}

#[test]
fn a_move_to_another_parent_keeps_the_pods() {
    let mut lab = Lab::new(NESTED);
    lab.run(30);
    let uid = lab.pod_mut("ui", 0).uid.clone();
    lab.edit(|spec| spec.children[3].parent = None);
    lab.run(5);
    assert_eq!(lab.pod_mut("ui", 0).uid, uid);
    assert_eq!(lab.state(), "TFF AllUp");
}

#[test]
fn a_changed_identity_is_remove_and_add() {
    let mut lab = Lab::new(&many(2, 1));
    lab.run(6);
    lab.edit_worker("a", |worker| worker.identity = Identity::Stable);
    lab.run(10);
    let names: Vec<String> = lab.pods().map(|p| p.name.clone()).collect();
    assert_eq!(names, ["t-a-0", "t-a-1"]);
    assert_eq!(lab.world.tree.status.restarts, 0);
}

#[test]
fn a_refused_spec_changes_nothing_and_says_what_to_fix() {
    let mut lab = Lab::new(ONE);
    lab.run(5);
    let log = lab.log.len();
    lab.edit(|spec| spec.children[0].parent = Some("nobody".into()));
    lab.run(5);
    assert_eq!(lab.state(), "FFT InvalidSpec");
    assert!(lab.message().contains("'nobody'"), "{}", lab.message());
    assert_eq!(lab.log.len(), log, "nothing is touched");
    assert_eq!(lab.live("a"), [0]);
}

#[test]
fn a_back_off_that_cannot_fit_is_refused_with_the_numbers() {
    let mut lab = Lab::new(&format!(
        "intensity: {{maxRestarts: 10, periodSeconds: 60}}{ONE}"
    ));
    lab.run(1);
    assert_eq!(lab.state(), "FFT InvalidSpec");
    assert!(lab.message().contains("151 seconds"), "{}", lab.message());
}
