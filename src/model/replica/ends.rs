//! Ends of Pods: which have ended, which are proven dead, and what is so where a node does not answer.
//!
//! Rule: a `Stable` Pod has ended only when that is proven; of others it is enough that somebody deleted them.

use jiff::Timestamp;

use crate::api::v1alpha1::{Restart, SlotStatus};
use crate::model::build;
use crate::model::in_place::ordered_ends;
use crate::model::pod::{ContainerState, ContainerView, PodView, Termination};
use crate::model::tree::Leaf;
use crate::model::window::{after, seconds_between};
use crate::model::world::{NodeView, World};

/// Whether the current run of the app containers has ended: one of them is enough, unless it ended cleanly and the type
/// allows that; then the others go on until they have ended, too.
pub(super) fn has_run_ended(pod: &PodView, leaf: &Leaf<'_>) -> bool {
    let ends = || pod.judged().map(ContainerView::end);
    let is_end = |end: Option<&Termination>| {
        end.is_some_and(|end| {
            leaf.settings.restart == Restart::Permanent || !leaf.is_clean(end.exit_code)
        })
    };
    let all_ended = pod.judged().count() > 0 && ends().all(|end| end.is_some());
    all_ended || ends().any(is_end)
}

/// Whether a Pod has ended or is on its way out.
pub(in crate::model) fn is_over(pod: &PodView) -> bool {
    pod.is_deleting() || pod.is_terminal()
}

/// How many lives of the Pod have ended so far, failed starts in init containers included, and without those
/// that an update in place has ordered. It never becomes less.
pub(in crate::model) fn ended_runs(pod: &PodView, memory: Option<&SlotStatus>) -> i64 {
    let known = memory.filter(|m| m.pod_uid == pod.uid);
    let failed_inits = pod.failed_inits().or_else(|| known.map(|m| m.failed_inits));
    pod.ended_runs() + failed_inits.unwrap_or(0) - ordered_ends(known, pod)
}

/// Whether the Pod as a whole has ended: it is terminal, or somebody deleted it. A `Stable` one that is
/// being deleted has ended only when that is proven.
pub(in crate::model) fn has_ended(pod: &PodView, leaf: &Leaf<'_>, world: &World) -> bool {
    pod.is_terminal() || (pod.is_deleting() && (!leaf.is_stable() || is_proven_dead(pod, world)))
}

/// Whether no container of the Pod can be running any more.
fn is_proven_dead(pod: &PodView, world: &World) -> bool {
    let all_ended = !pod.containers.is_empty()
        && pod.is_deleting()
        && pod
            .containers
            .iter()
            .all(|c| matches!(c.state, ContainerState::Terminated(_)));
    let never_bound = pod.is_deleting() && pod.node.is_none();
    pod.is_terminal()
        || all_ended
        || never_bound
        || node_is_gone(pod, world)
        || node_of(pod, world).is_some_and(|node| node.out_of_service)
}

/// Whether the Pod is on its way out on a node that does not answer, and may still run there.
pub(in crate::model) fn waits_for_fence(pod: &PodView, world: &World) -> bool {
    let unreachable = node_of(pod, world).is_some_and(|node| node.unreachable);
    pod.is_deleting() && unreachable && !is_proven_dead(pod, world)
}

/// Whether an ordered stop of the Pod is finished although its object is still there.
pub(in crate::model) fn has_stopped(
    pod: &PodView,
    leaf: &Leaf<'_>,
    world: &World,
    now: Timestamp,
) -> bool {
    if is_proven_dead(pod, world) {
        return true;
    }
    let patience = i64::from(leaf.settings.node_loss_seconds);
    if world.nodes.is_none() && !leaf.is_stable() {
        // Nobody can say whether its node still answers.
        return pod
            .deletion
            .is_some_and(|end| seconds_between(end, now) >= patience);
    }
    let lost_since = node_of(pod, world)
        .filter(|node| node.unreachable)
        .and_then(|node| node.not_ready_since);
    !leaf.is_stable()
        && pod.is_deleting()
        && lost_since.is_some_and(|since| {
            seconds_between(since, now) >= i64::from(leaf.settings.node_loss_seconds)
        })
}

/// When a Pod on a lost node has been bound to it for long enough, so that it is to be deleted; `None` when the tree
/// leaves that to others.
///
/// Kubernetes deletes the Pods of that node, too, but it begins some seconds later and takes one after the other: a
/// hundred take it more than ten seconds. What this rule spares is that wait and nothing else, so it asks for:
/// - The taint by which Kubernetes itself evicts. It holds back with it when most nodes of a zone have gone silent at
///   once. No world can see that by itself: it knows the nodes of one tree, often a single one.
/// - A Pod that is not Ready. Kubernetes marks those on a silent node so, and a kubelet that is back takes it back; so
///   an old view of the nodes alone does not end a Pod that runs well.
/// - A Pod older than the silence. One that was bound to the node since shows that the view of the node is old.
/// - A Pod made from the present template, which shows whether the user tolerates the loss in another way.
pub(in crate::model) fn loss_ends_at(
    pod: &PodView,
    leaf: &Leaf<'_>,
    world: &World,
) -> Option<Timestamp> {
    let node = node_of(pod, world).filter(|node| node.unreachable && node.evicting)?;
    if leaf.is_stable() || is_over(pod) || pod.is_ready() {
        return None;
    }
    let since = node.not_ready_since.filter(|since| pod.created < *since)?;
    let follows_setting =
        pod.revision == leaf.revision && !build::tolerates_unreachable(&leaf.template);
    follows_setting.then(|| after(since, i64::from(leaf.settings.node_loss_seconds)))
}

/// The node of a Pod, when it is known.
pub(in crate::model) fn node_of<'a>(pod: &PodView, world: &'a World) -> Option<&'a NodeView> {
    world.nodes.as_ref()?.get(pod.node.as_ref()?)
}

/// Whether the Pod's node is known not to exist any more.
pub(in crate::model) fn node_is_gone(pod: &PodView, world: &World) -> bool {
    match (&world.nodes, &pod.node) {
        (Some(nodes), Some(node)) => !nodes.contains_key(node),
        _ => false,
    }
}
