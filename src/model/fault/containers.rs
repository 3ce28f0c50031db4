//! The containers of a Pod: which end is the one to judge, and which container blocks the start.
//!
//! Rule: the worst end wins among those of one moment; a clean end needs all containers.

use jiff::{SignedDuration, Timestamp};

use super::evidence::Evidence;
use super::text::join;
use super::{
    Class, Confidence, Fault, Proof, Verdict, application, configuration, image, probe, runtime,
};
use crate::model::pod::{
    ContainerState, ContainerView, PodPhase, PodView, RestartPolicy, Termination,
};

/// How far apart the ends of one moment may be.
const ONE_MOMENT: SignedDuration = SignedDuration::from_secs(5);

/// One end of a container of the Pod.
struct End<'a> {
    container: &'a ContainerView,
    run: &'a Termination,
    kind: &'static str,
}

impl End<'_> {
    fn judge(&self, evidence: &Evidence<'_>) -> Fault {
        let list = match self.kind {
            "container" => "containerStatuses",
            _ => "initContainerStatuses",
        };
        let is_current =
            matches!(&self.container.state, ContainerState::Terminated(end) if end == self.run);
        let state = if is_current { "state" } else { "lastState" };
        let place = format!("status.{list}[{}].{state}.terminated", self.container.name);
        application::judge(evidence, self.container, self.run, self.kind, &place)
    }
}

/// The worst of the latest ends; of a Pod that has ended as a whole, the worst of all.
pub(super) fn worst_end(evidence: &Evidence<'_>) -> Option<Fault> {
    let pod = evidence.pod;
    let ends: Vec<End<'_>> = ends(pod).collect();
    let newest = ends.iter().filter_map(|end| end.run.finished).max();
    ends.iter()
        .filter(|end| pod.is_terminal() || is_of_moment(end.run, newest))
        .map(|end| end.judge(evidence))
        .reduce(worse)
}

/// How long a container must have run for its end before to be history.
const SETTLED: SignedDuration = SignedDuration::from_secs(600);

/// How long an init container may run before that is strange.
const INIT_PATIENCE: SignedDuration = SignedDuration::from_secs(600);

/// The end of a container that there is to tell of a Pod, whatever the Pod does now: not one that was to be, nor one that
/// is long past.
pub(super) fn ended(evidence: &Evidence<'_>, now: Timestamp) -> Option<Fault> {
    let pod = evidence.pod;
    if pod.containers.is_empty() && pod.init_containers.is_empty() {
        return probe::unseen(evidence);
    }
    let runs_on = |c: &ContainerView| {
        let since = c.running_since();
        c.is_running() && since.is_some_and(|since| now.duration_since(since) >= SETTLED)
    };
    if !pod.is_terminal() && pod.judged().all(runs_on) {
        return sidecar(evidence);
    }
    let Some(fault) = worst_end(evidence) else {
        return sidecar(evidence).or_else(|| unshown(evidence));
    };
    let was_to_end =
        pod.phase == PodPhase::Succeeded || pod.restart_policy != RestartPolicy::Always;
    if fault.class == Class::AppExitedZero && was_to_end {
        return None;
    }
    Some(fault)
}

/// A sidecar that does not come up: the kubelet restarts it, and its Pod is not Ready meanwhile.
fn sidecar(evidence: &Evidence<'_>) -> Option<Fault> {
    let mut sidecars = evidence.pod.init_containers.iter().filter(|c| !c.judged);
    let (container, run) = sidecars.find_map(|c| Some((c, c.end()?)))?;
    let mut fault = End {
        container,
        run,
        kind: "sidecar",
    }
    .judge(evidence);
    fault.contributing.push(Class::SidecarFailed);
    Some(fault)
}

