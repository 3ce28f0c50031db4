//! Classes that Events show: each comes out of one Event, with its Pod or without.
//!
//! Rule: each text stands as a component of Kubernetes, or beside it, writes it.

use super::*;

/// The Pod beside an Event, by the word for it.
fn pod_that_is(what: &str) -> Value {
    let silent = || pod("a", &json!({}));
    match what {
        // It has no status.
        "Silent" => silent(),
        // It has no node.
        "Waiting" => {
            let mut waiting = pod("a", &json!({"phase": "Pending"}));
            waiting["spec"] = json!({"volumes": [
                {"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]});
            waiting
        }
        "Creating" => creating("a"),
        // Its image cannot be pulled, and its status does not say why.
        "BackingOff" => {
            let mut held = creating("a");
            held["status"]["containerStatuses"][0]["state"] =
                json!({"waiting": {"reason": "ImagePullBackOff"}});
            held
        }
        "Running" => well("a"),
        "Unready" => {
            let mut unready = well("a");
            unready["status"]["containerStatuses"][0]["ready"] = json!(false);
            unready["status"]["conditions"][0]["status"] = json!("False");
            unready
        }
        // Its program was ended by SIGKILL.
        "Killed" => crashing("a", 137),
        "Deleting" => {
            let mut deleting = silent();
            deleting["metadata"]["deletionTimestamp"] = json!(second(40));
            deleting["metadata"]["deletionGracePeriodSeconds"] = json!(30);
            deleting
        }
        other => panic!("no Pod is {other}"),
    }
}

const PULL: &str = "Failed to pull image \"r.example/x:1\": ";
/// A line for each Event: the class, the Pod beside it, the kind of what the Event is about, its reason and its text.
const TABLE: &str = include_str!("events.txt");

struct Row {
    class: &'static str,
    pod: &'static str,
    kind: &'static str,
    reason: &'static str,
    text: &'static str,
}

fn rows() -> impl Iterator<Item = Row> {
    TABLE.lines().map(|line| {
        let mut rest = line;
        let mut word = || {
            let (word, tail) = rest.split_once(' ').unwrap();
            rest = tail.trim_start();
            word
        };
        Row {
            class: word(),
            pod: word(),
            kind: word(),
            reason: word(),
            text: rest,
        }
    })
}

impl Row {
    fn event(&self) -> Value {
        let name = match self.kind {
            "Node" => "node-a",
            "PersistentVolumeClaim" => "data",
            _ => "a",
        };
        event(self.kind, name, self.reason, self.text)
    }

    /// The answer about the Pod and this Event.
    fn answer(&self) -> Answer {
        one(&json!({"pod": pod_that_is(self.pod), "events": [self.event()]}))
    }

    /// What is wrong, when an answer is not as expected.
    fn check(&self, answer: &Answer, kind: &str) -> Option<String> {
        let is_right = named(answer).contains(self.class) && answer.object.starts_with(kind);
        let told = || format!("{}: {:?} of {}", self.class, named(answer), answer.object);
        (!is_right).then(|| {
            format!(
                "{}: {} ({}: {})",
                told(),
                answer.message,
                self.reason,
                self.text
            )
        })
    }
}

/// The classes that an answer names.
pub(crate) fn named(answer: &Answer) -> BTreeSet<&'static str> {
    let mut named: BTreeSet<&'static str> = answer.contributing.iter().copied().collect();
    named.insert(answer.class);
    named
}

/// All classes that come out of the table.
pub(crate) fn shown() -> BTreeSet<&'static str> {
    rows().flat_map(|row| named(&row.answer())).collect()
}

#[test]
fn a_pod_and_one_event_show_the_class() {
    let wrong: Vec<String> = rows()
        .filter_map(|row| row.check(&row.answer(), "Pod n/a"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_event_alone_names_its_object_and_the_class() {
    let mut wrong = Vec::new();
    for row in rows() {
        let event = row.event();
        let alone = one(&list(std::slice::from_ref(&event)));
        wrong.extend(row.check(&alone, row.kind));
        let answer = one(&json!({"events": [event]}));
        assert_eq!((answer.class, answer.object), (alone.class, alone.object));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn of_events_about_several_objects_the_pod_is_answered_for_and_each_once() {
    let rebooted = event(
        "Node",
        "node-a",
        "Rebooted",
        "Node node-a has been rebooted",
    );
    let mut failed = event(
        "Pod",
        "a",
        "Failed",
        "Error: configmap \"settings\" not found",
    );
    failed["involvedObject"]["uid"] = json!("uid-a");
    let pulled = event(
        "Pod",
        "a",
        "Pulled",
        "Container image \"x\" already present on machine",
    );
    let events = [rebooted, failed, pulled];
    let answer = one(&json!({"events": events}));
    assert_eq!(
        (answer.object.as_str(), answer.class),
        ("Pod n/a", "ConfigMapMissing")
    );
    assert_eq!(
        told(&of(&list(&events))),
        [
            ("Pod n/a", "ConfigMapMissing"),
            ("Node n/node-a", "NodeRebooted")
        ]
    );
}

#[test]
fn what_a_later_start_has_cured_is_not_told() {
    let failed = event(
        "Pod",
        "a",
        "Failed",
        "Error: configmap \"settings\" not found",
    );
    let mut started = event("Pod", "a", "Started", "Started container main");
    started["lastTimestamp"] = json!(second(40));
    let answer = one(&list(&[failed.clone(), started.clone()]));
    assert_eq!((answer.class, answer.confidence), ("NoFault", "Rest"));
    started["lastTimestamp"] = json!(second(20));
    assert_eq!(one(&list(&[failed, started])).class, "ConfigMapMissing");
    let looping = event(
        "Pod",
        "a",
        "BackOff",
        "Back-off restarting failed container main in pod a",
    );
    assert_eq!(one(&looping).class, "Unknown");
}

/// The first says why, and the others only that it failed.
#[test]
fn the_event_that_says_why_counts_more_than_those_after_it() {
    let why = event(
        "Pod",
        "a",
        "Failed",
        &format!("{PULL}dial tcp: lookup r.example: no such host"),
    );
    let mut items = vec![why];
    for (reason, text) in [
        ("Failed", "Error: ErrImagePull"),
        ("BackOff", "Back-off pulling image \"r.example/x:1\""),
        ("Failed", "Error: ImagePullBackOff"),
    ] {
        let mut later = event("Pod", "a", reason, text);
        later["lastTimestamp"] = json!(second(40));
        items.push(later);
    }
    assert_eq!(one(&list(&items)).class, "RegistryHostNotFound");
}
