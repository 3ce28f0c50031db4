//! The objects that Coppice makes: Workers, Pods, revisions and disruption budgets.
//!
//! Rule: an object is a function of the tree, the worker and the slot; the template is copied as it is.

use jiff::Timestamp;
use k8s_openapi::api::policy::v1::PodDisruptionBudgetSpec;
use serde_json::{Map, Value, json};

use crate::api::labels;
use crate::api::v1alpha1::{FaultAction, GROUP, Restart, RevisionStatus, SlotStatus, Strategy};

use super::claims;
use super::names;
use super::pod::RestartPolicy;
use super::policy::Rule;
use super::revisions::{SUBDOMAIN, made_from};
use super::tree::{Leaf, Policy, Tree};
use super::window::in_window;
use super::world::{TreeView, WorkerView};

/// Charged deaths on one node that make new Pods of the slot prefer others.
pub(super) const AVOID_NODE_CHARGES: usize = 2;

/// The taint of a node whose kubelet says that it is not ready.
const NOT_READY: &str = "node.kubernetes.io/not-ready";
/// The taint of a node that does not report.
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";

/// The Worker of a child.
pub(super) fn worker(tree: &TreeView, child: &str, leaf: &Leaf<'_>) -> Value {
    let mut spec = Map::new();
    if let Some(replicas) = leaf.settings.replicas {
        spec.insert("replicas".into(), replicas.into());
    }
    json!({
        "apiVersion": format!("{GROUP}/v1alpha1"),
        "kind": "Worker",
        "metadata": {
            "name": names::worker_name(&tree.name, child),
            "namespace": tree.namespace,
            "labels": {labels::TREE: tree.name, labels::CHILD: child},
            "ownerReferences": [owner("SupervisionTree", &tree.name, &tree.uid, true)],
        },
        "spec": spec,
    })
}

/// A revision of a tree: the templates of all its workers, by name.
pub(super) fn revision(tree: &TreeView, spec: &Tree<'_>, revision: &RevisionStatus) -> Value {
    let templates: Map<String, Value> = spec
        .leaves()
        .map(|(id, leaf)| {
            let template = made_from(leaf.settings).into_owned();
            (spec.nodes[id].name.to_owned(), template)
        })
        .collect();
    json!({
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": revision.name,
            "namespace": tree.namespace,
            "labels": {labels::TREE: tree.name},
            "ownerReferences": [owner("SupervisionTree", &tree.name, &tree.uid, true)],
        },
        "revision": revision.number,
        "data": {"templates": templates},
    })
}

/// The disruption budget of a worker.
pub(super) fn disruption_budget(
    tree: &TreeView,
    child: &str,
    worker: &WorkerView,
    spec: &PodDisruptionBudgetSpec,
) -> Value {
    json!({
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {
            "name": worker.name,
            "namespace": tree.namespace,
            "labels": {labels::TREE: tree.name, labels::CHILD: child},
            "ownerReferences": [owner("Worker", &worker.name, &worker.uid, true)],
        },
        "spec": spec,
    })
}

/// Whose Pod it is to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    /// The tree.
    pub tree: &'a TreeView,
    /// Name of the child.
    pub child: &'a str,
    /// Its settings.
    pub leaf: &'a Leaf<'a>,
    /// The template that it is made from.
    pub template: &'a Value,
    /// Revision of that template.
    pub revision: &'a str,
    /// The policy of its supervisor.
    pub policy: &'a Policy,
    /// Its Worker, which owns the Pod.
    pub worker: &'a WorkerView,
    /// The slot.
    pub slot: i32,
    /// The incarnation of the worker.
    pub incarnation: i64,
    /// Whether every node of the cluster says which zone it is in.
    pub zoned: bool,
    /// What is remembered of the slot.
    pub memory: Option<&'a SlotStatus>,
    /// The time.
    pub now: Timestamp,
}