/// A container that waits after an end that the status does not show.
fn unshown(evidence: &Evidence<'_>) -> Option<Fault> {
    let pod = evidence.pod;
    let mut containers = pod.init_containers.iter().chain(&pod.containers);
    let (container, reason) = containers.find_map(|container| {
        let reasons = ["CrashLoopBackOff", "PostStartHookError"];
        let reason = reasons
            .into_iter()
            .find(|reason| container.waits_with(reason))?;
        Some((container, reason))
    })?;
    if let Some(fault) = probe::unseen(evidence) {
        return Some(fault);
    }
    let (class, confidence) = match reason {
        "PostStartHookError" => (Class::PostStartHookFailed, Confidence::Proved),
        _ => (Class::Unknown, Confidence::Rest),
    };
    let name = &container.name;
    let message = format!("container {name} waits ({reason}), and its end before is not shown");
    let proof = Proof::container(pod, name, "state.waiting.reason", reason);
    Some(
        Fault::new(class, confidence, &message, None)
            .of(name)
            .proved(proof),
    )
}

/// Whether containers of the Pod are still being created.
pub(super) fn are_created(pod: &PodView) -> bool {
    if pod.is_terminal() || pod.phase != PodPhase::Pending && pod.containers.is_empty() {
        return false;
    }
    let waits = |c: &ContainerView| {
        c.is_in_the_making() || c.last.is_none() && configuration::waits_for_kubelet(c)
    };
    pod.containers.is_empty() || pod.containers.iter().any(waits)
}

/// An init container that runs and runs, while the others wait for it.
pub(super) fn stuck_init(evidence: &Evidence<'_>, now: Timestamp) -> Option<Fault> {
    let pod = evidence.pod;
    let mut inits = pod.init_containers.iter().filter(|c| c.judged);
    let (container, since) = inits.find_map(|c| Some((c, c.running_since()?)))?;
    let name = &container.name;
    if now.duration_since(since) < INIT_PATIENCE {
        // The Pod is on its way.
        let message = format!("init container {name} is running");
        return Some(Fault::new(
            Class::NoFault,
            Confidence::Proved,
            &message,
            None,
        ));
    }
    let message = format!("init container {name} has been running since {since}");
    let field = format!("status.initContainerStatuses[{name}].state.running.startedAt");
    let fault = Fault::new(
        Class::InitContainerStuck,
        Confidence::Inferred,
        &message,
        Some(since),
    );
    Some(
        fault
            .of(name)
            .proved(Proof::pod(pod, &field, &since.to_string())),
    )
}

/// What keeps the Pod from starting, as its containers tell it: a hold before a wait, init containers
/// before the others.
pub(super) fn block(evidence: &Evidence<'_>) -> Option<Fault> {
    let pod = evidence.pod;
    let inits = pod.init_containers.iter().map(|c| (c, "init container"));
    let apps = pod.containers.iter().map(|c| (c, "container"));
    let faults: Vec<Fault> = inits
        .chain(apps)
        .filter_map(|(c, kind)| blocked(evidence, c, kind))
        .collect();
    let hold = faults
        .iter()
        .position(|fault| fault.verdict == Verdict::Hold);
    faults.into_iter().nth(hold.unwrap_or(0))
}

/// The ends that may explain why the Pod, or a life in it, is over. An init container counts when it
/// failed; once the containers of a Pod that is over have run, only if it failed last.
fn ends(pod: &PodView) -> impl Iterator<Item = End<'_>> {
    let inits = pod
        .init_containers
        .iter()
        .filter(|c| c.judged)
        .filter_map(|container| {
            let newest = container.last_end();
            let earlier = container.last.as_ref().filter(|_| !pod.is_terminal());
            let run = [newest, earlier]
                .into_iter()
                .flatten()
                .find(|run| run.exit_code != 0)?;
            Some(End {
                container,
                run,
                kind: "init container",
            })
        });
    let apps = pod.judged().filter_map(|container| {
        let run = container.last_end()?;
        Some(End {
            container,
            run,
            kind: "container",
        })
    });
    inits.chain(apps)
}

fn is_of_moment(run: &Termination, newest: Option<Timestamp>) -> bool {
    match (run.finished, newest) {
        (Some(finished), Some(newest)) => newest.duration_since(finished) <= ONE_MOMENT,
        _ => true,
    }
}

/// The worse of two faults; of equals the first in time, because it may have caused the other.
fn worse(a: Fault, b: Fault) -> Fault {
    let (bad_a, bad_b) = (application::badness(a.class), application::badness(b.class));
    let b_is_earlier = matches!((a.at, b.at), (Some(a), Some(b)) if b < a);
    if bad_b > bad_a || (bad_b == bad_a && b_is_earlier) {
        b
    } else {
        a
    }
}

