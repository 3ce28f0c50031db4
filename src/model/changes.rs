//! What is done sooner because something changed that a replica waits for: a quota, a claim or a `ConfigMap`.
//!
//! Rule: a change only shortens a wait; what Kubernetes itself does in time is left to it.

use jiff::Timestamp;

use crate::api::conditions::Reason;
use crate::api::v1alpha1::{BrakeStatus, SlotStatus};

use super::engine::Engine;
use super::fault::Class;
use super::pod::PodView;
use super::replica::{Life, SlotView};
use super::tree::NodeId;
use super::window::{after, brake_delay};

/// How long after a refusal a create is tried again at the earliest, however often quotas change, in seconds.
const REFUSED_PAUSE_SECONDS: i64 = 2;
/// How long the kubelet has to start a Pod by itself after what it waited for has changed, in seconds.
const KUBELET_SECONDS: i64 = 3;

impl Engine<'_> {
    /// When a slot may be filled again as far as its brake says: after a refusal for want of quota sooner, once a quota has
    /// changed.
    pub(super) fn brake_ends_at(&self, slot: &SlotStatus) -> Option<Timestamp> {
        let brake = slot.brake.as_ref()?;
        let due = brake.due_time.0;
        let awaits_quota = slot.trouble.as_ref().is_some_and(|trouble| {
            trouble.reason == Reason::WaitingForCapacity.as_str() && is_of_quota(&trouble.class)
        });
        Some(if awaits_quota {
            self.retried_at(brake.count, due)
        } else {
            due
        })
    }

    /// When a create that so many refusals have put off until then is tried again.
    pub(super) fn retried_at(&self, count: i64, due: Timestamp) -> Timestamp {
        let refused = after(due, -brake_delay(count));
        let quotas = self.world.changes.iter();
        let changes = quotas.filter(|change| change.kind == "ResourceQuota");
        let last = changes.map(|change| change.at).max();
        last.filter(|changed| *changed > refused)
            .map_or(due, |changed| {
                due.min(changed.max(after(refused, REFUSED_PAUSE_SECONDS)))
            })
    }

    /// When a Pod is replaced that waits for something that has changed: the kubelet may take minutes to look again.
    /// `None` while there is no such change.
    pub(super) fn outwaits_at(
        &self,
        id: NodeId,
        view: &SlotView<'_>,
        life: &Life,
        pod: &PodView,
    ) -> Option<Timestamp> {
        let trouble = self.slot(id, view.slot)?.trouble.as_ref()?;
        let waits = [Reason::Held, Reason::WaitingForCapacity];
        let is_waiting = waits.iter().any(|reason| reason.as_str() == trouble.reason);
        if !is_waiting || life.alive || pod.is_terminal() || pod.node.is_none() {
            return None;
        }
        let changes = self.world.changes.iter().filter(|change| {
            waits_for(&trouble.class, change.kind)
                && change.at > trouble.since_time.0
                && change.at > pod.created
                && names(&trouble.message, &change.name)
        });
        let last = changes.map(|change| change.at).max()?;
        Some(after(last, KUBELET_SECONDS))
    }

    /// A replacement that nobody is charged for, slower and slower when it goes on.
    pub(super) fn brake_replacement(&mut self, id: NodeId, slot: i32) {
        let now = self.now;
        let slot = self.memory.slot_mut(self.tree.nodes[id].name, slot);
        let count = slot.brake.as_ref().map_or(0, |brake| brake.count);
        slot.brake = Some(BrakeStatus::after(count, now));
    }
}

/// Whether a fault of that class may end by a change of an object of that kind.
fn waits_for(class: &str, kind: &str) -> bool {
    let classes: &[Class] = match kind {
        "ConfigMap" => &[Class::ConfigMapMissing, Class::ConfigKeyMissing],
        "PersistentVolumeClaim" => &[Class::PvcMissing, Class::PvcUnbound],
        _ => &[],
    };
    classes.iter().any(|one| one.as_str() == class)
}

/// Whether a class is a matter of quotas. What very many slots say is not kept of each.
fn is_of_quota(class: &str) -> bool {
    let of_quota = [Class::QuotaExceeded, Class::QuotaStatusUnknown];
    class.is_empty() || of_quota.iter().any(|one| one.as_str() == class)
}

/// Whether a text has that name in it, as a word of its own.
fn names(text: &str, name: &str) -> bool {
    words(text).any(|word| word == name)
}

/// The words of a text that may be names of objects.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    let words = text.split(move |c: char| !is_part(c));
    let words = words.map(|word| word.trim_end_matches('.'));
    words.filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_word_of_its_own() {
        let text = "container app waits: couldn't find key port in ConfigMap ns/web-conf.";
        assert!(names(text, "web-conf"));
        for other in ["web", "conf", "web-con", ""] {
            assert!(!names(text, other), "{other}");
        }
        assert!(names("configmap \"web.v2\" not found", "web.v2"));
    }
}
