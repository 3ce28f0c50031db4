//! Groups of real Pods: what is stopped and started again when a member ends, in which order, and what that costs.
//!
//! Rule: order is read off the Pods' own records: when they were made, became Ready, were told to stop, and ended.

use std::collections::BTreeMap;
use std::time::Duration;

use e2e::current;
use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::Value;

use super::record::{Record, Seen};
use super::support::{Space, is_current};
use super::{MEASURING, shared};

const WITHIN: Duration = Duration::from_mins(3);
/// Twenty Pods that start and stop one after the other.
const LONG: Duration = Duration::from_mins(6);

/// A worker whose program needs a second to stop, so that the order shows in whole seconds.
fn worker(name: &str, parent: Option<&str>) -> String {
    let image = current::workload_image();
    let parent = parent.map_or_else(String::new, |parent| format!("parent: {parent}, "));
    format!(
        "  - {{name: {name}, {parent}worker: {{template: {{spec: {{terminationGracePeriodSeconds: 10, containers: [{{name: app, image: {image}, args: [run, on-term 1 0], resources: {{limits: {{memory: 48Mi}}}}}}]}}}}}}}}\n"
    )
}

fn tree(strategy: &str, names: &[&str]) -> String {
    let children: String = names.iter().map(|name| worker(name, None)).collect();
    format!(
        "apiVersion: coppice.dev/v1alpha1\nkind: SupervisionTree\nmetadata: {{name: tree}}\nspec:\n  strategy: {strategy}\n  children:\n{children}"
    )
}

/// The life of one Pod, as it told it itself.
#[derive(Clone, Debug)]
struct Life {
    child: String,
    created: Timestamp,
    ready: Option<Timestamp>,
    /// When somebody asked for it to stop.
    stopped: Option<Timestamp>,
    /// When its program ended.
    ended: Option<Timestamp>,
}

