//! Fault identification: what went wrong, how sure we are, and what the answer means for the tree.
//!
//! Rule: identification is total and pure; what it does not know it calls `Unknown`, never a guess.

use jiff::Timestamp;

use super::pod::{PodPhase, PodView};
use super::world::{NodeView, Refusal};

pub use class::Class;

mod class;
mod containers;
mod disruption;
mod exit;
mod image;
mod refusal;
mod rejection;
mod scheduling;
mod start;
#[cfg(test)]
pub(crate) mod testing;
mod text;

/// Why the life is over: a judged container ended, the whole Pod ended, or somebody else deletes it.
///
/// Who stopped the Pod from outside is asked first, because a program that is told to stop may exit
/// politely with 0; then what the kubelet says about the whole Pod, and its node; then how the containers
/// ended. `now` only serves to tell an announcement of a disruption that did not happen.
pub fn identify_end(evidence: &Evidence<'_>, now: Timestamp) -> Fault {
    let pod = evidence.pod;
    let fault = disruption::announced(pod, now)
        .or_else(|| rejection::judge(pod))
        .or_else(|| disruption::node_gone(evidence))
        .or_else(|| disruption::deleted(evidence))
        .or_else(|| containers::worst_end(pod))
        .or_else(|| disruption::node_lost(evidence))
        .unwrap_or_else(|| without_evidence(pod));
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
    scheduling::unscheduled(pod, now).or_else(|| containers::block(pod))
}

/// Why the API server refused a create.
pub fn identify_refusal(refusal: &Refusal) -> Fault {
    refusal::judge(refusal)
}

/// What identification rests on.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// The Pod.
    pub pod: &'a PodView,
    /// Its node, when nodes can be read and the node exists.
    pub node: Option<&'a NodeView>,
    /// Whether nodes can be read and the Pod's node does not exist any more.
    pub node_gone: bool,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

impl Fault {
    /// A fault with the verdict of its class. The message is put on one line and cut to 512 bytes.
    pub fn new(class: Class, confidence: Confidence, message: &str, at: Option<Timestamp>) -> Self {
        Self {
            class,
            verdict: class.verdict(),
            confidence,
            message: text::bounded(message),
            at,
        }
    }
}

fn without_evidence(pod: &PodView) -> Fault {
    if pod.phase == PodPhase::Succeeded {
        let message = "all containers of the Pod ended cleanly";
        return Fault::new(Class::AppExitedZero, Confidence::Proved, message, None);
    }
    let said = pod
        .message
        .as_deref()
        .or(pod.reason.as_deref())
        .unwrap_or_default();
    let message = text::join("the Pod is over, and nothing that we know says why", said);
    Fault::new(Class::Unknown, Confidence::Rest, &message, None)
}

/// When the containers ended that have. What ended before one that is still shown as running says nothing of this end.
fn last_finish(pod: &PodView) -> Option<Timestamp> {
    let ends = pod.judged().filter_map(|container| container.end());
    ends.filter_map(|end| end.finished).max()
}

#[cfg(test)]
mod tests {
    use super::testing::{at, container, end, evidence, lost_node, pod, refusal};
    use super::*;

    fn ended(builder: testing::PodBuilder) -> Fault {
        identify_end(&evidence(&builder.build()), at(100))
    }

    fn blocked(builder: testing::PodBuilder) -> Option<Fault> {
        identify_block(&evidence(&builder.build()), at(100))
    }

    #[test]
    fn who_stopped_the_pod_is_asked_before_how_it_ended() {
        let polite = pod("p").succeeded(end(0).ran(0, 12).build());
        assert_eq!(ended(polite.clone()).class, Class::AppExitedZero);
        let drained =
            polite
                .clone()
                .disrupted("EvictionByEvictionAPI", "Eviction API: evicting", at(11));
        assert_eq!(ended(drained).class, Class::ApiEviction);
        assert_eq!(ended(polite.deleting(at(41), 30)).class, Class::PodDeleted);
        let evicted = pod("p").ended(end(137).ran(0, 12).build()).evicted();
        let fault = ended(evicted);
        assert_eq!(
            (fault.class, fault.at),
            (Class::NodePressureEviction, Some(at(12)))
        );
        assert_eq!(fault.verdict, Verdict::Infrastructure);
    }

