//! The containers of a Pod: which end is the one to judge, and which container blocks the start.
//!
//! Rule: the worst end wins among those of one moment; a clean end needs all containers.

use jiff::{SignedDuration, Timestamp};

use super::text::join;
use super::{Class, Confidence, Fault, Verdict, exit, image, start};
use crate::model::pod::{ContainerState, ContainerView, PodView, Termination};

/// How far apart the ends of one moment may be.
const ONE_MOMENT: SignedDuration = SignedDuration::from_secs(5);

/// One end of a container of the Pod.
struct End<'a> {
    container: &'a ContainerView,
    run: &'a Termination,
    kind: &'static str,
}

/// The worst of the latest ends; of a Pod that has ended as a whole, the worst of all.
pub(super) fn worst_end(pod: &PodView) -> Option<Fault> {
    let ends: Vec<End<'_>> = ends(pod).collect();
    let newest = ends.iter().filter_map(|end| end.run.finished).max();
    ends.iter()
        .filter(|end| pod.is_terminal() || is_of_moment(end.run, newest))
        .map(|end| exit::judge(end.container, end.run, end.kind))
        .reduce(worse)
}

/// What keeps the Pod from starting, as its containers tell it: a hold before a wait, init containers
/// before the others.
pub(super) fn block(pod: &PodView) -> Option<Fault> {
    let inits = pod.init_containers.iter().map(|c| (c, "init container"));
    let apps = pod.containers.iter().map(|c| (c, "container"));
    let faults: Vec<Fault> = inits
        .chain(apps)
        .filter_map(|(c, kind)| blocked(c, kind))
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
    let (bad_a, bad_b) = (exit::badness(a.class), exit::badness(b.class));
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
fn blocked(container: &ContainerView, kind: &str) -> Option<Fault> {
    let end = container.end().filter(|_| container.judged);
    let held = end
        .map(|end| exit::judge(container, end, kind))
        .filter(|fault| fault.verdict == Verdict::Hold);
    let ContainerState::Waiting { reason, message } = &container.state else {
        return held;
    };
    match waiting(reason, message) {
        Some((class, _)) if held.as_ref().is_some_and(|fault| fault.class == class) => held,
        Some((class, confidence)) => {
            let verdict = patience(class, container.last.is_some())?;
            let text = describe_wait(container, kind, reason, message);
            Some(Fault {
                verdict,
                ..Fault::new(class, confidence, &text, None)
            })
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

fn waiting(reason: &str, message: &str) -> Option<(Class, Confidence)> {
    image::waiting(reason, message).or_else(|| start::waiting(reason, message))
}

/// What a wait means for a Pod that lives. The kubelet tries again by itself, so a trouble of the node
/// is waited for; an unexplained one is left to the judgement of the end, if there was one.
fn patience(class: Class, has_ended: bool) -> Option<Verdict> {
    match class.verdict() {
        Verdict::Hold => Some(Verdict::Hold),
        Verdict::Wait | Verdict::Infrastructure => Some(Verdict::Wait),
        Verdict::Application | Verdict::Unknown => (!has_ended).then_some(Verdict::Hold),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fault::testing::{at, container, end, pod};

    fn worst_of(builder: crate::model::fault::testing::PodBuilder) -> Class {
        worst_end(&builder.build()).unwrap().class
    }

    #[test]
    fn a_clean_end_needs_all_containers() {
        let clean = end(0).ran(0, 9).build();
        let crash = end(3).ran(0, 8).build();
        let both = pod("p")
            .ended(clean.clone())
            .with(container("side").ended(crash));
        assert_eq!(worst_of(both), Class::AppExitedNonZero);
        assert_eq!(worst_of(pod("p").ended(clean)), Class::AppExitedZero);
    }

    #[test]
    fn an_old_end_of_another_container_does_not_count() {
        let mut restarted = container("side").running(at(30));
        restarted.last = Some(end(137).reason("OOMKilled").ran(0, 20).build());
        let newer = pod("p").ended(end(1).ran(0, 100).build()).with(restarted);
        assert_eq!(worst_of(newer), Class::AppExitedNonZero);
    }

    #[test]
    fn of_a_pod_that_is_over_all_ends_count() {
        let earlier = container("side").ended(end(137).reason("OOMKilled").ran(0, 20).build());
        let over = pod("p")
            .ended(end(1).ran(0, 100).build())
            .with(earlier)
            .failed("", "");
        assert_eq!(worst_of(over), Class::OomKilled);
    }

    #[test]
    fn containers_that_are_not_judged_do_not_count() {
        let mut injected = container("proxy").ended(end(1).build());
        injected.judged = false;
        assert_eq!(
            worst_of(pod("p").ended(end(0).build()).with(injected.clone())),
            Class::AppExitedZero
        );
        assert_eq!(
            worst_end(&pod("p").running(at(0)).with(injected).build()),
            None
        );
    }

    #[test]
    fn a_failed_init_container_is_an_end() {
        let failed = pod("p")
            .pending()
            .init(container("setup").ended(end(2).build()))
            .build();
        let fault = worst_end(&failed).unwrap();
        assert_eq!(fault.class, Class::AppExitedNonZero);
        assert!(
            fault
                .message
                .starts_with("init container setup ended with exit code 2")
        );
        let mut retried = container("setup").ended(end(0).ran(5, 6).build());
        retried.last = Some(end(2).ran(0, 1).build());
        let fault = worst_end(&pod("p").pending().init(retried.clone()).build()).unwrap();
        assert!(fault.message.contains("exit code 2"), "{}", fault.message);
        let later = pod("p").ended(end(0).ran(10, 60).build()).init(retried);
        assert_eq!(worst_of(later), Class::AppExitedZero);
    }

    #[test]
    fn of_equal_ends_the_first_one_counts() {
        let first = container("second").ended(end(2).ran(0, 7).build());
        let fault =
            worst_end(&pod("p").ended(end(1).ran(0, 9).build()).with(first).build()).unwrap();
        assert!(fault.message.contains("container second"));
    }

    #[test]
    fn a_hold_comes_before_a_wait() {
        let busy = container("a").waiting("ErrImagePull", "429 Too Many Requests");
        let held = container("b").waiting("CreateContainerConfigError", "secret \"s\" not found");
        let view = pod("p").pending().only(busy.clone()).with(held).build();
        assert_eq!(block(&view).unwrap().class, Class::SecretMissing);
        let fault = block(&pod("p").pending().only(busy).build()).unwrap();
        assert_eq!(
            (fault.class, fault.verdict),
            (Class::ImageRateLimited, Verdict::Wait)
        );
    }

    #[test]
    fn a_trouble_of_the_node_is_waited_for() {
        let full = container("a").waiting("ErrImagePull", "write /x: no space left on device");
        let fault = block(&pod("p").pending().only(full).build()).unwrap();
        assert_eq!(
            (fault.class, fault.verdict),
            (Class::ImageNoSpace, Verdict::Wait)
        );
    }

    #[test]
    fn a_back_off_blocks_only_when_running_again_cannot_help() {
        let crash = pod("p").crash_loop(end(1).build(), 4).build();
        assert_eq!(block(&crash), None);
        let missing = end(128)
            .reason("StartError")
            .message("exec: \"x\": executable file not found in $PATH");
        let view = pod("p").crash_loop(missing.build(), 4).build();
        assert_eq!(block(&view).unwrap().class, Class::CommandNotFound);
    }

    #[test]
    fn the_message_does_not_change_with_every_attempt() {
        let text = "x: not found";
        let backed_off = format!("Back-off pulling image \"x\": ErrImagePull: {text}");
        let pulls = [("ErrImagePull", text), ("ImagePullBackOff", &backed_off)]
            .map(|(reason, message)| block(&pod("p").waiting(reason, message).build()));
        assert_eq!(pulls[0], pulls[1]);
        assert!(
            pulls[0]
                .as_ref()
                .unwrap()
                .message
                .ends_with("cannot be pulled: x: not found")
        );

        let text = "exec: \"x\": executable file not found in $PATH";
        let failed = || end(128).reason("StartError").message(text).build();
        let mut again = container("main").waiting("RunContainerError", text);
        again.last = Some(failed());
        let starts = [
            pod("p").only(again),
            pod("p").ended(failed()),
            pod("p").crash_loop(failed(), 1),
        ]
        .map(|builder| block(&builder.build()));
        assert!(starts[0].is_some());
        assert!(starts.iter().all(|fault| *fault == starts[0]));
    }

    #[test]
    fn an_unexplained_start_error_is_judged_by_its_end() {
        let mut strange = container("a").waiting("RunContainerError", "strange");
        let waits = pod("p").pending().only(strange.clone()).build();
        assert_eq!(
            block(&waits).map(|f| (f.class, f.verdict)),
            Some((Class::OciStartFailed, Verdict::Hold))
        );
        strange.last = Some(end(128).reason("StartError").message("strange").build());
        assert_eq!(block(&pod("p").pending().only(strange).build()), None);
    }

    #[test]
    fn a_sidecar_without_an_image_blocks_too() {
        let mut sidecar = container("proxy").waiting("ErrImageNeverPull", "");
        sidecar.judged = false;
        let fault = block(&pod("p").pending().init(sidecar).build()).unwrap();
        assert!(
            fault
                .message
                .starts_with("init container proxy waits (ErrImageNeverPull)")
        );
    }
}
