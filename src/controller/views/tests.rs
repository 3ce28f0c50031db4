//! Who owns what, who is woken, and when a view may be believed.
//!
//! Rule: objects come from JSON, as they do from the API server.

use serde_json::{Value, json};

use super::*;
use crate::controller::kinds::{Claims, ConfigMaps, Quotas};

mod room;

fn tree(name: &str, uid: &str, version: u64) -> Value {
    json!({"metadata": {"name": name, "namespace": "ns", "uid": uid, "resourceVersion": version.to_string()},
        "spec": {"children": []}})
}

fn worker(name: &str, uid: &str, tree: (&str, &str), version: u64) -> Value {
    json!({"metadata": {"name": name, "namespace": "ns", "uid": uid, "resourceVersion": version.to_string(),
        "labels": {"coppice.dev/child": name},
        "ownerReferences": [{"apiVersion": "coppice.dev/v1alpha1", "kind": "SupervisionTree",
            "name": tree.0, "uid": tree.1, "controller": true}]}, "spec": {"replicas": 1}})
}

fn pod(name: &str, owner: &str, tree: &str, phase: &str, version: u64) -> Value {
    json!({"metadata": {"name": name, "namespace": "ns", "uid": format!("uid-{name}"),
        "resourceVersion": version.to_string(), "labels": {"coppice.dev/tree": tree},
        "ownerReferences": [{"apiVersion": "coppice.dev/v1alpha1", "kind": "Worker", "name": "w",
            "uid": owner, "controller": true}]},
        "spec": {"nodeName": "n1"}, "status": {"phase": phase}})
}

fn node(name: &str, ready: &str, version: u64) -> Value {
    json!({"metadata": {"name": name, "uid": format!("uid-{name}"), "resourceVersion": version.to_string()},
        "status": {"conditions": [{"type": "Ready", "status": ready,
            "lastTransitionTime": "2026-01-01T00:00:00Z"}]}})
}

fn list<K: Kind>(views: &mut Views, scope: Option<&str>, objects: &[Value]) -> BTreeSet<ObjectKey> {
    let wires = objects
        .iter()
        .map(|object| listed::<K>(serde_json::from_value(object.clone()).unwrap()))
        .collect();
    let mut listing = Listing::<K>::default();
    listing.take(views, wires);
    views.replace::<K>(scope, "100", listing.objects())
}

fn put<K: Kind>(views: &mut Views, object: Value) -> BTreeSet<ObjectKey> {
    views.put::<K>(serde_json::from_value(object).unwrap(), Source::Watch, None)
}

fn loaded() -> Views {
    let mut views = Views::default();
    list::<Trees>(
        &mut views,
        None,
        &[tree("a", "uid-a", 1), tree("b", "uid-b", 2)],
    );
    list::<Workers>(&mut views, None, &[worker("w", "uid-w", ("a", "uid-a"), 3)]);
    list::<Revisions>(&mut views, None, &[]);
    list::<Pods>(&mut views, None, &[pod("p", "uid-w", "a", "Running", 4)]);
    list::<Nodes>(
        &mut views,
        None,
        &[node("n1", "True", 5), node("n2", "True", 6)],
    );
    list::<PodEvents>(&mut views, None, &[]);
    list::<ClaimEvents>(&mut views, None, &[]);
    list::<NodeEvents>(&mut views, None, &[]);
    views
}

/// An Event about an object of that kind.
fn event(name: &str, about: (&str, &str, &str), reason: &str, version: u64) -> Value {
    let (kind, object, uid) = about;
    json!({"metadata": {"name": name, "namespace": "ns", "uid": name, "resourceVersion": version.to_string()},
        "reason": reason, "note": "said", "deprecatedLastTimestamp": "2026-01-01T00:00:00Z",
        "regarding": {"kind": kind, "namespace": "ns", "name": object, "uid": uid}})
}

