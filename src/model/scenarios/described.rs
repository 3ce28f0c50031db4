//! What `kubectl describe` shows of a tree in each of its situations: the conditions, word for word.
//!
//! Rule: there is a row for every reason that a condition can have.

mod rows;

use std::collections::BTreeSet;

use super::{supervisor, worker};
use crate::api::conditions::Reason;
use crate::model::engine::Engine;
use crate::model::lab::{Behaviour, Lab};
use crate::model::tree::Tree;
use crate::model::window::after;
use crate::model::world::Refusal;

/// A tree, and what happens to it; Ready, Reconciling and Stalled then, with their reason, and their message.
type Row = (String, fn(&mut Lab), &'static str, &'static str);

const NO_RESTART: &str = "intensity: {maxRestarts: 0, periodSeconds: 60}";

/// A tree of one worker with these settings.
fn one(settings: &str) -> String {
    format!("children:\n{}", worker("a", "", settings))
}

/// A tree with these settings, whose two workers start one after another.
fn ordered(settings: &str) -> String {
    ordered_of(settings, &["a", "b"])
}

/// The same with these workers.
fn ordered_of(settings: &str, names: &[&str]) -> String {
    let children: String = names.iter().map(|name| worker(name, "", "")).collect();
    format!("startup: Ordered\n{settings}\nchildren:\n{children}")
}

/// A tree whose two workers stand below a supervisor with these settings.
fn below_web(settings: &str) -> String {
    let children = [
        supervisor("web", "", settings),
        worker("a", "web", ""),
        worker("b", "web", ""),
    ];
    format!("children:\n{}", children.concat())
}

/// From now on the worker behaves so; some seconds go by.
fn behave(lab: &mut Lab, behaviour: Behaviour, seconds: i64) {
    lab.behave("a", behaviour);
    lab.run(seconds);
}

/// That worker takes long to stop.
fn slow<'a>(lab: &'a mut Lab, child: &str) -> &'a mut Lab {
    lab.stopping.insert(child.into(), 8);
    lab
}

/// Ten seconds go by, a worker ends with that code, and some more seconds go by.
fn end(lab: &mut Lab, child: &str, code: i32, seconds: i64) {
    lab.run(10);
    lab.kill(child, 0, code);
    lab.run(seconds);
}

/// The Worker is refused for some seconds.
fn refuse_worker(lab: &mut Lab, code: u16, reason: &str, message: &str, seconds: i64) {
    for _ in 0..seconds {
        lab.now = after(lab.now, 1);
        lab.world.workers.clear();
        lab.world.refusals.push(Refusal {
            kind: "Worker",
            child: "a".into(),
            slot: None,
            at: lab.now,
            code,
            reason: reason.into(),
            message: message.into(),
        });
        lab.decide_once();
    }
}

fn all() -> Vec<Row> {
    [
        rows::starting(),
        rows::operations(),
        rows::changing(),
        rows::waiting(),
        rows::held(),
        rows::faults(),
        rows::given_up(),
        rows::rolled_out(),
        rows::resting(),
    ]
    .concat()
}

#[test]
fn every_situation_is_described_with_its_reason_in_words() {
    let mut reasons = BTreeSet::new();
    for (spec, happens, state, message) in all() {
        let mut lab = Lab::new(&spec);
        happens(&mut lab);
        assert_eq!((lab.state().as_str(), lab.message()), (state, message));
        let reason = lab.condition("Ready").1.to_owned();
        for condition in &lab.world.tree.status.conditions[..3] {
            let told = (&condition.reason, condition.message.as_str());
            assert_eq!(told, (&reason, message), "all three say the same");
        }
        reasons.insert(reason);
    }
    let mut untold = Reason::ALL.to_vec();
    untold.retain(|reason| !reasons.contains(reason.as_str()));
    assert_eq!(
        untold,
        [
            Reason::NotSuspended,
            Reason::NotRolledBack,
            Reason::NothingSingle,
            Reason::SingleReplica,
            Reason::SingleNode,
            Reason::SingleZone
        ],
        "they are those of other conditions"
    );
}

/// A person reads the first situation; the others would be told in the same way.
#[test]
fn each_slot_says_what_it_waits_for() {
    let told = |lab: &Lab| -> Vec<String> {
        let tree = &lab.world.tree;
        let tree = Tree::parse(&tree.name, &tree.spec).unwrap();
        let all = Engine::new(&tree, &lab.world, lab.now).situations();
        all.into_iter().map(|situation| situation.message).collect()
    };
    let mut lab = Lab::new(&ordered(""));
    behave(&mut lab, Behaviour::Hang, 5);
    let of_a = "a/0 is starting (Pod t-a-090004af2d)";
    assert_eq!(told(&lab), [of_a, "b/0 waits for the children before it"]);
    lab.vanish("a", 0);
    assert_eq!(
        told(&lab),
        [
            "a/0 is being created",
            "b/0 waits for the children before it"
        ]
    );
}

/// The page shows a line of a tree, which is one that is tested here.
#[test]
fn the_page_about_strategies_shows_a_line_that_trees_say() {
    let page = include_str!("../../../docs/strategies.md");
    let after = page.split_once("how far it has come:\n\n```\n").unwrap().1;
    let line = after.split_once("\n```").unwrap().0;
    let is_said = all().iter().any(|(_, _, _, message)| *message == line);
    assert!(is_said, "nothing says: {line}");
}
