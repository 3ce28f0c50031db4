//! Pods for tests: builders that say in one line what a Pod looks like.
//!
//! Rule: a builder only sets what the kubelet would report; times are seconds after [`at`]`(0)`.

use std::sync::Arc;

use jiff::Timestamp;

use super::Evidence;
use crate::model::pod::{
    ContainerState, ContainerView, ImageMark, PodCondition, PodConditionType, PodPhase, PodView,
    RestartPolicy, Termination,
};
use crate::model::world::{NodeView, Refusal};

pub(crate) use scene::{Scene, event, every, object, proof, spec_of};

mod scene;

/// The moment that many seconds after the beginning of the test's time.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).expect("a time within the years that exist")
}

/// A Pod of slot 0, created at `at(0)`, bound to `node-a`, with one judged container `main` that is
/// being created, restarted by the kubelet.
pub(crate) fn pod(name: &str) -> PodBuilder {
    PodBuilder {
        view: PodView {
            name: name.to_owned(),
            uid: format!("uid-{name}"),
            resource_version: "1".to_owned(),
            owner_uid: "worker-uid".to_owned(),
            child: "child".to_owned(),
            slot: 0,
            revision: "r1".to_owned(),
            node: Some("node-a".to_owned()),
            created: at(0),
            deletion: None,
            deletion_grace_seconds: None,
            phase: PodPhase::Pending,
            reason: None,
            message: None,
            incarnation: 1,
            restart_policy: RestartPolicy::Always,
            conditions: Vec::new(),
            containers: vec![container("main")],
            init_containers: Vec::new(),
            is_observed: true,
            spec: Arc::default(),
            rare: None,
        },
    }
}

/// A judged container that is being created. Its methods turn it into something else.
pub(crate) fn container(name: &str) -> ContainerView {
    ContainerView {
        name: name.to_owned(),
        judged: true,
        state: ContainerState::Waiting {
            reason: "ContainerCreating".to_owned(),
            message: String::new(),
        },
        last: None,
        restarts: 0,
        ready: false,
        image: ImageMark::default(),
    }
}

impl ContainerView {
    /// Running since then.
    pub(crate) fn running(self, since: Timestamp) -> Self {
        Self {
            state: ContainerState::Running { since: Some(since) },
            ready: true,
            ..self
        }
    }

    /// Waiting for that reason.
    pub(crate) fn waiting(self, reason: &str, message: &str) -> Self {
        let state = ContainerState::Waiting {
            reason: reason.to_owned(),
            message: message.to_owned(),
        };
        Self {
            state,
            ready: false,
            ..self
        }
    }

    /// Ended, and not restarted yet.
    pub(crate) fn ended(self, end: Termination) -> Self {
        Self {
            state: ContainerState::Terminated(end),
            ready: false,
            ..self
        }
    }
}

/// An end with that exit code after a run from `at(0)` to `at(1)`, with the kubelet's usual reason.
pub(crate) fn end(code: i32) -> EndBuilder {
    let reason = if code == 0 { "Completed" } else { "Error" };
    EndBuilder(Termination {
        exit_code: code,
        reason: reason.to_owned(),
        started: Some(at(0)),
        finished: Some(at(1)),
        ..Termination::default()
    })
}

/// Builds a [`Termination`].
#[derive(Clone, Debug)]
pub(crate) struct EndBuilder(Termination);

impl EndBuilder {
    /// With another reason.
    pub(crate) fn reason(mut self, reason: &str) -> Self {
        self.0.reason = reason.to_owned();
        self
    }

    /// With a message.
    pub(crate) fn message(mut self, message: &str) -> Self {
        self.0.message = message.to_owned();
        self
    }

    /// From and to these seconds.
    pub(crate) fn ran(mut self, from: i64, to: i64) -> Self {
        self.0.started = Some(at(from));
        self.0.finished = Some(at(to));
        self
    }

    /// The end.
    pub(crate) fn build(self) -> Termination {
        self.0
    }
}

/// Builds a [`PodView`].
#[derive(Clone, Debug)]
pub(crate) struct PodBuilder {
    view: PodView,
}

impl PodBuilder {
    /// The Pod.
    pub(crate) fn build(self) -> PodView {
        self.view
    }

    /// Changes anything that has no method of its own.
    pub(crate) fn but(mut self, change: impl FnOnce(&mut PodView)) -> Self {
        change(&mut self.view);
        self
    }

    /// Of that child and slot.
    pub(crate) fn of(self, child: &str, slot: i32) -> Self {
        self.but(|pod| {
            child.clone_into(&mut pod.child);
            pod.slot = slot;
        })
    }

    /// The kubelet does not restart its containers.
    pub(crate) fn never_restarted(self) -> Self {
        self.but(|pod| pod.restart_policy = RestartPolicy::Never)
    }

    /// Not all containers started yet.
    pub(crate) fn pending(self) -> Self {
        self.but(|pod| pod.phase = PodPhase::Pending)
    }

    /// With one container more.
    pub(crate) fn with(self, container: ContainerView) -> Self {
        self.but(|pod| pod.containers.push(container))
    }

    /// With this container instead of `main`.
    pub(crate) fn only(self, container: ContainerView) -> Self {
        self.but(|pod| pod.containers = vec![container])
    }

