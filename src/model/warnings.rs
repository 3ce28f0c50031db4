//! Warnings: settings that are legal, and do something else than most people expect.
//!
//! Rule: a warning says what will happen, with its numbers, and which field to change.

use crate::api::v1alpha1::{
    AutoShutdown, DisruptionBudget, GiveUp, Intensity, Promotion, Restart, SupervisionTreeStatus,
    WarningStatus,
};

use super::build::kubelet_restarts;
use super::disruption_budgets::counts_without_being_ready;
use super::judge::cut;
use super::kubelet::back_off_seconds;
use super::pod::RestartPolicy;
use super::reasons::WarningReason;
use super::tree::{Kind, Leaf, Node, NodeId, Policy, ROOT_NAME, Tree};
use super::window::{backoff_delay, backoff_total};

/// Most warnings that are shown.
const MOST: usize = 16;
/// Most bytes of a message.
const MESSAGE_BYTES: usize = 512;
/// A Pod takes at least this long from its start to the next, in seconds.
const LIFE_SECONDS: i64 = 1;

/// How many replicas a worker has, and how many of them are its quorum.
pub(super) type Replicas<'a> = &'a dyn Fn(NodeId, &Leaf<'_>) -> (i32, i32);

/// The warnings about a tree, in its order. The last that is shown says how many there are besides.
pub(super) fn of(
    tree: &Tree<'_>,
    replicas: Replicas<'_>,
    promotion: Option<Promotion>,
    status: &SupervisionTreeStatus,
) -> Vec<WarningStatus> {
    let of_tree = promotion.and_then(|promotion| promotes_nothing(promotion, status));
    let of_tree = of_tree.map(|message| WarningStatus {
        child: ROOT_NAME.to_owned(),
        reason: WarningReason::PromotesNothing.as_str().to_owned(),
        message,
    });
    let all = (0..tree.nodes.len()).flat_map(|id| {
        let found = match &tree.nodes[id].kind {
            Kind::Supervisor(policy) => of_supervisor(tree, id, policy),
            Kind::Worker(leaf) => of_worker(tree, id, leaf, replicas),
        };
        found
            .into_iter()
            .map(move |(reason, message)| WarningStatus {
                child: tree.nodes[id].name.to_owned(),
                reason: reason.as_str().to_owned(),
                message: cut(&message, MESSAGE_BYTES),
            })
    });
    let mut shown: Vec<WarningStatus> = of_tree.into_iter().chain(all).collect();
    let more = shown.len().saturating_sub(MOST);
    shown.truncate(MOST);
    if let Some(last) = shown.last_mut().filter(|_| more > 0) {
        let others = format!(" (and {more} more warnings)");
        last.message = cut(&last.message, MESSAGE_BYTES - others.len()) + &others;
    }
    shown
}

type Found = (WarningReason, String);

/// What is wrong with `rollout.promote`. One for a revision of before is only left over, unless another one waits for it.
fn promotes_nothing(asked: Promotion, status: &SupervisionTreeStatus) -> Option<String> {
    let Promotion { revision, step } = asked;
    let newest = status.revisions.last()?;
    if revision > newest.number {
        let newest = newest.number;
        return Some(format!(
            "`rollout.promote` names revision {revision}, and the newest is {newest}, so that it ends no pause now, nor will it when there is such a revision; write the number that `status.rollout.to` shows"
        ));
    }
    let rollout = status.rollout.as_ref()?;
    let (to, at) = (rollout.to, rollout.step.as_ref()?);
    let (number, of) = (at.number, at.of);
    if revision != to {
        let is_open = at.paused;
        return is_open.then(|| {
            format!(
                "`rollout.promote` names revision {revision}, and revision {to} waits at step {number}, so that it ends no pause; write revision {to} and step {number} to go on"
            )
        });
    }
    if step > of {
        return Some(format!(
            "`rollout.promote` names step {step}, and revision {to} has {of}, so that it ends no pause; write the last step whose pause is to end, now {number}"
        ));
    }
    (newest.promoted_before == Some(step)).then(|| {
        format!(
            "`rollout.promote` named revision {to} and step {step} before there was such a revision, so that it ends no pause; take it out, and write it again when the canary has come there"
        )
    })
}

fn of_supervisor(tree: &Tree<'_>, id: NodeId, policy: &Policy) -> Vec<Found> {
    let node = &tree.nodes[id];
    let mut found = Vec::new();
    if node.restart != Restart::Permanent && policy.on_give_up == GiveUp::Escalate {
        found.push((
            WarningReason::GiveUpIsFinal,
            format!(
                "{} is {:?}: when it gives up, its parent does not start it again, because Erlang/OTP takes that for a clean end; it stays down until `retryAt` or an edit of a template. Make it `restart: Permanent` to have it restarted",
                node.name, node.restart
            ),
        ));
    }
    let is_child = id != super::tree::ROOT;
    if is_child && policy.auto_shutdown != AutoShutdown::Never && node.restart == Restart::Permanent
    {
        found.push((
            WarningReason::ShutDownLoops,
            format!(
                "{} shuts itself down (`autoShutdown`) and is Permanent, so that its parent starts it again each time, which is charged. Make it `restart: Transient` to have it end",
                node.name
            ),
        ));
    }
    found.extend(unreachable_intensity(tree, id, policy));
    found
}

/// Whether the window is too short for one worker alone to fill it. Several that die together still may, and so may starts that
/// fail, because their charges do not age.
fn unreachable_intensity(tree: &Tree<'_>, id: NodeId, policy: &Policy) -> Option<Found> {
    let node = &tree.nodes[id];
    let Intensity {
        max_restarts,
        period_seconds,
    } = policy.intensity;
    let needed = fastest(tree, node, policy, max_restarts)?;
    (needed > i64::from(period_seconds)).then(|| {
        (
            WarningReason::IntensityUnreachable,
            format!(
                "{0} gives up after more than {max_restarts} restarts within {period_seconds} s, but one worker that starts and ends again and again needs at least {needed} s for so many, delays included, so that by itself it is restarted for ever; {0} gives up only when several end together, or starts fail. Make `periodSeconds` at least {needed}, or `maxRestarts` smaller",
                node.name
            ),
        )
    })
}

/// The least time in which one child of a supervisor can end, and so often after that; `None` when none ever does.
fn fastest(tree: &Tree<'_>, node: &Node<'_>, policy: &Policy, restarts: i32) -> Option<i64> {
    let children = node.children.iter();
    let times = children.filter_map(|id| {
        let life = seconds_to_end(tree, *id)?;
        Some(delays(policy, &tree.nodes[*id], restarts) + i64::from(restarts) * life)
    });
    times.min()
}

/// How long a child takes from its start to an end that is charged to its parent, at least, when one worker in it ends again
/// and again; `None` when it never ends so.
fn seconds_to_end(tree: &Tree<'_>, id: NodeId) -> Option<i64> {
    let node = &tree.nodes[id];
    let policy = match &node.kind {
        Kind::Worker(_) => {
            return (node.restart != Restart::Temporary).then_some(LIFE_SECONDS);
        }
        Kind::Supervisor(policy) => policy,
    };
    if node.restart != Restart::Permanent {
        return None;
    }
    let mut children = node.children.iter();
    let shuts_down = policy.auto_shutdown != AutoShutdown::Never
        && children.any(|child| tree.nodes[*child].significant);
    if shuts_down {
        return Some(LIFE_SECONDS);
    }
    let gives_up = policy.on_give_up == GiveUp::Escalate;
    let ends = fastest(tree, node, policy, policy.intensity.max_restarts)?;
    gives_up.then_some(LIFE_SECONDS + ends)
}

/// Sum of the delays of so many restarts of a child. Where the kubelet restarts containers in place, it makes the first one in
/// each Pod at once, and further ones when its own wait is over, unless the Pod is replaced before.
fn delays(policy: &Policy, node: &Node<'_>, restarts: i32) -> i64 {
    let in_place = match &node.kind {
        Kind::Worker(leaf) => kubelet_restarts(policy, leaf) != RestartPolicy::Never,
        Kind::Supervisor(_) => false,
    };
    if !in_place {
        return backoff_total(&policy.backoff, restarts);
    }
    let mut total = 0;
    let mut in_pod = 0;
    for step in 0..i64::from(restarts) {
        let replaced = backoff_delay(&policy.backoff, step);
        let waits = back_off_seconds(in_pod);
        if in_pod == 0 {
            in_pod = 1;
        } else if waits < replaced {
            in_pod += 1;
            total += waits;
        } else {
            in_pod = 0;
            total += replaced;
        }
    }
    total
}

fn of_worker(tree: &Tree<'_>, id: NodeId, leaf: &Leaf<'_>, replicas: Replicas<'_>) -> Vec<Found> {
    let none_to_spare = none_to_spare(tree.nodes[id].name, leaf, replicas(id, leaf));
    none_to_spare.into_iter().chain(probed(leaf)).collect()
}

/// A disruption budget that allows no eviction would hold up a drain for ever, so that there is none; nor is there one that would
/// not count as the worker does.
fn none_to_spare(name: &str, leaf: &Leaf<'_>, (replicas, quorum): (i32, i32)) -> Option<Found> {
    let is_asked_for = leaf.settings.disruption_budget == DisruptionBudget::Auto;
    if !is_asked_for || leaf.completes() || replicas <= 1 {
        return None;
    }
    let message = if quorum >= replicas {
        format!(
            "{name} has {replicas} replicas and a quorum of {quorum}, so that not one may be missing and no disruption budget can help: a drain evicts all of them that run on its node at once. Make `quorum` smaller or `replicas` larger, or say `disruptionBudget: None`"
        )
    } else if counts_without_being_ready(leaf) {
        format!(
            "{name} has a readiness probe or gates, and its replicas count without being Ready (`ready: Running`), so that no disruption budget can help: Kubernetes would count fewer of them, and a drain evicts all that run on its node at once. Make it `ready: Ready`, or say `disruptionBudget: None`"
        )
    } else {
        return None;
    };
    Some((WarningReason::NoReplicaToSpare, message))
}

fn probed(leaf: &Leaf<'_>) -> Option<Found> {
    let containers = leaf.settings.template.0.pointer("/spec/containers")?;
    let mut containers = containers.as_array()?.iter();
    let probed = containers.find(|container| container.get("livenessProbe").is_some())?;
    let name = probed.get("name")?.as_str()?;
    (leaf.settings.restart == Restart::Transient).then(|| {
        (
            WarningReason::LivenessLooksClean,
            format!(
                "container {name} has a liveness probe, and the worker is Transient: a program that exits with 0 when the kubelet stops it for a failed probe looks as if it had finished, and is not started again. Have it exit with another code when it is told to stop, or make the worker Permanent"
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::v1alpha1::SupervisionTreeSpec;

    fn warnings(spec: &str) -> Vec<WarningStatus> {
        let spec: SupervisionTreeSpec = serde_yaml::from_str(spec).unwrap();
        let stated = |_: NodeId, leaf: &Leaf<'_>| {
            let replicas = leaf.settings.replicas.unwrap_or(1);
            (replicas, leaf.settings.quorum.min(replicas))
        };
        of(
            &Tree::parse("t", &spec).unwrap(),
            &stated,
            spec.rollout.promote,
            &SupervisionTreeStatus::default(),
        )
    }

    fn warned(spec: &str) -> Vec<(String, String)> {
        let all = warnings(spec).into_iter();
        all.map(|warning| (warning.child, warning.reason)).collect()
    }

    fn messages(spec: &str) -> Vec<String> {
        let all = warnings(spec).into_iter();
        all.map(|warning| warning.message).collect()
    }

    fn one(child: &str, reason: &str) -> Vec<(String, String)> {
        vec![(child.to_owned(), reason.to_owned())]
    }

    const POD: &str = "template: {spec: {containers: [{name: app, image: i}]}}";

    #[test]
    fn nothing_is_said_of_a_plain_tree() {
        let spec = format!(
            "children: [{{name: s, supervisor: {{}}}}, {{name: a, parent: s, worker: {{{POD}}}}}, {{name: b, worker: {{restart: Transient, {POD}}}}}]"
        );
        assert_eq!(warned(&spec), []);
    }

    #[test]
    fn a_transient_supervisor_stays_down_after_giving_up() {
        let spec = "children: [{name: s, supervisor: {restart: Transient}}]";
        assert_eq!(warned(spec), one("s", "GiveUpIsFinal"));
        let retries = "children: [{name: s, supervisor: {restart: Transient, onGiveUp: Retry}}]";
        assert_eq!(warned(retries), []);
    }

    #[test]
    fn a_permanent_supervisor_that_shuts_itself_down_is_started_again() {
        let spec = "children: [{name: s, supervisor: {autoShutdown: AnySignificant}}]";
        assert_eq!(warned(spec), one("s", "ShutDownLoops"));
        assert_eq!(
            warned("autoShutdown: AnySignificant"),
            [],
            "nobody starts the root again"
        );
    }

    #[test]
    fn a_liveness_probe_makes_an_end_look_clean() {
        let pod = "template: {spec: {containers: [{name: app, image: i, livenessProbe: {}}]}}";
        let spec =
            |restart| format!("children: [{{name: a, worker: {{restart: {restart}, {pod}}}}}]");
        assert_eq!(warned(&spec("Transient")), one("a", "LivenessLooksClean"));
        assert_eq!(warned(&spec("Permanent")), []);
    }

    #[test]
    fn a_quorum_of_all_leaves_nothing_to_evict() {
        let spec = |settings| format!("children: [{{name: a, worker: {{{settings}, {POD}}}}}]");
        let all = spec("replicas: 2, quorum: 2");
        assert_eq!(warned(&all), one("a", "NoReplicaToSpare"));
        let said = messages(&all).remove(0);
        assert!(said.contains("2 replicas and a quorum of 2"), "{said}");
        assert_eq!(
            warned(&spec("replicas: 2, quorum: 3")),
            one("a", "NoReplicaToSpare")
        );
        for fine in [
            "replicas: 3, quorum: 2",
            "replicas: 1",
            "replicas: 0",
            "replicas: 2, quorum: 2, disruptionBudget: None",
            "replicas: 2, quorum: 2, restart: Transient, ready: Completed",
        ] {
            assert_eq!(warned(&spec(fine)), [], "{fine}");
        }
    }

    #[test]
    fn a_disruption_budget_that_would_count_otherwise_than_the_worker_cannot_help() {
        let with = |settings: &str, probe: &str| {
            let pod =
                format!("template: {{spec: {{containers: [{{name: app, image: i{probe}}}]}}}}");
            format!("children: [{{name: a, worker: {{{settings}, {pod}}}}}]")
        };
        let probe = ", readinessProbe: {}";
        let running = "replicas: 3, quorum: 2, ready: Running";
        let told = with(running, probe);
        assert_eq!(warned(&told), one("a", "NoReplicaToSpare"));
        let said = messages(&told).remove(0);
        assert!(said.contains("Make it `ready: Ready`"), "{said}");
        for (settings, probe) in [
            (running.to_owned(), ""),
            (running.replace("Running", "Ready"), probe),
            (running.replace("3, quorum: 2", "1"), probe),
            (format!("{running}, disruptionBudget: None"), probe),
        ] {
            assert_eq!(warned(&with(&settings, probe)), [], "{settings}");
        }
    }

    #[test]
    fn a_window_that_one_worker_cannot_fill_is_told_with_its_numbers() {
        let spec = |strategy, period| {
            format!(
                "intensity: {{maxRestarts: 3, periodSeconds: {period}}}\nchildren: [{{name: s, supervisor: {{strategy: {strategy}, intensity: {{maxRestarts: 10, periodSeconds: 600}}}}}}, {{name: a, parent: s, worker: {{{POD}}}}}]"
            )
        };
        // Ten restarts of `a` take 151 s of delays and eleven lives of a second; three restarts of `s` 3 s of delays. Where the
        // kubelet restarts in place, too, the ten take 0, 1, 0, 4, 0, 10, 20, 30, 0 and 10 s.
        let all = [
            ("OneForAll", 3 + 3 * (151 + 11)),
            ("OneForOne", 3 + 3 * (75 + 11)),
        ];
        for (strategy, needed) in all {
            assert_eq!(warned(&spec(strategy, needed)), []);
            let short = spec(strategy, needed - 1);
            assert_eq!(warned(&short), one("(root)", "IntensityUnreachable"));
            let said = messages(&short).remove(0);
            assert!(said.contains("one worker"), "{said}");
            let fix = format!("`periodSeconds` at least {needed},");
            assert!(said.contains(&fix), "{said}");
            assert!(said.len() < 512, "nothing of it is cut");
        }
    }

    #[test]
    fn what_is_not_shown_is_counted() {
        let children = |count| {
            let one = |number| format!("{{name: s{number}, supervisor: {{restart: Transient}}}}");
            let all: Vec<String> = (0..count).map(one).collect();
            format!("children: [{}]", all.join(", "))
        };
        let said = messages(&children(16));
        assert!(said.iter().all(|message| !message.contains("more warning")));
        let said = messages(&children(19));
        let (last, before) = said.split_last().unwrap();
        assert_eq!(before.len(), 15);
        assert!(
            before
                .iter()
                .all(|message| !message.contains("more warning"))
        );
        assert!(last.ends_with(" (and 3 more warnings)"), "{last}");
        assert!(last.starts_with("s15 is Transient") && last.len() <= 512);
    }

    #[test]
    fn only_delays_and_lives_of_one_worker_count() {
        let spec = |period| {
            format!(
                "intensity: {{maxRestarts: 10, periodSeconds: {period}}}\nbackoff: {{initialSeconds: 0}}\nchildren: [{{name: a, worker: {{{POD}}}}}, {{name: b, worker: {{{POD}}}}}]"
            )
        };
        assert_eq!(warned(&spec(9)), one("(root)", "IntensityUnreachable"));
        assert_eq!(warned(&spec(10)), []);
    }

    #[test]
    fn a_supervisor_that_shuts_itself_down_ends_as_fast_as_its_child() {
        let spec = |shut_down| {
            format!(
                "intensity: {{maxRestarts: 3, periodSeconds: 300}}\nchildren: [{{name: s, supervisor: {{autoShutdown: {shut_down}, strategy: OneForAll, intensity: {{maxRestarts: 10, periodSeconds: 600}}}}}}, {{name: a, parent: s, worker: {{restart: Transient, significant: {}, {POD}}}}}]",
                shut_down != "Never"
            )
        };
        assert_eq!(
            warned(&spec("Never")),
            one("(root)", "IntensityUnreachable")
        );
        assert_eq!(warned(&spec("AnySignificant")), one("s", "ShutDownLoops"));
    }
}
