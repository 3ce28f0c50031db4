//! The Helm chart, rendered by the real Helm: what it makes, what it refuses, and that `manifests/install.yaml` is it.
//!
//! Rule: nothing here starts a cluster; what the rendered objects do is tested where there is one.
#![cfg(feature = "cluster")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use e2e::build::{self, Scope};
use e2e::cache;
use serde::Deserialize;
use serde_json::Value;

const NAMESPACE: &str = "coppice-system";

/// What stands before the rendered chart in `manifests/install.yaml`.
const INSTALL_HEAD: &str = "\
# Everything but the CustomResourceDefinitions: kubectl apply -f crds/ -f manifests/install.yaml
# Generated from charts/coppice; `make generate` writes it again.
apiVersion: v1
kind: Namespace
metadata:
  name: coppice-system
  labels:
    pod-security.kubernetes.io/enforce: restricted
";

static HELM: LazyLock<PathBuf> = LazyLock::new(|| {
    let cache = cache::folder().unwrap();
    build::build(&cache, Scope::Full).unwrap().path("helm")
});

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn helm(args: &[&str]) -> Output {
    Command::new(&*HELM)
        .current_dir(root())
        .args(args)
        .output()
        .unwrap()
}

/// Renders the chart as release `coppice` with these `--set` values.
fn template(values: &[&str]) -> Output {
    let mut args = vec![
        "template",
        "coppice",
        "charts/coppice",
        "--namespace",
        NAMESPACE,
    ];
    for value in values {
        args.extend(["--set", value]);
    }
    helm(&args)
}

#[track_caller]
fn stdout(output: Output) -> String {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn render(values: &[&str]) -> Vec<Value> {
    documents(&stdout(template(values)))
}

fn documents(text: &str) -> Vec<Value> {
    serde_yaml::Deserializer::from_str(text)
        .map(|document| Value::deserialize(document).unwrap())
        .filter(|document| !document.is_null())
        .collect()
}

/// `Kind name` or `Kind namespace/name`.
fn title(object: &Value) -> String {
    let text = |field: &str| object["metadata"][field].as_str();
    let kind = object["kind"].as_str().unwrap();
    match text("namespace") {
        Some(namespace) => format!("{kind} {namespace}/{}", text("name").unwrap()),
        None => format!("{kind} {}", text("name").unwrap()),
    }
}

fn titles(objects: &[Value]) -> BTreeSet<String> {
    objects.iter().map(title).collect()
}

#[track_caller]
fn find<'o>(objects: &'o [Value], wanted: &str) -> &'o Value {
    objects
        .iter()
        .find(|object| title(object) == wanted)
        .unwrap_or_else(|| panic!("no {wanted} in {:#?}", titles(objects)))
}

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

fn set<const N: usize>(titles: [&str; N]) -> BTreeSet<String> {
    titles.into_iter().map(str::to_owned).collect()
}

const TRACKING_RULES: [&str; 5] = [
    r#""coppice.dev" supervisiontrees: get list watch patch"#,
    r#""coppice.dev" workers: get list watch"#,
    r#""coppice.dev" supervisiontrees/status workers/status: patch"#,
    r#""" pods: get list watch"#,
    r#""events.k8s.io" events: create"#,
];
const WORKLOAD_RULES: [&str; 4] = [
    r#""coppice.dev" workers: create delete"#,
    r#""coppice.dev" workers/scale: patch"#,
    r#""coppice.dev" supervisiontrees/finalizers workers/finalizers: update"#,
    r#""" pods: create delete"#,
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

#[test]
fn lint_finds_nothing() {
    let output = helm(&["lint", "--strict", "charts/coppice"]);
    let text = stdout(output);
    assert!(
        text.contains("1 chart(s) linted, 0 chart(s) failed") && !text.contains("[WARNING]"),
        "{text}"
    );
}

#[test]
fn install_yaml_is_the_rendered_chart() {
    let args = [
        "template",
        "coppice",
        "charts/coppice",
        "--namespace",
        NAMESPACE,
        "--no-hooks",
        "--set",
        "crds.install=false",
    ];
    let expected = format!("{INSTALL_HEAD}{}", stdout(helm(&args)));
    let path = root().join("manifests/install.yaml");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap();
    assert!(
        found == expected,
        "manifests/install.yaml is stale: run `make generate`"
    );
}

#[test]
fn definitions_are_the_generated_ones_and_stay_on_uninstall() {
    let objects = render(&[]);
    for entry in std::fs::read_dir(root().join("crds")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let mut expected = documents(&text).remove(0);
        let rendered = find(&objects, &title(&expected));
        assert_eq!(
            rendered["metadata"]["annotations"]["helm.sh/resource-policy"],
            "keep"
        );
        expected["metadata"]["annotations"]["helm.sh/resource-policy"] = "keep".into();
        assert!(
            *rendered == expected,
            "{} is not what stands in crds/",
            title(rendered)
        );
    }
    let without = render(&["crds.install=false"]);
    assert!(
        without
            .iter()
            .all(|object| object["kind"] != "CustomResourceDefinition")
    );
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

fn pod<'o>(objects: &'o [Value], wanted: &str) -> &'o Value {
    &find(objects, wanted)["spec"]["template"]["spec"]
}

