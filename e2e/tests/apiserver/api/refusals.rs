//! What the API server refuses, and what it says then.

use serde_json::{Value, json};

use super::{Kubectl, below, server, supervisor, tree, worker};

/// What kubectl says when the tree is to be created.
async fn refusal(tree: &Value) -> String {
    Kubectl::on(server().await)
        .words("create --dry-run=server")
        .object(tree)
        .complained()
}

/// Asserts the complaint about `spec` of the tree `shop`.
#[track_caller]
fn assert_invalid(complaint: &str, expected: &str) {
    assert_eq!(
        complaint,
        format!("The SupervisionTree \"shop\" is invalid: {expected}")
    );
}

/// A worker called `db` after an edit of its settings.
fn edited(edit: impl FnOnce(&mut Value)) -> Value {
    let mut child = worker("db");
    edit(&mut child["worker"]);
    tree("shop", [child])
}

#[tokio::test]
async fn a_parent_must_be_a_supervisor_declared_earlier() {
    for (children, child, parent) in [
        (vec![below("nobody", worker("api"))], "api", "nobody"),
        (
            vec![below("web", worker("api")), supervisor("web")],
            "api",
            "web",
        ),
        (vec![worker("db"), below("db", worker("api"))], "api", "db"),
        (vec![below("web", supervisor("web"))], "web", "web"),
    ] {
        let expected = format!(
            "spec.children: Invalid value: the `parent` of child '{child}' must name a supervisor \
             declared earlier in `children`, but is '{parent}'"
        );
        assert_invalid(&refusal(&tree("shop", children)).await, &expected);
    }
}

#[tokio::test]
async fn a_child_is_either_a_supervisor_or_a_worker() {
    let mut both = worker("db");
    both["supervisor"] = json!({});
    for (child, found) in [(both, "both"), (json!({"name": "db"}), "neither")] {
        let expected = format!(
            "spec.children[1]: Invalid value: child 'db' must have either `supervisor` or `worker`, but has {found}"
        );
        assert_invalid(
            &refusal(&tree("shop", [worker("api"), child])).await,
            &expected,
        );
    }
}

#[tokio::test]
async fn names_are_unique_labels_that_fit_into_names_of_pods() {
    assert_invalid(
        &refusal(&tree("shop", [worker("db"), worker("db")])).await,
        r#"spec.children[1]: Duplicate value: {"name":"db"}"#,
    );
    assert_invalid(
        &refusal(&tree("shop", [worker("Db")])).await,
        "spec.children[0].name: Invalid value: \"Db\": spec.children[0].name in body should match \
         '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$'",
    );
    let long = "n".repeat(47);
    assert_invalid(
        &refusal(&tree("shop", [worker("db"), worker(&long)])).await,
        &format!(
            "spec.children: Invalid value: `metadata.name` and the `name` of child '{long}' must not \
             be longer than 50 characters together"
        ),
    );
    for (name, expected) in [
        (
            "shop.eu".to_owned(),
            "must not contain dots, because Pods are named after the tree",
        ),
        (
            "n".repeat(50),
            "must not be longer than 49 characters, because Pods are named after the tree",
        ),
    ] {
        assert_eq!(
            refusal(&tree(&name, [])).await,
            format!(
                "The SupervisionTree \"{name}\" is invalid: metadata.name: Invalid value: \"{name}\": {expected}"
            )
        );
    }
}

#[tokio::test]
async fn numbers_have_limits() {
    for (field, value, limit) in [
        ("replicas", -1, "greater than or equal to 0"),
        ("replicas", 1001, "less than or equal to 1000"),
        ("quorum", 0, "greater than or equal to 1"),
        ("startDeadlineSeconds", 0, "greater than or equal to 1"),
    ] {
        let path = format!("spec.children[0].worker.{field}");
        assert_invalid(
            &refusal(&edited(|worker| worker[field] = json!(value))).await,
            &format!("{path}: Invalid value: {value}: {path} in body should be {limit}"),
        );
    }
}

