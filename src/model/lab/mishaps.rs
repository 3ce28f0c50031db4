//! What befalls the Pods of the lab from outside: programs that end, evictions, deletions by hand.
//!
//! Rule: nothing here tells the operator; it sees what became of the Pods.

use std::sync::Arc;

use super::Lab;
use super::kubelet::end_container;
use crate::model::kubelet::set_condition;
use crate::model::pod::{PodConditionType, PodPhase};
use crate::model::window::after;

impl Lab {
    /// Somebody deletes a Pod.
    pub(crate) fn delete_by_hand(&mut self, child: &str, slot: i32) {
        let (name, uid) = {
            let pod = self.pod_mut(child, slot);
            (pod.name.clone(), pod.uid.clone())
        };
        self.delete(&name, &uid);
    }

    /// A Pod is gone without a trace.
    pub(crate) fn vanish(&mut self, child: &str, slot: i32) {
        let uid = self.pod_mut(child, slot).uid.clone();
        let worker = self.world.workers.get_mut(child).unwrap();
        worker.pods.retain(|pod| pod.uid != uid);
    }

    /// The kubelet evicts a Pod.
    pub(crate) fn evict(&mut self, child: &str, slot: i32) {
        let now = self.now;
        let pod = self.pod_mut(child, slot);
        pod.phase = PodPhase::Failed;
        pod.reason = Some("Evicted".into());
        pod.message = Some("The node was low on resource: memory.".into());
        set_condition(pod, PodConditionType::Ready, false, "PodFailed", "", now);
    }

    /// The node of a replica does not answer any more, and somebody has asked for the end of its Pod.
    pub(crate) fn lose_node(&mut self, child: &str, slot: i32) {
        let now = self.now;
        let pod = self.pod_mut(child, slot);
        pod.deletion = Some(after(now, 10_000));
        let name = pod.node.clone().expect("the Pod has a node");
        let nodes = self.world.nodes.as_mut().unwrap();
        let node = nodes.get_mut(&name).expect("the node is known");
        node.not_ready_since = Some(now);
        node.unreachable = true;
    }

    /// A replica becomes ready or unready.
    pub(crate) fn set_ready(&mut self, child: &str, slot: i32, ready: bool) {
        let now = self.now;
        set_condition(
            self.pod_mut(child, slot),
            PodConditionType::Ready,
            ready,
            "",
            "",
            now,
        );
    }

    /// The program of a replica ends now.
    pub(crate) fn kill(&mut self, child: &str, slot: i32, code: i32) {
        let now = self.now;
        let words = self.last_words.clone();
        end_container(self.pod_mut(child, slot), now, code, &words);
    }

    /// The program of a Pod that is being deleted ends as it should.
    pub(crate) fn kill_deleted(&mut self, child: &str, slot: i32) {
        self.end_deleted(child, slot, 0);
    }

    /// The program of a Pod that is being deleted ends with that code.
    pub(crate) fn end_deleted(&mut self, child: &str, slot: i32, code: i32) {
        let now = self.now;
        let pods = &mut self.world.workers.get_mut(child).unwrap().pods;
        let mut deleting = pods
            .iter_mut()
            .filter(|p| p.slot == slot && p.is_deleting());
        let pod = Arc::make_mut(deleting.next().expect("a Pod of the slot is being deleted"));
        end_container(pod, now, code, "");
    }
}