    /// With an init container.
    pub(crate) fn init(self, container: ContainerView) -> Self {
        self.but(|pod| pod.init_containers.push(container))
    }

    /// `main` runs; not Ready.
    pub(crate) fn running(self, since: Timestamp) -> Self {
        self.main(|main| main.running(since))
            .but(|pod| pod.phase = PodPhase::Running)
    }

    /// `main` runs and the Pod is Ready.
    pub(crate) fn ready(self, since: Timestamp) -> Self {
        self.running(since)
            .condition(PodConditionType::Ready, true, "", "", since)
    }

    /// `main` waits for that reason.
    pub(crate) fn waiting(self, reason: &str, message: &str) -> Self {
        self.main(|main| main.waiting(reason, message))
    }

    /// `main` ended and was not restarted yet.
    pub(crate) fn ended(self, end: Termination) -> Self {
        self.main(|main| main.ended(end))
            .but(|pod| pod.phase = PodPhase::Running)
    }

    /// `main` ended and runs again since then; `restarts` restarts in all.
    pub(crate) fn restarted(self, end: Termination, restarts: i64, since: Timestamp) -> Self {
        self.main(|main| ContainerView {
            last: Some(end),
            restarts,
            ..main.running(since)
        })
        .but(|pod| pod.phase = PodPhase::Running)
    }

    /// `main` ended and waits in `CrashLoopBackOff` after that many restarts.
    pub(crate) fn crash_loop(self, end: Termination, restarts: i64) -> Self {
        self.main(|main| ContainerView {
            last: Some(end),
            restarts,
            ..main.waiting(
                "CrashLoopBackOff",
                "back-off 10s restarting failed container",
            )
        })
        .but(|pod| pod.phase = PodPhase::Running)
    }

    /// The Pod is over and was not clean, with the reason and message of the Pod itself.
    pub(crate) fn failed(self, reason: &str, message: &str) -> Self {
        self.but(|pod| {
            pod.phase = PodPhase::Failed;
            pod.reason = (!reason.is_empty()).then(|| reason.to_owned());
            pod.message = (!message.is_empty()).then(|| message.to_owned());
        })
    }

    /// Evicted because the node ran out of memory.
    pub(crate) fn evicted(self) -> Self {
        self.failed(
            "Evicted",
            "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. ",
        )
    }

    /// The Pod is over and all its containers ended cleanly.
    pub(crate) fn succeeded(self, end: Termination) -> Self {
        self.ended(end).but(|pod| pod.phase = PodPhase::Succeeded)
    }

    /// Being deleted; the grace period of that many seconds ends at `until`.
    pub(crate) fn deleting(self, until: Timestamp, grace: i64) -> Self {
        self.but(|pod| {
            pod.deletion = Some(until);
            pod.deletion_grace_seconds = Some(grace);
        })
    }

    /// Marked by somebody as about to be disrupted.
    pub(crate) fn disrupted(self, reason: &str, message: &str, changed: Timestamp) -> Self {
        self.but(|pod| pod.phase = PodPhase::Running).condition(
            PodConditionType::DisruptionTarget,
            true,
            reason,
            message,
            changed,
        )
    }

    /// Without a node, for that reason.
    pub(crate) fn scheduling(self, reason: &str, message: &str) -> Self {
        self.but(|pod| {
            pod.node = None;
            pod.containers.clear();
        })
        .condition(
            PodConditionType::PodScheduled,
            false,
            reason,
            message,
            at(0),
        )
    }

    /// Without a node, because the scheduler says so.
    pub(crate) fn unschedulable(self, message: &str) -> Self {
        self.scheduling("Unschedulable", message)
    }

    /// With a condition.
    pub(crate) fn condition(
        self,
        type_: PodConditionType,
        is_true: bool,
        reason: &str,
        message: &str,
        changed: Timestamp,
    ) -> Self {
        self.but(|pod| {
            pod.conditions.retain(|c| c.type_ != type_);
            pod.conditions.push(PodCondition {
                type_,
                is_true,
                reason: reason.to_owned(),
                message: message.to_owned(),
                changed: Some(changed),
            });
        })
    }

    fn main(mut self, change: impl FnOnce(ContainerView) -> ContainerView) -> Self {
        let main = self.view.containers.iter_mut().find(|c| c.name == "main");
        let main = main.expect("the builder made the container `main`");
        *main = change(main.clone());
        self
    }
}

/// What identification rests on when the Pod's node is well.
pub(crate) fn evidence(pod: &PodView) -> Evidence<'_> {
    Evidence::of(pod)
}

/// A node that has not reported since then.
pub(crate) fn lost_node(since: Timestamp) -> NodeView {
    NodeView {
        not_ready_since: Some(since),
        unreachable: true,
        evicting: true,
        out_of_service: false,
        zone: None,
    }
}

/// A refused create of a Pod of slot 0.
pub(crate) fn refusal(code: u16, reason: &str, message: &str) -> Refusal {
    Refusal {
        kind: "Pod",
        child: "child".to_owned(),
        slot: Some(0),
        at: at(60),
        code,
        reason: reason.to_owned(),
        message: message.to_owned(),
    }
}