#[tokio::test]
async fn a_template_has_containers_and_time_to_stop() {
    let path = "spec.children[0].worker.template.spec";
    assert_invalid(
        &refusal(&edited(|worker| {
            worker["template"]["spec"]["containers"] = json!([]);
        }))
        .await,
        &format!(
            "{path}.containers: Invalid value: 0: {path}.containers in body should have at least 1 items"
        ),
    );
    let without = edited(|worker| worker["template"]["spec"] = json!({}));
    let complaint = refusal(&without).await;
    assert!(
        complaint.contains(&format!("{path}.containers: Required value")),
        "{complaint}"
    );
    let brutal =
        edited(|worker| worker["template"]["spec"]["terminationGracePeriodSeconds"] = json!(0));
    let field = format!("{path}.terminationGracePeriodSeconds");
    assert_invalid(
        &refusal(&brutal).await,
        &format!("{field}: Invalid value: 0: {field} in body should be greater than or equal to 1"),
    );
}

#[tokio::test]
async fn a_template_does_not_set_labels_of_coppice() {
    let labelled = edited(|worker| {
        worker["template"]["metadata"] =
            json!({"labels": {"app": "db", "coppice.dev/tree": "other"}});
    });
    assert_invalid(
        &refusal(&labelled).await,
        "spec.children[0]: Forbidden: child 'db' must not set the label 'coppice.dev/tree' in \
         `template.metadata.labels`: Coppice sets it",
    );
}

#[tokio::test]
async fn fields_that_do_not_exist_are_named_with_their_path() {
    let misspelt = edited(|worker| {
        worker["template"]["spec"]["containers"][0]["imagePulPolicy"] = json!("Always");
    });
    let decided = edited(|worker| worker["template"]["spec"]["restartPolicy"] = json!("Always"));
    let of_tree = edited(|worker| worker["quorun"] = json!(2));
    for (tree, field) in [
        (misspelt, "template.spec.containers[0].imagePulPolicy"),
        (decided, "template.spec.restartPolicy"),
        (of_tree, "quorun"),
    ] {
        let namespace = server()
            .await
            .namespace("misspelt")
            .await
            .expect("a namespace");
        let complaint = Kubectl::within(server().await, &namespace)
            .words("apply")
            .object(&tree)
            .complained();
        let expected =
            format!("strict decoding error: unknown field \"spec.children[0].worker.{field}\"");
        assert!(complaint.ends_with(&expected), "{complaint}");
    }
}

#[tokio::test]
async fn quantities_are_checked_before_there_is_a_pod() {
    for (value, accepted) in [
        (json!("1Gi"), true),
        (json!("100m"), true),
        (json!("1.5"), true),
        (json!(2), true),
        (json!("1e3"), true),
        (json!("1Gb"), false),
        (json!("much"), false),
    ] {
        let tree = edited(|worker| {
            worker["template"]["spec"]["containers"][0]["resources"] =
                json!({"limits": {"memory": value}});
        });
        let created = Kubectl::on(server().await)
            .words("create --dry-run=server")
            .object(&tree)
            .output();
        assert_eq!(created.status.success(), accepted, "{value}");
    }
}

/// Asserts what is said of a worker `db` with that update and identity below a root with that strategy.
async fn assert_update(update: Value, identity: &str, strategy: &str, expected: Option<&str>) {
    let with = |update: Value, identity: &str, strategy: &str| {
        let mut tree = edited(|worker| {
            worker["update"] = update.clone();
            worker["identity"] = json!(identity);
        });
        tree["spec"]["strategy"] = json!(strategy);
        tree
    };
    let tree = with(update, identity, strategy);
    let namespace = server()
        .await
        .namespace("update")
        .await
        .expect("a namespace");
    let apply = Kubectl::within(server().await, &namespace)
        .words("apply")
        .object(&tree);
    match expected {
        None => drop(apply.said()),
        Some(expected) => {
            let complaint = apply.complained();
            assert!(complaint.contains(expected), "{complaint}");
        }
    }
}

