//! Leases of nodes: a kubelet renews its own every ten seconds, and one that is old shows that the node is silent before the
//! node's conditions say so.
//!
//! Rule: a Lease is old beside other times that the file tells, never beside a clock, because nobody knows how old the file
//! is.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::fields::{newest_time, number, some_text, time};
use crate::model::fault::ObjectView;

/// Where kubelets keep their Leases.
const NAMESPACE: &str = "kube-node-lease";
/// How long a kubelet may take to renew it, which is how long such a Lease is good for.
const GOOD_FOR: SignedDuration = SignedDuration::from_secs(40);

/// Whether it is the Lease of a node, which has the name of the node. Others serve to elect leaders.
pub(super) fn is_of_node(object: &Value) -> bool {
    let namespace = some_text(&object["metadata"]["namespace"]);
    object["kind"] == "Lease" && namespace.is_none_or(|namespace| namespace == NAMESPACE)
}

/// When the Lease of a node was renewed. Of a kubelet that has more time than others nothing is said.
pub(super) fn renewed(object: &Value) -> Option<Timestamp> {
    let spec = &object["spec"];
    let seconds = number(&spec["leaseDurationSeconds"]).unwrap_or_default();
    let renewed = time(&spec["renewTime"])?;
    (is_of_node(object) && seconds <= GOOD_FOR.as_secs()).then_some(renewed)
}

/// What a Lease among these objects is held against: of several, the one that was renewed last, because the rest may have been
/// read later; beside a single one, the newest time there is.
pub(super) fn newest_beside_leases<'a>(
    objects: impl Iterator<Item = &'a Value> + Clone,
) -> Option<Timestamp> {
    let leases = objects.clone().filter(|object| is_of_node(object));
    match leases.clone().count() {
        0 => None,
        1 => objects.filter_map(newest_time).max(),
        _ => leases
            .filter_map(|lease| time(&lease["spec"]["renewTime"]))
            .max(),
    }
}

/// Forgets of a Lease that is not old at that time when it was renewed: nobody is silent.
pub(super) fn hear(object: &mut ObjectView, latest: Option<Timestamp>) {
    let is_old = |renewed: &Timestamp| {
        latest.is_some_and(|latest| latest.duration_since(*renewed) > GOOD_FOR)
    };
    object.silent_since = object.silent_since.filter(is_old);
}
