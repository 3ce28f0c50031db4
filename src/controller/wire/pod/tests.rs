//! Real Pods, shortened, and odd ones.
//!
//! Rule: what is asserted is the view, field by field.

use kube::Resource;
use serde_json::{Value, json};

use super::*;

fn view(pod: &Value) -> PodView {
    // From text, as it comes from the API server.
    serde_json::from_str::<Pod>(&pod.to_string())
        .unwrap()
        .view()
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn crash_looping() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "shop-api-x7", "namespace": "default", "uid": "pod-1", "resourceVersion": "812",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"coppice.dev/tree": "shop", "coppice.dev/child": "api", "coppice.dev/slot": "2",
                       "coppice.dev/revision": "5d9f"},
            "annotations": {"coppice.dev/containers": "main,helper,setup"},
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "other"},
                {"apiVersion": "coppice.dev/v1alpha1", "kind": "Worker", "name": "shop-api", "uid": "w-1",
                 "controller": true, "blockOwnerDeletion": true},
            ],
            "managedFields": [{"manager": "kubelet", "fieldsV1": {"f:status": {}}}],
        },
        "spec": {"nodeName": "n1", "restartPolicy": "Always", "containers": [{"name": "main", "image": "i"}]},
        "status": {
            "phase": "Running", "qosClass": "BestEffort", "newerField": {"a": [1]},
            "conditions": [{"type": "Ready", "status": "False", "reason": "ContainersNotReady",
                            "message": "m", "lastProbeTime": null, "lastTransitionTime": "2026-01-01T00:00:05Z"}],
            "containerStatuses": [
                {"name": "main", "ready": false, "restartCount": 3, "started": false, "image": "i", "imageID": "",
                 "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}},
                 "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled", "signal": 0,
                    "startedAt": "2026-01-01T00:01:00Z", "finishedAt": "2026-01-01T00:01:09Z"}}},
                {"name": "istio-proxy", "ready": true, "restartCount": 0, "lastState": {},
                 "state": {"running": {"startedAt": "2026-01-01T00:00:03Z"}}},
            ],
            "initContainerStatuses": [
                {"name": "setup", "ready": true, "restartCount": 0,
                 "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}},
                {"name": "istio-init", "ready": true, "restartCount": 0,
                 "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}},
            ],
        },
    })
}

#[test]
fn reads_a_crash_looping_pod() {
    let view = view(&crash_looping());
    assert_eq!(
        (view.name.as_str(), view.uid.as_str()),
        ("shop-api-x7", "pod-1")
    );
    assert_eq!(view.resource_version, "812");
    assert_eq!(view.owner_uid, "w-1");
    assert_eq!(
        (view.child.as_str(), view.slot, view.revision.as_str()),
        ("api", 2, "5d9f")
    );
    assert_eq!(view.node.as_deref(), Some("n1"));
    assert_eq!(view.created, time("2026-01-01T00:00:00Z"));
    assert!(view.kubelet_restarts());
    assert_eq!(view.phase, PodPhase::Running);
    assert!(!view.is_ready());
    assert_eq!(
        view.conditions[0].changed,
        Some(time("2026-01-01T00:00:05Z"))
    );
    let main = &view.containers[0];
    assert!(main.waits_with("CrashLoopBackOff"));
    assert_eq!((main.restarts, main.ended_runs()), (3, 4));
    let last = main.last.as_ref().unwrap();
    assert_eq!(
        (last.exit_code, last.signal, last.reason.as_str()),
        (137, None, "OOMKilled")
    );
    assert_eq!(last.finished, Some(time("2026-01-01T00:01:09Z")));
    assert_eq!(view.containers[1].last, None);
    assert_eq!(
        view.containers[1].running_since(),
        Some(time("2026-01-01T00:00:03Z"))
    );
}