#[tokio::test]
async fn an_update_that_cannot_move_is_refused_with_what_to_do() {
    let none = json!({"maxSurge": 0, "maxUnavailable": "0%"});
    for (update, identity, strategy, expected) in [
        (
            json!({"maxSurge": "25%", "maxUnavailable": 3}),
            "Interchangeable",
            "OneForOne",
            None,
        ),
        (
            json!({"maxSurge": 0, "maxUnavailable": 1}),
            "Stable",
            "OneForOne",
            None,
        ),
        (none.clone(), "Interchangeable", "OneForAll", None),
        (
            none,
            "Interchangeable",
            "OneForOne",
            Some(
                "`update` of worker 'db' has both `maxUnavailable` and `maxSurge` 0, so that no Pod could ever be replaced: raise one of them",
            ),
        ),
        (
            json!({"maxSurge": 1}),
            "Stable",
            "OneForOne",
            Some(
                "worker 'db' has `identity: Stable`, with which `update.maxUnavailable` can only be 1 and `update.maxSurge` only 0",
            ),
        ),
        (
            json!({"maxSurge": "101%"}),
            "Interchangeable",
            "OneForOne",
            Some("update.maxSurge in body should match '^(100|[1-9]?[0-9])%$'"),
        ),
        (
            json!({"maxUnavailable": 1001}),
            "Interchangeable",
            "OneForOne",
            Some("update.maxUnavailable in body should be less than or equal to 1000"),
        ),
        (
            json!({"maxUnavailable": -1}),
            "Interchangeable",
            "OneForOne",
            Some("update.maxUnavailable in body should be greater than or equal to 0"),
        ),
    ] {
        assert_update(update, identity, strategy, expected).await;
    }
}

#[tokio::test]
async fn steps_that_cannot_be_taken_are_refused_with_what_to_do() {
    for (update, identity, strategy, expected) in [
        (
            json!({"steps": [{"updated": 1}, {"pauseSeconds": 30}, {"updated": 3}, {"pause": {}}]}),
            "Stable",
            "OneForAll",
            None,
        ),
        (
            json!({"steps": [{"updated": "5%"}, {"pause": {}}, {"updated": "50%"}, {"updated": "100%"}]}),
            "Interchangeable",
            "OneForOne",
            None,
        ),
        (
            json!({"steps": [{"updated": 1, "pause": {}}]}),
            "Interchangeable",
            "OneForOne",
            Some(
                "a step of `update.steps` must say exactly one of `updated`, `pauseSeconds` and `pause`",
            ),
        ),
        (
            json!({"steps": [{}]}),
            "Interchangeable",
            "OneForOne",
            Some("a step of `update.steps` must say exactly one of"),
        ),
        (
            json!({"steps": [{"updated": 1}], "maxSurge": "0%", "maxUnavailable": 0}),
            "Interchangeable",
            "OneForAll",
            Some(
                "`update.steps` of worker 'db' need `restart: Permanent`, and `maxUnavailable` or `maxSurge` above 0",
            ),
        ),
    ] {
        assert_update(update, identity, strategy, expected).await;
    }
}

