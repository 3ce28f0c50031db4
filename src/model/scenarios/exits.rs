//! Exits of supervisors: automatic shutdown, first starts that fail, giving up by type, and what is asked for by hand.
//!
//! Rule: a trace names stops (`-a`) and starts (`+a`).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{charges, supervisor, trace, until_charged, worker};
use crate::api::v1alpha1::SupervisionTreeSpec;
use crate::model::decide::decide;
use crate::model::lab::{Behaviour, Lab};
use crate::model::window::after;

fn lab(root: &str, children: &[String]) -> Lab {
    let mut lab = Lab::new(&format!("{root}\nchildren:\n{}", children.concat()));
    lab.run(30);
    lab
}

const SIGNIFICANT: &str = "restart: Transient, significant: true";

#[test]
fn the_end_of_any_significant_child_shuts_the_tree_down() {
    let mut lab = lab(
        "startup: Ordered\nautoShutdown: AnySignificant",
        &[
            worker("a", "", ""),
            worker("b", "", SIGNIFICANT),
            worker("c", "", ""),
        ],
    );
    let since = lab.log.len();
    lab.kill("b", 0, 0);
    lab.run(10);
    assert_eq!(trace(&lab, since), "-c -a");
    assert_eq!(lab.state(), "TFF Finished", "{}", lab.message());
    let writes = lab.writes;
    lab.run(900);
    assert_eq!(lab.writes, writes, "it stays so");
    lab.edit_template("c", "two");
    lab.run(20);
    assert_eq!(
        lab.state(),
        "TFF AllUp",
        "an edit starts it again: {}",
        lab.message()
    );
}

#[test]
fn all_significant_children_have_to_end_where_the_spec_says_so() {
    let mut lab = lab(
        "startup: Ordered\nautoShutdown: AllSignificant",
        &[
            worker("a", "", SIGNIFICANT),
            worker("b", "", SIGNIFICANT),
            worker("c", "", ""),
        ],
    );
    lab.kill("b", 0, 1);
    lab.run(10);
    lab.kill("a", 0, 0);
    lab.run(10);
    assert_eq!(lab.state(), "TFF AllUp", "b is still up: {}", lab.message());
    lab.kill("b", 0, 0);
    lab.run(10);
    assert_eq!(lab.state(), "TFF Finished");
    assert!(lab.live("c").is_empty());
}

#[test]
fn one_that_is_disabled_last_ends_nothing() {
    let mut lab = lab(
        "autoShutdown: AllSignificant",
        &[
            worker("a", "", SIGNIFICANT),
            worker("b", "", SIGNIFICANT),
            worker("c", "", ""),
        ],
    );
    lab.kill("a", 0, 0);
    lab.run(5);
    lab.edit(|spec| spec.children[1].enabled = false);
    lab.run(20);
    assert_eq!(lab.live("c"), [0], "as in Erlang/OTP");
    lab.edit(|spec| spec.children[1].enabled = true);
    lab.run(10);
    lab.edit(|spec| spec.children[0].enabled = false);
    lab.run(10);
    lab.kill("b", 0, 0);
    lab.run(10);
    assert!(
        lab.live("c").is_empty(),
        "one that is disabled does not count"
    );
}

#[test]
fn a_shutdown_goes_up_as_far_as_it_is_significant() {
    let children = |significant: &str| {
        [
            supervisor(
                "s",
                "",
                &format!("autoShutdown: AnySignificant, restart: Transient{significant}"),
            ),
            worker("a", "s", SIGNIFICANT),
            worker("b", "s", ""),
            worker("c", "", ""),
        ]
    };
    let mut lab = lab(
        "autoShutdown: AnySignificant",
        &children(", significant: true"),
    );
    lab.kill("a", 0, 0);
    lab.run(10);
    assert_eq!(lab.state(), "TFF Finished");
    assert!(lab.live("c").is_empty());
    let mut lab = self::lab("", &children(""));
    lab.kill("a", 0, 0);
    lab.run(10);
    assert!(lab.live("b").is_empty());
    assert_eq!(lab.live("c"), [0]);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
}

#[test]
fn a_permanent_supervisor_that_shuts_itself_down_is_charged_and_restarted() {
    let mut lab = lab(
        "",
        &[
            supervisor("s", "", "autoShutdown: AnySignificant"),
            worker("a", "s", SIGNIFICANT),
            worker("b", "s", ""),
        ],
    );
    let since = lab.log.len();
    lab.kill("a", 0, 0);
    lab.run(10);
    assert_eq!(trace(&lab, since), "-b +a +b");
    assert_eq!(lab.charges("(root)"), charges(&[("s", 1)]));
    assert_eq!(lab.state(), "TFF AllUp");
}

