//! What identification rests on: a Pod and what its cluster says about it.
//!
//! Rule: evidence is what the cluster said, in its own words; what it means is judged elsewhere.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::text::bounded;
use crate::model::pod::{ContainerSpecView, ContainerView, PodView};
use crate::model::world::NodeView;

/// Reasons of Events of a node that say that its kernel killed for memory.
pub(super) const KILLS_FOR_MEMORY: [&str; 2] = ["OOMKilling", "SystemOOM"];
/// Reasons of Events of a node that say what became of the node itself.
pub(super) const TELLS_OF_ITSELF: [&str; 3] = ["NodeNotReady", "Shutdown", "Rebooted"];

/// Whether an Event of a node with that reason may say what befell its Pods.
pub fn is_told_of_nodes(reason: &str) -> bool {
    KILLS_FOR_MEMORY.contains(&reason) || TELLS_OF_ITSELF.contains(&reason)
}

/// What identification rests on. Whatever is not known is left out: then less can be said, and nothing wrong.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// The Pod.
    pub pod: &'a PodView,
    /// Its node, when nodes can be read and the node exists.
    pub node: Option<&'a NodeView>,
    /// Whether nodes can be read and the Pod's node does not exist any more.
    pub node_gone: bool,
    /// Events of the Pod and of the objects that it refers to.
    pub events: &'a [Arc<EventView>],
    /// Objects that it refers to.
    pub objects: &'a [ObjectView],
}

/// Which object an Event speaks of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectRef {
    /// Kind.
    pub kind: String,
    /// Namespace, empty when it has none or none is told.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// UID, empty when it is not told.
    pub uid: String,
    /// Which part of it, for example `spec.containers{main}`.
    pub field: String,
}

/// An Event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventView {
    /// What it speaks of.
    pub object: ObjectRef,
    /// Reason.
    pub reason: String,
    /// Message.
    pub message: String,
    /// When it was seen first.
    pub first: Option<Timestamp>,
    /// When it was seen last.
    pub last: Option<Timestamp>,
    /// How often.
    pub count: i64,
}

/// Any other object: what all of them tell in the same way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectView {
    /// Which one it is; the field is empty.
    pub object: ObjectRef,
    /// `status.phase`, empty when there is none.
    pub phase: String,
    /// Conditions.
    pub conditions: Vec<ConditionView>,
    /// Taints of a node: key and effect.
    pub taints: Vec<(String, String)>,
    /// What the status says of an error outside conditions: field and text, for example `status.attachError.message`.
    pub error: Option<(&'static str, String)>,
    /// The node that the scheduler has chosen for the volume of a claim.
    pub selected_node: Option<String>,
    /// Whether a `StatefulSet` waits for Pods of an older revision than the one that it wants.
    pub rolls: bool,
    /// When a kubelet renewed the Lease of its node last, if that is long ago.
    pub silent_since: Option<Timestamp>,
}

/// A condition of any object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConditionView {
    /// Type.
    pub type_: String,
    /// Status: `True`, `False` or `Unknown`.
    pub status: String,
    /// Reason.
    pub reason: String,
    /// Message.
    pub message: String,
    /// When the status last changed.
    pub changed: Option<Timestamp>,
}

/// What an aggregated Event begins with, as client-go writes it.
const COMBINED: &str = "(combined from similar events): ";

/// How much the clocks of a node and of the API server may differ, with whole seconds in between.
pub(super) const CLOCK_SKEW: SignedDuration = SignedDuration::from_secs(2);

impl<'a> Evidence<'a> {
    /// The Pod alone.
    pub fn of(pod: &'a PodView) -> Self {
        Self {
            pod,
            node: None,
            node_gone: false,
            events: &[],
            objects: &[],
        }
    }