fn container<'o>(objects: &'o [Value], wanted: &str) -> &'o Value {
    &pod(objects, wanted)["containers"][0]
}

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

#[test]
fn a_misspelt_or_wrong_value_is_refused_by_name() {
    for (value, named) in [
        ("replica=2", "'replica'"),
        ("replicas=-1", "/replicas"),
        ("replicas=two", "/replicas"),
        ("crds.instal=true", "'instal'"),
        ("watchNamespace=blue", "'watchNamespace'"),
        ("watchNamespaces={Blue}", "/watchNamespaces/0"),
        ("watchNamespaces={blue,blue}", "/watchNamespaces"),
        ("nodes.raed=false", "'raed'"),
        ("image.tga=1", "'tga'"),
        ("image.pullPolicy=Sometimes", "/image/pullPolicy"),
        ("imagePullSecrets[0].nmae=x", "'nmae'"),
        ("resources.limit.memory=1Gi", "'limit'"),
        ("tolerations[0].keey=x", "'keey'"),
        ("affinity.podAfinity.x=y", "'podAfinity'"),
        ("nodeSelector.pool=7", "/nodeSelector/pool"),
        ("aggregatedRoles=yes", "/aggregatedRoles"),
        ("authority.polcy=false", "'polcy'"),
        ("authority.scalers=ann", "/authority/scalers"),
    ] {
        let output = template(&[value]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{value} was accepted");
        assert!(error.contains(named), "{value}: {error}");
    }
}

#[test]
fn every_value_is_in_the_schema_and_has_a_comment() {
    let text = std::fs::read_to_string(root().join("charts/coppice/values.yaml")).unwrap();
    let values = documents(&text).remove(0);
    let schema = std::fs::read_to_string(root().join("charts/coppice/values.schema.json")).unwrap();
    let schema: Value = serde_json::from_str(&schema).unwrap();
    for (name, value) in values.as_object().unwrap() {
        let known = &schema["properties"][name];
        assert!(!known.is_null(), "{name} is not in the schema");
        let Some(inner) = value
            .as_object()
            .filter(|inner| !inner.is_empty() && name != "resources")
        else {
            assert!(
                text.contains(&format!("# {name} ")),
                "{name} has no comment that begins with its name"
            );
            continue;
        };
        for inner in inner.keys() {
            assert!(
                !known["properties"][inner].is_null(),
                "{name}.{inner} is not in the schema"
            );
            assert!(
                text.contains(&format!("# {name}.{inner} ")),
                "{name}.{inner} has no comment that begins with its name"
            );
        }
    }
}

#[test]
fn an_older_cluster_is_refused() {
    let render = |version: &str| {
        helm(&[
            "template",
            "coppice",
            "charts/coppice",
            "--kube-version",
            version,
        ])
    };
    let refused = render("v1.34.9");
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("chart requires kubeVersion"));
    stdout(render("v1.35.1-vendor.7"));
}