/// The Pod of a slot.
pub(super) fn pod(place: &Place<'_>, name: &str) -> Value {
    let mut body = nameless_pod(place);
    body["metadata"]["name"] = name.into();
    if body["spec"].get(SUBDOMAIN).is_some() {
        body["spec"]["hostname"] = name.into();
    }
    body
}

/// A Pod that is only to be tried: it would get a name of its own, as that of a slot may be in use.
pub(super) fn tried_pod(place: &Place<'_>) -> Value {
    let mut body = nameless_pod(place);
    body["metadata"]["generateName"] = format!("{}-{}-", place.tree.name, place.child).into();
    body
}

fn nameless_pod(place: &Place<'_>) -> Value {
    let Place {
        tree,
        child,
        leaf,
        policy,
        worker,
        slot,
        memory,
        ..
    } = *place;
    let template = place.template;
    let mut spec = template.get("spec").cloned().unwrap_or_else(|| json!({}));
    let restarts = kubelet_restarts(policy, leaf);
    let node_loss = leaf.settings.node_loss_seconds;
    if let Some(spec) = spec.as_object_mut() {
        spec.insert("restartPolicy".into(), restarts.as_str().into());
        claims::mount(spec, leaf, &tree.name, child, slot);
        add_tolerations(spec, node_loss);
        spread(spec, place);
        if let Some(memory) = memory {
            avoid_nodes(spec, memory, place);
        }
    }
    let mut labels = template_map(template, "labels");
    labels.insert(labels::TREE.into(), tree.name.clone().into());
    labels.insert(labels::CHILD.into(), child.into());
    labels.insert(labels::SLOT.into(), slot.to_string().into());
    labels.insert(labels::POD_INDEX.into(), slot.to_string().into());
    labels.insert(labels::REVISION.into(), place.revision.into());
    let incarnation = place.incarnation.to_string();
    labels.insert(labels::INCARNATION.into(), incarnation.into());
    let mut annotations = template_map(template, "annotations");
    annotations.insert(labels::CONTAINERS.into(), container_names(template).into());
    if let Some(asked) = leaf.asked_restart(place.now) {
        annotations.insert(labels::RESTART_AT.into(), asked.to_string().into());
    }
    if restarts == RestartPolicy::Never && !leaf.completes() {
        annotations.insert(labels::ARGO_IGNORE_RESTART_POLICY.into(), "true".into());
    }
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "namespace": tree.namespace,
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [owner("Worker", &worker.name, &worker.uid, true)],
        },
        "spec": spec,
    })
}

/// What the kubelet restarts in place. It does so under `OneForOne` only, because a member must not come back before its
/// group; while there is budget at all; where its idea of a clean end is that of the worker; and where no rule leaves an
/// ended replica alone or escalates its end.
pub(super) fn kubelet_restarts(policy: &Policy, leaf: &Leaf<'_>) -> RestartPolicy {
    let is_alone = policy.strategy == Strategy::OneForOne;
    let may_not = |rule: &Rule<'_>| rule.says.action != FaultAction::Restart;
    if !is_alone
        || policy.intensity.max_restarts == 0
        || leaf.settings.clean_exit_codes != [0]
        || leaf.rules.iter().any(may_not)
    {
        return RestartPolicy::Never;
    }
    match leaf.settings.restart {
        Restart::Permanent => RestartPolicy::Always,
        Restart::Transient => RestartPolicy::OnFailure,
        Restart::Temporary => RestartPolicy::Never,
    }
}

/// A reference to an owner of ours, which controls the object and waits for its end, or only owns it.
pub(super) fn owner(kind: &str, name: &str, uid: &str, controls: bool) -> Value {
    let mut owner = json!({
        "apiVersion": format!("{GROUP}/v1alpha1"),
        "kind": kind,
        "name": name,
        "uid": uid,
    });
    if controls {
        owner["controller"] = true.into();
        owner["blockOwnerDeletion"] = true.into();
    }
    owner
}