    /// The Events of the Pod with one of these reasons, oldest first.
    pub(super) fn events_of_pod(&self, reasons: &[&str]) -> Vec<&'a EventView> {
        self.select(reasons, |event| self.is_of_pod(event))
    }

    /// All Events of the Pod, oldest first.
    pub(super) fn all_of_pod(&self) -> Vec<&'a EventView> {
        let events = self.events.iter().map(Arc::as_ref);
        let mut events: Vec<&EventView> = events.filter(|event| self.is_of_pod(event)).collect();
        events.sort_by_key(|event| event.seen());
        events
    }

    /// Whether an Event speaks of the Pod.
    pub(super) fn is_of_pod(&self, event: &EventView) -> bool {
        let is_pod = event.object.kind == "Pod" || event.object.kind.is_empty();
        is_pod && event.object.is(&self.pod.uid, &self.pod.name)
    }

    /// The Events of one of its containers with one of these reasons, oldest first.
    pub(super) fn events_of(&self, container: &str, reasons: &[&str]) -> Vec<&'a EventView> {
        let mut events = self.events_of_pod(reasons);
        events.retain(|event| event.is_of_container(container));
        events
    }

    /// The newest Event of the Pod that tells of a container on its way: sandbox and volumes were there by then.
    pub(super) fn newest_of_a_container(&self) -> Option<&'a EventView> {
        let reasons = ["Pulling", "Pulled", "Created", "Started"];
        self.events_of_pod(&reasons).pop()
    }

    /// Whether the kubelet has begun with the sandbox of the Pod since that Event: volumes were there by then.
    pub(super) fn has_volumes_since(&self, event: &EventView) -> bool {
        let sandbox = self.events_of_pod(&["FailedCreatePodSandBox"]).pop();
        self.has_begun_since(event) || sandbox.is_some_and(|sandbox| sandbox.is_after(event))
    }

    /// Whether a container of the Pod was started after that Event: sandbox and volumes were there by then.
    pub(super) fn has_begun_since(&self, event: &EventView) -> bool {
        let told = self.newest_of_a_container();
        let containers = self.pod.init_containers.iter().chain(&self.pod.containers);
        let starts = containers.flat_map(|container| {
            let ended = container.last_end().and_then(|end| end.started);
            [container.running_since(), ended]
        });
        let begun = starts.flatten().max();
        told.is_some_and(|success| success.is_after(event))
            || matches!((begun, event.seen()), (Some(begun), Some(seen)) if begun > seen)
    }

    /// The Events of its claims with one of these reasons, oldest first. Without a spec, those of any claim.
    pub(super) fn events_of_claims(&self, reasons: &[&str]) -> Vec<&'a EventView> {
        let claims = &self.pod.spec.claims;
        self.select(reasons, |event| {
            event.object.kind == "PersistentVolumeClaim"
                && (claims.is_empty()
                    || event.object.name.is_empty()
                    || claims.contains(&event.object.name))
        })
    }

    /// Whether an Event of a claim speaks of one of its claims. Of a Pod without a spec, any claim may be.
    pub(super) fn is_of_claim(&self, event: &EventView) -> bool {
        let is_unknown = self.pod.spec.claims.is_empty() && self.pod.spec.containers.is_empty();
        let name = &event.object.name;
        is_unknown || name.is_empty() || self.pod.spec.claims.contains(name)
    }

    /// The Events of its node with one of these reasons, oldest first.
    pub(super) fn events_of_node(&self, reasons: &[&str]) -> Vec<&'a EventView> {
        self.select(reasons, |event| {
            event.object.kind == "Node" && self.is_of_node(event)
        })
    }

    /// Whether an Event of a node speaks of its node. Of a Pod whose node is not told, any node may be.
    pub(super) fn is_of_node(&self, event: &EventView) -> bool {
        let node = self.pod.node.as_deref();
        node.is_none_or(|node| event.object.is("", node))
    }

    fn select(
        &self,
        reasons: &[&str],
        concerns: impl Fn(&&EventView) -> bool,
    ) -> Vec<&'a EventView> {
        let mut events: Vec<&EventView> = self
            .events
            .iter()
            .map(Arc::as_ref)
            .filter(|event| reasons.contains(&event.reason.as_str()) && concerns(event))
            .collect();
        events.sort_by_key(|event| event.seen());
        events
    }

    /// What the spec says of a container.
    pub(super) fn spec_of(&self, container: &ContainerView) -> Option<&'a ContainerSpecView> {
        let mut containers = self.pod.spec.containers.iter();
        containers.find(|spec| spec.name == container.name)
    }

    /// How long the Pod's containers have to stop.
    pub(super) fn grace_seconds(&self) -> i64 {
        self.pod.spec.grace_seconds.unwrap_or(30)
    }
}

