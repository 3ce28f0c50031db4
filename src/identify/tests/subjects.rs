//! Whom the answers are about.
//!
//! Rule: an evidence document has one answer; a list has one for each Pod and each object that has no Pod in it.

use super::*;
use crate::identify::evidence;

fn node(ready: &str) -> Value {
    json!({
        "kind": "Node",
        "metadata": {"name": "node-a"},
        "status": {"conditions": [
            {"type": "Ready", "status": ready, "lastTransitionTime": second(10)},
        ]},
    })
}

fn lease(name: &str, namespace: &str, renewed: i64) -> Value {
    json!({
        "kind": "Lease",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"leaseDurationSeconds": 40, "renewTime": second(renewed)},
    })
}

/// The node itself is still said to be Ready.
#[test]
fn a_lease_that_is_old_beside_what_else_is_told_shows_that_the_node_is_silent() {
    let at = |name: &str, renewed| lease(name, "kube-node-lease", renewed);
    let (own, other) = (at("node-a", 5), at("node-b", 50));
    let expected = [("Pod n/a", "NodeUnreachable")];
    let document = json!({"pod": well("a"), "node": node("True"), "related": [own, other]});
    let answer = one(&document);
    assert_eq!(told(std::slice::from_ref(&answer)), expected);
    assert_eq!(
        (answer.verdict, answer.confidence),
        (Some("Infrastructure"), "Inferred")
    );
    assert_eq!(answer.since, time(5));
    assert_eq!(answer.evidence[0].object, "Lease kube-node-lease/node-a");
    assert_eq!(answer.evidence[0].field, "spec.renewTime");
    let mut items = vec![well("a"), node("True"), own.clone(), other.clone()];
    assert_eq!(told(&of(&list(&items)))[..1], expected);
    items.remove(1);
    assert_eq!(told(&of(&list(&items)))[..1], expected);
    // It speaks for itself where there is no Pod.
    let alone = of(&list(&[own.clone(), other]));
    let object = "Lease kube-node-lease/node-a";
    assert_eq!(told(&alone)[..1], [(object, "NodeUnreachable")]);
    // What ended before the node fell silent has another cause.
    let mut crashed = crashing("a", 1);
    crashed["status"]["containerStatuses"][0]["lastState"]["terminated"]["finishedAt"] =
        json!(second(4));
    let document = json!({"pod": crashed, "related": [own, at("node-b", 50)]});
    assert_eq!(one(&document).class, "AppExitedNonZero");
}

#[test]
fn a_lease_that_nothing_is_newer_than_says_nothing_nor_does_one_that_is_no_node_s() {
    let slow = {
        let mut slow = lease("node-a", "kube-node-lease", 5);
        slow["spec"]["leaseDurationSeconds"] = json!(200);
        slow
    };
    for (what, beside) in [
        ("alone", vec![lease("node-a", "kube-node-lease", 5)]),
        (
            "forty seconds",
            vec![
                lease("node-a", "kube-node-lease", 5),
                lease("node-b", "kube-node-lease", 45),
            ],
        ),
        (
            "of a leader",
            vec![
                lease("node-a", "kube-system", 5),
                lease("node-b", "kube-node-lease", 50),
            ],
        ),
        (
            "with more time",
            vec![slow, lease("node-b", "kube-node-lease", 50)],
        ),
        (
            "of another node",
            vec![
                lease("node-c", "kube-node-lease", 5),
                lease("node-b", "kube-node-lease", 50),
            ],
        ),
    ] {
        let document = json!({"pod": well("a"), "related": beside});
        assert_eq!(one(&document).class, "NoFault", "{what}");
    }
}

fn owned(mut object: Value, kind: &str, name: &str) -> Value {
    object["metadata"]["ownerReferences"] = json!([{"kind": kind, "name": name}]);
    object
}

