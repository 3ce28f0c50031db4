//! Random stories of updates: edits, deaths, unready replicas, scaling, `restartAt` and crashes of the operator, in any order.
//!
//! Rule: in the end all Pods are of the last template, as many as are wanted, and nothing goes on.

use std::collections::BTreeSet;

use super::rollouts::edit;
use super::updates::{restart_in, revisions};
use super::worker;
use crate::api::v1alpha1::RevisionMark;
use crate::dice::Dice;
use crate::model::lab::{Behaviour, Lab};
use crate::model::pod::PodView;

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

/// The Pods that live and have that image, by UID.
fn living(lab: &Lab, image: &str) -> BTreeSet<String> {
    let mut living = BTreeSet::new();
    for child in ALL {
        let slots = lab.slots_with(child, image);
        let is_one = |pod: &&PodView| pod.child == child && slots.contains(&pod.slot);
        let pods = lab.pods().filter(is_one);
        let live = pods.filter(|pod| !pod.is_deleting() && !pod.is_terminal());
        living.extend(live.map(|pod| pod.uid.clone()));
    }
    living
}

const ALL: [&str; 3] = ["db", "api", "web"];

/// A tree of three workers, drawn, up, with `one` proved good.
fn proved(dice: &mut Dice) -> (String, Lab) {
    let settings = match dice.below(5) {
        0 => "replicas: 2, identity: Stable".to_owned(),
        1 => "replicas: 3, quorum: 2, update: {method: InPlaceIfPossible, maxSurge: 0, maxUnavailable: 1}".to_owned(),
        2 => "replicas: 3, update: {method: InPlaceIfPossible, minReadySeconds: 2}".to_owned(),
        _ => format!("replicas: 3, update: {}", dice.one_of(&UPDATES)),
    };
    let order = dice.one_of(&["Ordered", "Parallel"]);
    let strategy = dice.one_of(&["OneForOne", "OneForOne", "RestForOne", "OneForAll"]);
    let children = ALL.map(|name| worker(name, "", &settings)).concat();
    let spec = format!("strategy: {strategy}\nrollout: {{order: {order}}}\nchildren:\n{children}");
    let mut lab = Lab::new(&spec);
    lab.run(120);
    assert_eq!(lab.state(), "TFF AllUp", "{spec}");
    (spec, lab)
}

/// Whether the tree is on its way to `one`, or there: its spec asks for that, or what it asks for was taken back.
fn goes_to_one(lab: &Lab, asked: &str) -> bool {
    let revisions = &lab.world.tree.status.revisions;
    let wanted = revisions.last().map(|wanted| wanted.mark);
    let is_first = revisions[0].number == lab.world.tree.status.revision;
    asked == "one" || (wanted == Some(RevisionMark::Bad) && is_first)
}

/// The Pods that are to stay, and the revision that was asked for when they were seen.
#[derive(Default)]
struct Kept {
    asked: i64,
    pods: BTreeSet<String>,
}

/// While the tree goes to `one`, what has that stays; and what has it now is to stay from now on.
fn keep(lab: &Lab, image: &str, kept: &mut Kept, told: &str) {
    let newest = lab.world.tree.status.revisions.last();
    let asked = newest.map_or(0, |newest| newest.number);
    // Between two looks another revision may have come, begun, and failed; `one` begins with what is there.
    let is_news = image != "one" && kept.asked != asked;
    if is_news || !goes_to_one(lab, image) {
        kept.pods.clear();
    }
    kept.asked = asked;
    if !goes_to_one(lab, image) {
        return;
    }
    let living = living(lab, "one");
    let lost: Vec<&String> = kept.pods.difference(&living).collect();
    assert!(
        lost.is_empty(),
        "{lost:?} were restarted: {told}{}\n{:#?}",
        lab.now,
        lab.log
    );
    kept.pods.extend(living);
}

#[test]
fn what_is_edited_there_and_back_ends_where_it_began_and_restarts_nothing_for_it() {
    for seed in 1..=SEEDS {
        let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let (spec, mut lab) = proved(&mut dice);
        // A revision that is taken back is left for the next one in the middle of that.
        if dice.below(2) == 0 {
            lab.behave(
                dice.one_of(&["db@two", "api@two", "web@two"]),
                Behaviour::NoImage,
            );
        }
        let mut told = format!("seed {seed}\n{spec}");
        for image in ["two", "three", "one"] {
            let one = [dice.one_of(&ALL)];
            let edited: &[&str] = if image == "one" || dice.below(3) > 0 {
                &ALL
            } else {
                &one
            };
            edit(&mut lab, image, edited);
            told = format!("{told}{edited:?} are edited to {image} at {}\n", lab.now);
            if dice.below(2) == 0 {
                lab.crash_in = Some(usize::try_from(dice.below(6)).unwrap());
            }
            // Whatever has the template that the tree goes to stays from then on.
            let mut kept = Kept::default();
            let seconds = if image == "one" { 60 } else { dice.below(40) };
            for _ in 0..seconds {
                keep(&lab, image, &mut kept, &told);
                lab.run(1);
            }
            if image == "one" {
                lab.run(600);
                keep(&lab, image, &mut kept, &told);
            }
        }
        told = format!("{told}{}\n{:#?}", lab.message(), lab.log);
        assert_eq!(lab.state(), "TFF AllUp", "{told}");
        for child in ALL {
            assert_eq!(lab.slots_with(child, "one"), lab.live(child), "{told}");
        }
        assert_eq!(lab.world.tree.status.restarts, 0, "{told}");
    }
}
