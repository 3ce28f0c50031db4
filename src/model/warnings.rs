//! Warnings: settings that are legal, and do something else than most people expect.
//!
//! Rule: a warning says what will happen, with its numbers, and which field to change.

use crate::api::v1alpha1::{AutoShutdown, GiveUp, Intensity, Restart, WarningStatus};

use super::judge::cut;
use super::tree::{Kind, Leaf, NodeId, Policy, Tree};
use super::window::backoff_total;

/// Most warnings that are shown.
const MOST: usize = 16;
/// A Pod takes at least this long from its start to the next, in seconds.
const LIFE_SECONDS: i64 = 1;

/// The warnings about a tree, in its order.
pub(super) fn of(tree: &Tree<'_>) -> Vec<WarningStatus> {
    let all = (0..tree.nodes.len()).flat_map(|id| {
        let found = match &tree.nodes[id].kind {
            Kind::Supervisor(policy) => of_supervisor(tree, id, policy),
            Kind::Worker(leaf) => of_worker(leaf).into_iter().collect(),
        };
        found
            .into_iter()
            .map(move |(reason, message)| WarningStatus {
                child: tree.nodes[id].name.to_owned(),
                reason: reason.to_owned(),
                message: cut(&message, 512),
            })
    });
    all.take(MOST).collect()
}

type Found = (&'static str, String);

fn of_supervisor(tree: &Tree<'_>, id: NodeId, policy: &Policy) -> Vec<Found> {
    let node = &tree.nodes[id];
    let mut found = Vec::new();
    if node.restart != Restart::Permanent && policy.on_give_up == GiveUp::Escalate {
        found.push((
            "GiveUpIsFinal",
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
            "ShutDownLoops",
            format!(
                "{} shuts itself down (`autoShutdown`) and is Permanent, so that its parent starts it again each time, which is charged. Make it `restart: Transient` to have it end",
                node.name
            ),
        ));
    }
    found.extend(unreachable_intensity(tree, id, policy));
    found
}

/// Whether the window is too short for what must happen within it before the supervisor gives up.
fn unreachable_intensity(tree: &Tree<'_>, id: NodeId, policy: &Policy) -> Option<Found> {
    let node = &tree.nodes[id];
    let Intensity {
        max_restarts,
        period_seconds,
    } = policy.intensity;
    let fastest = node
        .children
        .iter()
        .filter_map(|child| seconds_to_death(tree, *child))
        .min()?;
    let needed = backoff_total(&policy.backoff, max_restarts) + i64::from(max_restarts) * fastest;
    (needed > i64::from(period_seconds)).then(|| {
        (
            "IntensityUnreachable",
            format!(
                "{} gives up after more than {max_restarts} restarts within {period_seconds} s, but so many take at least {needed} s (delays of `backoff` included), so that it never does. Make `periodSeconds` longer than {needed}, or `maxRestarts` smaller",
                node.name
            ),
        )
    })
}

/// How long a child takes from its start to a death that is charged to its parent, at least; `None` when it never dies so.
fn seconds_to_death(tree: &Tree<'_>, id: NodeId) -> Option<i64> {
    let node = &tree.nodes[id];
    let policy = match &node.kind {
        Kind::Worker(_) => {
            return (node.restart != Restart::Temporary).then_some(LIFE_SECONDS);
        }
        Kind::Supervisor(policy) => policy,
    };
    let gives_up = policy.on_give_up == GiveUp::Escalate && node.restart == Restart::Permanent;
    let children = node.children.iter();
    let fastest = children
        .filter_map(|child| seconds_to_death(tree, *child))
        .min()?;
    let restarts = policy.intensity.max_restarts;
    gives_up.then(|| backoff_total(&policy.backoff, restarts) + (i64::from(restarts) + 1) * fastest)
}

fn of_worker(leaf: &Leaf<'_>) -> Option<Found> {
    let containers = leaf.settings.template.0.pointer("/spec/containers")?;
    let mut containers = containers.as_array()?.iter();
    let probed = containers.find(|container| container.get("livenessProbe").is_some())?;
    let name = probed.get("name")?.as_str()?;
    (leaf.settings.restart == Restart::Transient).then(|| {
        (
            "LivenessLooksClean",
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

    fn warned(spec: &str) -> Vec<(String, String)> {
        let spec: SupervisionTreeSpec = serde_yaml::from_str(spec).unwrap();
        let tree = Tree::parse("t", &spec).unwrap();
        let all = of(&tree).into_iter();
        all.map(|warning| (warning.child, warning.reason)).collect()
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
    fn a_window_that_cannot_fill_is_told_with_its_numbers() {
        let spec = |period| {
            format!(
                "intensity: {{maxRestarts: 3, periodSeconds: {period}}}\nchildren: [{{name: s, supervisor: {{intensity: {{maxRestarts: 10, periodSeconds: 600}}}}}}, {{name: a, parent: s, worker: {{{POD}}}}}]"
            )
        };
        // Ten restarts of `a` take 151 s of delays and eleven lives of a second; three restarts of `s` 3 s of delays.
        let needed = 3 + 3 * (151 + 11);
        assert_eq!(warned(&spec(needed)), []);
        assert_eq!(
            warned(&spec(needed - 1)),
            one("(root)", "IntensityUnreachable")
        );
        let own = format!(
            "intensity: {{maxRestarts: 10, periodSeconds: 160}}\nchildren: [{{name: a, worker: {{{POD}}}}}]"
        );
        assert_eq!(warned(&own), one("(root)", "IntensityUnreachable"));
    }
}
