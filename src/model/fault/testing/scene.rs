//! Evidence for tests: a Pod with its Events, its spec, its node and what it refers to.
//!
//! Rule: what a test does not give is not known.

use std::sync::Arc;

use super::{PodBuilder, at};
use crate::model::fault::{
    ConditionView, EventView, Evidence, Fault, ObjectRef, ObjectView, Proof, identify,
};
use crate::model::pod::{ContainerSpecView, PodSpecView, PodView, ProbeView};
use crate::model::world::NodeView;

/// A Pod and what is known around it.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    pub(crate) pod: PodView,
    node: Option<NodeView>,
    node_gone: bool,
    events: Vec<Arc<EventView>>,
    objects: Vec<ObjectView>,
}

impl PodBuilder {
    /// With nothing around it.
    pub(crate) fn alone(self) -> Scene {
        Scene {
            pod: self.build(),
            node: None,
            node_gone: false,
            events: Vec::new(),
            objects: Vec::new(),
        }
    }

    /// With these Events.
    pub(crate) fn told(self, events: impl IntoIterator<Item = EventView>) -> Scene {
        self.alone().told(events)
    }
}

impl Scene {
    /// With these Events, too.
    pub(crate) fn told(mut self, events: impl IntoIterator<Item = EventView>) -> Self {
        self.events.extend(events.into_iter().map(Arc::new));
        self
    }

    /// Without any Event.
    pub(crate) fn untold(mut self) -> Self {
        self.events.clear();
        self
    }

    /// With what the spec says of a container.
    pub(crate) fn spec(mut self, container: ContainerSpecView) -> Self {
        Arc::make_mut(&mut self.pod.spec).containers.push(container);
        self
    }

    /// With whatever else the spec says.
    pub(crate) fn but_spec(mut self, change: impl FnOnce(&mut PodSpecView)) -> Self {
        change(Arc::make_mut(&mut self.pod.spec));
        self
    }

    /// On that node.
    pub(crate) fn on(mut self, node: NodeView) -> Self {
        self.node = Some(node);
        self
    }

    /// On a node that does not exist any more.
    pub(crate) fn on_no_node(mut self) -> Self {
        self.node_gone = true;
        self
    }

    /// Beside that object, which it refers to.
    pub(crate) fn beside(mut self, object: ObjectView) -> Self {
        self.objects.push(object);
        self
    }

    /// What identification rests on.
    pub(crate) fn evidence(&self) -> Evidence<'_> {
        Evidence {
            pod: &self.pod,
            node: self.node.as_ref(),
            node_gone: self.node_gone,
            events: &self.events,
            objects: &self.objects,
        }
    }

    /// What is wrong with it so many seconds after its creation.
    pub(crate) fn fault(&self, seconds: i64) -> Fault {
        identify(&self.evidence(), at(seconds))
    }
}

/// An Event that does not say of what it speaks, nor when.
pub(crate) fn event(reason: &str, message: &str) -> EventView {
    EventView {
        reason: reason.to_owned(),
        message: message.to_owned(),
        count: 1,
        ..EventView::default()
    }
}

impl EventView {
    /// Of the Pod of that name.
    pub(crate) fn of(self, pod: &str) -> Self {
        let event = self.about("Pod", pod);
        let object = ObjectRef {
            uid: format!("uid-{pod}"),
            ..event.object
        };
        Self { object, ..event }
    }

    /// Of an object whose UID is not told.
    pub(crate) fn about(self, kind: &str, name: &str) -> Self {
        let object = ObjectRef {
            kind: kind.to_owned(),
            name: name.to_owned(),
            ..ObjectRef::default()
        };
        Self { object, ..self }
    }

    /// Of that container.
    pub(crate) fn in_container(mut self, name: &str) -> Self {
        self.object.field = format!("spec.containers{{{name}}}");
        self
    }

    /// Seen once, so many seconds after the Pod's creation.
    pub(crate) fn at(self, seconds: i64) -> Self {
        self.lasting(seconds, seconds)
    }

    /// Seen again and again between these seconds.
    pub(crate) fn lasting(self, from: i64, to: i64) -> Self {
        Self {
            first: Some(at(from)),
            last: Some(at(to)),
            ..self
        }
    }
}

/// An object of which nothing is known but its name.
pub(crate) fn object(kind: &str, name: &str) -> ObjectView {
    ObjectView {
        object: ObjectRef {
            kind: kind.to_owned(),
            name: name.to_owned(),
            ..ObjectRef::default()
        },
        ..ObjectView::default()
    }
}

impl ObjectView {
    /// In that phase.
    pub(crate) fn in_phase(self, phase: &str) -> Self {
        Self {
            phase: phase.to_owned(),
            ..self
        }
    }

    /// With a condition, which changed at `at(5)`.
    pub(crate) fn says(mut self, type_: &str, status: &str, reason: &str, message: &str) -> Self {
        self.conditions.push(ConditionView {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: message.to_owned(),
            changed: Some(at(5)),
        });
        self
    }
}

/// What the spec says of a container without probes and limits.
pub(crate) fn spec_of(container: &str) -> ContainerSpecView {
    ContainerSpecView {
        name: container.to_owned(),
        ..ContainerSpecView::default()
    }
}

/// A probe with the usual timeout of a second.
pub(crate) fn every(period: i64, failure_threshold: i64) -> ProbeView {
    ProbeView {
        initial_delay: 0,
        period,
        failure_threshold,
        timeout: 1,
    }
}

/// A piece of evidence.
pub(crate) fn proof(object: &str, field: &str, value: &str) -> Proof {
    Proof {
        object: object.to_owned(),
        field: field.to_owned(),
        value: value.to_owned(),
    }
}
