//! What is told of trees in all kinds of troubles.
//!
//! Rule: the statuses are those that the model has made of a story, see `testing`.

use serde_json::json;

use super::testing::objects;
use super::*;
use crate::model::lab::{Behaviour, Lab};
use crate::model::world::Refusal as Refused;

const POD: &str = "template: {spec: {containers: [{name: app, image: one}]}}";

/// A tree of three levels.
fn nested(settings: &str) -> Lab {
    Lab::new(&format!(
        "{settings}
children:
- {{name: db, worker: {{{POD}}}}}
- {{name: web, supervisor: {{intensity: {{maxRestarts: 1, periodSeconds: 300}}}}}}
- {{name: api, parent: web, worker: {{replicas: 3, quorum: 2, {POD}}}}}
"
    ))
}

fn single(settings: &str) -> Lab {
    Lab::new(&format!(
        "{settings}\nchildren: [{{name: a, worker: {{{POD}}}}}]"
    ))
}

fn asked(child: Option<&str>) -> Ask {
    Ask {
        child: child.map(ToOwned::to_owned),
        ..Ask::default()
    }
}

/// What is told of a lab now.
#[track_caller]
fn told(lab: &Lab, child: Option<&str>) -> Account {
    let mut accounts = of_objects("lab", objects(lab), lab.now, &asked(child)).unwrap();
    assert_eq!(accounts.len(), 1);
    accounts.remove(0)
}

#[track_caller]
fn printed(lab: &Lab, child: Option<&str>) -> String {
    text(&told(lab, child))
}

/// Fails unless all of that is said, in that order.
#[track_caller]
fn assert_says(text: &str, parts: &[&str]) {
    let mut rest = text;
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else {
            panic!("'{part}' is not said in its place:\n{text}");
        };
        rest = after;
    }
}

#[test]
fn a_tree_where_all_is_well_is_one_line() {
    let mut lab = nested("");
    lab.run(10);
    let text = printed(&lab, None);
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(
        text.starts_with("ns/t is Ready (AllUp), 2 of 2 workers up"),
        "{text}"
    );
}

#[test]
fn a_crash_is_told_with_its_proof_its_charge_and_what_is_left() {
    let mut lab = single("");
    lab.run(10);
    lab.last_words = "disk full".into();
    lab.kill("a", 0, 3);
    lab.run(5);
    let text = printed(&lab, None);
    assert_says(
        &text,
        &[
            "ns/t is Ready (AllUp)",
            "a: 1 of 1 up\n",
            "WHAT     slot 0: AppExitedNonZero. ",
            "disk full",
            "last at",
            "container app; proved",
            "PROOF    Pod ",
            "exitCode",
            "DECIDED  charged: restart 1 of 3 within 300 s at (root); restarted at once",
            "by the built-in rule of the verdict Application",
            "BUDGET   2 of 3 restarts left within 300 s at (root); one charge leaves the window in 4 min",
            "NEXT     nothing is due",
            "DO       ",
            "docs/faults/application.md#appexitednonzero",
        ],
    );
}

#[test]
fn without_pods_what_is_remembered_proves_it() {
    let mut lab = single("");
    lab.run(10);
    lab.kill("a", 0, 3);
    lab.run(5);
    let with = told(&lab, None).children[0].faults[0].proof.clone();
    let all = objects(&lab).into_iter();
    let without = all.filter(|object| object["kind"] != "Pod").collect();
    let accounts = of_objects("lab", without, lab.now, &Ask::default()).unwrap();
    let remembered = &accounts[0].children[0].faults[0].proof;
    assert!(!remembered.is_empty());
    for piece in remembered {
        let same = with.iter().any(|one| one.field == piece.field);
        assert!(same, "{piece:?} is not in {with:?}");
    }
}