fn template_map(template: &Value, field: &str) -> Map<String, Value> {
    template
        .pointer(&format!("/metadata/{field}"))
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default()
}

/// The containers whose ends count. A sidecar is an init container that is always restarted.
fn container_names(template: &Value) -> String {
    let listed = |field: &str| {
        let containers = template
            .pointer(&format!("/spec/{field}"))
            .and_then(Value::as_array);
        containers.map_or(&[][..], Vec::as_slice)
    };
    let inits = listed("initContainers")
        .iter()
        .filter(|container| container["restartPolicy"] != "Always");
    let all = listed("containers").iter().chain(inits);
    let names: Vec<&str> = all.filter_map(|one| one.get("name")?.as_str()).collect();
    names.join(",")
}

/// How long the Pod stays bound to a lost node; a toleration of the user's for the same taint wins.
fn add_tolerations(spec: &mut Map<String, Value>, seconds: i32) {
    let list = spec.entry("tolerations").or_insert_with(|| json!([]));
    let Some(list) = list.as_array_mut() else {
        return;
    };
    for key in [NOT_READY, UNREACHABLE] {
        if !list.iter().any(|toleration| tolerates(toleration, key)) {
            list.push(json!({
                "key": key,
                "operator": "Exists",
                "effect": "NoExecute",
                "tolerationSeconds": seconds,
            }));
        }
    }
}

/// Prefers to put the replicas of a worker on different nodes, and in different zones where there are any: to ask for zones
/// that not every node has would count for nothing, and the nodes with it. A template that says how its Pods are spread, be
/// it not at all, has its own way.
fn spread(spec: &mut Map<String, Value>, place: &Place<'_>) {
    if spec.contains_key("topologySpreadConstraints") {
        return;
    }
    let selected = json!({labels::TREE: place.tree.name, labels::CHILD: place.child});
    let apart = |topology: &str| {
        json!({
            "maxSkew": 1,
            "topologyKey": topology,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": selected},
        })
    };
    let mut everywhere = vec![apart(labels::HOSTNAME)];
    everywhere.extend(place.zoned.then(|| apart(labels::ZONE)));
    spec.insert("topologySpreadConstraints".into(), everywhere.into());
}

/// Whether the template itself says how long its Pods stay bound to a node that does not report, so that
/// `nodeLossSeconds` does not.
pub(super) fn tolerates_unreachable(template: &Value) -> bool {
    let listed = template.pointer("/spec/tolerations");
    let mut listed = listed.and_then(Value::as_array).into_iter().flatten();
    listed.any(|toleration| tolerates(toleration, UNREACHABLE))
}

/// Whether a toleration is one for that taint with the effect `NoExecute`.
fn tolerates(toleration: &Value, key: &str) -> bool {
    let is_or_any = |field: &str, wanted: &str| {
        let value = toleration.get(field).and_then(Value::as_str);
        value.is_none_or(|value| value.is_empty() || value == wanted)
    };
    is_or_any("key", key) && is_or_any("effect", "NoExecute")
}