#[test]
fn a_status_is_of_the_present_spec_unless_it_says_that_it_is_older() {
    let observed = |generation: Value, observed: Value| {
        let mut pod = crash_looping();
        pod["metadata"]["generation"] = generation;
        pod["status"]["observedGeneration"] = observed;
        view(&pod).is_observed
    };
    assert!(observed(json!(3), json!(3)));
    assert!(!observed(json!(3), json!(2)));
    assert!(
        observed(json!(3), json!(null)),
        "an old kubelet does not say it"
    );
    assert!(observed(json!(null), json!(null)));
}

#[test]
fn of_images_the_name_is_read_from_the_spec_and_the_id_from_the_status() {
    let mut pod = crash_looping();
    pod["status"]["containerStatuses"][0]["imageID"] = "sha256:1".into();
    let view = view(&pod);
    assert_eq!(view.spec.image_of("main"), "i");
    assert_eq!(view.containers[0].image, ImageMark::of("sha256:1"));
    assert_eq!(view.containers[1].image, ImageMark::default());
}

#[test]
fn judges_app_and_init_containers_of_the_template_only() {
    let judged = |pod: Value| -> Vec<bool> {
        let view = view(&pod);
        view.containers
            .iter()
            .chain(&view.init_containers)
            .map(|c| c.judged)
            .collect()
    };
    assert_eq!(judged(crash_looping()), [true, false, true, false]);
    let mut bare = crash_looping();
    bare["metadata"]
        .as_object_mut()
        .unwrap()
        .remove("annotations");
    assert_eq!(judged(bare), [true, true, false, false]);
}

#[test]
fn reads_an_evicted_pod_that_is_being_deleted() {
    let view = view(&json!({
        "metadata": {"name": "p", "deletionTimestamp": "2026-01-01T00:00:30Z", "deletionGracePeriodSeconds": 30},
        "spec": {"restartPolicy": "Never"},
        "status": {"phase": "Failed", "reason": "Evicted", "message": "low on memory"},
    }));
    assert_eq!(
        view.deletion_requested(),
        Some(time("2026-01-01T00:00:00Z"))
    );
    assert_eq!(
        (view.phase, view.kubelet_restarts()),
        (PodPhase::Failed, false)
    );
    assert_eq!(view.reason.as_deref(), Some("Evicted"));
    assert_eq!(view.message.as_deref(), Some("low on memory"));
}

#[test]
fn missing_and_odd_fields_have_defaults() {
    let bare = view(&json!({"metadata": {}, "status": null}));
    assert_eq!(
        (bare.slot, bare.node, bare.phase),
        (-1, None, PodPhase::Pending)
    );
    assert_eq!(bare.created, Timestamp::UNIX_EPOCH);
    for slot in ["x", "-3", "99999999999", ""] {
        let odd = view(&json!({
            "metadata": {"labels": {"coppice.dev/slot": slot}, "ownerReferences": [
                {"apiVersion": "v1", "kind": "X", "name": "x", "uid": "u"}]},
            "spec": {"nodeName": ""},
            "status": {"phase": "Dreaming", "conditions": null, "containerStatuses": [
                {"name": "c", "state": null, "lastState": null}]},
        }));
        assert_eq!((odd.slot, odd.owner_uid.as_str()), (-1, ""));
        assert_eq!(odd.phase, PodPhase::Pending);
        assert_eq!(odd.node, None);
        assert!(odd.containers[0].waits_with(""));
    }
}