#[test]
fn events_of_pods_are_found_by_the_pod_and_those_of_others_are_not_kept() {
    let mut views = loaded();
    let of_pod = |name, reason, version| event(name, ("Pod", "w-p", "uid-p"), reason, version);
    assert_eq!(
        put::<PodEvents>(&mut views, of_pod("e1", "Killing", 10)),
        only("a")
    );
    assert!(put::<PodEvents>(&mut views, of_pod("e2", "Pulling", 11)).is_empty());
    let others = [
        ("Pod", "stranger-x", "s"),
        ("Pod", "w", "short"),
        ("ReplicaSet", "w-p", "p"),
    ];
    for (number, about) in (12..).zip(others) {
        let told = put::<PodEvents>(&mut views, event("e3", about, "Killing", number));
        assert!(told.is_empty(), "{about:?}");
    }
    assert_eq!(views.pod_events.len(), 2);
    // A Pod of which is told before it is known: it is looked at when it is.
    let early = event("e4", ("Pod", "w-next", "next"), "Unhealthy", 15);
    assert!(put::<PodEvents>(&mut views, early).is_empty());
    assert_eq!(views.pod_events.len(), 3);
    let snapshot = views.snapshot(&ObjectKey::new("ns", "a")).unwrap();
    let reasons: Vec<&str> = snapshot.events["uid-p"]
        .iter()
        .map(|event| event.reason.as_str())
        .collect();
    assert_eq!(reasons, ["Killing", "Pulling"]);
    assert_eq!(snapshot.events.len(), 1);
}

