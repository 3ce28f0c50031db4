//! Random stories of updates: edits, deaths, unready replicas, scaling, `restartAt` and crashes of the operator, in any order.
//!
//! Rule: in the end all Pods are of the last template, as many as are wanted, and nothing goes on.

use super::rollouts::edit;
use super::updates::{restart_in, revisions};
use super::worker;
use crate::dice::Dice;
use crate::model::lab::{Behaviour, Lab};

const SEEDS: u64 = 150;
const UPDATES: [&str; 7] = [
    "{}",
    "{maxSurge: 0}",
    "{maxSurge: 50%, maxUnavailable: 50%}",
    "{minReadySeconds: 4}",
    "{maxSurge: 2, maxUnavailable: 1, minReadySeconds: 2}",
    "{steps: [{updated: 1}, {pauseSeconds: 5}, {updated: 2}, {pauseSeconds: 3}]}",
    "{maxSurge: 0, maxUnavailable: 1, steps: [{pauseSeconds: 4}, {updated: 50%}, {pauseSeconds: 9}]}",
];

/// A tree of two workers, drawn.
fn tree(dice: &mut Dice) -> String {
    let strategy = dice.one_of(&["OneForOne", "RestForOne", "OneForAll"]);
    let mut children = String::new();
    for name in ["a", "b"] {
        let update = match dice.below(3) {
            0 => "identity: Stable".to_owned(),
            _ => format!("update: {}", dice.one_of(&UPDATES)),
        };
        let replicas = 1 + dice.below(4);
        let quorum = 1 + dice.below(replicas);
        let settings = format!("replicas: {replicas}, quorum: {quorum}, {update}");
        children += &worker(name, "", &settings);
    }
    // Canaries need a revision that was proved good, and are not to be taken back.
    let rollout = dice.one_of(&["{}", "{probationSeconds: 0, onFailure: None}"]);
    format!(
        "strategy: {strategy}\nrollout: {rollout}\nintensity: {{maxRestarts: 20, periodSeconds: 600}}\nchildren:\n{children}"
    )
}

/// Lets one thing happen, and says what.
fn happen(lab: &mut Lab, dice: &mut Dice, edits: u64) -> String {
    let child = dice.one_of(&["a", "b"]);
    let live = lab.live(child);
    let slot = (!live.is_empty()).then(|| dice.one_of(&live));
    match (dice.below(8), slot) {
        (0 | 1, _) => {
            lab.edit_template(child, &format!("image-{edits}"));
            format!("{child} is edited")
        }
        (2, Some(slot)) => {
            lab.kill(child, slot, 1);
            format!("{child}/{slot} exits with 1")
        }
        (3, Some(slot)) => {
            lab.set_ready(child, slot, false);
            format!("{child}/{slot} is not Ready any more")
        }
        (4, _) => {
            let replicas = 1 + i32::try_from(dice.below(5)).unwrap();
            lab.edit_replicas(child, replicas);
            format!("{child} is scaled to {replicas}")
        }
        (5, _) => {
            restart_in(lab, child, 1);
            format!("{child} is to be restarted")
        }
        (6, _) => {
            lab.crash_in = Some(usize::try_from(dice.below(6)).unwrap());
            "the operator crashes soon".to_owned()
        }
        _ => {
            let behaviour = dice.one_of(&[Behaviour::Hang, Behaviour::NoImage]);
            lab.behave(child, behaviour);
            lab.run(i64::try_from(dice.below(8)).unwrap());
            lab.behave(child, Behaviour::Healthy);
            format!("{child} does {behaviour:?} for a moment")
        }
    }
}

#[test]
fn random_updates_end_with_the_last_template() {
    for seed in 1..=SEEDS {
        let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let spec = tree(&mut dice);
        let mut lab = Lab::new(&spec);
        lab.run(20);
        let mut story = Vec::new();
        for edits in 0..12 {
            story.push(happen(&mut lab, &mut dice, edits));
            lab.run(i64::try_from(dice.below(9)).unwrap());
        }
        for child in ["a", "b"] {
            for slot in lab.live(child) {
                lab.set_ready(child, slot, true);
            }
        }
        lab.run(1500);
        let since = lab.log.len();
        lab.run(400);
        let told = format!("seed {seed}\n{spec}{story:#?}\n{}", lab.message());
        assert_eq!(lab.log[since..], [""; 0], "{told}");
        assert_eq!(lab.state(), "TFF AllUp", "{told}");
        for child in ["a", "b"] {
            let worker = &lab.world.workers[child];
            let wanted = usize::try_from(worker.replicas).unwrap();
            assert_eq!(revisions(&lab, child), [wanted], "{told}");
            assert_eq!(worker.status.surge, 0, "{told}");
            assert_eq!(worker.status.update_step, None, "{told}");
        }
    }
}

/// The Pods of a worker that live and have that image, by UID.
fn living(lab: &mut Lab, child: &str, image: &str) -> Vec<String> {
    let slots = lab.slots_with(child, image).into_iter();
    slots
        .map(|slot| lab.pod_mut(child, slot).uid.clone())
        .collect()
}

#[test]
fn what_is_edited_there_and_back_ends_where_it_began_and_restarts_nothing_for_it() {
    const ALL: [&str; 3] = ["db", "api", "web"];
    for seed in 1..=SEEDS {
        let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let settings = match dice.below(4) {
            0 => "replicas: 2, identity: Stable".to_owned(),
            _ => format!("replicas: 3, update: {}", dice.one_of(&UPDATES)),
        };
        let order = dice.one_of(&["Ordered", "Parallel"]);
        let children = ALL.map(|name| worker(name, "", &settings)).concat();
        let spec = format!("rollout: {{order: {order}}}\nchildren:\n{children}");
        let mut lab = Lab::new(&spec);
        lab.run(120);
        assert_eq!(lab.state(), "TFF AllUp", "seed {seed}\n{spec}");
        let mut kept = Vec::new();
        for image in ["two", "three", "one"] {
            edit(&mut lab, image, &ALL);
            if image == "one" {
                kept = ALL.map(|child| living(&mut lab, child, image)).concat();
            }
            if dice.below(2) == 0 {
                lab.crash_in = Some(usize::try_from(dice.below(6)).unwrap());
            }
            lab.run(i64::try_from(dice.below(40)).unwrap());
        }
        lab.run(600);
        let told = format!("seed {seed}\n{spec}{}\n{:#?}", lab.message(), lab.log);
        assert_eq!(lab.state(), "TFF AllUp", "{told}");
        let mut left = Vec::new();
        for child in ALL {
            assert_eq!(lab.slots_with(child, "one"), lab.live(child), "{told}");
            left.extend(living(&mut lab, child, "one"));
        }
        for uid in kept {
            assert!(left.contains(&uid), "{uid} was restarted: {told}");
        }
        assert_eq!(lab.world.tree.status.restarts, 0, "{told}");
    }
}