#[test]
fn an_evidence_document_is_about_its_pod_or_else_about_what_it_has_first() {
    let mut document = json!({
        "pod": crashing("a", 1),
        "pvc": {"metadata": {"name": "data"}, "status": {"phase": "Lost"}},
        "node": node("Unknown"),
        "related": [failed_job(), crashing("b", 1)],
        "events": [event("ReplicaSet", "web", "FailedCreate", "Error creating: moon")],
    });
    for (part, object, class) in [
        ("pod", "Pod n/a", "NodeUnreachable"),
        ("pvc", "PersistentVolumeClaim data", "ClaimLost"),
        ("node", "Node node-a", "NodeUnreachable"),
        ("related", "Job n/work", "JobBackoffLimitExceeded"),
        ("events", "ReplicaSet n/web", "ReplicaCreateFailed"),
    ] {
        assert_eq!(told(&[one(&document)]), [(object, class)]);
        document.as_object_mut().unwrap().remove(part);
    }
}

#[test]
fn a_part_of_an_evidence_document_may_be_missing_or_null() {
    for key in ["events", "node", "pvc", "related", "createError"] {
        let mut document = json!({"pod": crashing("a", 1)});
        assert_eq!(one(&document).class, "AppExitedNonZero");
        document[key] = Value::Null;
        assert_eq!(one(&document).class, "AppExitedNonZero", "{key}");
    }
}

#[test]
fn each_part_of_an_evidence_document_counts() {
    let events = json!({"pod": crashing("a", 137), "events": [killing("a")]});
    assert_eq!(one(&events).class, "LivenessProbeKilled");
    let wrapped = json!({"pod": crashing("a", 137), "events": list(&[killing("a")])});
    assert_eq!(one(&wrapped).class, "LivenessProbeKilled");
    let lost = json!({"pod": well("a"), "node": node("Unknown")});
    assert_eq!(one(&lost).class, "NodeUnreachable");
    let mut waits = creating("a");
    waits["spec"] = json!({"volumes": [{"persistentVolumeClaim": {"claimName": "data"}}]});
    waits["status"] = json!({"phase": "Pending", "conditions": [{
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.",
    }]});
    let claim = json!({"metadata": {"name": "data"}, "status": {"phase": "Lost"}});
    let unbound = json!({"pod": waits, "pvc": claim});
    let answer = one(&unbound);
    assert_eq!(
        (answer.class, answer.contributing.as_slice()),
        ("ClaimLost", ["PvcUnbound"].as_slice())
    );
}

#[test]
fn what_is_wrong_with_the_pods_of_a_controller_contributes_to_its_answer() {
    let document = json!({"related": [failed_job(), crashing("a", 1), well("b")]});
    let answer = one(&document);
    assert_eq!(answer.class, "JobBackoffLimitExceeded");
    assert_eq!(answer.contributing, ["AppExitedNonZero"]);
}

#[test]
fn a_refused_create_may_be_a_status_or_its_text() {
    let text = "pods \"web\" is forbidden: exceeded quota: q, requested: pods=1";
    let status = json!({"kind": "Status", "code": 403, "reason": "Forbidden", "message": text});
    for error in [status, json!({"message": text}), json!(text)] {
        let answer = one(&json!({"createError": error}));
        assert_eq!(
            (answer.object.as_str(), answer.class, answer.verdict),
            ("Pod web", "QuotaExceeded", Some("Wait"))
        );
        assert_eq!((answer.since, answer.overlay), (None, None));
        assert_eq!(answer.evidence[0].value, text);
    }
    let invalid = json!("Pod \"web\" is invalid: spec.containers: Required value");
    assert_eq!(
        one(&json!({"createError": invalid})).class,
        "PodSpecInvalid"
    );
    let conflict = json!({"code": 409, "reason": "AlreadyExists", "message": ""});
    assert_eq!(one(&json!({"createError": conflict})).class, "ApiConflict");
}