#[test]
fn what_is_held_says_until_what() {
    let mut lab = single("");
    lab.behave("a", Behaviour::NoImage);
    lab.run(60);
    assert_says(
        &printed(&lab, None),
        &[
            "ns/t is not Ready (Held)",
            "a: 0 of 1 up, and the quorum is 1",
            "WHAT     slot 0: ImageNotFound. ",
            "since",
            "PROOF    Pod ",
            "DECIDED  not charged; left alone, because restarting would not help",
            "verdict Hold",
            "BUDGET   3 of 3 restarts left",
            "NEXT     slot 0: it is left alone until what the fault names is changed",
            "DO       ",
            "docs/faults/image.md#imagenotfound",
        ],
    );
}

#[test]
fn what_waits_for_capacity_starts_by_itself() {
    let mut lab = single("");
    lab.behave("a", Behaviour::NoCapacity);
    lab.run(40);
    assert_says(
        &printed(&lab, None),
        &[
            "(WaitingForCapacity)",
            "InsufficientCpu",
            "NEXT     slot 0: it starts by itself once that has passed",
        ],
    );
}

#[test]
fn a_rule_of_the_users_is_named() {
    let mut lab = single("faultPolicy: {rules: [{match: {exitCodes: [3]}, action: Hold}]}");
    lab.run(10);
    lab.kill("a", 0, 3);
    lab.run(40);
    assert_says(
        &printed(&lab, None),
        &[
            "DECIDED",
            "by the rule spec.faultPolicy.rules[0]",
            "NEXT     slot 0: it is left as it is, as spec.faultPolicy.rules[0] asks",
        ],
    );
}

#[test]
fn what_is_given_up_says_when_it_is_tried_again() {
    let mut lab = single("intensity: {maxRestarts: 1, periodSeconds: 300}");
    lab.run(10);
    lab.behave("a", Behaviour::Crash(1, 1));
    lab.run(30);
    let text = printed(&lab, None);
    assert_says(
        &text,
        &[
            "ns/t is not Ready (GaveUp)",
            "WHAT     GaveUp. ",
            "WHAT     slot 0: AppExitedNonZero. ",
            "NEXT     a is given up, and tried again at ",
            "(in ",
            "DO       GaveUp: Mend what it died of.",
            "AppExitedNonZero: ",
        ],
    );
    let mut final_lab = single("intensity: {maxRestarts: 1, periodSeconds: 300}\nonGiveUp: Stop");
    final_lab.run(10);
    final_lab.behave("a", Behaviour::Crash(1, 1));
    final_lab.run(30);
    assert_says(
        &printed(&final_lab, Some("a")),
        &["NEXT     (root) is given up, and stays stopped until `spec.retryAt`"],
    );
    assert_says(
        &printed(&final_lab, None),
        &["\n(root): a supervisor", "WHAT     GaveUp. "],
    );
}

#[test]
fn a_slot_that_is_parked_says_until_when() {
    let mut lab = nested("");
    lab.run(10);
    lab.failing.insert("api/1".into(), vec![1; 9]);
    lab.kill("api", 1, 1);
    lab.run(30);
    let text = printed(&lab, None);
    assert_says(
        &text,
        &[
            "api: 2 of 3 up\n",
            "slot 1: ",
            "BUDGET   1 of 1 restarts left within 300 s at web",
            "NEXT     slot 1: it is parked, and tried again at ",
        ],
    );
}

#[test]
fn what_is_left_is_what_the_status_says() {
    for seconds in [1, 20, 100, 310, 400] {
        let mut lab = single("");
        lab.run(10);
        for _ in 0..2 {
            lab.kill("a", 0, 1);
            lab.run(2);
        }
        lab.run(seconds);
        let left = &told(&lab, Some("a")).budget_of("(root)");
        let short = format!(
            "{}/{} in {}s at {}",
            left.left, left.allowed, left.period_seconds, left.who
        );
        assert_eq!(short, lab.world.tree.status.budget, "after {seconds} s");
    }
}

