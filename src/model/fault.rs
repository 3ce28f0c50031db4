//! Fault identification: what went wrong, how sure we are, and what the answer means for the tree.
//!
//! Rule: identification is total and pure; what it does not know it calls `Unknown`, never a guess.
//!
//! A family of faults has a file: its classes, and the rules that find them. The order in which families are asked stands
//! here, in [`identify_end`], [`identify_block`] and [`identify`].

use jiff::Timestamp;

use super::pod::{ContainerView, PodCondition, PodConditionType, PodPhase, PodView};
use super::world::Refusal;

pub use class::{Class, Family, Shown};
pub use evidence::{ConditionView, EventView, Evidence, ObjectRef, ObjectView, is_told_of_nodes};

pub(crate) use text::bounded;

mod admission;
mod application;
mod beside;
mod class;
mod configuration;
mod containers;
mod disruption;
mod evidence;
mod image;
mod network;
mod node;
mod object;
#[cfg(test)]
mod pages;
mod probe;
mod rejection;
mod resources;
mod rest;
mod rollout;
mod runtime;
mod scheduling;
#[cfg(test)]
pub(crate) mod testing;
mod text;
mod told;
mod volume;

/// Why the life is over: a judged container ended, the whole Pod ended, or somebody else deletes it.
///
/// Who stopped the Pod from outside is asked first, because a program that is told to stop may exit
/// politely with 0; then what the kubelet says about the whole Pod, and its node; then how the containers
/// ended. `now` only serves to tell an announcement of a disruption that did not happen.
pub fn identify_end(evidence: &Evidence<'_>, now: Timestamp) -> Fault {
    let pod = evidence.pod;
    let fault = disruption::announced(evidence, now)
        .or_else(|| rejection::judge(evidence))
        .or_else(|| node::gone(evidence))
        .or_else(|| disruption::deleted(evidence))
        .or_else(|| containers::worst_end(evidence))
        .or_else(|| node::lost(evidence))
        .unwrap_or_else(|| rest::without_evidence(pod));
    Fault {
        at: fault.at.or_else(|| last_finish(pod)),
        ..fault
    }
}

/// What keeps a live Pod from starting, or a container of it from running again. `None` while it is
/// simply on its way, when it is over or being deleted, and when its containers crashed: that is an end.
///
/// The verdict is `Hold` or `Wait`: the kubelet and the scheduler try again by themselves, so also a
/// trouble of the node is waited for. A Pod that no scheduler has looked at is told 30 s after its
/// creation.
pub fn identify_block(evidence: &Evidence<'_>, now: Timestamp) -> Option<Fault> {
    let pod = evidence.pod;
    if pod.is_terminal() || pod.is_deleting() {
        return None;
    }
    let unscheduled = scheduling::unscheduled(evidence, now).map(containers::waited_for);
    unscheduled
        .or_else(|| containers::block(evidence))
        .or_else(|| told_of_start(evidence).map(containers::waited_for))
}

/// Whether a Pod stands as it stood at that time: it was bound before, its containers are all still to be made, and no
/// Event tells of progress since. What explained that may have expired meanwhile.
pub fn is_as_it_was(evidence: &Evidence<'_>, since: Timestamp) -> bool {
    let pod = evidence.pod;
    let mut containers = pod.init_containers.iter().chain(&pod.containers);
    let scheduled = pod.condition(PodConditionType::PodScheduled);
    let bound = scheduled.filter(|condition| condition.is_true);
    let bound = bound.and_then(|condition| condition.changed);
    let progress = [
        "Pulling",
        "Pulled",
        "Created",
        "Started",
        "SuccessfulAttachVolume",
        "SuccessfulMountVolume",
    ];
    let told = evidence.events_of_pod(&progress).pop();
    pod.node.is_some()
        && !pod.is_terminal()
        && !pod.is_deleting()
        && bound.unwrap_or(pod.created) < since
        && containers.all(ContainerView::is_in_the_making)
        && told
            .and_then(EventView::seen)
            .is_none_or(|seen| seen <= since)
}

/// Whether a fault of that class, which Events of a claim told of at that time, stands although they have expired: the Pod
/// still waits for its claims, and nobody says anything else of them.
pub fn stands_for_claims(evidence: &Evidence<'_>, class: &str, since: Timestamp) -> bool {
    let pod = evidence.pod;
    pod.node.is_none() && pod.created <= since && volume::is_untold(evidence, class)
}

/// What Events tell of the start of a Pod whose containers are still being created.
fn told_of_start(evidence: &Evidence<'_>) -> Option<Fault> {
    if !containers::are_created(evidence.pod) {
        return None;
    }
    image::volume(evidence)
        .or_else(|| volume::stuck(evidence))
        .or_else(|| network::stuck(evidence))
}

