//! What users read: documentation, columns, and what the API server fills in.

use serde_json::{Value, json};

use super::{
    Kubectl, apply_definitions, empty_server, eventually, server, supervisor, tree, worker,
};

#[tokio::test]
async fn definitions_are_applied_as_any_file_is() {
    let cluster = empty_server().await;
    let names = ["supervisiontrees", "workers"];
    for outcome in ["created", "unchanged"] {
        let expected = names.map(|name| {
            format!("customresourcedefinition.apiextensions.k8s.io/{name}.coppice.dev {outcome}")
        });
        assert_eq!(apply_definitions(&cluster), expected.join("\n"));
    }
    for name in names {
        let conditions = "jsonpath={range .status.conditions[*]}{.type}={.status} {end}";
        let shown = Kubectl::on(&cluster)
            .words("get crd")
            .arg(format!("{name}.coppice.dev"))
            .arg("-o")
            .arg(conditions)
            .said();
        assert_eq!(
            shown, "NamesAccepted=True Established=True",
            "no violation of structural schemas"
        );
    }
}

#[tokio::test]
async fn fields_explain_themselves() {
    let cluster = server().await;
    let explained = eventually("the documentation is served", || {
        let output = Kubectl::on(cluster)
            .words("explain stree.spec.children.worker.quorum")
            .output();
        output.status.success().then(|| super::text(&output.stdout))
    });
    assert_eq!(
        explained,
        "GROUP:      coppice.dev\n\
         KIND:       SupervisionTree\n\
         VERSION:    v1alpha1\n\
         \n\
         FIELD: quorum <integer>\n\
         \n\
         \n\
         DESCRIPTION:\n    \
             quorum is how many replicas must be alive for the worker to be alive, from 1\n    \
             to 1000. While a quorum is alive, a death restarts that replica alone and is\n    \
             charged to its slot; a death that leaves less is a death of the worker,\n    \
             charged to its supervisor. In force is the smaller of quorum and replicas.\n    \
             Default 1."
    );
    let explained = Kubectl::on(cluster)
        .words("explain stree.spec.onGiveUp")
        .said();
    assert!(
        explained.contains("\n    - Stop: the whole tree is stopped"),
        "{explained}"
    );
    let of_core = Kubectl::on(cluster)
        .words("explain stree.spec.children.worker.template.spec.containers.image")
        .said();
    assert!(of_core.contains("Container image name."), "{of_core}");
}

#[tokio::test]
async fn a_tree_that_nobody_has_seen_says_so() {
    let cluster = server().await;
    let namespace = cluster.namespace("unseen").await.expect("a namespace");
    let kubectl = || Kubectl::within(cluster, &namespace);
    kubectl()
        .words("create")
        .object(&tree("shop", [supervisor("web"), worker("db")]))
        .said();
    let stored: Value =
        serde_json::from_str(&kubectl().words("get stree shop -o json").said()).expect("JSON");
    assert_eq!(stored["status"], json!({"observedGeneration": -1}));

    let columns = kubectl().words("get stree").said();
    let header = columns.lines().next().unwrap_or_default();
    let header: Vec<_> = header.split_whitespace().collect();
    assert_eq!(
        header.join(" "),
        "NAME READY STATUS STRATEGY WORKERS UP RESTARTS REVISION AGE"
    );
    let wide = kubectl().words("get stree -o wide").said();
    assert!(
        wide.lines()
            .next()
            .is_some_and(|header| header.trim_end().ends_with("MESSAGE")),
        "{wide}"
    );
    assert!(
        kubectl()
            .words("get coppice")
            .said()
            .contains("supervisiontree.coppice.dev/shop")
    );
}

#[tokio::test]
async fn defaults_are_stored_and_what_means_something_by_its_absence_is_not() {
    let cluster = server().await;
    let namespace = cluster.namespace("defaults").await.expect("a namespace");
    let kubectl = || Kubectl::within(cluster, &namespace);
    kubectl()
        .words("create")
        .object(&tree("shop", [supervisor("web"), worker("db")]))
        .said();
    let stored: Value =
        serde_json::from_str(&kubectl().words("get stree shop -o json").said()).expect("JSON");
    let intensity = json!({"maxRestarts": 3, "periodSeconds": 300});
    let backoff = json!({"initialSeconds": 1, "maxSeconds": 30});
    let mut spec = stored["spec"].clone();
    let children = spec["children"].take();
    assert_eq!(
        spec,
        json!({
            "strategy": "OneForOne",
            "intensity": intensity,
            "backoff": backoff,
            "onStartFailure": "Retry",
            "onGiveUp": "Retry",
            "autoShutdown": "Never",
            "suspend": false,
            "rollout": {
                "order": "Ordered",
                "paused": false,
                "onFailure": "RollBack",
                "maxFaults": 2,
                "progressDeadlineSeconds": 600,
                "probationSeconds": 60,
            },
            "revisionHistoryLimit": 10,
            "children": null,
        })
    );
    assert_eq!(
        children[0],
        json!({"name": "web", "enabled": true, "supervisor": {
            "strategy": "OneForOne",
            "intensity": intensity,
            "backoff": backoff,
            "onStartFailure": "Retry",
            "onGiveUp": "Escalate",
            "autoShutdown": "Never",
            "restart": "Permanent",
            "significant": false,
        }})
    );
    let container = json!({"name": "app", "image": "app:1"});
    assert_eq!(
        children[1],
        json!({"name": "db", "enabled": true, "worker": {
            "quorum": 1,
            "restart": "Permanent",
            "significant": false,
            "cleanExitCodes": [0],
            "identity": "Interchangeable",
            "ready": "Ready",
            "startDeadlineSeconds": 600,
            "nodeLossSeconds": 60,
            "disruptionBudget": "Auto",
            "update": {"method": "Recreate", "minReadySeconds": 0},
            "template": {"spec": {"containers": [container]}},
        }})
    );
}

#[tokio::test]
async fn a_worker_is_scaled_by_its_subresource() {
    let cluster = server().await;
    let namespace = cluster.namespace("scaled").await.expect("a namespace");
    let kubectl = || Kubectl::within(cluster, &namespace);
    let worker = json!({
        "apiVersion": "coppice.dev/v1alpha1",
        "kind": "Worker",
        "metadata": {"name": "shop-db"},
        "spec": {},
    });
    kubectl().words("create").object(&worker).said();
    let replicas = || {
        kubectl()
            .words("get wkr shop-db -o jsonpath={.spec.replicas}")
            .said()
    };
    assert_eq!(replicas(), "1");
    kubectl().words("scale wkr shop-db --replicas=3").said();
    assert_eq!(replicas(), "3");
    let complaint = kubectl()
        .words("scale wkr shop-db --replicas=1001")
        .complained();
    assert!(
        complaint.contains("spec.replicas in body should be less than or equal to 1000"),
        "{complaint}"
    );
}