impl Life {
    fn of(pod: &Value) -> Self {
        let time = |value: &Value| value.as_str().and_then(|text| text.parse().ok());
        let meta = &pod["metadata"];
        let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
        let ready = conditions
            .into_iter()
            .find(|one| one["type"] == "Ready" && one["status"] == "True");
        let grace = meta["deletionGracePeriodSeconds"].as_i64().unwrap_or(0);
        let ended = &pod["status"]["containerStatuses"][0]["state"]["terminated"]["finishedAt"];
        let until: Option<Timestamp> = time(&meta["deletionTimestamp"]);
        Self {
            child: meta["labels"]["coppice.dev/child"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            created: time(&meta["creationTimestamp"]).expect("every Pod has one"),
            ready: ready.and_then(|one| time(&one["lastTransitionTime"])),
            stopped: until.map(|until| until - jiff::SignedDuration::from_secs(grace)),
            ended: time(ended),
        }
    }

    /// What is known later is added to what was known before.
    fn note(&mut self, later: &Self) {
        self.ready = self.ready.or(later.ready);
        self.stopped = self.stopped.or(later.stopped);
        self.ended = later.ended.or(self.ended);
    }
}

/// The lives of all Pods that were seen, by UID.
fn lives(record: &Record) -> BTreeMap<String, Life> {
    let mut lives: BTreeMap<String, Life> = BTreeMap::new();
    for seen in record.so_far() {
        let (Seen::Object(pod) | Seen::Gone(pod)) = seen;
        let uid = pod["metadata"]["uid"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let life = Life::of(&pod);
        lives
            .entry(uid)
            .and_modify(|known| known.note(&life))
            .or_insert(life);
    }
    lives
}

/// The lives of each child, the earliest first.
fn by_child(record: &Record) -> BTreeMap<String, Vec<Life>> {
    let mut children: BTreeMap<String, Vec<Life>> = BTreeMap::new();
    for life in lives(record).into_values() {
        children.entry(life.child.clone()).or_default().push(life);
    }
    for lives in children.values_mut() {
        lives.sort_by_key(|life| life.created);
    }
    children
}

/// Asserts that these children were stopped in reverse order, each when the one after it had ended, and started again in
/// order when all had ended, each when the one before it was Ready. `victim` ended by itself.
fn assert_restarted(record: &Record, group: &[&str], victim: &str) {
    let children = by_child(record);
    let life = |child: &str, number: usize| {
        let lives = &children[child];
        assert_eq!(
            lives.len(),
            2,
            "{child} was started again once: {children:#?}"
        );
        lives[number].clone()
    };
    let stopped: Vec<&str> = group
        .iter()
        .rev()
        .copied()
        .filter(|child| *child != victim)
        .collect();
    for pair in stopped.windows(2) {
        let (later, earlier) = (life(pair[0], 0), life(pair[1], 0));
        assert!(
            earlier.stopped.expect("it was told to stop") >= later.ended.expect("it ended"),
            "{} was stopped before {} had ended: {children:#?}",
            pair[1],
            pair[0]
        );
    }
    let last = stopped
        .iter()
        .map(|child| life(child, 0).ended)
        .max()
        .flatten();
    let first = life(group[0], 1).created;
    assert!(
        last.is_none_or(|last| first >= last),
        "all have ended before the first starts: {children:#?}"
    );
    for pair in group.windows(2) {
        let (earlier, later) = (life(pair[0], 1), life(pair[1], 1));
        assert!(
            later.created >= earlier.ready.expect("it became Ready"),
            "{} was started before {} was Ready: {children:#?}",
            pair[1],
            pair[0]
        );
    }
}

/// Waits until the tree has counted so many deaths and is Ready and at rest again.
async fn healed(space: &Space<'_>, restarts: u64, within: Duration) -> Value {
    let is_healed = |tree: &Value| {
        tree["status"]["restarts"].as_u64() >= Some(restarts)
            && is_current(tree, "Ready", "True")
            && is_current(tree, "Reconciling", "False")
    };
    let tree = space.until("tree", within, "healed", is_healed).await;
    assert_eq!(tree["status"]["restarts"], restarts, "{tree:#}");
    tree
}

/// The charges of a supervisor, by child.
fn charges(tree: &Value, supervisor: &str) -> BTreeMap<String, usize> {
    let records = tree["status"]["supervisors"]
        .as_array()
        .into_iter()
        .flatten();
    let record = records.into_iter().find(|one| one["name"] == supervisor);
    let charges = record
        .and_then(|one| one["charges"].as_array())
        .into_iter()
        .flatten();
    charges
        .map(|one| {
            let child = one["child"].as_str().unwrap_or_default().to_owned();
            (child, one["times"].as_array().map_or(0, Vec::len))
        })
        .collect()
}

fn once(child: &str) -> BTreeMap<String, usize> {
    BTreeMap::from([(child.to_owned(), 1)])
}

/// The program of a child does that step next.
async fn tell(space: &Space<'_>, child: &str, step: &str) {
    let pods = space.pods_of("tree", child).await;
    let name = pods[0].name_any();
    let words = step.split(' ').collect::<Vec<_>>();
    space.kubectl(&[&["exec", &name, "--", "workload"], &words[..]].concat());
}

const FOUR: [&str; 4] = ["a", "b", "c", "d"];

#[tokio::test(flavor = "multi_thread")]
async fn one_for_one_restarts_the_one_that_exited() {
    let space = Space::new(shared().await, "one-for-one").await;
    let record = Record::of_pods(space.cluster, &space.name);
    space.apply(&tree("OneForOne", &FOUR));
    space.until_at_rest("tree", WITHIN).await;
    tell(&space, "b", "exit 3").await;
    let tree = healed(&space, 1, WITHIN).await;
    assert_eq!(charges(&tree, "(root)"), once("b"));
    assert_eq!(
        tree["status"]["recentFaults"][0]["class"], "AppExitedNonZero",
        "{tree:#}"
    );
    assert_eq!(
        lives(&record).len(),
        4,
        "the kubelet started it again in place"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_for_all_restarts_all_when_one_is_killed() {
    let space = Space::new(shared().await, "one-for-all").await;
    let record = Record::of_pods(space.cluster, &space.name);
    space.apply(&tree("OneForAll", &FOUR));
    space.until_at_rest("tree", WITHIN).await;
    space.kill(&space.pods_of("tree", "b").await[0], "app");
    let tree = healed(&space, 1, WITHIN).await;
    assert_eq!(charges(&tree, "(root)"), once("b"));
    assert_restarted(&record, &FOUR, "b");
}

#[tokio::test(flavor = "multi_thread")]
async fn rest_for_one_restarts_what_comes_after_one_that_took_too_much_memory() {
    let space = Space::new(shared().await, "rest-for-one").await;
    let record = Record::of_pods(space.cluster, &space.name);
    space.apply(&tree("RestForOne", &FOUR));
    space.until_at_rest("tree", WITHIN).await;
    tell(&space, "b", "allocate").await;
    let tree = healed(&space, 1, WITHIN).await;
    assert_eq!(charges(&tree, "(root)"), once("b"));
    assert_eq!(
        tree["status"]["recentFaults"][0]["class"], "OomKilled",
        "{tree:#}"
    );
    assert_restarted(&record, &FOUR[1..], "b");
    assert_eq!(
        by_child(&record)["a"].len(),
        1,
        "what comes before it is not touched"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_members_are_one_restart_and_one_charge() {
    let names: Vec<String> = (0..20).map(|number| format!("m{number:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let space = Space::new(shared().await, "twenty").await;
    let _turn = MEASURING.lock().await;
    let record = Record::of_pods(space.cluster, &space.name);
    space.apply(&tree("OneForAll", &names));
    space.until_at_rest("tree", LONG).await;
    space.kill(&space.pods_of("tree", "m07").await[0], "app");
    let tree = healed(&space, 1, LONG).await;
    assert_eq!(charges(&tree, "(root)"), once("m07"));
    assert_restarted(&record, &names, "m07");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_below_can_mend_goes_up_three_levels() {
    let space = Space::new(shared().await, "three-levels").await;
    let record = Record::of_pods(space.cluster, &space.name);
    let none = "intensity: {maxRestarts: 0}";
    let children = [
        worker("db", None),
        format!("  - {{name: web, supervisor: {{strategy: OneForAll, {none}}}}}\n"),
        worker("ui", Some("web")),
        format!("  - {{name: api, parent: web, supervisor: {{{none}}}}}\n"),
        worker("v1", Some("api")),
        worker("v2", Some("api")),
    ];
    let yaml = tree("OneForAll", &[]) + &children.concat();
    space.apply(&yaml);
    space.until_at_rest("tree", WITHIN).await;
    tell(&space, "v1", "exit 1").await;
    let tree = healed(&space, 1, WITHIN).await;
    assert_eq!(
        charges(&tree, "(root)"),
        once("web"),
        "api gave up, then web: {tree:#}"
    );
    assert_restarted(&record, &["db", "ui", "v1"], "v1");
    assert_eq!(by_child(&record)["v2"].len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_tree_becomes_a_group_without_a_restart() {
    let space = Space::new(shared().await, "becomes-group").await;
    let record = Record::of_pods(space.cluster, &space.name);
    space.apply(&tree("OneForOne", &FOUR));
    space.until_at_rest("tree", WITHIN).await;
    space.apply(&tree("OneForAll", &FOUR));
    let at_rest = space.until_at_rest("tree", WITHIN).await;
    assert_eq!(at_rest["status"]["restarts"].as_u64().unwrap_or(0), 0);
    assert_eq!(
        lives(&record).len(),
        4,
        "an edit of the strategy restarts nobody"
    );
    // Its Pod is still one that the kubelet starts again by itself, which must not come back before its group.
    space.kill(&space.pods_of("tree", "c").await[0], "app");
    let tree = healed(&space, 1, WITHIN).await;
    assert_eq!(charges(&tree, "(root)"), once("c"));
    let children = by_child(&record);
    assert!(
        children.values().all(|lives| lives.len() == 2),
        "{children:#?}"
    );
    assert_restarted(&record, &FOUR, "c");
}