/// Why the API server refused a create.
pub fn identify_refusal(refusal: &Refusal) -> Fault {
    admission::judge(refusal)
}

/// What is wrong with a Pod, whatever it is doing; [`Class::NoFault`] when nothing is. `now` is when the evidence was
/// taken; of evidence that does not say so, the newest time in it.
///
/// The order is that of the taxonomy: who ended the Pod from outside (P1), what the kubelet says of all of it (P2), its
/// deletion (P3), its scheduling, its node (P4), its containers (P5 to P9), its readiness (P10), and the clocks (P11).
pub fn identify(evidence: &Evidence<'_>, now: Timestamp) -> Fault {
    let fault = chain(evidence, now);
    let mut fault = Fault {
        at: fault
            .at
            .or_else(|| last_finish(evidence.pod).filter(|_| fault.class != Class::NoFault)),
        ..fault
    };
    for class in object::context(evidence) {
        if class != fault.class && !fault.contributing.contains(&class) {
            fault.contributing.push(class);
        }
    }
    image::without_secret(evidence, fault)
}

fn chain(evidence: &Evidence<'_>, now: Timestamp) -> Fault {
    let pod = evidence.pod;
    disruption::announced(evidence, now)
        .or_else(|| rejection::judge(evidence))
        .or_else(|| node::gone(evidence))
        .or_else(|| disruption::stuck(evidence, now))
        .or_else(|| disruption::deleted(evidence))
        .or_else(|| scheduling::unscheduled(evidence, now))
        .or_else(|| node::lost_first(evidence))
        .or_else(|| containers::block(evidence))
        .or_else(|| containers::ended(evidence, now))
        .or_else(|| told::of_end(evidence))
        .or_else(|| starting(evidence, now))
        .or_else(|| told::of_run(evidence))
        .or_else(|| node::told(evidence))
        .or_else(|| probe::unready(evidence))
        .or_else(|| resources::resize(evidence))
        .or_else(|| beside::unhealthy(evidence))
        .unwrap_or_else(|| match pod.phase {
            PodPhase::Failed | PodPhase::Unknown => rest::without_evidence(pod),
            _ => rest::well(pod),
        })
}

/// What holds up a Pod that has a node and whose containers are still being created.
fn starting(evidence: &Evidence<'_>, now: Timestamp) -> Option<Fault> {
    if !containers::are_created(evidence.pod) {
        return None;
    }
    told_of_start(evidence)
        .or_else(|| containers::stuck_init(evidence, now))
        .or_else(|| image::pulling(evidence, now))
        .or_else(|| volume::was_stuck(evidence))
        .or_else(|| told::of_run(evidence))
        .or_else(|| rest::stuck(evidence, now))
}

/// What is wrong with an object that is not a Pod: a claim, a node, an attachment, a controller. `events` are those of the
/// object, oldest first; where none of them says whose it is, all.
pub fn identify_object<'a>(
    object: &ObjectView,
    events: impl IntoIterator<Item = &'a EventView>,
) -> Fault {
    object::judge(object, events)
}

/// A fault that was identified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What it is.
    pub class: Class,
    /// What it means for the tree.
    pub verdict: Verdict,
    /// How sure we are.
    pub confidence: Confidence,
    /// The evidence in words: container, exit code, limit, message; at most 512 bytes.
    pub message: String,
    /// Since when, or when it happened, as far as the evidence says.
    pub at: Option<Timestamp>,
    /// The container, when it is the fault of one.
    pub container: Option<String>,
    /// How the blow was dealt, when the class says why: for example with which signal a program ended that failed its probe.
    pub proximate: Option<String>,
    /// What else was seen that has to do with it.
    pub contributing: Vec<Class>,
    /// What proves it.
    pub proofs: Vec<Proof>,
}

/// One piece of evidence: a field of an object and what it said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The object: kind and name.
    pub object: String,
    /// The field, as a path.
    pub field: String,
    /// What it said; at most 512 bytes on one line.
    pub value: String,
}

/// What a class means for the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The program's own fault: restarted and charged.
    Application,
    /// Restarting cannot help until something named is changed: left alone, not charged.
    Hold,
    /// Capacity is missing and will come: left alone, not charged.
    Wait,
    /// Something below or outside the program: replaced, not charged.
    Infrastructure,
    /// Not identified: charged.
    Unknown,
}

/// How sure an identification is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confidence {
    /// A field of the API says so.
    Proved,
    /// A component said so in words.
    Witnessed,
    /// It follows from what else is seen.
    Inferred,
    /// Nothing else fits.
    Rest,
}