impl Account {
    fn budget_of(&self, who: &str) -> Left {
        let budgets = self.children.iter().flat_map(|child| &child.budget);
        budgets
            .clone()
            .find(|left| left.who == who)
            .unwrap()
            .clone()
    }
}

#[test]
fn a_window_without_room_says_what_comes_next() {
    let mut lab = nested("");
    lab.run(10);
    // Two of three end, so that the quorum is lost.
    lab.kill("api", 0, 1);
    lab.kill("api", 1, 1);
    lab.run(5);
    assert_says(
        &printed(&lab, Some("api")),
        &[
            "0 of 1 restarts left within 300 s at web",
            "after the next charge web stops its children, then (root) decides",
        ],
    );
}

#[test]
fn a_fault_of_long_ago_is_told_of_when_it_is_asked_for() {
    let mut lab = single("");
    lab.run(10);
    lab.kill("a", 0, 3);
    lab.run(3590);
    assert_says(&printed(&lab, None), &["AppExitedNonZero"]);
    lab.run(60);
    let text = printed(&lab, None);
    assert_eq!(text.lines().count(), 1, "{text}");
    assert_says(&printed(&lab, Some("a")), &["AppExitedNonZero"]);
}

#[test]
fn a_child_that_is_asked_for_is_told_of_whatever_it_is() {
    let mut lab = nested("");
    lab.run(10);
    assert_says(
        &printed(&lab, Some("db")),
        &[
            "db: 1 of 1 up\n",
            "WHAT     no fault of it is known",
            "BUDGET",
            "NEXT     nothing is due",
        ],
    );
    assert_says(
        &printed(&lab, Some("web")),
        &[
            "web: a supervisor, OneForOne, incarnation 1",
            "at web\n",
            "at (root)\n",
        ],
    );
    assert_says(&printed(&lab, Some("(root)")), &["(root): a supervisor"]);
}

#[test]
fn what_the_spec_keeps_down_is_no_fault() {
    let mut lab = nested("");
    lab.run(10);
    lab.edit(|spec| spec.children[1].enabled = false);
    lab.run(60);
    assert_eq!(printed(&lab, None).lines().count(), 1);
    assert_says(
        &printed(&lab, Some("api")),
        &[
            "api: not to run",
            "NEXT     it stays stopped until `enabled` of web is true",
        ],
    );
    lab.edit(|spec| spec.suspend = true);
    lab.run(60);
    let text = printed(&lab, None);
    assert!(text.starts_with("ns/t is Ready (Suspended)"), "{text}");
    assert_says(&printed(&lab, Some("db")), &["until `suspend` is false"]);
}

#[test]
fn a_create_that_is_refused_says_when_it_is_tried_again() {
    let mut lab = single("");
    lab.refuse_creates = Some(Refused {
        kind: "Pod",
        child: "a".into(),
        slot: Some(0),
        at: lab.now,
        code: 403,
        reason: "Forbidden".into(),
        message: "pods \"x\" is forbidden: exceeded quota: small, requested: pods=1, used: pods=1, limited: pods=1".into(),
    });
    lab.run(45);
    assert_says(
        &printed(&lab, None),
        &["QuotaExceeded", "exceeded quota", "NEXT     slot 0: "],
    );
}

#[test]
fn who_looks_after_nothing_is_noticed() {
    let mut lab = single("");
    let text = printed(&lab, None);
    assert_says(&text, &["ns/t: Coppice has not looked at this tree yet"]);
    lab.run(10);
    lab.tree_mut().generation += 1;
    let text = printed(&lab, None);
    assert_says(
        &text,
        &[
            "is Ready",
            "NOTE: the spec has been edited since",
            "no operator runs",
        ],
    );
}