#[test]
fn a_transient_supervisor_that_gave_up_stays_down_until_it_is_asked_for() {
    let mut lab = lab(
        "",
        &[
            supervisor("s", "", "restart: Transient, intensity: {maxRestarts: 0}"),
            worker("a", "s", ""),
            worker("b", "s", ""),
            worker("c", "", ""),
        ],
    );
    lab.kill("a", 0, 1);
    lab.run(400);
    assert!(lab.live("a").is_empty() && lab.live("b").is_empty());
    assert_eq!(lab.live("c"), [0]);
    assert_eq!(lab.state(), "FFT GaveUp", "{}", lab.message());
    assert_eq!(
        lab.charges("(root)"),
        charges(&[]),
        "its parent takes it for a clean end"
    );
    let now = lab.now;
    lab.edit(|spec| {
        spec.retry_at = Some(Time(now));
    });
    lab.run(60);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
}

#[test]
fn a_first_start_that_fails_takes_what_had_started_down_again() {
    let mut lab = Lab::new(&format!(
        "strategy: OneForAll\nonStartFailure: Fail\nchildren:\n{}{}{}",
        worker("a", "", ""),
        worker("b", "", ""),
        worker("c", "", "")
    ));
    lab.behave("b", Behaviour::Crash(0, 1));
    lab.run(12);
    assert_eq!(trace(&lab, 0), "+a +b -a");
    assert_eq!(lab.charges("(root)"), charges(&[]));
    assert_eq!(lab.judged.last().unwrap().1, None, "nothing is restarted");
    assert_eq!(lab.state(), "FFT GaveUp", "{}", lab.message());
    lab.behave("b", Behaviour::Healthy);
    lab.run(60);
    assert_eq!(
        trace(&lab, 0),
        "+a +b -a +a +b +c",
        "the root is tried again"
    );
    let since = lab.log.len();
    lab.kill("c", 0, 1);
    lab.run(3);
    lab.behave("b", Behaviour::Crash(0, 1));
    until_charged(&mut lab, "b");
    lab.behave("b", Behaviour::Healthy);
    lab.run(60);
    assert!(
        trace(&lab, since).ends_with("-a +a +b -a +a +b +c"),
        "a restart is retried: {}",
        trace(&lab, since)
    );
    assert_eq!(lab.state(), "TFF AllUp");
}

#[test]
fn a_first_start_that_fails_below_fails_above() {
    let mut lab = Lab::new(&format!(
        "startup: Ordered\nonStartFailure: Fail\nchildren:\n{}{}{}{}",
        worker("a", "", ""),
        supervisor("s", "", "startup: Ordered, onStartFailure: Fail"),
        worker("b", "s", ""),
        worker("c", "s", "")
    ));
    lab.behave("c", Behaviour::Crash(0, 1));
    lab.run(16);
    assert_eq!(
        trace(&lab, 0),
        "+a +b +c -c -b -a",
        "the kubelet had started c again"
    );
    assert_eq!(lab.state(), "FFT GaveUp", "{}", lab.message());
    assert!(
        lab.message().contains("s: c: "),
        "the way it went can be read: {}",
        lab.message()
    );
}

#[test]
fn a_suspended_tree_stops_in_order_and_starts_as_new() {
    let mut lab = lab(
        "startup: Ordered",
        &[
            worker("a", "", ""),
            worker("b", "", "restart: Transient"),
            worker("c", "", ""),
        ],
    );
    lab.kill("a", 0, 1);
    lab.kill("b", 0, 0);
    lab.run(10);
    let since = lab.log.len();
    let suspend =
        |lab: &mut Lab, suspend| lab.edit(|spec: &mut SupervisionTreeSpec| spec.suspend = suspend);
    suspend(&mut lab, true);
    lab.run(10);
    assert_eq!(trace(&lab, since), "-c -a");
    assert_eq!(lab.state(), "TFF Suspended", "{}", lab.message());
    assert_eq!(lab.condition("Suspended"), ("True", "Suspended"));
    assert_eq!(lab.charges("(root)"), charges(&[]));
    let writes = lab.writes;
    lab.run(900);
    assert_eq!(lab.writes, writes);
    suspend(&mut lab, false);
    lab.run(20);
    assert_eq!(
        trace(&lab, since),
        "-c -a +a +b +c",
        "what had finished runs again"
    );
    assert_eq!(lab.state(), "TFF AllUp");
    assert_eq!(lab.condition("Suspended"), ("False", "NotSuspended"));
    suspend(&mut lab, true);
    lab.settle();
    suspend(&mut lab, false);
    lab.run(30);
    assert_eq!(
        trace(&lab, since),
        "-c -a +a +b +c -c -b -a +a +b +c",
        "the stop is finished first"
    );
}