impl ObjectRef {
    /// Whether it names the object with that UID and name. A name alone decides only where no UID is told, because a
    /// name is used again; where not even a name is told, there is nothing to tell them apart by.
    pub(super) fn is(&self, uid: &str, name: &str) -> bool {
        if self.uid.is_empty() || uid.is_empty() {
            self.name == name || self.name.is_empty()
        } else {
            self.uid == uid
        }
    }

    /// For people: kind, namespace and name.
    pub fn words(&self) -> String {
        let words = match self.namespace.as_str() {
            "" => format!("{} {}", self.kind, self.name),
            namespace => format!("{} {namespace}/{}", self.kind, self.name),
        };
        bounded(&words)
    }
}

impl EventView {
    /// The message without what says that it stands for several.
    pub fn text(&self) -> &str {
        self.message.strip_prefix(COMBINED).unwrap_or(&self.message)
    }

    /// When it was seen last.
    pub fn seen(&self) -> Option<Timestamp> {
        self.last.or(self.first)
    }

    /// Whether it speaks of that object.
    pub fn is_of_object(&self, object: &ObjectRef) -> bool {
        let kind = &self.object.kind;
        // A kubelet writes the name of its node where the UID belongs.
        let uid = if object.kind == "Node" {
            ""
        } else {
            &object.uid
        };
        (*kind == object.kind || kind.is_empty()) && self.object.is(uid, &object.name)
    }

    /// Whether it speaks of that container. Where it does not say of which, the message may.
    fn is_of_container(&self, container: &str) -> bool {
        if let Some((_, name)) = self.object.field.split_once('{') {
            return name.trim_end_matches('}') == container;
        }
        let lower = self.message.to_lowercase();
        let between = |c: char| c.is_whitespace() || "\",:;()".contains(c);
        !lower.contains("container ") || self.message.split(between).any(|word| word == container)
    }

    /// Whether it was seen between these moments, as far as times are known.
    pub(super) fn falls_in(&self, from: Option<Timestamp>, to: Option<Timestamp>) -> bool {
        let Some(last) = self.seen() else {
            return true;
        };
        let first = self.first.unwrap_or(last);
        let skew = CLOCK_SKEW.as_secs();
        let begins = to.is_none_or(|to| first.as_second() <= to.as_second() + skew);
        let ends = from.is_none_or(|from| last.as_second() >= from.as_second() - skew);
        begins && ends
    }

    /// Whether it was seen in these seconds, both included, as far as times are known. Of what was seen once or twice, each
    /// moment is told; of what was seen more often, the moments in between are not.
    pub(super) fn is_within(&self, from: Option<i64>, to: Option<i64>) -> bool {
        let Some(last) = self.seen().map(Timestamp::as_second) else {
            return true;
        };
        let first = self.first.map_or(last, Timestamp::as_second);
        let is_late = |moment: i64| from.is_none_or(|from| moment >= from);
        let is_early = |moment: i64| to.is_none_or(|to| moment <= to);
        let is_in = |moment: i64| is_late(moment) && is_early(moment);
        if self.count <= 2 {
            is_in(first) || is_in(last)
        } else {
            is_early(first) && is_late(last)
        }
    }

    /// Whether it was seen last after that one.
    pub(super) fn is_after(&self, other: &Self) -> bool {
        matches!((self.seen(), other.seen()), (Some(this), Some(that)) if this > that)
    }
}

impl ObjectView {
    /// The condition of that type.
    pub(super) fn condition(&self, type_: &str) -> Option<&ConditionView> {
        self.conditions.iter().find(|c| c.type_ == type_)
    }
}

impl ConditionView {
    /// Whether the status is `True`.
    pub(super) fn is_true(&self) -> bool {
        self.status == "True"
    }
}