/// What a container waits for, when it is more than its turn. A container that ended blocks only when
/// running it again cannot help; it then says the same whether it waits for the next attempt or not, so
/// that what people read does not change with every attempt.
fn blocked(
    evidence: &Evidence<'_>,
    container: &ContainerView,
    kind: &'static str,
) -> Option<Fault> {
    let end = container.end().filter(|_| container.judged);
    let held = end
        .map(|run| {
            End {
                container,
                run,
                kind,
            }
            .judge(evidence)
        })
        .filter(|fault| fault.verdict == Verdict::Hold);
    let ContainerState::Waiting { reason, message } = &container.state else {
        return held;
    };
    match waiting(evidence, container, reason, message) {
        Some(Wait { class, .. }) if held.as_ref().is_some_and(|fault| fault.class == class) => held,
        Some(Wait {
            class,
            confidence,
            said,
            proofs,
        }) => {
            let verdict = patience(class, container.last.is_some())?;
            let text = describe_wait(container, kind, reason, said);
            let fault = Fault::new(class, confidence, &text, None).of(&container.name);
            let fault = Fault {
                verdict,
                proofs,
                ..fault
            };
            Some(image::or_of_volume(evidence, fault, said))
        }
        None => held,
    }
}

fn describe_wait(container: &ContainerView, kind: &str, reason: &str, message: &str) -> String {
    let name = &container.name;
    match reason {
        // The kubelet goes to and fro between these two; what is wrong stays the same.
        "ErrImagePull" | "ImagePullBackOff" => join(
            &format!("the image of {kind} {name} cannot be pulled"),
            image::cause(message),
        ),
        reason => join(&format!("{kind} {name} waits ({reason})"), message),
    }
}

/// What a container waits for: the class, what was said, and where.
struct Wait<'a> {
    class: Class,
    confidence: Confidence,
    said: &'a str,
    proofs: Vec<Proof>,
}

fn waiting<'a>(
    evidence: &Evidence<'a>,
    container: &'a ContainerView,
    reason: &str,
    message: &'a str,
) -> Option<Wait<'a>> {
    // A kubelet that waits to try again may say only in the last state what went wrong.
    let (message, last) = match &container.last {
        Some(last) if message.is_empty() && last.reason == "StartError" => {
            (last.message.as_str(), true)
        }
        _ => (message, false),
    };
    let (class, confidence) =
        image::waiting(reason, message).or_else(|| runtime::waiting(reason, message))?;
    let proof =
        |field: &str, value: &str| Proof::container(evidence.pod, &container.name, field, value);
    let mut proofs = vec![proof("state.waiting.reason", reason)];
    // An old kubelet says why a pull failed only in an Event.
    if class == Class::ImagePullFailed
        && let Some((class, event)) = image::failed_pull(evidence, container)
    {
        proofs.push(Proof::event(event));
        return Some(Wait {
            class,
            confidence: Confidence::Witnessed,
            said: event.text(),
            proofs,
        });
    }
    let told = if last {
        "lastState.terminated.message"
    } else {
        "state.waiting.message"
    };
    if !message.is_empty() {
        proofs.push(proof(told, message));
    }
    Some(Wait {
        class,
        confidence,
        said: message,
        proofs,
    })
}

/// What keeps a Pod from starting, as it is treated while the kubelet tries again by itself: held or waited for.
pub(super) fn waited_for(fault: Fault) -> Fault {
    let verdict = patience(fault.class, false).unwrap_or(Verdict::Wait);
    Fault { verdict, ..fault }
}

/// What a wait means for a Pod that lives. The kubelet tries again by itself, so a trouble of the node
/// is waited for; an unexplained one is left to the judgement of the end, if there was one.
fn patience(class: Class, has_ended: bool) -> Option<Verdict> {
    match class.verdict() {
        // Whether it is held is told by how often it has ended so.
        Some(Verdict::Hold) if class == Class::OciStartFailed && has_ended => None,
        Some(Verdict::Hold) => Some(Verdict::Hold),
        None | Some(Verdict::Wait | Verdict::Infrastructure) => Some(Verdict::Wait),
        Some(_) => (!has_ended).then_some(Verdict::Hold),
    }
}

#[cfg(test)]
mod tests;
