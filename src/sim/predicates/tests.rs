//! That predicates can fail which no run breaks by itself.
//!
//! Rule: each is broken once, by a request or a state that differs from a good one in one thing.

use serde_json::json;

use super::*;
use crate::sim::cluster::Behaviour;

/// A server with one tree, its Worker, a Pod of that and a Pod of a stranger.
struct Bench {
    server: Server,
    monitor: Monitor,
}

const OPERATOR: Actor = Actor::Operator(0);

impl Bench {
    fn new() -> Self {
        let server = Server::new(Timestamp::from_second(1_800_000_000).unwrap());
        let monitor = Monitor::new(&Plan::default());
        let mut bench = Self { server, monitor };
        let node = json!({"metadata": {"name": "node", "namespace": ""}, "spec": {},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]}});
        bench.ask(&Actor::User, Verb::Create, Kind::Node, node);
        let tree = json!({"metadata": {"name": "t", "namespace": "ns"}, "spec": {"children": [
            {"name": "web", "supervisor": {}},
            {"name": "a", "worker": {"replicas": 1}},
            {"name": "b", "parent": "web", "worker": {"replicas": 1}}]}});
        bench.ask(&Actor::User, Verb::Create, Kind::Tree, tree);
        for (child, pod) in [("a", "t-a-x"), ("b", "t-b-x")] {
            let worker = bench.worker(child);
            bench.ask(&OPERATOR, Verb::Create, Kind::Worker, worker);
            let made = bench.pod(pod, child);
            bench.ask(&OPERATOR, Verb::Create, Kind::Pod, made);
        }
        let stranger = json!({"metadata": {"name": "stranger", "namespace": "ns",
            "labels": {"coppice.dev/tree": "t", "coppice.dev/child": "a", "coppice.dev/slot": "0"}},
            "spec": {"containers": []}});
        bench.ask(&Actor::User, Verb::Create, Kind::Pod, stranger);
        assert_eq!(bench.broken(), Vec::<&str>::new());
        // What happened before is known by now.
        bench.server.now += SignedDuration::from_secs(60);
        bench
    }

    fn uid(&self, kind: Kind, name: &str) -> String {
        let object = self.server.get(kind, "ns", name).expect("it exists");
        uid_of(object).to_owned()
    }

    fn worker(&self, child: &str) -> Value {
        json!({"metadata": {"name": format!("t-{child}"), "namespace": "ns",
            "labels": {"coppice.dev/tree": "t", "coppice.dev/child": child},
            "ownerReferences": [{"kind": "SupervisionTree", "name": "t", "controller": true,
                "uid": self.uid(Kind::Tree, "t")}]}, "spec": {"replicas": 1}})
    }

    fn pod(&self, name: &str, child: &str) -> Value {
        let worker = format!("t-{child}");
        json!({"metadata": {"name": name, "namespace": "ns",
            "labels": {"coppice.dev/tree": "t", "coppice.dev/child": child, "coppice.dev/slot": "0"},
            "ownerReferences": [{"kind": "Worker", "name": worker, "controller": true,
                "uid": self.uid(Kind::Worker, &worker)}]},
            "spec": {"nodeName": "node", "containers": []}})
    }

    fn ask(&mut self, actor: &Actor, verb: Verb, kind: Kind, body: Value) {
        let name = body["metadata"]["name"].as_str().unwrap_or_default();
        let name = if verb == Verb::Create { "" } else { name };
        let namespace = body["metadata"]["namespace"].as_str().unwrap_or("ns");
        let call = Call {
            verb,
            kind,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            part: Part::Main,
            query: Vec::new(),
            body,
        };
        self.call(actor, &call);
    }

    fn call(&mut self, actor: &Actor, call: &Call) {
        let before = self.server.changes.len();
        let answer = self.server.call(actor, call);
        self.monitor
            .asked(actor, call, &answer, &self.server, before);
        for index in before..self.server.changes.len() {
            self.monitor.changed(&self.server, index);
        }
    }

    fn delete(&mut self, kind: Kind, name: &str) {
        let stored = self.server.get(kind, "ns", name).expect("it exists");
        let meta = &stored["metadata"];
        let body = json!({"preconditions": {"uid": meta["uid"], "resourceVersion": meta["resourceVersion"]}});
        let call = Call {
            verb: Verb::Delete,
            kind,
            namespace: "ns".to_owned(),
            name: name.to_owned(),
            part: Part::Main,
            query: Vec::new(),
            body,
        };
        self.call(&OPERATOR, &call);
    }

    /// Sets a part of the tree as it is stored.
    fn store(&mut self, change: impl FnOnce(&mut Value)) {
        let address = (Kind::Tree, "ns".to_owned(), "t".to_owned());
        let before = self.server.changes.len();
        self.server.edit(&OPERATOR, &address, change);
        for index in before..self.server.changes.len() {
            self.monitor.changed(&self.server, index);
        }
    }

    /// The first words of the promises that were broken since this was asked last.
    fn broken(&mut self) -> Vec<&'static str> {
        let all = self.monitor.violations.drain(..);
        all.map(|one| one.predicate.split(' ').next().unwrap_or_default())
            .collect()
    }

    /// What is wrong with the give-ups when child `b` behaves so.
    fn give_ups(&self, behaviour: Behaviour) -> Vec<String> {
        wrong_give_ups(&self.server, |who| (who == "b").then_some(behaviour))
    }
}

