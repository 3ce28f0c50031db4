//! Rules of `faultPolicy`: what they change, and what stays as it is.
//!
//! Rule: a rule changes what follows from a fault, never its name.

use super::{charges, supervisor, trace, worker};
use crate::api::v1alpha1::RecentFault;
use crate::model::lab::{Behaviour, Lab};
use crate::model::pod::RestartPolicy;
use crate::model::tree::Tree;

/// A tree with one worker, with these rules on the root and on the worker.
pub(super) fn ruled(root: &str, own: &str) -> Lab {
    let policy = |rules: &str| format!("faultPolicy: {{rules: [{rules}]}}");
    let mut lab = Lab::new(&format!(
        "{}\nchildren:\n{}",
        policy(root),
        worker("a", "", &policy(own))
    ));
    lab.run(5);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    lab
}

pub(super) fn last(lab: &Lab) -> &RecentFault {
    &lab.world.tree.status.recent_faults[0]
}

#[test]
fn a_restart_that_is_exempt_costs_nothing() {
    let mut lab = ruled(
        "",
        "{match: {exitCodes: [75]}, action: Restart, charge: Exempt}",
    );
    assert_eq!(lab.pod_mut("a", 0).restart_policy, RestartPolicy::Always);
    for _ in 0..6 {
        lab.kill("a", 0, 75);
        lab.run(60);
    }
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    assert_eq!(lab.charges("(root)"), charges(&[]));
    let fault = last(&lab);
    assert_eq!(
        (
            fault.class.as_str(),
            fault.verdict.as_str(),
            fault.charge.as_str()
        ),
        ("AppExitedNonZero", "Application", "Exempt")
    );
    assert_eq!(fault.rule, "spec.children[a].worker.faultPolicy.rules[0]");
    lab.kill("a", 0, 1);
    lab.run(5);
    assert_eq!(lab.charges("(root)"), charges(&[("a", 1)]));
    assert_eq!(
        (last(&lab).rule.as_str(), last(&lab).charge.as_str()),
        ("verdict", "Charged")
    );
}

#[test]
fn a_replica_that_is_held_by_a_rule_is_left_as_it_is_until_its_template_changes() {
    let mut lab = ruled("", "{match: {exitCodes: [3]}, action: Hold}");
    let pod = lab.pod_mut("a", 0);
    assert_eq!(pod.restart_policy, RestartPolicy::Never);
    let uid = pod.uid.clone();
    lab.kill("a", 0, 3);
    lab.run(120);
    assert_eq!(lab.state(), "FFT Held", "{}", lab.message());
    assert_eq!(lab.charges("(root)"), charges(&[]));
    assert!(lab.pods().any(|pod| pod.uid == uid && pod.is_terminal()));
    assert_eq!(lab.pods().count(), 1);
    lab.edit_template("a", "two");
    lab.run(60);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
}

#[test]
fn an_escalation_gives_up_whatever_is_left_of_the_budget() {
    let rule = "{match: {classes: [AppExitedNonZero], containers: [app]}, action: Escalate}";
    let mut lab = ruled(rule, "");
    lab.kill("a", 0, 2);
    lab.run(5);
    assert_eq!(lab.state(), "FFT GaveUp", "{}", lab.message());
    assert!(
        lab.message()
            .contains("a rule of `faultPolicy` escalates it"),
        "{}",
        lab.message()
    );
    assert_eq!(last(&lab).rule, "spec.faultPolicy.rules[0]");
    lab.run(60);
    assert_eq!(lab.live("a"), [0], "the root tries again");
}

/// The replicas beside it are no reason to go on: the rule is about the fault, not about how many are left.
#[test]
fn one_replica_of_several_escalates_too() {
    let rule = "{match: {exitCodes: [2]}, action: Escalate}";
    let settings = format!("replicas: 3, faultPolicy: {{rules: [{rule}]}}");
    let mut lab = Lab::new(&format!("children:\n{}", worker("a", "", &settings)));
    lab.run(5);
    lab.kill("a", 1, 2);
    lab.run(5);
    assert_eq!(lab.state(), "FFT GaveUp", "{}", lab.message());
}

