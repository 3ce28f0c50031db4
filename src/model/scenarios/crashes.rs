//! Crashes of the operator at every write of a story.
//!
//! Rule: a crash changes nothing in the end.

use super::groups::group;
use super::{NESTED, ONE, many, trace};
use crate::model::lab::{Behaviour, Lab};

/// A name, a cluster, and what happens to it.
type Story = (&'static str, fn() -> Lab, fn(&mut Lab));

/// The stories whose every write is a point to crash at.
fn stories() -> Vec<Story> {
    vec![
        ("start", || Lab::new(NESTED), |lab| lab.run(60)),
        (
            "heal",
            || Lab::new(NESTED),
            |lab| {
                lab.run(40);
                lab.kill("db", 0, 1);
                lab.run(20);
                lab.delete_by_hand("api", 1);
                lab.run(60);
            },
        ),
        (
            "crash loop",
            || Lab::new(ONE),
            |lab| {
                lab.behave("a", Behaviour::Crash(1, 1));
                lab.run(30);
                lab.behave("a", Behaviour::Healthy);
                lab.run(90);
            },
        ),
        (
            "escalate",
            || Lab::new(NESTED),
            |lab| {
                lab.run(40);
                lab.behave("ui", Behaviour::Crash(1, 1));
                lab.run(40);
                lab.behave("ui", Behaviour::Healthy);
                lab.edit_template("ui", "two");
                lab.run(60);
            },
        ),
        (
            "park",
            || {
                Lab::new(&format!(
                    "intensity: {{maxRestarts: 1, periodSeconds: 300}}{}",
                    many(3, 1)
                ))
            },
            |lab| {
                lab.run(10);
                lab.kill("a", 2, 1);
                lab.run(10);
                lab.kill("a", 2, 1);
                lab.run(120);
            },
        ),
        (
            "lose the quorum",
            || Lab::new(&many(3, 2)),
            |lab| {
                lab.run(10);
                lab.kill("a", 0, 1);
                lab.kill("a", 1, 1);
                lab.run(60);
            },
        ),
        (
            "scale",
            || Lab::new(&many(4, 2)),
            |lab| {
                lab.run(10);
                lab.edit_replicas("a", 2);
                lab.run(20);
                lab.edit_replicas("a", 5);
                lab.run(40);
            },
        ),
        (
            "edit",
            || Lab::new(&many(3, 2)),
            |lab| {
                lab.run(10);
                lab.edit_template("a", "two");
                lab.run(90);
            },
        ),
        (
            "delete",
            || Lab::new(NESTED),
            |lab| {
                lab.run(40);
                lab.tree_mut().deleting = true;
                lab.run(40);
            },
        ),
    ]
}

/// What must be the same at the end, whatever crashed in between.
fn end_state(lab: &Lab) -> String {
    let state = lab.state();
    let mut live: Vec<(String, i32)> = lab
        .pods()
        .filter(|p| !p.is_deleting() && !p.is_terminal())
        .map(|p| (p.child.clone(), p.slot))
        .collect();
    live.sort();
    let charges: Vec<_> = lab
        .world
        .tree
        .status
        .supervisors
        .iter()
        .map(|s| lab.charges(&s.name))
        .collect();
    let incarnations: i64 = lab
        .world
        .tree
        .status
        .supervisors
        .iter()
        .map(|s| s.incarnation)
        .sum();
    format!("{state} {live:?} {charges:?} {incarnations}")
}

#[test]
fn a_crash_at_any_write_changes_nothing_in_the_end() {
    let mut runs = 0;
    for (name, lab, story) in stories() {
        let mut undisturbed = lab();
        story(&mut undisturbed);
        for crash in 0..undisturbed.writes {
            let mut disturbed = lab();
            disturbed.crash_in = Some(crash);
            story(&mut disturbed);
            assert_eq!(
                end_state(&disturbed),
                end_state(&undisturbed),
                "story {name}, crash before write {crash}"
            );
            runs += 1;
        }
    }
    println!("{runs} crashes");
    assert!(runs > 100, "{runs} runs");
}

/// Of two deaths that are judged together, the supervisor is charged with one, and a slot with the other: three writes,
/// and a crash before or after each.
#[test]
fn a_restart_is_counted_once_wherever_a_crash_comes() {
    let spec = "
children:
- {name: a, worker: {template: {spec: {containers: [{name: app, image: one}]}}}}
- {name: b, worker: {replicas: 3, template: {spec: {containers: [{name: app, image: one}]}}}}
";
    for crash in 0..8 {
        let mut lab = Lab::new(spec);
        lab.run(40);
        lab.kill("a", 0, 1);
        lab.kill("b", 0, 1);
        lab.crash_in = Some(crash);
        lab.run(40);
        lab.crash_in = None;
        lab.run(40);
        assert_eq!(lab.state(), "TFF AllUp", "{crash}");
        let by_worker: Vec<i64> = lab
            .world
            .workers
            .values()
            .map(|w| w.status.restarts)
            .collect();
        assert_eq!(by_worker, [1, 1], "{crash}");
        let status = &lab.world.tree.status;
        assert_eq!(status.restarts, 2, "{crash}");
        let told = status
            .recent_faults
            .iter()
            .map(|fault| fault.child.as_str());
        let mut told: Vec<&str> = told.collect();
        told.sort_unstable();
        // What was to be told is not known any more when the crash came right after the Worker was stored.
        assert!(told == ["a", "b"] || told == ["a"], "{crash}: {told:?}");
    }
}

#[test]
fn a_crash_at_every_write_of_a_restart_changes_nothing() {
    let died: fn(&mut Lab) = |lab| lab.kill("b", 0, 1);
    let deleted: fn(&mut Lab) = |lab| lab.delete_by_hand("b", 0);
    for (strategy, ends) in [
        ("OneForAll", died),
        ("RestForOne", died),
        ("OneForAll", deleted),
        ("RestForOne", deleted),
    ] {
        let story = |crash_in: Option<usize>| {
            let mut lab = group(&format!("strategy: {strategy}"), &["a", "b", "c"]);
            let since = lab.log.len();
            ends(&mut lab);
            lab.crash_in = crash_in;
            let before = lab.writes;
            lab.run(40);
            let writes = lab.writes - before;
            let texts = (trace(&lab, since), lab.state(), lab.charges("(root)"));
            (texts, writes, lab.world.tree.status.restarts)
        };
        let (expected, writes, restarts) = story(None);
        assert_eq!(restarts, 1);
        for crash_in in 0..writes {
            let (found, _, counted) = story(Some(crash_in));
            assert_eq!(found, expected, "{strategy}, crash before write {crash_in}");
            assert_eq!(counted, restarts, "{strategy}, crash before {crash_in}");
        }
    }
}