#[test]
fn writes_outside_the_tree_are_found() {
    let mut bench = Bench::new();
    let worker = bench.worker("a");
    let pod = bench.pod("t-a-y", "a");
    let mut elsewhere = pod.clone();
    elsewhere["metadata"]["namespace"] = json!("other");
    let mut of_nobody = pod.clone();
    of_nobody["metadata"]["ownerReferences"][0]["uid"] = json!("unheard-of");
    let mut ownerless = worker.clone();
    ownerless["metadata"]["ownerReferences"] = json!([]);
    let event = |uid: &str| json!({"metadata": {"name": "e", "namespace": "ns"}, "regarding": {"uid": uid}});
    let lease = |name: &str| json!({"metadata": {"name": name, "namespace": crate::sim::run::OPERATORS}, "spec": {}});
    for (kind, body) in [
        (Kind::Pod, elsewhere),
        (Kind::Pod, of_nobody),
        (Kind::Worker, ownerless),
        (Kind::Event, event("unheard-of")),
        (Kind::Lease, lease("of-another-operator")),
        (Kind::Node, json!({"metadata": {"name": "node-x"}})),
    ] {
        bench.ask(&OPERATOR, Verb::Create, kind, body.clone());
        assert_eq!(bench.broken().first(), Some(&"S6"), "{body}");
    }
    let tree = bench.uid(Kind::Tree, "t");
    bench.ask(&OPERATOR, Verb::Create, Kind::Event, event(&tree));
    bench.ask(
        &OPERATOR,
        Verb::Create,
        Kind::Lease,
        lease(crate::sim::run::LEASE),
    );
    assert_eq!(bench.broken(), Vec::<&str>::new());
}

#[test]
fn the_delete_of_a_stranger_and_of_a_worker_that_is_asked_for_are_found() {
    let mut bench = Bench::new();
    bench.delete(Kind::Pod, "stranger");
    assert_eq!(bench.broken(), ["S2"]);
    bench.delete(Kind::Worker, "t-a");
    assert_eq!(bench.broken(), ["S2"]);
    let mut bench = Bench::new();
    bench.store(|tree| {
        tree["spec"]["children"].as_array_mut().unwrap().remove(1);
    });
    bench.delete(Kind::Worker, "t-a");
    assert_eq!(bench.broken(), Vec::<&str>::new());
}

#[test]
fn a_tree_that_begins_with_a_history_is_found() {
    let record = |incarnation: i64| json!([{"name": "(root)", "incarnation": incarnation}]);
    for (incarnation, restarts, broken) in [(1, 0, false), (2, 0, true), (1, 1, true)] {
        let mut bench = Bench::new();
        bench.store(|tree| {
            tree["status"] = json!({"supervisors": record(incarnation), "restarts": restarts});
        });
        assert_eq!(bench.broken().contains(&"S9"), broken);
    }
}

#[test]
fn a_give_up_that_does_not_end_as_it_must_is_found() {
    let crash = Behaviour::Crash(1, 1);
    let wait =
        |child: &str, retry: Value| json!({"child": child, "waiting": true, "retryTime": retry});
    let status = |web: Value, root: Value| json!({"supervisors": [{"name": "web", "gaveUp": web}, {"name": "(root)", "gaveUp": root}]});
    let later = json!("2099-01-01T00:00:00Z");
    let mut bench = Bench::new();
    assert_eq!(bench.give_ups(Behaviour::Healthy), Vec::<String>::new());
    assert_eq!(bench.give_ups(crash).len(), 1, "nobody gave up");

    // `web` passes it on, and the root tries it again later.
    bench.store(|tree| tree["status"] = status(json!([]), json!([wait("web", later.clone())])));
    assert_eq!(bench.give_ups(crash), Vec::<String>::new());
    bench.store(|tree| tree["status"] = status(json!([]), json!([wait("web", Value::Null)])));
    assert_eq!(bench.give_ups(crash).len(), 1, "it is never tried again");
    bench.store(|tree| tree["status"] = status(json!([wait("b", later.clone())]), json!([])));
    assert_eq!(
        bench.give_ups(crash).len(),
        2,
        "`web` must not retry, and the root must"
    );

    // The root stops, and everything with it.
    bench.store(|tree| {
        tree["spec"]["onGiveUp"] = json!("Stop");
        tree["status"] = status(json!([]), json!([wait("", Value::Null)]));
    });
    assert_eq!(bench.give_ups(crash).len(), 1, "Pods still run");
    for pod in ["t-a-x", "t-b-x"] {
        let address = (Kind::Pod, "ns".to_owned(), pod.to_owned());
        bench.server.remove(&OPERATOR, &address);
    }
    assert_eq!(bench.give_ups(crash), Vec::<String>::new());
    bench.store(|tree| {
        tree["status"]["supervisors"][0]["operation"] = json!({"kind": "GiveUp"});
        tree["status"]["supervisors"][1]["gaveUp"] = json!([]);
    });
    assert_eq!(
        bench.give_ups(Behaviour::Healthy).len(),
        1,
        "nobody judges `web`"
    );
}