#[test]
fn the_first_rule_that_matches_decides_and_those_of_the_worker_come_first() {
    let hold = "{match: {families: [Application]}, action: Hold}";
    let own = "{match: {exitCodes: [9]}, action: Restart}, {match: {exitCodes: [9]}, action: Hold}";
    let mut lab = ruled(hold, own);
    lab.kill("a", 0, 9);
    lab.run(30);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    assert_eq!(lab.charges("(root)"), charges(&[("a", 1)]));
    lab.kill("a", 0, 1);
    lab.run(60);
    assert_eq!(
        lab.state(),
        "FFT Held",
        "what its own rules do not name is the root's"
    );
    assert_eq!(last(&lab).rule, "spec.faultPolicy.rules[0]");
}

#[test]
fn what_is_held_by_itself_is_restarted_where_a_rule_says_so() {
    let rule = "{match: {classes: [ImageNotFound]}, action: Restart}";
    let mut lab = ruled("", rule);
    lab.behave("a", Behaviour::NoImage);
    lab.delete_by_hand("a", 0);
    lab.run(200);
    let told = lab.world.tree.status.recent_faults.iter();
    let failed = told.filter(|fault| fault.class == "ImageNotFound" && fault.charge == "Charged");
    assert!(
        failed.count() >= 4,
        "{:?}",
        lab.world.tree.status.recent_faults
    );
    assert_eq!(lab.state(), "FFT GaveUp", "{}", lab.message());
}

#[test]
fn a_rule_that_names_nothing_that_there_is_is_refused() {
    let refusal = |rule: &str| {
        let spec = format!("faultPolicy: {{rules: [{rule}]}}\nchildren: []");
        let spec = serde_yaml::from_str(&spec).unwrap();
        let error = Tree::parse("t", &spec).unwrap_err();
        (error.field.clone(), error.to_string())
    };
    let (field, message) = refusal("{match: {classes: [OomKiled]}, action: Hold}");
    assert_eq!(field, "spec.faultPolicy.rules[0].match.classes");
    assert!(message.contains("'OomKiled'"), "{message}");
    let (field, _) = refusal("{match: {families: [Images]}, action: Hold}");
    assert_eq!(field, "spec.faultPolicy.rules[0].match.families");
    let (field, _) = refusal("{match: {classes: [NoFault]}, action: Hold}");
    assert_eq!(
        field, "spec.faultPolicy.rules[0].match.classes",
        "it has no verdict"
    );
    let (field, _) = refusal("{match: {exitCodes: [1]}, action: Hold, charge: Exempt}");
    assert_eq!(field, "spec.faultPolicy.rules[0].charge");
    let (field, _) = refusal("{match: {}, action: Hold}");
    assert_eq!(field, "spec.faultPolicy.rules[0].match");
}

/// The container beside it goes on, so that the Pod is not over.
#[test]
fn a_replica_of_two_containers_is_held_although_one_goes_on() {
    let mut lab = ruled("", "{match: {exitCodes: [65]}, action: Hold}");
    let mut beside = lab.pod_mut("a", 0).containers[0].clone();
    beside.name = "beside".into();
    lab.pod_mut("a", 0).containers.push(beside);
    lab.settle();
    let uid = lab.pod_mut("a", 0).uid.clone();
    lab.kill("a", 0, 65);
    lab.run(120);
    assert_eq!(lab.state(), "FFT Held", "{}", lab.message());
    assert_eq!(lab.pod_mut("a", 0).uid, uid);
    assert_eq!(lab.pods().count(), 1);
}

#[test]
fn what_escalates_is_given_up_and_not_who_died_more_often() {
    let rule = "faultPolicy: {rules: [{match: {exitCodes: [2]}, action: Escalate}]}";
    let mut lab = Lab::new(&format!(
        "children:\n{}{}",
        worker("a", "", rule),
        worker("b", "", "")
    ));
    lab.run(5);
    for _ in 0..2 {
        lab.kill("b", 0, 1);
        lab.run(40);
    }
    lab.kill("a", 0, 2);
    lab.run(5);
    assert!(lab.message().contains("gave up on a"), "{}", lab.message());
    assert_eq!(lab.live("b"), [0]);
}

#[test]
fn what_keeps_a_pod_from_starting_is_not_how_it_ended_before() {
    let mut lab = ruled(
        "",
        "{match: {exitCodes: [0, 1]}, action: Restart, charge: Exempt}",
    );
    lab.kill("a", 0, 1);
    lab.run(5);
    lab.behave("a", Behaviour::NoImage);
    lab.delete_by_hand("a", 0);
    lab.run(60);
    assert_eq!(lab.state(), "FFT Held", "{}", lab.message());
}