/// A supervisor that has shut itself down has done its work, until somebody gives it other work.
#[test]
fn a_supervisor_that_has_finished_runs_again_when_a_template_below_it_is_edited() {
    let mut lab = lab(
        "",
        &[
            supervisor("s", "", "restart: Transient, autoShutdown: AnySignificant"),
            worker("b", "s", "restart: Transient, significant: true"),
            worker("c", "s", ""),
        ],
    );
    lab.kill("b", 0, 0);
    lab.run(60);
    assert_eq!((lab.live("b"), lab.live("c")), (vec![], vec![]));
    lab.edit_template("c", "two");
    lab.run(10);
    assert_eq!((lab.live("b"), lab.live("c")), (vec![0], vec![0]));
    assert_eq!(lab.record("s").unwrap().incarnation, 2);
}

#[test]
fn restart_at_restarts_once() {
    let mut lab = lab(
        "startup: Ordered",
        &[
            worker("a", "", "replicas: 2"),
            supervisor("s", "", "startup: Ordered"),
            worker("b", "s", ""),
            worker("c", "s", ""),
        ],
    );
    let soon = after(lab.now, 10);
    let ask = |lab: &mut Lab, child: Option<usize>| {
        lab.edit(|spec| {
            let time = Some(Time(soon));
            match child {
                Some(index) => spec.children[index].restart_at = time,
                None => spec.restart_at = time,
            }
        });
    };
    let since = lab.log.len();
    ask(&mut lab, Some(1));
    lab.run(9);
    assert_eq!(trace(&lab, since), "", "its time has not come");
    lab.run(30);
    assert_eq!(trace(&lab, since), "-c -b +b +c");
    let since = lab.log.len();
    ask(&mut lab, Some(0));
    lab.run(30);
    assert_eq!(trace(&lab, since), "+a +a");
    let since = lab.log.len();
    ask(&mut lab, None);
    lab.run(60);
    assert_eq!(trace(&lab, since), "-c -b -a -a +a +a +b +c");
    assert_eq!(lab.charges("(root)"), charges(&[]));
    assert_eq!(lab.state(), "TFF AllUp");
    lab.run(600);
    assert_eq!(trace(&lab, since), "-c -b -a -a +a +a +b +c");
}

/// Another operator may see the tree as it was before, and the Workers and Pods as they are.
#[test]
fn what_is_stopped_is_no_death_for_who_sees_an_older_tree() {
    let template = "template: {spec: {containers: [{name: app, image: one}]}}";
    let shut_down = "autoShutdown: AnySignificant";
    let significant = "restart: Transient, significant: true, ";
    let give_up = "intensity: {maxRestarts: 0, periodSeconds: 60}";
    for (what, root, supervisor, kind, exit_code, suspends) in [
        ("GiveUp", "", give_up, "", 1, false),
        ("ShutDown", "", shut_down, significant, 0, false),
        ("Suspend", "", "", "", 0, true),
        (
            "all",
            "",
            "onGiveUp: Retry, strategy: OneForAll, intensity: {maxRestarts: 0, periodSeconds: 60}",
            "",
            1,
            false,
        ),
        (
            "rest",
            "",
            "onGiveUp: Retry, strategy: RestForOne, intensity: {maxRestarts: 0, periodSeconds: 60}",
            "",
            1,
            false,
        ),
    ] {
        let mut lab = Lab::new(&format!(
            "
{root}
children:
- {{name: web, supervisor: {{{supervisor}}}}}
- {{name: a, parent: web, worker: {{{kind}{template}}}}}
- {{name: b, parent: web, worker: {{{template}}}}}
"
        ));
        lab.run(20);
        let before = lab.world.tree.status.clone();
        if suspends {
            lab.edit(|spec| spec.suspend = true);
        } else {
            lab.kill("a", 0, exit_code);
        }
        lab.settle();
        let uid = |pod: &crate::model::pod::PodView| (pod.child.clone(), pod.is_deleting());
        assert!(
            lab.pods().any(|pod| uid(pod) == ("b".into(), true)),
            "{what}: b is stopped"
        );
        lab.tree_mut().status = before;
        lab.tree_mut().spec.suspend = false;
        let decision = decide(&lab.world, lab.now);
        assert_eq!(decision.writes, [], "{what}");
        for (child, worker) in &lab.world.workers {
            assert_eq!(
                decision.worker_statuses[child], *worker.status,
                "{what}: {child}"
            );
        }
    }
}