#[test]
fn events_of_a_claim_are_those_of_the_pods_that_name_it() {
    let mut views = loaded();
    let mut mounting = pod("p", "uid-w", "a", "Pending", 20);
    mounting["spec"]["volumes"] =
        json!([{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]);
    put::<Pods>(&mut views, mounting);
    let of = |claim| ("PersistentVolumeClaim", claim, "any");
    let told = put::<ClaimEvents>(
        &mut views,
        event("e1", of("data"), "ProvisioningFailed", 21),
    );
    assert_eq!(told, only("a"));
    let told = put::<ClaimEvents>(
        &mut views,
        event("e2", of("other"), "ProvisioningFailed", 22),
    );
    assert!(told.is_empty());
    let snapshot = views.snapshot(&ObjectKey::new("ns", "a")).unwrap();
    assert_eq!(snapshot.events["uid-p"].len(), 1);
}

#[test]
fn of_the_events_of_nodes_those_are_kept_that_explain_what_befell_pods() {
    let mut views = loaded();
    let of = |node| ("Node", node, node);
    let mut on_node = pod("p", "uid-w", "a", "Running", 20);
    on_node["spec"]["nodeName"] = json!("n1");
    on_node["metadata"]["creationTimestamp"] = json!("2025-12-31T00:00:00Z");
    put::<Pods>(&mut views, on_node.clone());
    let mut told = |name, node, reason, version| {
        put::<NodeEvents>(&mut views, event(name, of(node), reason, version))
    };
    assert_eq!(told("e1", "n1", "SystemOOM", 21), only("a"));
    assert!(told("e2", "n2", "SystemOOM", 22).is_empty());
    assert!(told("e3", "n1", "ImageGCFailed", 23).is_empty());
    assert_eq!(views.node_events.len(), 2);
    let reasons = |views: &Views| {
        let snapshot = views.snapshot(&ObjectKey::new("ns", "a")).unwrap();
        let events = snapshot.events.get("uid-p").into_iter().flatten();
        let reasons = events.map(|event| event.reason.clone());
        reasons.collect::<Vec<_>>()
    };
    assert_eq!(reasons(&views), ["SystemOOM"]);
    on_node["metadata"]["creationTimestamp"] = json!("2026-01-02T00:00:00Z");
    on_node["metadata"]["resourceVersion"] = json!("24");
    put::<Pods>(&mut views, on_node);
    assert!(reasons(&views).is_empty(), "it was not there then");
}

#[test]
fn a_claim_that_was_made_again_has_nothing_to_do_with_what_was_told_of_the_earlier_one() {
    let mut views = loaded();
    let mut mounting = pod("p", "uid-w", "a", "Pending", 20);
    mounting["spec"]["volumes"] =
        json!([{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]);
    put::<Pods>(&mut views, mounting);
    let claim = |uid: &str, version: u64| {
        json!({"metadata": {"name": "data", "namespace": "ns", "uid": uid, "resourceVersion": version.to_string()},
            "status": {"phase": "Pending"}})
    };
    let of = |uid| ("PersistentVolumeClaim", "data", uid);
    put::<ClaimEvents>(&mut views, event("e1", of("old"), "ClaimLost", 21));
    put::<ClaimEvents>(&mut views, event("e2", of("new"), "ProvisioningFailed", 22));
    let told = |views: &Views| {
        let snapshot = views.snapshot(&ObjectKey::new("ns", "a")).unwrap();
        let told = snapshot.events["uid-p"].iter();
        told.map(|told| told.reason.clone()).collect::<Vec<_>>()
    };
    assert_eq!(told(&views).len(), 2, "nobody knows which claim there is");
    put::<Claims>(&mut views, claim("new", 23));
    assert_eq!(told(&views), ["ProvisioningFailed"]);
}

#[test]
fn decisions_do_not_wait_for_events_that_cannot_be_listed() {
    let mut views = Views::default();
    list::<Trees>(&mut views, None, &[tree("a", "uid-a", 1)]);
    list::<Workers>(&mut views, None, &[]);
    list::<Revisions>(&mut views, None, &[]);
    list::<Pods>(&mut views, None, &[]);
    list::<Nodes>(&mut views, None, &[]);
    list::<PodEvents>(&mut views, None, &[]);
    assert_eq!(views.forgo::<NodeEvents>(None), only("a"));
    assert!(!views.is_loaded("ns"));
    assert_eq!(views.forgo::<ClaimEvents>(None), only("a"));
    assert!(views.is_loaded("ns"));
    put::<ClaimEvents>(
        &mut views,
        event("e", ("PersistentVolumeClaim", "c", "u"), "FailedBinding", 9),
    );
    assert!(views.forgo::<ClaimEvents>(None).is_empty());
    assert_eq!(views.claim_events.len(), 1, "what was told stays told");
}

/// A quota of which so many Pods are used.
fn quota(used: u64, version: u64) -> Value {
    json!({"metadata": {"name": "q", "namespace": "ns", "uid": "uid-q", "resourceVersion": version.to_string()},
        "status": {"hard": {"pods": "9"}, "used": {"pods": used.to_string()}}})
}

#[test]
fn a_change_is_remembered_whether_a_watch_or_a_list_tells_of_it() {
    let mut views = loaded();
    let changes = |views: &Views| {
        let snapshot = views.snapshot(&ObjectKey::new("ns", "a")).unwrap();
        snapshot.changes.len()
    };
    list::<Quotas>(&mut views, None, &[quota(9, 50)]);
    assert_eq!(changes(&views), 0, "nobody knows when that was made");
    list::<Quotas>(&mut views, None, &[quota(9, 51)]);
    assert_eq!(changes(&views), 0, "it says what it said");
    list::<Quotas>(&mut views, None, &[quota(8, 52)]);
    assert_eq!(changes(&views), 1);
    let mut views = loaded();
    list::<Quotas>(&mut views, None, &[quota(9, 50)]);
    list::<Quotas>(&mut views, None, &[]);
    assert_eq!(changes(&views), 1, "it is gone");
    let mut views = loaded();
    put::<Quotas>(&mut views, quota(9, 101));
    assert_eq!(changes(&views), 1);
}

#[test]
fn a_tree_is_told_of_the_changes_that_its_replicas_can_wait_for() {
    let mut views = loaded();
    let config = |name: &str, version: u64| {
        json!({"metadata": {"name": name, "namespace": "ns", "uid": name,
            "resourceVersion": version.to_string()}})
    };
    put::<ConfigMaps>(&mut views, config("web-conf", 101));
    put::<ConfigMaps>(&mut views, config("other", 102));
    put::<Quotas>(&mut views, quota(9, 103));
    let changes = |views: &Views| {
        let snapshot = views.snapshot(&ObjectKey::new("ns", "a")).unwrap();
        let changes = snapshot.changes.into_iter();
        changes.map(|(_, name, _)| name).collect::<Vec<_>>()
    };
    assert_eq!(changes(&views), ["q"]);
    let mut held = worker("w", "uid-w", ("a", "uid-a"), 104);
    held["status"] = json!({"slots": [{"slot": 0, "trouble": {"reason": "Held", "class": "ConfigMapMissing",
        "sinceTime": "2026-01-01T00:00:00Z", "message": "configmap \"web-conf\" not found."}}]});
    put::<Workers>(&mut views, held);
    assert_eq!(changes(&views), ["q", "web-conf"]);
}

#[test]
fn pods_of_one_template_share_their_spec() {
    let mut views = loaded();
    let like = |name: &str, version| {
        let mut pod = pod(name, "uid-w", "a", "Running", version);
        pod["spec"]["containers"] =
            json!([{"name": "main", "resources": {"limits": {"memory": "1Gi"}}}]);
        pod
    };
    put::<Pods>(&mut views, like("one", 30));
    put::<Pods>(&mut views, like("two", 31));
    let snapshot = views.snapshot(&ObjectKey::new("ns", "a")).unwrap();
    let specs: Vec<_> = snapshot.workers[0].1.iter().map(|pod| &pod.spec).collect();
    assert_eq!(specs.len(), 3);
    assert!(Arc::ptr_eq(specs[0], specs[2]), "{specs:?}");
    assert_eq!(specs[0].containers[0].memory_limit.as_deref(), Some("1Gi"));
}

fn only(name: &str) -> BTreeSet<ObjectKey> {
    BTreeSet::from([ObjectKey::new("ns", name)])
}

#[test]
fn nothing_is_believed_before_every_kind_was_listed() {
    let mut views = Views::default();
    assert!(!views.is_loaded("ns"));
    list::<Trees>(&mut views, Some("ns"), &[tree("a", "uid-a", 1)]);
    list::<Workers>(&mut views, Some("ns"), &[]);
    list::<Revisions>(&mut views, Some("ns"), &[]);
    list::<Nodes>(&mut views, None, &[]);
    list::<PodEvents>(&mut views, Some("ns"), &[]);
    list::<ClaimEvents>(&mut views, Some("ns"), &[]);
    assert_eq!(views.forgo::<NodeEvents>(None), only("a"));
    assert!(!views.is_loaded("ns"));
    // The last first list concerns all trees of its namespace.
    assert_eq!(list::<Pods>(&mut views, Some("ns"), &[]), only("a"));
    assert!(views.is_loaded("ns"));
    assert!(!views.is_loaded("another"));
}

#[test]
fn forbidden_nodes_are_unknown_not_gone() {
    let mut views = loaded();
    assert_eq!(views.forgo::<Nodes>(None).len(), 2);
    assert!(views.forgo::<Nodes>(None).is_empty());
    assert!(views.is_loaded("ns"));
    assert_eq!(
        views.snapshot(&ObjectKey::new("ns", "a")).unwrap().nodes,
        None
    );
    list::<Nodes>(&mut views, None, &[node("n1", "True", 5)]);
    assert_eq!(
        views
            .snapshot(&ObjectKey::new("ns", "a"))
            .unwrap()
            .nodes
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn a_snapshot_holds_the_claims_that_are_labelled_with_the_tree_and_those_that_its_slots_use() {
    let mut views = loaded();
    let claim = |name: &str, label: Option<&str>, version: u64| {
        let mut claim = json!({"metadata": {"name": name, "namespace": "ns", "uid": name,
            "resourceVersion": version.to_string()}});
        if let Some(label) = label {
            claim["metadata"]["labels"] = json!({"coppice.dev/tree": label});
        }
        claim
    };
    let mut stateful = tree("a", "uid-a", 7);
    stateful["spec"]["children"] = json!([{"name": "w", "worker": {
        "identity": "Stable",
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {}}],
        "template": {"spec": {"containers": []}},
    }}]);
    put::<Trees>(&mut views, stateful);
    let concerned = put::<Claims>(&mut views, claim("dropped", Some("a"), 8));
    assert_eq!(concerned, BTreeSet::from([ObjectKey::new("ns", "a")]));
    put::<Claims>(&mut views, claim("data-a-w-0", None, 9));
    put::<Claims>(&mut views, claim("data-a-w-9", None, 10));
    put::<Claims>(&mut views, claim("of-another", Some("b"), 11));
    let snapshot = views.snapshot(&ObjectKey::new("ns", "a")).unwrap();
    let names: Vec<&String> = snapshot.claims.keys().collect();
    assert_eq!(names, ["data-a-w-0", "dropped"]);
}

#[test]
fn a_snapshot_holds_what_the_tree_controls_and_the_nodes_of_it() {
    let mut views = loaded();
    // A Pod with the right labels that somebody else controls, and a Worker of a tree that is no more.
    put::<Pods>(&mut views, pod("bait", "uid-else", "a", "Running", 101));
    put::<Workers>(
        &mut views,
        worker("old", "uid-old", ("a", "uid-before"), 102),
    );
    let snapshot = views.snapshot(&ObjectKey::new("ns", "a")).unwrap();
    let pods: Vec<&str> = snapshot
        .workers
        .iter()
        .flat_map(|(_, pods)| pods)
        .map(|p| p.name.as_str())
        .collect();
    assert_eq!((snapshot.workers.len(), pods), (1, vec!["p"]));
    assert_eq!(snapshot.nodes.unwrap().keys().collect::<Vec<_>>(), ["n1"]);
    assert!(views.snapshot(&ObjectKey::new("ns", "none")).is_none());
}

#[test]
fn a_pod_wakes_the_tree_that_controls_it() {
    let mut views = loaded();
    assert_eq!(
        put::<Pods>(&mut views, pod("p", "uid-w", "a", "Failed", 101)),
        only("a")
    );
    // A label edited by hand misleads nobody.
    assert_eq!(
        put::<Pods>(&mut views, pod("p", "uid-w", "b", "Failed", 102)),
        only("a")
    );
    // Only the version changed.
    assert!(put::<Pods>(&mut views, pod("p", "uid-w", "b", "Failed", 103)).is_empty());
    // Nobody knows the owner: the label is the best guess.
    assert_eq!(
        put::<Pods>(&mut views, pod("q", "uid-x", "b", "Failed", 104)),
        only("b")
    );
    let gone = serde_json::from_value(pod("p", "uid-w", "b", "Failed", 105)).unwrap();
    assert_eq!(views.remove::<Pods>(&gone, None), only("a"));
}

#[test]
fn a_node_is_gone_only_when_what_is_known_of_nodes_is_newer_than_the_pod_that_names_it() {
    let mut views = loaded();
    let nodes = |views: &Views| {
        views
            .snapshot(&ObjectKey::new("ns", "a"))
            .unwrap()
            .nodes
            .unwrap()
    };
    let mut on_new_node = pod("p", "uid-w", "a", "Running", 150);
    on_new_node["spec"]["nodeName"] = "new".into();
    put::<Pods>(&mut views, on_new_node);
    assert_eq!(
        nodes(&views)["new"],
        NodeView::default(),
        "nothing bad is known of it"
    );
    assert!(
        views
            .advance::<Pods>(None, Version::parse("160"))
            .is_empty()
    );
    assert_eq!(
        views.advance::<Nodes>(None, Version::parse("160")),
        only("a")
    );
    assert!(
        nodes(&views).is_empty(),
        "no node of that name exists any more"
    );
    put::<Nodes>(&mut views, node("new", "True", 170));
    assert_eq!(nodes(&views)["new"].not_ready_since, None);
    assert!(
        views
            .advance::<Nodes>(None, Version::parse("180"))
            .is_empty()
    );
    let gone = serde_json::from_value(node("new", "True", 190)).unwrap();
    assert_eq!(views.remove::<Nodes>(&gone, None), only("a"));
    assert!(nodes(&views).is_empty());
}

#[test]
fn a_node_wakes_the_trees_on_it_when_its_state_changes() {
    let mut views = loaded();
    assert!(put::<Nodes>(&mut views, node("n1", "True", 101)).is_empty());
    assert_eq!(
        put::<Nodes>(&mut views, node("n1", "Unknown", 102)),
        only("a")
    );
    assert!(put::<Nodes>(&mut views, node("n2", "Unknown", 103)).is_empty());
    let gone = serde_json::from_value(node("n1", "Unknown", 104)).unwrap();
    assert_eq!(views.remove::<Nodes>(&gone, None), only("a"));
}

/// A disruption budget, with the UID of the Worker that it is of, if any.
fn disruption_budget(name: &str, worker: Option<&str>, version: u64) -> Value {
    let owner = worker.map(|uid| {
        json!({"apiVersion": "coppice.dev/v1alpha1", "kind": "Worker", "name": name, "uid": uid,
            "controller": true})
    });
    let owners: Vec<Value> = owner.into_iter().collect();
    json!({"metadata": {"name": name, "namespace": "ns", "uid": format!("uid-{name}"),
        "resourceVersion": version.to_string(), "ownerReferences": owners},
        "spec": {"minAvailable": 2, "selector": {}}, "status": {"currentHealthy": version}})
}

#[test]
fn a_tree_sees_the_disruption_budgets_of_its_workers_and_those_of_nobody() {
    let mut views = Views::default();
    list::<Trees>(
        &mut views,
        None,
        &[tree("a", "uid-a", 1), tree("b", "uid-b", 2)],
    );
    let workers = [
        worker("a-w", "uid-w", ("a", "uid-a"), 3),
        worker("b-w", "uid-v", ("b", "uid-b"), 4),
    ];
    list::<Workers>(&mut views, None, &workers);
    let seen = |views: &Views, tree: &str| {
        let snapshot = views.snapshot(&ObjectKey::new("ns", tree)).unwrap();
        let budgets = snapshot.disruption_budgets?;
        Some(
            budgets
                .iter()
                .map(|one| one.name.clone())
                .collect::<Vec<_>>(),
        )
    };
    assert_eq!(seen(&views, "a"), None, "they have not been listed");
    let both = BTreeSet::from(["a", "b"].map(|tree| ObjectKey::new("ns", tree)));
    let listed = [
        disruption_budget("a-w", Some("uid-w"), 5),
        disruption_budget("theirs", None, 6),
    ];
    assert_eq!(list::<DisruptionBudgets>(&mut views, None, &listed), both);
    assert_eq!(seen(&views, "a").unwrap(), ["a-w", "theirs"]);
    assert_eq!(seen(&views, "b").unwrap(), ["theirs"]);
    // What it counts is no news.
    let woken = put::<DisruptionBudgets>(&mut views, disruption_budget("a-w", Some("uid-w"), 7));
    assert_eq!(woken, BTreeSet::new());
    let woken = put::<DisruptionBudgets>(&mut views, disruption_budget("b-w", Some("uid-v"), 8));
    assert_eq!(woken, only("b"));
    let woken = put::<DisruptionBudgets>(&mut views, disruption_budget("a-w", None, 9));
    assert_eq!(woken, both, "it is nobody's now");
    views.forgo::<DisruptionBudgets>(None);
    assert_eq!(seen(&views, "a"), None, "they may not be read any more");
    assert_eq!(list::<DisruptionBudgets>(&mut views, None, &listed), both);
}