/// A tree with workers `a` to `c` below the supervisor `web`, which has these settings; what ends with 2 escalates.
fn escalating(settings: &str) -> Lab {
    let rule = "faultPolicy: {rules: [{match: {exitCodes: [2]}, action: Escalate}]}";
    let children = [
        supervisor("web", "", &format!("{settings}, {rule}")),
        worker("a", "web", ""),
        worker("b", "web", ""),
        worker("c", "web", ""),
    ];
    let mut lab = Lab::new(&format!("children:\n{}", children.concat()));
    lab.run(20);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    lab
}

/// Whatever the strategy would restart: the supervisor gives up as a whole, and the one above it judges that.
#[test]
fn an_escalation_in_a_group_stops_all_of_its_supervisor_which_is_restarted() {
    for strategy in ["OneForAll", "RestForOne"] {
        let mut lab = escalating(&format!("strategy: {strategy}"));
        let since = lab.log.len();
        lab.kill("b", 0, 2);
        lab.run(30);
        assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
        // What has ended by itself is not stopped.
        assert_eq!(trace(&lab, since), "-c -a +a +b +c", "{strategy}");
        assert_eq!(lab.charges("(root)"), charges(&[("web", 1)]));
        assert_eq!(lab.charges("web"), charges(&[]));
        assert_eq!(lab.record("web").unwrap().incarnation, 2);
        assert_eq!(
            lab.world.tree.status.restarts, 1,
            "its siblings were stopped, and did not die"
        );
    }
}

/// Nobody is above the root, so that it tries again what the strategy names.
#[test]
fn an_escalation_in_a_group_of_the_root_gives_up_what_the_strategy_names() {
    for (strategy, stopped, live) in [("OneForAll", "-c -a", 0), ("RestForOne", "-c", 1)] {
        let rule = "faultPolicy: {rules: [{match: {exitCodes: [2]}, action: Escalate}]}";
        let children = ["a", "b", "c"].map(|name| worker(name, "", ""));
        let spec = format!(
            "strategy: {strategy}\n{rule}\nchildren:\n{}",
            children.concat()
        );
        let mut lab = Lab::new(&spec);
        lab.run(20);
        let since = lab.log.len();
        lab.kill("b", 0, 2);
        lab.run(10);
        assert_eq!(lab.state(), "FFT GaveUp", "{}", lab.message());
        assert_eq!(trace(&lab, since), stopped, "{strategy}");
        assert_eq!(lab.live("a").len(), live, "{strategy}");
        lab.run(60);
        assert_eq!(
            ["a", "b", "c"].map(|name| lab.live(name).len()),
            [1; 3],
            "{strategy}"
        );
        lab.run(60);
        assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    }
}

#[test]
fn an_escalation_at_a_root_that_stops_ends_the_tree_until_it_is_asked() {
    let rule = "faultPolicy: {rules: [{match: {exitCodes: [2]}, action: Escalate}]}";
    let children = [
        worker("a", "", rule),
        supervisor("web", "", ""),
        worker("b", "web", ""),
    ];
    let spec = format!("onGiveUp: Stop\nchildren:\n{}", children.concat());
    let mut lab = Lab::new(&spec);
    lab.run(10);
    lab.kill("a", 0, 2);
    lab.run(600);
    assert_eq!(lab.state(), "FFT GaveUp", "{}", lab.message());
    assert_eq!([lab.live("a"), lab.live("b")], [[0; 0]; 2]);
    assert_eq!(
        lab.told,
        [
            "Warning ChildAppExitedNonZero: a/0: container app ended with exit code 2 after 9 s; charged: restart 1 of 3 within 300 s at (root); (root) stays stopped until `retryAt` or an edit of a template",
            "Warning SupervisorStopped: (root) gives up: a: container app ended with exit code 2 after 9 s; a rule of `faultPolicy` escalates it; (root) stays stopped until `retryAt` or an edit of a template",
        ]
    );
    let now = lab.now;
    lab.edit(|spec| {
        spec.retry_at = Some(crate::model::window::api_time(now));
    });
    lab.run(30);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
}