impl Verdict {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Application => "Application",
            Self::Hold => "Hold",
            Self::Wait => "Wait",
            Self::Infrastructure => "Infrastructure",
            Self::Unknown => "Unknown",
        }
    }

    /// What a tree does about a fault with that verdict (design: the strategy decides the scope, the verdict the charge).
    pub const fn reaction(self) -> &'static str {
        match self {
            Self::Application => "restarted as the strategy says, and charged",
            Self::Hold => {
                "left alone until what it names is changed, because restarting cannot help; not charged"
            }
            Self::Wait => "left alone until it passes by itself; not charged",
            Self::Infrastructure => "replaced as the strategy says; not charged",
            Self::Unknown => {
                "restarted as the strategy says, and charged, because nobody knows better"
            }
        }
    }
}

impl Confidence {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Proved => "Proved",
            Self::Witnessed => "Witnessed",
            Self::Inferred => "Inferred",
            Self::Rest => "Rest",
        }
    }
}

impl Fault {
    /// Whether it is only about a container that is not judged, in a Pod whose run has ended: what keeps that one from
    /// running has nothing to do with why the replica is down.
    pub fn is_beside_an_end(&self, pod: &PodView, run_ended: bool) -> bool {
        let container = self.container.as_deref();
        // What Events tell of the start names no container; one that has ended for good has had its start.
        run_ended && container.map_or_else(|| !pod.kubelet_restarts(), |name| pod.is_beside(name))
    }

    /// A fault with the verdict of its class; one whose class has none comes from outside the program. The message is put
    /// on one line and cut to 512 bytes.
    pub fn new(class: Class, confidence: Confidence, message: &str, at: Option<Timestamp>) -> Self {
        Self {
            class,
            verdict: class.verdict().unwrap_or(Verdict::Infrastructure),
            confidence,
            message: bounded(message),
            at,
            container: None,
            proximate: None,
            contributing: Vec::new(),
            proofs: Vec::new(),
        }
    }

    /// What an Event tells.
    fn witnessed(class: Class, head: &str, event: &EventView) -> Self {
        let message = text::join(head, event.text());
        let since = event.first.or(event.last);
        Self::new(class, Confidence::Witnessed, &message, since).proved(Proof::event(event))
    }

    /// What a condition of an object tells.
    fn of_condition(class: Class, object: &ObjectView, condition: &ConditionView) -> Self {
        let head = format!(
            "{}: {} is {} ({})",
            object.object.words(),
            condition.type_,
            condition.status,
            condition.reason
        );
        let message = text::join(&head, &condition.message);
        let field = |part: &str| format!("status.conditions[{}].{part}", condition.type_);
        Self::new(class, Confidence::Proved, &message, condition.changed)
            .proved(Proof::object(object, &field("status"), &condition.status))
            .proved(Proof::object(object, &field("reason"), &condition.reason))
            .proved(Proof::object(object, &field("message"), &condition.message))
    }

    /// The fault of that container.
    fn of(mut self, container: &str) -> Self {
        self.container = Some(bounded(container));
        self
    }

    /// With one more proof. A field that says nothing proves nothing.
    fn proved(mut self, proof: Proof) -> Self {
        if !proof.value.is_empty() {
            self.proofs.push(proof);
        }
        self
    }
}

impl Proof {
    /// A field of the Pod.
    fn pod(pod: &PodView, field: &str, value: &str) -> Self {
        Self::new(&format!("Pod {}", pod.name), field, value)
    }

    /// A field of the status of one of its containers.
    fn container(pod: &PodView, name: &str, field: &str, value: &str) -> Self {
        let is_init = pod.init_containers.iter().any(|c| c.name == name);
        let list = if is_init {
            "initContainerStatuses"
        } else {
            "containerStatuses"
        };
        Self::pod(pod, &format!("status.{list}[{name}].{field}"), value)
    }

    /// A condition of the Pod: its message, or its reason when it has none.
    fn condition(pod: &PodView, condition: &PodCondition) -> Self {
        let (part, value) = if condition.message.is_empty() {
            ("reason", &condition.reason)
        } else {
            ("message", &condition.message)
        };
        let field = format!("status.conditions[{}].{part}", condition.type_.as_str());
        Self::pod(pod, &field, value)
    }

    /// An Event.
    fn event(event: &EventView) -> Self {
        let object = format!("Event {} of {}", event.reason, event.object.words());
        Self::new(&object, "message", &event.message)
    }

    /// A field of another object.
    fn object(object: &ObjectView, field: &str, value: &str) -> Self {
        Self::new(&object.object.words(), field, value)
    }

    fn new(object: &str, field: &str, value: &str) -> Self {
        Self {
            object: bounded(object),
            field: bounded(field),
            value: bounded(value),
        }
    }
}

/// When the containers ended that have. What ended before one that is still shown as running says nothing of this end.
fn last_finish(pod: &PodView) -> Option<Timestamp> {
    let ends = pod.judged().filter_map(|container| container.end());
    ends.filter_map(|end| end.finished).max()
}

#[cfg(test)]
mod tests;
