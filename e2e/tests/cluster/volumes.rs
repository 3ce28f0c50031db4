//! What replicas write on volumes of their own, which a real provisioner makes.
//!
//! Rule: what is on a volume is read by the program that wrote it, in the Pod that has it then.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "several test programs include this file, and not each uses all of it"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use e2e::cluster::Cluster;
use e2e::{current, storage};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::support::{Space, ok};

const SOON: Duration = Duration::from_mins(3);
/// Writes down each start of the program.
pub const SCRIPT: &str = "date >> /data/starts; while :; do sleep 1; done";

/// Starts the provisioner of a cluster of our own. Another one has its own.
pub fn provide(cluster: &Cluster) {
    if !current::is_wanted() {
        let objects = storage::objects(cluster).expect("objects");
        ok(cluster, &["apply", "-f", "-"], &objects.to_string());
        storage::start(cluster).expect("a provisioner");
    }
}

/// A worker of that many replicas that are told apart, each with a claim of its own; nothing is said of what becomes of them.
pub fn worker(script: &str, replicas: i32) -> Value {
    let claim = json!({
        "metadata": {"name": "data"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": storage::CLASS,
            "resources": {"requests": {"storage": "1Mi"}},
        },
    });
    json!({
        "identity": "Stable",
        "replicas": replicas,
        "volumeClaimTemplates": [claim],
        "template": {"spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": "app",
                "image": current::workload_image(),
                "imagePullPolicy": "IfNotPresent",
                "command": ["/bin/sh", "-c", script],
                "volumeMounts": [{"name": "data", "mountPath": "/data"}],
            }],
        }},
    })
}

/// How often the program of a slot has started on its volume.
pub fn starts(space: &Space<'_>, child: &str, slot: i32) -> usize {
    let pod = format!("tree-{child}-{slot}");
    let said = space.kubectl(&["exec", &pod, "-c", "app", "--", "cat", "/data/starts"]);
    said.lines().count()
}

/// The Pod of a slot when it is another one than that, and Ready.
pub async fn next_pod(space: &Space<'_>, former: &Pod) -> Pod {
    let uid = former.uid();
    let is_next = |pod: Option<&Pod>| pod.is_some_and(|pod| pod.uid() != uid) && is_ready(pod);
    let name = former.name_any();
    let pod = space.until_pod(&name, SOON, "a new Pod, and Ready", is_next);
    pod.await.expect("it is there")
}

/// Whether there is a Pod, and it is Ready.
pub fn is_ready(pod: Option<&Pod>) -> bool {
    let conditions = pod.and_then(|pod| pod.status.as_ref()?.conditions.as_ref());
    conditions.is_some_and(|all| {
        all.iter()
            .any(|one| one.type_ == "Ready" && one.status == "True")
    })
}

/// A claim: its UID, and the kinds of its owners.
pub type Claim = (String, Vec<String>);

/// All claims, by name.
pub async fn claims(space: &Space<'_>) -> BTreeMap<String, Claim> {
    let api: Api<PersistentVolumeClaim> = Api::namespaced(space.cluster.client(), &space.name);
    let list = api.list(&ListParams::default()).await.expect("claims");
    let told = list.items.into_iter().map(|claim| {
        let owners = claim.owner_references().iter();
        let kinds = owners.map(|owner| owner.kind.clone()).collect();
        let uid = claim.uid().expect("every stored claim has one");
        (claim.name_any(), (uid, kinds))
    });
    told.collect()
}