/// How often a child was made in so many seconds.
fn starts(lab: &mut Lab, child: &str, seconds: i64) -> usize {
    let since = lab.log.len();
    lab.run(seconds);
    let made = format!("create {child}/");
    let log = lab.log[since..].iter();
    log.filter(|entry| entry.starts_with(&made)).count()
}

const EXEMPT: &str =
    "faultPolicy: {rules: [{match: {exitCodes: [75]}, action: Restart, charge: Exempt}]}";

#[test]
fn an_exempt_end_restarts_the_group_and_costs_nothing() {
    for (strategy, again) in [("OneForAll", "-c -a +a +b +c"), ("RestForOne", "-c +b +c")] {
        let children = ["a", "b", "c"].map(|name| worker(name, "", ""));
        let children = children.concat();
        let mut lab = Lab::new(&format!(
            "strategy: {strategy}\n{EXEMPT}\nchildren:\n{children}"
        ));
        lab.run(20);
        let since = lab.log.len();
        lab.kill("b", 0, 75);
        lab.run(30);
        assert_eq!(trace(&lab, since), again, "{strategy}");
        assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
        assert_eq!(lab.charges("(root)"), charges(&[]), "{strategy}");
        assert_eq!(last(&lab).charge, "Exempt");
    }
}

/// Nobody is charged, so that nothing but the brake keeps it from going on as fast as it can.
#[test]
fn a_crash_loop_that_is_exempt_is_braked() {
    for strategy in ["OneForOne", "OneForAll", "RestForOne"] {
        let children = [worker("a", "", ""), worker("b", "", "")];
        let children = children.concat();
        let mut lab = Lab::new(&format!(
            "strategy: {strategy}\n{EXEMPT}\nchildren:\n{children}"
        ));
        lab.run(10);
        lab.behave("a", Behaviour::Crash(1, 75));
        lab.kill("a", 0, 75);
        let early = starts(&mut lab, "a", 600);
        let late = starts(&mut lab, "a", 3000);
        assert!((1..=14).contains(&early), "{strategy}: {early} in 10 min");
        assert!(late <= 12, "{strategy}: {late} in 50 min");
        let deaths = lab.world.tree.status.restarts;
        assert!(
            (20..=45).contains(&deaths),
            "{strategy}: {deaths} in an hour"
        );
        assert_eq!(lab.charges("(root)"), charges(&[]), "{strategy}");
        lab.behave("a", Behaviour::Healthy);
        lab.run(400);
        assert_eq!(lab.state(), "TFF AllUp", "{strategy}: {}", lab.message());
    }
}

/// A worker below `web` below the root, each with rules of its own.
#[test]
fn rules_come_through_the_supervisors_in_between_and_the_nearest_is_asked_first() {
    let policy = |rules: &str| format!("faultPolicy: {{rules: [{rules}]}}");
    let hold = |code: i32| format!("{{match: {{exitCodes: [{code}]}}, action: Hold}}");
    let exempt =
        |code: i32| format!("{{match: {{exitCodes: [{code}]}}, action: Restart, charge: Exempt}}");
    let root = [hold(3), hold(4), hold(5), hold(6)].join(", ");
    let web = [exempt(4), exempt(5), hold(4)].join(", ");
    let own = "{match: {exitCodes: [5]}, action: Restart}";
    let children = [
        supervisor("web", "", &policy(&web)),
        supervisor("plain", "web", ""),
        worker("a", "plain", &policy(own)),
    ];
    let spec = format!("{}\nchildren:\n{}", policy(&root), children.concat());
    let mut lab = Lab::new(&spec);
    lab.run(10);
    let mut ends = |code: i32| {
        lab.kill("a", 0, code);
        lab.run(60);
        let fault = last(&lab).clone();
        (fault.rule, fault.charge, lab.state())
    };
    let restarted = "TFF AllUp".to_owned();
    let own = "spec.children[a].worker.faultPolicy.rules[0]".to_owned();
    assert_eq!(ends(5), (own, "Charged".into(), restarted.clone()));
    let of_web = "spec.children[web].supervisor.faultPolicy.rules[0]".to_owned();
    assert_eq!(ends(4), (of_web, "Exempt".into(), restarted));
    let of_root = "spec.faultPolicy.rules[3]".to_owned();
    assert_eq!(ends(6), (of_root, "Exempt".into(), "FFT Held".into()));
    assert_eq!(lab.charges("plain"), charges(&[("a", 1)]));
}