/// Prefers other nodes than those on which the slot died twice within its window.
fn avoid_nodes(spec: &mut Map<String, Value>, memory: &SlotStatus, place: &Place<'_>) {
    let mut nodes: Vec<&str> = memory
        .node_charges
        .iter()
        .filter(|c| in_window(&c.time, place.now, &place.policy.intensity))
        .map(|c| c.node.as_str())
        .collect();
    nodes.sort_unstable();
    let bad: Vec<&str> = nodes
        .chunk_by(|a, b| a == b)
        .filter(|same| same.len() >= AVOID_NODE_CHARGES)
        .map(|same| same[0])
        .collect();
    if bad.is_empty() {
        return;
    }
    let affinity = spec.entry("affinity").or_insert_with(|| json!({}));
    let Some(affinity) = affinity.as_object_mut() else {
        return;
    };
    let node = affinity.entry("nodeAffinity").or_insert_with(|| json!({}));
    let Some(node) = node.as_object_mut() else {
        return;
    };
    let preferred = node
        .entry("preferredDuringSchedulingIgnoredDuringExecution")
        .or_insert_with(|| json!([]));
    if let Some(preferred) = preferred.as_array_mut() {
        // A node field takes one value a term, so each node has its own.
        preferred.extend(bad.into_iter().map(|node| {
            json!({
                "weight": 100,
                "preference": {"matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": [node]}]},
            })
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::v1alpha1::{SupervisionTreeStatus, WorkerStatus};
    use crate::model::tree::Tree;
    use crate::model::window::api_time;

    /// The Pod of slot 0 of the one worker `a` with that root policy and Pod spec.
    fn built(policy: &str, pod: &str, memory: Option<&SlotStatus>) -> Value {
        built_in(false, policy, pod, memory)
    }

    fn built_in(zoned: bool, policy: &str, pod: &str, memory: Option<&SlotStatus>) -> Value {
        let spec = format!(
            "{policy}\nchildren:\n- {{name: a, worker: {{nodeLossSeconds: 7, template: {{spec: {pod}}}}}}}"
        );
        let view = TreeView {
            name: "t".into(),
            namespace: "ns".into(),
            uid: "tree-uid".into(),
            generation: 1,
            deleting: false,
            finalizers: Vec::new(),
            spec: serde_yaml::from_str(&spec).unwrap(),
            status: SupervisionTreeStatus::default(),
        };
        let worker = WorkerView {
            name: "t-a".into(),
            uid: "worker-uid".into(),
            generation: 1,
            deleting: false,
            replicas: 1,
            status: WorkerStatus::default().into(),
            pods: Vec::new(),
        };
        let tree = Tree::parse(&view.name, &view.spec).unwrap();
        let id = tree.find("a").unwrap();
        let place = Place {
            tree: &view,
            child: "a",
            leaf: tree.leaf(id).unwrap(),
            template: &tree.leaf(id).unwrap().template,
            revision: &tree.leaf(id).unwrap().revision,
            policy: tree.parent_policy(id),
            worker: &worker,
            slot: 0,
            incarnation: 1,
            zoned,
            memory,
            now: Timestamp::from_second(1000).unwrap(),
        };
        super::pod(&place, "t-a-x")
    }

    const POD: &str = "{containers: [{name: app, image: one}]}";

    #[test]
    fn the_containers_whose_ends_count_are_listed_and_sidecars_are_not() {
        let pod = built(
            "",
            "{containers: [{name: app, image: one}, {name: helper, image: one}], initContainers: [\
             {name: setup, image: one}, {name: mesh, image: one, restartPolicy: Always}]}",
            None,
        );
        assert_eq!(
            pod["metadata"]["annotations"][labels::CONTAINERS],
            "app,helper,setup"
        );
    }

    #[test]
    fn a_pod_is_owned_by_its_worker_and_keeps_the_metadata_of_its_template() {
        let template = "{metadata: {labels: {team: web}, annotations: {note: kept}}, spec: {}}";
        let template: Value = serde_yaml::from_str(template).unwrap();
        assert_eq!(template_map(&template, "labels")["team"], "web");
        assert_eq!(template_map(&template, "annotations")["note"], "kept");
        let pod = built("", POD, None);
        assert_eq!(
            pod["metadata"]["ownerReferences"],
            json!([{
                "apiVersion": "coppice.dev/v1alpha1", "kind": "Worker", "name": "t-a", "uid": "worker-uid",
                "controller": true, "blockOwnerDeletion": true,
            }])
        );
    }

    #[test]
    fn a_service_name_gives_a_pod_its_names_in_dns() {
        let names = |pod: &Value| {
            [
                pod["spec"]["hostname"].clone(),
                pod["spec"]["subdomain"].clone(),
            ]
        };
        assert_eq!(names(&built("", POD, None)), [Value::Null, Value::Null]);
        let of_service = "{subdomain: db, containers: [{name: app, image: one}]}";
        let pod = built("", of_service, None);
        assert_eq!(names(&pod), [json!("t-a-x"), json!("db")]);
    }

    #[test]
    fn pods_that_the_kubelet_must_not_restart_tell_argo_cd_that_they_are_no_jobs() {
        let argo = |pod: &Value| {
            pod["metadata"]["annotations"][labels::ARGO_IGNORE_RESTART_POLICY].clone()
        };
        let restarted = built("", POD, None);
        assert_eq!(restarted["spec"]["restartPolicy"], "Always");
        assert_eq!(argo(&restarted), Value::Null);
        let never = built("intensity: {maxRestarts: 0}", POD, None);
        assert_eq!(never["spec"]["restartPolicy"], "Never");
        assert_eq!(argo(&never), "true");
    }

    #[test]
    fn a_lost_node_is_tolerated_for_a_while_unless_the_user_said_otherwise() {
        let seconds = |pod: &str| {
            let pod = built("", pod, None);
            let all = pod["spec"]["tolerations"].as_array().unwrap().clone();
            let listed = all
                .iter()
                .map(|t| (t["key"].clone(), t["tolerationSeconds"].clone()));
            listed.collect::<Vec<_>>()
        };
        let (not_ready, unreachable) = (
            "node.kubernetes.io/not-ready",
            "node.kubernetes.io/unreachable",
        );
        assert_eq!(
            seconds(POD),
            [(json!(not_ready), json!(7)), (json!(unreachable), json!(7))]
        );
        let own = format!(
            "{{containers: [{{name: app, image: one}}], tolerations: [{{key: {unreachable}, operator: Exists}}]}}"
        );
        assert_eq!(
            seconds(&own),
            [
                (json!(unreachable), Value::Null),
                (json!(not_ready), json!(7))
            ]
        );
    }

    #[test]
    fn replicas_are_spread_unless_the_user_said_otherwise() {
        let topologies = |zoned: bool, pod: &str| {
            let pod = built_in(zoned, "", pod, None);
            let all = pod["spec"]["topologySpreadConstraints"].clone();
            let all = all.as_array().cloned().unwrap_or_default();
            let soft = all
                .iter()
                .filter(|one| one["whenUnsatisfiable"] == "ScheduleAnyway");
            soft.map(|one| one["topologyKey"].clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(topologies(false, POD), [json!(labels::HOSTNAME)]);
        let both = [json!(labels::HOSTNAME), json!(labels::ZONE)];
        assert_eq!(topologies(true, POD), both);
        let not_at_all = "{containers: [{name: app, image: one}], topologySpreadConstraints: []}";
        assert_eq!(topologies(true, not_at_all), [json!(null); 0]);
        let own = "{containers: [{name: app, image: one}], topologySpreadConstraints: [\
            {maxSkew: 1, topologyKey: rack, whenUnsatisfiable: ScheduleAnyway}]}";
        assert_eq!(topologies(true, own), [json!("rack")]);
    }

    #[test]
    fn a_node_with_two_charges_in_the_window_is_avoided() {
        let charge = |node: &str, second: i64| crate::api::v1alpha1::NodeChargeStatus {
            node: node.into(),
            time: api_time(Timestamp::from_second(second).unwrap()),
        };
        let memory = SlotStatus {
            node_charges: vec![
                charge("bad", 900),
                charge("bad", 950),
                charge("alone", 960),
                charge("old", 1),
            ],
            ..SlotStatus::default()
        };
        let pod = built("", POD, Some(&memory));
        let preferred = &pod["spec"]["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"];
        assert_eq!(preferred.as_array().unwrap().len(), 1);
        assert_eq!(
            preferred[0]["preference"]["matchFields"][0]["values"],
            json!(["bad"])
        );
    }
}