#[tokio::test]
async fn steps_that_go_backwards_are_refused_with_what_to_do() {
    let said = "spec.children[0]: Invalid value: `update.steps` of worker 'db' must update at least 1 Pod and never fewer than in an \
                earlier step, all in numbers or all in parts of `replicas`: put `updated` of the steps in ascending order";
    for (steps, expected) in [
        (
            json!([{"updated": 9}, {"updated": 10}, {"updated": 10}, {"updated": 1000}]),
            None,
        ),
        (
            json!([{"updated": "9%"}, {"pause": {}}, {"updated": "10%"}, {"updated": "99%"}, {"updated": "100%"}]),
            None,
        ),
        (
            json!([{"updated": 10}, {"pause": {}}, {"updated": 9}]),
            Some(said),
        ),
        (json!([{"updated": "10%"}, {"updated": "9%"}]), Some(said)),
        (json!([{"updated": "100%"}, {"updated": "99%"}]), Some(said)),
        (json!([{"updated": 1}, {"updated": "10%"}]), Some(said)),
        (json!([{"updated": 0}, {"updated": 1}]), Some(said)),
        (json!([{"updated": "0%"}]), Some(said)),
    ] {
        let update = json!({"steps": steps});
        assert_update(update, "Interchangeable", "OneForOne", expected).await;
    }
}

/// A template of a claim.
fn claim(name: &str, size: &str) -> Value {
    let spec =
        json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}});
    json!({"metadata": {"name": name}, "spec": spec})
}

#[tokio::test]
async fn claims_are_of_stable_workers_and_their_templates_differ_in_name() {
    let with = |identity: &str, field: &str, value: Value| {
        edited(|worker| {
            worker["identity"] = json!(identity);
            worker[field] = value;
        })
    };
    let one = || json!([claim("data", "1Gi")]);
    for (field, value) in [
        ("serviceName", json!("db")),
        ("volumeClaimTemplates", one()),
    ] {
        let expected = format!(
            "spec.children[0]: Invalid value: worker 'db' has `{field}`, which needs `identity: Stable`: only replicas with fixed \
             names have names in DNS and claims of their own"
        );
        let refused = with("Interchangeable", field, value.clone());
        assert_invalid(&refusal(&refused).await, &expected);
        Kubectl::on(server().await)
            .words("create --dry-run=server")
            .object(&with("Stable", field, value))
            .said();
    }
    let twice = json!([claim("data", "1Gi"), claim("data", "2Gi")]);
    assert_invalid(
        &refusal(&with("Stable", "volumeClaimTemplates", twice)).await,
        "spec.children[0]: Invalid value: worker 'db' has two `volumeClaimTemplates` of one `metadata.name`; names must be unique",
    );
    let mut misspelt = json!([claim("data", "1Gi")]);
    misspelt[0]["spec"]["storageClass"] = json!("fast");
    let complaint = refusal(&with("Stable", "volumeClaimTemplates", misspelt)).await;
    let field = "spec.children[0].worker.volumeClaimTemplates[0].spec.storageClass";
    assert!(
        complaint.contains(&format!("unknown field \"{field}\"")),
        "{complaint}"
    );
}

#[tokio::test]
async fn templates_of_claims_cannot_be_changed_while_the_child_is_there() {
    let cluster = server().await;
    let namespace = cluster.namespace("claims").await.expect("a namespace");
    let kubectl = || Kubectl::within(cluster, &namespace);
    let stable = |claims: Value| {
        edited(|worker| {
            worker["identity"] = json!("Stable");
            worker["volumeClaimTemplates"] = claims;
        })
    };
    let first = stable(json!([claim("data", "1Gi")]));
    kubectl().words("create").object(&first).said();
    for changed in [json!([claim("data", "2Gi")]), json!([])] {
        let complaint = kubectl()
            .words("replace")
            .object(&stable(changed))
            .complained();
        assert_invalid(
            &complaint,
            "spec.children[0]: Invalid value: `volumeClaimTemplates` of worker 'db' cannot be changed, because its claims would \
             not follow: change the claims themselves, or remove the child and add it again (its claims stay, unless they \
             are owned by its Worker: `persistentVolumeClaimRetentionPolicy`)",
        );
    }
    let mut policy = first;
    policy["spec"]["children"][0]["worker"]["persistentVolumeClaimRetentionPolicy"] =
        json!({"whenScaled": "Delete"});
    kubectl().words("replace").object(&policy).said();
    let other = edited(|worker| worker["identity"] = json!("Interchangeable"));
    kubectl().words("replace").object(&other).said();
}