#[test]
fn a_refused_create_is_about_what_is_given_or_else_about_what_events_or_its_message_name() {
    let text = "pods \"b\" is forbidden: exceeded quota: q, requested: pods=1";
    let mut document = json!({
        "createError": text,
        "events": [event("ReplicaSet", "web", "FailedCreate", text)],
        "related": [object("Job", "work"), object("ReplicaSet", "other")],
        "node": node("True"),
        "pvc": {"metadata": {"name": "data", "namespace": "n"}},
        "pod": {"metadata": {"name": "a", "namespace": "n"}},
    });
    for (part, object) in [
        ("pod", "Pod n/a"),
        ("pvc", "PersistentVolumeClaim n/data"),
        ("node", "Node node-a"),
        ("related", "Job n/work"),
        ("events", "ReplicaSet n/web"),
        ("none", "Pod b"),
    ] {
        assert_eq!(told(&[one(&document)]), [(object, "QuotaExceeded")]);
        document.as_object_mut().unwrap().remove(part);
    }
}

#[test]
fn what_belongs_to_a_pod_of_a_list_is_evidence_and_has_no_answer_of_its_own() {
    let mut with_claim = owned(well("a"), "ReplicaSet", "web-1");
    with_claim["spec"]["volumes"] = json!([{"persistentVolumeClaim": {"claimName": "data"}}]);
    let items = [
        object("Deployment", "web"),
        owned(object("ReplicaSet", "web-1"), "Deployment", "web"),
        with_claim,
        object("PersistentVolumeClaim", "data"),
        node("Unknown"),
    ];
    let answers = of(&list(&items));
    assert_eq!(told(&answers), [("Pod n/a", "NodeUnreachable")]);
}

#[test]
fn what_has_no_pod_in_a_list_is_answered_for() {
    let mut elsewhere = node("True");
    elsewhere["metadata"]["name"] = json!("node-b");
    let mut other = object("PersistentVolumeClaim", "data");
    other["status"] = json!({"phase": "Lost"});
    let items = [
        well("a"),
        elsewhere,
        other,
        failed_job(),
        event("Job", "work", "BackoffLimitExceeded", "text"),
    ];
    assert_eq!(
        told(&of(&list(&items))),
        [
            ("PersistentVolumeClaim n/data", "ClaimLost"),
            ("Job n/work", "JobBackoffLimitExceeded"),
            ("Pod n/a", "NoFault"),
            ("Node node-b", "NoFault"),
        ]
    );
}

#[test]
fn events_alone_are_answered_for_by_what_they_name_each_once() {
    let unschedulable = "0/1 nodes are available: 1 Insufficient cpu.";
    let mut of_container = event("Pod", "a", "Pulled", "done");
    of_container["involvedObject"]["fieldPath"] = json!("spec.containers{main}");
    let items = [
        event("Pod", "a", "FailedScheduling", unschedulable),
        of_container,
        event("ReplicaSet", "web", "FailedCreate", "exceeded quota: q"),
    ];
    assert_eq!(
        told(&of(&list(&items))),
        [
            ("Pod n/a", "InsufficientCpu"),
            ("ReplicaSet n/web", "QuotaExceeded"),
        ]
    );
    assert_eq!(one(&killing("a")).class, "LivenessProbeKilled");
}

#[test]
fn events_of_another_pod_or_another_namespace_are_not_counted() {
    let mut elsewhere = killing("a");
    elsewhere["involvedObject"]["namespace"] = json!("other");
    let mut earlier = killing("a");
    earlier["involvedObject"]["uid"] = json!("uid of the Pod before");
    for event in [killing("b"), elsewhere, earlier] {
        let answer = one(&list(&[crashing("a", 137), event.clone()]));
        assert_eq!(answer.class, "SigkillUnattributed", "{event}");
    }
    let mut its_own = killing("a");
    its_own["involvedObject"]["uid"] = json!("uid-a");
    let answer = one(&list(&[crashing("a", 137), its_own]));
    assert_eq!(answer.class, "LivenessProbeKilled");
}