#[test]
fn what_few_pods_say_is_read_and_costs_the_others_nothing() {
    assert_eq!(view(&crash_looping()).rare, None);
    let healthy = json!([{"name": "gpu", "resources": [{"resourceID": "0", "health": "Healthy"}]}]);
    let well = json!({"containerStatuses": [{"name": "c", "allocatedResourcesStatus": healthy}]});
    let well = json!({"metadata": {}, "status": well});
    assert_eq!(view(&well).rare, None);
    let ill = json!([
        {"name": "memory"},
        {"name": "nvidia.com/gpu", "resources": [
            {"resourceID": "GPU-0", "health": "Healthy"},
            {"resourceID": "GPU-1", "health": "Unhealthy"},
            {"resourceID": "GPU-2", "health": "Unknown"}]},
    ]);
    let view = view(&json!({"metadata": {}, "status": {
        "nominatedNodeName": "node-b",
        "containerStatuses": [{"name": "c", "allocatedResourcesStatus": ill}],
        "ephemeralContainerStatuses": [{"name": "debugger", "state": {"waiting": {"reason": "ErrImagePull"}}}],
    }}));
    assert_eq!(view.nominated_node(), Some("node-b"));
    let [device] = view.ill_devices() else {
        panic!("{:?}", view.ill_devices());
    };
    assert_eq!(
        (
            device.container.as_str(),
            device.resource.as_str(),
            device.id.as_str()
        ),
        ("c", "nvidia.com/gpu", "GPU-1")
    );
    let [debugger] = view.ephemeral_containers() else {
        panic!("{:?}", view.ephemeral_containers());
    };
    assert!(debugger.waits_with("ErrImagePull") && !debugger.judged);
}

/// The numbers of the fields are those of `generated.proto` in `k8s.io/api/core/v1`.
#[test]
fn what_few_pods_say_is_read_from_protobuf_by_its_numbers() {
    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        let length = u8::try_from(content.len()).unwrap();
        [&[number << 3 | 2, length], content].concat()
    }
    let device = [field(1, b"GPU-1"), field(2, b"Unhealthy")].concat();
    let allocated = [field(1, b"gpu"), field(2, &device)].concat();
    let container = [field(1, b"c"), field(14, &allocated)].concat();
    let status = [
        field(8, &container),
        field(11, b"node-b"),
        field(13, &field(1, b"debugger")),
    ]
    .concat();
    let pod = Pod::decode(field(3, &status).into()).unwrap().view();
    assert_eq!(pod.nominated_node(), Some("node-b"));
    assert_eq!(pod.ill_devices()[0].id, "GPU-1");
    assert_eq!(pod.ephemeral_containers()[0].name, "debugger");
}

#[test]
fn a_claim_that_is_made_for_the_pod_is_named_after_it() {
    let template = json!({"volumeClaimTemplate": {"spec": {"accessModes": ["ReadWriteOnce"]}}});
    let view = view(&json!({"metadata": {"name": "p"}, "spec": {"volumes": [
        {"name": "data", "persistentVolumeClaim": {"claimName": "old"}},
        {"name": "tmp", "ephemeral": template},
        {"name": "cache", "emptyDir": {}},
    ]}}));
    assert_eq!(view.spec.claims, ["old", "p-tmp"]);
}

#[test]
fn long_last_words_are_cut_between_characters() {
    let words = "ä".repeat(4000);
    let view = view(
        &json!({"metadata": {}, "status": {"message": words, "containerStatuses": [
        {"name": "c", "state": {"terminated": {"exitCode": 1, "message": words}}}]}}),
    );
    assert_eq!(view.message.unwrap().len(), MESSAGE_LIMIT);
    assert_eq!(
        view.containers[0].end().unwrap().message.len(),
        MESSAGE_LIMIT
    );
}

#[test]
fn the_resource_is_that_of_the_full_type() {
    assert_eq!(Pod::url_path(&(), Some("ns")), "/api/v1/namespaces/ns/pods");
}

/// Kubernetes takes the largest number that there is for a grace period.
#[test]
fn no_number_or_reason_of_a_pod_is_too_large_to_reckon_with_or_to_keep() {
    let mut pod = crash_looping();
    pod["spec"]["terminationGracePeriodSeconds"] = json!(i64::MAX);
    pod["status"]["reason"] = "x".repeat(10_000).into();
    let view = view(&pod);
    assert_eq!(
        view.spec.grace_seconds,
        Some(crate::model::pod::MOST_SECONDS)
    );
    assert_eq!(view.reason.map(|reason| reason.len()), Some(MESSAGE_LIMIT));
}
