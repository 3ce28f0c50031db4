//! The answer about one object, as it is printed.
//!
//! Rule: the names of the fields are API; a field that has nothing to say is `null` or an empty list, never left out.

use jiff::Timestamp;
use serde::Serialize;

use crate::model::fault::{Class, Fault, ObjectRef, Verdict, bounded};
use crate::model::pod::{ContainerState, ContainerView, PodPhase, PodView};

/// What is wrong with one object.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// Kind, namespace and name.
    pub object: String,
    /// The class of the fault; `NoFault` when nothing is wrong.
    pub class: &'static str,
    /// What it means for a tree; `null` for what only explains, sums up, or is no fault.
    pub verdict: Option<&'static str>,
    /// How sure that is.
    pub confidence: &'static str,
    /// The state that `kubectl get` shows and that says nothing of the cause, for example `CrashLoopBackOff`.
    pub overlay: Option<String>,
    /// How the blow was dealt, where the class says why.
    pub proximate: Option<String>,
    /// Classes of what else was seen that has to do with it.
    pub contributing: Vec<&'static str>,
    /// What proves it.
    pub evidence: Vec<Piece>,
    /// The container, when it is the fault of one.
    pub container: Option<String>,
    /// When it happened, or since when it lasts.
    pub since: Option<Timestamp>,
    /// The fault in words.
    pub message: String,
    /// What a person should do.
    pub advice: &'static str,
}

/// One piece of evidence.
#[derive(Clone, Debug, Serialize)]
pub struct Piece {
    /// The object: kind and name.
    pub object: String,
    /// The field, as a path.
    pub field: String,
    /// What it said.
    pub value: String,
}

impl Answer {
    pub(super) fn of_pod(object: &ObjectRef, pod: &PodView, fault: &Fault) -> Self {
        let overlay = (fault.class != Class::NoFault).then(|| bounded(&shown(pod)));
        Self {
            overlay,
            ..Self::of_object(object, fault)
        }
    }

    pub(super) fn of_object(object: &ObjectRef, fault: &Fault) -> Self {
        let class = fault.class;
        let proofs = fault.proofs.iter().map(|proof| Piece {
            object: proof.object.clone(),
            field: proof.field.clone(),
            value: proof.value.clone(),
        });
        Self {
            object: object.words(),
            class: class.as_str(),
            verdict: class.verdict().map(|_| fault.verdict.as_str()),
            confidence: fault.confidence.as_str(),
            overlay: None,
            proximate: fault.proximate.clone(),
            contributing: fault
                .contributing
                .iter()
                .map(|class| class.as_str())
                .collect(),
            evidence: proofs.collect(),
            container: fault.container.clone(),
            since: fault.at.filter(|at| *at > Timestamp::UNIX_EPOCH),
            message: fault.message.clone(),
            advice: class.advice(),
        }
    }

    /// Its place among the answers: what needs a person first, what is no fault last.
    pub(super) fn rank(&self) -> u8 {
        let Some(class) = Class::of(self.class) else {
            return u8::MAX;
        };
        match (class, class.verdict()) {
            (Class::NoFault, _) => 6,
            (_, Some(Verdict::Hold)) => 0,
            (_, Some(Verdict::Application)) => 1,
            (_, Some(Verdict::Unknown)) => 2,
            (_, Some(Verdict::Infrastructure)) => 3,
            (_, Some(Verdict::Wait)) => 4,
            (_, None) => 5,
        }
    }
}

/// The state as the column `STATUS` of `kubectl get pods` shows it.
fn shown(pod: &PodView) -> String {
    if pod.is_deleting() {
        return "Terminating".to_owned();
    }
    if let Some(reason) = &pod.reason {
        return reason.clone();
    }
    let of_container = |container: &ContainerView| match &container.state {
        ContainerState::Waiting { reason, .. } => Some(reason.clone()),
        ContainerState::Terminated(end) => Some(end.reason.clone()),
        ContainerState::Running { .. } => None,
    };
    let inits = pod
        .init_containers
        .iter()
        .filter(|c| c.judged && c.end().is_none_or(|end| end.exit_code != 0));
    let init = inits
        .filter_map(of_container)
        .find(|state| !state.is_empty() && state != "PodInitializing");
    let app = pod
        .containers
        .iter()
        .filter_map(of_container)
        .find(|state| !state.is_empty());
    let phase = match pod.phase {
        PodPhase::Pending => "Pending",
        PodPhase::Running => "Running",
        PodPhase::Succeeded => "Completed",
        PodPhase::Failed => "Error",
        PodPhase::Unknown => "Unknown",
    };
    init.map(|state| format!("Init:{state}"))
        .or(app)
        .unwrap_or_else(|| phase.to_owned())
}