#[test]
fn events_of_the_newer_api_are_read_like_those_of_the_older() {
    let newer = json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "regarding": {
            "kind": "Pod",
            "namespace": "n",
            "name": "a",
            "uid": "uid-a",
            "fieldPath": "spec.containers{main}",
        },
        "reason": "Killing",
        "note": "Container main failed liveness probe, will be restarted",
        "eventTime": "2030-01-01T00:00:10.000000Z",
        "series": {"count": 3, "lastObservedTime": "2030-01-01T00:00:29.000000Z"},
    });
    let view = evidence::event(&newer);
    assert_eq!(view.object.field, "spec.containers{main}");
    assert_eq!((view.first, view.last), (time(10), time(29)));
    assert_eq!(view.count, 3);
    let answer = one(&list(&[crashing("a", 137), newer]));
    assert_eq!(answer.class, "LivenessProbeKilled");

    let once = json!({
        "regarding": {"kind": "Pod", "name": "a"},
        "eventTime": "2030-01-01T00:00:10.000000Z",
        "deprecatedCount": 2,
        "deprecatedLastTimestamp": "2030-01-01T00:00:12Z",
    });
    let view = evidence::event(&once);
    assert_eq!((view.first, view.last, view.count), (time(10), time(12), 2));
}

fn time(seconds: i64) -> Option<Timestamp> {
    second(seconds).parse().ok()
}

/// The Pod alone would be one that no scheduler looks at.
#[test]
fn a_claim_whose_volume_is_made_for_long_is_the_fault_of_its_pod() {
    let mut waits = pod("a", &json!({"phase": "Pending"}));
    waits["spec"] = json!({"volumes": [{"persistentVolumeClaim": {"claimName": "data"}}]});
    assert_eq!(one(&waits).class, "SchedulerMissing");
    let mut claim = object("PersistentVolumeClaim", "data");
    claim["metadata"]["annotations"] = json!({"volume.kubernetes.io/selected-node": "node-a"});
    claim["status"] = json!({"phase": "Pending"});
    let answer = one(&list(&[waits, claim]));
    assert_eq!((answer.class, answer.verdict), ("PvcUnbound", Some("Wait")));
    assert_eq!(answer.contributing, ["WaitForFirstConsumer"]);
}

#[test]
fn a_resource_claim_that_was_made_from_a_template_is_not_missing() {
    let mut waits = pod("a", &json!({"phase": "Pending"}));
    waits["spec"] =
        json!({"resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "gpus"}]});
    assert_eq!(one(&waits).class, "ResourceClaimMissing");
    waits["status"]["resourceClaimStatuses"] =
        json!([{"name": "gpu", "resourceClaimName": "a-gpu-x7"}]);
    let claim = object("ResourceClaim", "a-gpu-x7");
    let document = json!({"pod": waits, "related": [claim]});
    assert_eq!(one(&document).class, "SchedulerMissing");
}

#[test]
fn a_claim_that_is_made_for_a_pod_is_known_by_its_name() {
    let text = "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.";
    let condition = json!([{"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
        "message": text}]);
    let mut waits = pod("a", &json!({"phase": "Pending", "conditions": condition}));
    waits["spec"] = json!({"volumes": [{"name": "tmp", "ephemeral": {"volumeClaimTemplate": {}}}]});
    let why = "storageclass.storage.k8s.io \"fast\" not found";
    let told = event("PersistentVolumeClaim", "a-tmp", "ProvisioningFailed", why);
    let answer = one(&list(&[waits.clone(), told]));
    assert_eq!(answer.class, "StorageClassMissing");
    let other = event("PersistentVolumeClaim", "b-tmp", "ProvisioningFailed", why);
    assert_eq!(one(&list(&[waits, other])).class, "PvcUnbound");
}