    #[test]
    fn a_crash_is_a_crash_whether_or_not_it_runs_again() {
        let crash = || end(1).ran(0, 12).build();
        for builder in [
            pod("p").ended(crash()),
            pod("p").crash_loop(crash(), 2),
            pod("p").restarted(crash(), 1, at(13)),
            pod("p").ended(crash()).failed("", "").never_restarted(),
        ] {
            let fault = ended(builder);
            assert_eq!(
                (fault.class, fault.verdict),
                (Class::AppExitedNonZero, Verdict::Application)
            );
            assert_eq!(
                (fault.confidence, fault.at),
                (Confidence::Proved, Some(at(12)))
            );
        }
    }

    #[test]
    fn a_lost_node_explains_an_end_only_when_nothing_else_does() {
        let silent = lost_node(at(50));
        let on_it = |view: &PodView| {
            identify_end(
                &Evidence {
                    node: Some(&silent),
                    ..evidence(view)
                },
                at(100),
            )
        };
        assert_eq!(
            on_it(&pod("p").ready(at(1)).build()).class,
            Class::NodeUnreachable
        );
        assert_eq!(
            on_it(&pod("p").crash_loop(end(1).build(), 1).build()).class,
            Class::AppExitedNonZero
        );
    }

    #[test]
    fn a_pod_that_was_deleted_from_a_node_that_is_gone_was_not_deleted_by_somebody() {
        let view = pod("p").ready(at(1)).deleting(at(90), 30).build();
        let fault = identify_end(
            &Evidence {
                node_gone: true,
                ..evidence(&view)
            },
            at(100),
        );
        assert_eq!(fault.class, Class::DeletedByPodGC);
    }

    #[test]
    fn without_evidence_it_says_so() {
        let fault = ended(
            pod("p")
                .failed("", "strange\u{7}")
                .but(|pod| pod.containers.clear()),
        );
        assert_eq!(
            (fault.class, fault.verdict, fault.confidence),
            (Class::Unknown, Verdict::Unknown, Confidence::Rest)
        );
        assert_eq!(
            fault.message,
            "the Pod is over, and nothing that we know says why: strange"
        );
    }

    #[test]
    fn a_pod_on_its_way_is_not_blocked() {
        for builder in [
            pod("p"),
            pod("p").waiting("PodInitializing", ""),
            pod("p").running(at(5)),
            pod("p").ready(at(5)),
            pod("p").crash_loop(end(1).build(), 3),
            pod("p")
                .of("other", 3)
                .pending()
                .init(container("setup").running(at(2))),
        ] {
            assert_eq!(blocked(builder), None);
        }
    }

    #[test]
    fn blocks_have_their_cause_beneath_the_overlay() {
        let text = "Back-off pulling image \"x\": ErrImagePull: x: not found";
        let image = blocked(pod("p").waiting("ImagePullBackOff", text)).unwrap();
        assert_eq!(
            (image.class, image.verdict),
            (Class::ImageNotFound, Verdict::Hold)
        );
        assert!(
            image
                .message
                .starts_with("the image of container main cannot be pulled: x: not found")
        );
        let config =
            blocked(pod("p").waiting("CreateContainerConfigError", "configmap \"c\" not found"))
                .unwrap();
        assert_eq!(
            (config.class, config.verdict),
            (Class::ConfigMapMissing, Verdict::Hold)
        );
        let full = blocked(pod("p").unschedulable("0/1 nodes are available: 1 Insufficient cpu."))
            .unwrap();
        assert_eq!(
            (full.class, full.verdict),
            (Class::InsufficientCpu, Verdict::Wait)
        );
    }

    #[test]
    fn what_is_over_or_on_its_way_out_is_not_blocked() {
        let held = pod("p").waiting("ErrImageNeverPull", "");
        assert!(blocked(held.clone()).is_some());
        assert_eq!(blocked(held.clone().deleting(at(130), 30)), None);
        assert_eq!(blocked(held.failed("", "")), None);
    }

    #[test]
    fn every_message_is_one_short_line() {
        let long = "ü\n".repeat(2000);
        let faults = [
            ended(pod("p").ended(end(1).message(&long).build())),
            ended(pod("p").failed("Evicted", &long)),
            blocked(pod("p").waiting("ErrImagePull", &long)).unwrap(),
            blocked(pod("p").unschedulable(&long)).unwrap(),
            identify_refusal(&refusal(403, "Forbidden", &long)),
        ];
        for fault in faults {
            assert!(fault.message.len() <= 512, "{}", fault.class);
            assert!(!fault.message.contains(char::is_control), "{}", fault.class);
        }
    }
}
