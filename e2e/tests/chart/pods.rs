//! The Pods of the operator and of the hook that releases trees.
//!
//! Rule: what is asserted is what the API server gets.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::kit::{container, find, pod, render, set, title};

#[test]
fn both_pods_are_restricted() {
    let objects = render(&[]);
    for title in [
        "Deployment coppice-system/coppice",
        "Job coppice-system/coppice-release",
    ] {
        let security = &pod(&objects, title)["securityContext"];
        assert_eq!(security["runAsNonRoot"], true);
        assert_eq!(security["seccompProfile"]["type"], "RuntimeDefault");
        let security = &container(&objects, title)["securityContext"];
        assert_eq!(security["allowPrivilegeEscalation"], false);
        assert_eq!(security["readOnlyRootFilesystem"], true);
        assert_eq!(
            security["capabilities"],
            serde_json::json!({"drop": ["ALL"]})
        );
    }
}

#[test]
fn two_operators_run_and_an_upgrade_keeps_both() {
    let objects = render(&[]);
    let spec = &find(&objects, "Deployment coppice-system/coppice")["spec"];
    assert_eq!(spec["replicas"], 2);
    assert_eq!(
        spec["strategy"],
        serde_json::json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}})
    );
    let pod = &spec["template"]["spec"];
    let spread = &pod["topologySpreadConstraints"][0];
    assert_eq!(spread["topologyKey"], "kubernetes.io/hostname");
    assert_eq!(spread["whenUnsatisfiable"], "ScheduleAnyway");
    let labels = &spec["template"]["metadata"]["labels"];
    let selects = |selector: &Value| {
        let wanted = selector["matchLabels"].as_object().unwrap();
        !wanted.is_empty() && wanted.iter().all(|(key, value)| labels[key] == *value)
    };
    assert!(selects(&spread["labelSelector"]));
    let budget = &find(&objects, "PodDisruptionBudget coppice-system/coppice")["spec"];
    assert_eq!(budget["maxUnavailable"], 1);
    assert!(selects(&budget["selector"]));
    let variables = pod["containers"][0]["env"].as_array().unwrap();
    let field = |name: &str| {
        let variable = variables.iter().find(|one| one["name"] == name).unwrap();
        variable["valueFrom"]["fieldRef"]["fieldPath"].clone()
    };
    assert_eq!(field("POD_NAME"), "metadata.name");
    assert_eq!(field("POD_NAMESPACE"), "metadata.namespace");
}

#[test]
fn a_single_operator_has_no_budget_that_would_keep_its_node_from_being_drained() {
    let objects = render(&["replicas=1"]);
    let spec = &find(&objects, "Deployment coppice-system/coppice")["spec"];
    assert_eq!(spec["replicas"], 1);
    assert!(
        objects
            .iter()
            .all(|object| object["kind"] != "PodDisruptionBudget")
    );
}

#[test]
fn another_name_names_the_lease_too() {
    let objects = render(&["fullnameOverride=blue"]);
    assert_eq!(
        container(&objects, "Deployment coppice-system/blue")["args"][1],
        "--leader-elect-resource-name=blue"
    );
    let role = find(&objects, "Role coppice-system/blue-leader-election");
    assert_eq!(role["rules"][0]["resourceNames"][0], "blue");
}

#[test]
fn every_object_of_the_release_hook_is_a_hook() {
    let objects = render(&[]);
    let is_hook = |object: &&Value| !object["metadata"]["annotations"]["helm.sh/hook"].is_null();
    let hooks: Vec<&Value> = objects.iter().filter(is_hook).collect();
    assert_eq!(
        hooks
            .iter()
            .map(|object| title(object))
            .collect::<BTreeSet<_>>(),
        set([
            "ClusterRole coppice-release",
            "ClusterRoleBinding coppice-release",
            "Job coppice-system/coppice-release",
            "Role coppice-system/coppice-release-stop",
            "RoleBinding coppice-system/coppice-release-stop",
            "ServiceAccount coppice-system/coppice-release",
        ])
    );
    for hook in hooks {
        assert_eq!(
            hook["metadata"]["annotations"]["helm.sh/hook"],
            "pre-delete"
        );
        // The rights are there before the Job, which has no weight.
        let before = hook["metadata"]["annotations"]["helm.sh/hook-weight"] == "-1";
        assert_eq!(before, hook["kind"] != "Job");
    }
}

#[test]
fn values_reach_the_pod() {
    let objects = render(&[
        "image.repository=mirror/coppice",
        "image.tag=dev",
        "image.pullPolicy=Never",
        "imagePullSecrets[0].name=mirror",
        "logLevel=debug",
        "extraArgs={--first,--second=2}",
        "podAnnotations.team=shop",
        "priorityClassName=system-cluster-critical",
        "nodeSelector.pool=system",
        "tolerations[0].operator=Exists",
        "affinity.nodeAffinity.x=y",
        "resources.limits.memory=1Gi",
    ]);
    let deployment = find(&objects, "Deployment coppice-system/coppice");
    assert_eq!(
        deployment["spec"]["template"]["metadata"]["annotations"]["team"],
        "shop"
    );
    let pod = pod(&objects, "Deployment coppice-system/coppice");
    assert_eq!(pod["imagePullSecrets"][0]["name"], "mirror");
    assert_eq!(pod["priorityClassName"], "system-cluster-critical");
    assert_eq!(pod["nodeSelector"]["pool"], "system");
    assert_eq!(pod["tolerations"][0]["operator"], "Exists");
    assert_eq!(pod["affinity"]["nodeAffinity"]["x"], "y");
    let container = &pod["containers"][0];
    assert_eq!(container["image"], "mirror/coppice:dev");
    assert_eq!(container["imagePullPolicy"], "Never");
    assert_eq!(
        container["args"],
        serde_json::json!([
            "controller",
            "--leader-elect-resource-name=coppice",
            "--first",
            "--second=2"
        ])
    );
    assert_eq!(container["resources"]["limits"]["memory"], "1Gi");
    let log = container["env"]
        .as_array()
        .unwrap()
        .iter()
        .find(|variable| variable["name"] == "RUST_LOG")
        .unwrap();
    assert_eq!(log["value"], "debug");
}
