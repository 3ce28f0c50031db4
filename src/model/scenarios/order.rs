//! In which order a tree starts, and in which order it stops when it is deleted.
//!
//! Rule: a start waits for those before it, and a stop for those after it that can be reached.

use super::{NESTED, ONE};
use crate::model::lab::{Behaviour, Lab};

#[test]
fn children_start_in_order_and_stop_in_reverse() {
    let mut lab = Lab::new(NESTED);
    lab.run(30);
    assert_eq!(lab.state(), "TFF AllUp");
    let creates: Vec<&String> = lab.log.iter().filter(|l| l.starts_with("create")).collect();
    assert_eq!(
        creates,
        [
            "create db/0",
            "create api/0",
            "create api/1",
            "create api/2",
            "create ui/0"
        ]
    );
    lab.log.clear();
    lab.tree_mut().deleting = true;
    lab.run(30);
    let stops: Vec<&str> = lab
        .log
        .iter()
        .map(|l| l.split(' ').nth(1).unwrap())
        .collect();
    assert_eq!(stops, ["ui/0", "api/0", "api/1", "api/2", "db/0", "off"]);
    assert!(lab.world.tree.finalizers.is_empty());
}

#[test]
fn an_ordered_start_waits_for_a_child_that_does_not_start() {
    let mut lab = Lab::new(NESTED);
    lab.behave("db", Behaviour::Hang);
    lab.run(60);
    assert_eq!(lab.live("api"), [] as [i32; 0]);
    assert_eq!(lab.state(), "FTF Starting");
    lab.behave("db", Behaviour::Healthy);
    lab.run(20);
    assert_eq!(lab.state(), "TFF AllUp");
}

#[test]
fn deletion_does_not_wait_for_an_unreachable_node() {
    let mut lab = Lab::new(ONE);
    lab.run(5);
    lab.lose_node("a", 0);
    lab.tree_mut().deleting = true;
    lab.run(3);
    assert!(lab.world.tree.finalizers.is_empty());
}

#[test]
fn an_orphaned_tree_stops_nothing() {
    let mut lab = Lab::new(ONE);
    lab.run(5);
    lab.tree_mut().deleting = true;
    lab.tree_mut().finalizers.push("orphan".into());
    lab.run(3);
    assert_eq!(lab.live("a"), [0]);
    lab.tree_mut().finalizers.retain(|f| f != "orphan");
    lab.world.workers.clear();
    lab.run(2);
    assert!(lab.world.tree.finalizers.is_empty());
}