#[test]
fn a_spec_that_cannot_be_carried_out_is_said() {
    let mut lab = single("");
    lab.run(10);
    lab.edit(|spec| spec.children[0].parent = Some("nobody".into()));
    lab.run(5);
    let text = printed(&lab, Some("a"));
    assert_says(
        &text,
        &[
            "is not Ready (InvalidSpec)",
            "NOTE: the spec cannot be carried out",
            "nobody",
        ],
    );
}

#[test]
fn who_is_not_there_is_refused_with_those_who_are() {
    let mut lab = nested("");
    lab.run(10);
    let refused = |ask: &Ask| {
        let told = of_objects("lab", objects(&lab), lab.now, ask);
        told.unwrap_err().to_string()
    };
    assert_eq!(
        refused(&asked(Some("apu"))),
        "ns/t has no child apu; did you mean api? Its children are db, web, api"
    );
    let of = |namespace: Option<&str>, tree: &str| Ask {
        namespace: namespace.map(ToOwned::to_owned),
        tree: Some(tree.to_owned()),
        child: None,
    };
    assert_eq!(
        refused(&of(None, "x")),
        "there is no tree x in lab; there are ns/t"
    );
    assert_eq!(
        refused(&of(Some("other"), "t")),
        "there is no tree t in lab; there are ns/t"
    );
}

#[test]
fn a_file_without_a_tree_is_answered_for_as_identify_does() {
    let file = json!({"kind": "List", "items": [{
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "n"},
        "status": {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."},
    }]});
    let clock = Timestamp::UNIX_EPOCH;
    let of = |ask: &Ask| of_file("file", &file.to_string(), clock, ask);
    let Told::Objects(answers) = of(&Ask::default()).unwrap() else {
        panic!("there is no tree")
    };
    assert_eq!(answers.answers[0].class, "NodePressureEviction");
    let ask = Ask {
        tree: Some("shop".to_owned()),
        ..Ask::default()
    };
    assert_eq!(
        of(&ask).unwrap_err().to_string(),
        "there is no tree shop in file; there is none"
    );
    let bad = of_file("file", "just words", clock, &Ask::default()).unwrap_err();
    assert!(bad.to_string().contains("this is not Kubernetes"), "{bad}");
}

#[test]
fn a_tree_that_is_not_as_it_should_be_is_refused() {
    let file =
        json!({"kind": "SupervisionTree", "metadata": {"name": "t"}, "spec": {"children": 7}});
    let told = of_file(
        "file",
        &file.to_string(),
        Timestamp::UNIX_EPOCH,
        &Ask::default(),
    );
    let error = told.unwrap_err().to_string();
    assert!(
        error.starts_with("file: SupervisionTree t is not as this version"),
        "{error}"
    );
}

#[test]
fn times_to_come_do_not_tell_when_a_file_was_made() {
    let mut lab = single("intensity: {maxRestarts: 1, periodSeconds: 300}");
    lab.run(10);
    lab.behave("a", Behaviour::Crash(1, 1));
    lab.run(20);
    let file = json!({"kind": "List", "items": objects(&lab)}).to_string();
    let Told::Trees(accounts) =
        of_file("file", &file, Timestamp::UNIX_EPOCH, &Ask::default()).unwrap()
    else {
        panic!("there is a tree")
    };
    let late = accounts[0].at.as_second() - lab.now.as_second();
    assert!(late <= 60, "the file is {late} s younger than its tree");
}

#[test]
fn slots_with_the_same_fault_are_told_of_together() {
    let mut lab = Lab::new(&format!(
        "children: [{{name: a, worker: {{replicas: 12, {POD}}}}}]"
    ));
    lab.behave("a", Behaviour::NoImage);
    lab.run(60);
    let text = printed(&lab, None);
    assert_says(
        &text,
        &[
            "WHAT     slots 0, 1, 2, 3, 4, 5, 6, 7 and 4 more: ImageNotFound",
            "NEXT     slots 0, 1",
        ],
    );
    assert!(text.lines().count() < 30, "{text}");
}
