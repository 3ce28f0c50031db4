//! Who may do what: the operator, the hook that releases trees, and people; and the policies that go with it.
//!
//! Rule: rights are compared as a whole, so that none is granted by accident.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::kit::{NAMESPACE, container, find, render, set, template, title, titles};

const TRACKING_RULES: [&str; 9] = [
    r#""coppice.dev" supervisiontrees: get list watch patch"#,
    r#""coppice.dev" workers: get list watch"#,
    r#""coppice.dev" supervisiontrees/status workers/status: patch"#,
    r#""apps" controllerrevisions: get list watch"#,
    r#""policy" poddisruptionbudgets: get list watch"#,
    r#""" pods: get list watch"#,
    r#""" persistentvolumeclaims: get list watch"#,
    r#""" resourcequotas: list watch"#,
    r#""events.k8s.io" events: create list watch"#,
];
const WORKLOAD_RULES: [&str; 7] = [
    r#""coppice.dev" workers: create delete"#,
    r#""coppice.dev" workers/scale: patch"#,
    r#""coppice.dev" supervisiontrees/finalizers workers/finalizers: update"#,
    r#""apps" controllerrevisions: create patch delete"#,
    r#""policy" poddisruptionbudgets: create patch delete"#,
    r#""" persistentvolumeclaims: create patch"#,
    r#""" pods: create patch delete"#,
];
const NODE_RULES: [&str; 1] = [r#""" nodes: get list watch"#];
const LEASE_RULES: [&str; 2] = [
    r#""coordination.k8s.io" leases [coppice]: get watch update"#,
    r#""coordination.k8s.io" leases: create"#,
];
const STOP_RULES: [&str; 3] = [
    r#""apps" deployments [coppice]: get"#,
    r#""apps" deployments/scale [coppice]: patch"#,
    r#""" pods: list"#,
];
const RELEASE_RULES: [&str; 1] = [r#""coppice.dev" supervisiontrees: get list patch"#];

fn words(list: &Value) -> String {
    list.as_array()
        .unwrap()
        .iter()
        .map(|word| word.as_str().unwrap())
        .collect::<Vec<_>>()
        .join(" ")
}

/// The rules of a role, one line for each.
fn rules(role: &Value) -> Vec<String> {
    let line = |rule: &Value| {
        let names = rule
            .get("resourceNames")
            .map(|names| format!(" [{}]", words(names)))
            .unwrap_or_default();
        format!(
            "{:?} {}{names}: {}",
            words(&rule["apiGroups"]),
            words(&rule["resources"]),
            words(&rule["verbs"])
        )
    };
    role["rules"].as_array().unwrap().iter().map(line).collect()
}

/// The roles that are bound to a `ServiceAccount` of this name, as `Kind namespace/name`.
fn bound_roles(objects: &[Value], account: &str) -> BTreeSet<String> {
    let is_bound = |object: &&Value| {
        let subjects = object["subjects"].as_array();
        subjects.is_some_and(|subjects| {
            subjects
                .iter()
                .any(|s| s["name"] == account && s["namespace"] == NAMESPACE)
        })
    };
    let role = |binding: &Value| {
        let (kind, name) = (
            binding["roleRef"]["kind"].as_str().unwrap(),
            binding["roleRef"]["name"].as_str().unwrap(),
        );
        match binding["metadata"]["namespace"].as_str() {
            Some(namespace) => format!("{kind} {namespace}/{name}"),
            None => format!("{kind} {name}"),
        }
    };
    objects.iter().filter(is_bound).map(role).collect()
}

#[test]
fn the_operator_may_do_what_it_needs_and_nothing_else() {
    let objects = render(&[]);
    assert_eq!(
        bound_roles(&objects, "coppice"),
        set([
            "ClusterRole coppice",
            "ClusterRole coppice-nodes",
            "Role coppice-system/coppice-leader-election",
        ])
    );
    assert_eq!(
        rules(find(&objects, "ClusterRole coppice")),
        [&TRACKING_RULES[..], &WORKLOAD_RULES].concat()
    );
    assert_eq!(
        rules(find(&objects, "ClusterRole coppice-nodes")),
        NODE_RULES
    );
    assert_eq!(
        rules(find(
            &objects,
            "Role coppice-system/coppice-leader-election"
        )),
        LEASE_RULES
    );
    let hook = set([
        "ClusterRole coppice-release",
        "Role coppice-system/coppice-release-stop",
    ]);
    assert_eq!(bound_roles(&objects, "coppice-release"), hook);
    assert_eq!(
        rules(find(&objects, "ClusterRole coppice-release")),
        RELEASE_RULES
    );
    assert_eq!(
        rules(find(&objects, "Role coppice-system/coppice-release-stop")),
        STOP_RULES
    );
}

#[test]
fn with_a_list_of_namespaces_only_nodes_are_read_cluster_wide() {
    let objects = render(&["watchNamespaces={blue,green}"]);
    let operator = set([
        "ClusterRole coppice-nodes",
        "Role blue/coppice",
        "Role coppice-system/coppice-leader-election",
        "Role green/coppice",
    ]);
    assert_eq!(bound_roles(&objects, "coppice"), operator);
    let hook = set([
        "Role blue/coppice-release",
        "Role coppice-system/coppice-release-stop",
        "Role green/coppice-release",
    ]);
    assert_eq!(bound_roles(&objects, "coppice-release"), hook);
    for namespace in ["blue", "green"] {
        assert_eq!(
            rules(find(&objects, &format!("Role {namespace}/coppice"))),
            [&TRACKING_RULES[..], &WORKLOAD_RULES].concat()
        );
        assert_eq!(
            rules(find(&objects, &format!("Role {namespace}/coppice-release"))),
            RELEASE_RULES
        );
    }
    assert_eq!(
        container(&objects, "Deployment coppice-system/coppice")["args"],
        serde_json::json!([
            "controller",
            "--leader-elect-resource-name=coppice",
            "--watch-namespace=blue",
            "--watch-namespace=green"
        ])
    );
    assert_eq!(
        container(&objects, "Job coppice-system/coppice-release")["args"],
        serde_json::json!([
            "release",
            "--stop=coppice-system/coppice",
            "--namespace=blue",
            "--namespace=green"
        ])
    );
}

#[test]
fn config_maps_are_watched_only_where_that_is_switched_on() {
    let objects = render(&["configMaps.watch=true"]);
    let rule = r#""" configmaps: list watch"#.to_owned();
    assert!(rules(find(&objects, "ClusterRole coppice")).contains(&rule));
    let args = &container(&objects, "Deployment coppice-system/coppice")["args"];
    assert!(
        args.as_array()
            .unwrap()
            .contains(&"--watch-config-maps".into())
    );
    let objects = render(&[]);
    assert!(!rules(find(&objects, "ClusterRole coppice")).contains(&rule));
    let args = &container(&objects, "Deployment coppice-system/coppice")["args"];
    assert!(
        !args
            .as_array()
            .unwrap()
            .contains(&"--watch-config-maps".into())
    );
}

#[test]
fn where_namespaces_opt_in_nothing_binds_the_right_to_make_pods() {
    let objects = render(&["authority.optIn=true"]);
    assert_eq!(
        bound_roles(&objects, "coppice"),
        set([
            "ClusterRole coppice",
            "ClusterRole coppice-nodes",
            "Role coppice-system/coppice-leader-election",
        ])
    );
    assert_eq!(rules(find(&objects, "ClusterRole coppice")), TRACKING_RULES);
    assert_eq!(
        rules(find(&objects, "ClusterRole coppice-workloads")),
        WORKLOAD_RULES
    );
    assert_eq!(
        container(&objects, "Deployment coppice-system/coppice")["args"],
        serde_json::json!([
            "controller",
            "--leader-elect-resource-name=coppice",
            "--opt-in-role=coppice-workloads"
        ])
    );
    let both = template(&["authority.optIn=true", "watchNamespaces={blue}"]);
    assert!(!both.status.success());
    let error = String::from_utf8_lossy(&both.stderr);
    assert!(
        error.contains("the list of watchNamespaces is the opting in"),
        "{error}"
    );
}

#[test]
fn nothing_needs_rights_over_the_cluster_when_all_switches_are_off() {
    let off = [
        "watchNamespaces={blue}",
        "nodes.read=false",
        "crds.install=false",
        "aggregatedRoles=false",
        "authority.policy=false",
    ];
    let objects = render(&off);
    let outside: Vec<_> = objects
        .iter()
        .filter(|object| object["metadata"]["namespace"].is_null())
        .map(title)
        .collect();
    assert_eq!(outside, Vec::<String>::new());
    let args = &container(&objects, "Deployment coppice-system/coppice")["args"];
    assert_eq!(
        *args,
        serde_json::json!([
            "controller",
            "--leader-elect-resource-name=coppice",
            "--watch-namespace=blue"
        ])
    );
}

#[test]
fn who_may_view_or_edit_the_cluster_may_view_or_edit_trees() {
    let objects = render(&[]);
    let grants = |name: &str| {
        let role = find(&objects, name);
        let labels: BTreeMap<String, Value> =
            serde_json::from_value(role["metadata"]["labels"].clone()).unwrap();
        let to = |key: &String| {
            key.strip_prefix("rbac.authorization.k8s.io/aggregate-to-")
                .map(str::to_owned)
        };
        (
            labels.keys().filter_map(to).collect::<Vec<_>>(),
            rules(role),
        )
    };
    let (to, may) = grants("ClusterRole coppice-view");
    assert_eq!(to, ["admin", "edit", "view"]);
    assert_eq!(
        may,
        [
            r#""coppice.dev" supervisiontrees workers: get list watch"#,
            r#""coppice.dev" supervisiontrees/status workers/status workers/scale: get"#
        ]
    );
    let (to, may) = grants("ClusterRole coppice-edit");
    assert_eq!(to, ["admin", "edit"]);
    assert_eq!(
        may,
        [
            r#""coppice.dev" supervisiontrees: create update patch delete deletecollection"#,
            r#""coppice.dev" workers/scale: update patch"#,
            r#""" serviceaccounts: use"#,
        ]
    );
}

#[test]
fn policies_refuse_what_they_cannot_judge_and_can_be_left_out() {
    let objects = render(&[]);
    let policies = ["coppice-trees", "coppice-workers", "coppice-autoscalers"];
    for name in policies {
        let policy = find(&objects, &format!("ValidatingAdmissionPolicy {name}"));
        assert_eq!(policy["spec"]["failurePolicy"], "Fail");
        let binding = find(
            &objects,
            &format!("ValidatingAdmissionPolicyBinding {name}"),
        );
        assert_eq!(
            binding["spec"],
            serde_json::json!({"policyName": name, "validationActions": ["Deny"]})
        );
    }
    let conditions = |values: &[&str]| {
        let objects = render(values);
        let policy = find(&objects, "ValidatingAdmissionPolicy coppice-workers");
        policy["spec"]["matchConditions"].to_string()
    };
    assert!(conditions(&["authority.scalers={ann,bob}"]).contains(r#"in [\"ann\",\"bob\"]"#));
    assert!(!conditions(&["authority.scalers=null"]).contains("not-by-a-scaler"));
    let without = titles(&render(&["authority.policy=false"]));
    assert_eq!(
        without,
        titles(&objects)
            .into_iter()
            .filter(|title| !title.starts_with("ValidatingAdmissionPolicy"))
            .collect()
    );
}
