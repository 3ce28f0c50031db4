//! Groups of real Pods: what is stopped and started again when a member ends, in which order, and what that costs.
//!
//! Rule: order is read off the Pods' own records, in the order in which the API server stored them: when they were made,
//! became Ready, were told to stop, and ended.

use std::collections::BTreeMap;
use std::time::Duration;

use e2e::current;
use kube::ResourceExt;
use serde_json::Value;

use super::record::{Record, Seen};
use super::support::{Space, is_current};
use super::{MEASURING, shared};

const WITHIN: Duration = Duration::from_mins(3);
/// Twenty Pods that start and stop one after the other.
const LONG: Duration = Duration::from_mins(6);

/// A worker whose program needs a second to stop, so that others could be stopped beside it by mistake.
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

/// The life of one Pod, as it told it itself. Each number is the place of what was seen among all that was seen.
#[derive(Clone, Debug)]
struct Life {
    child: String,
    created: usize,
    ready: Option<usize>,
    /// When somebody asked for it to stop.
    stopped: Option<usize>,
    /// When its program ended.
    ended: Option<usize>,
}

impl Life {
    fn begun(pod: &Value, place: usize) -> Self {
        let child = pod["metadata"]["labels"]["coppice.dev/child"].as_str();
        Self {
            child: child.unwrap_or_default().to_owned(),
            created: place,
            ready: None,
            stopped: None,
            ended: None,
        }
    }

    fn note(&mut self, pod: &Value, is_gone: bool, place: usize) {
        let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
        let mut ready = conditions.filter(|one| one["type"] == "Ready" && one["status"] == "True");
        let state = &pod["status"]["containerStatuses"][0]["state"];
        let has_ended = is_gone || !state["terminated"].is_null();
        let note = |time: &mut Option<usize>, has_happened: bool| {
            if has_happened {
                time.get_or_insert(place);
            }
        };
        note(&mut self.ready, ready.next().is_some());
        note(
            &mut self.stopped,
            !pod["metadata"]["deletionTimestamp"].is_null(),
        );
        note(&mut self.ended, has_ended);
    }
}

/// The lives of all Pods that were seen, by UID.
fn lives(record: &Record) -> BTreeMap<String, Life> {
    let mut lives: BTreeMap<String, Life> = BTreeMap::new();
    for (place, seen) in record.so_far().into_iter().enumerate() {
        let is_gone = matches!(seen, Seen::Gone(_));
        let (Seen::Object(pod) | Seen::Gone(pod)) = seen;
        let uid = pod["metadata"]["uid"].as_str().unwrap_or_default();
        let life = lives
            .entry(uid.to_owned())
            .or_insert_with(|| Life::begun(&pod, place));
        life.note(&pod, is_gone, place);
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
            earlier.stopped.expect("it was told to stop") > later.ended.expect("it ended"),
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
        last.is_none_or(|last| first > last),
        "all have ended before the first starts: {children:#?}"
    );
    for pair in group.windows(2) {
        let (earlier, later) = (life(pair[0], 1), life(pair[1], 1));
        assert!(
            later.created > earlier.ready.expect("it became Ready"),
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
    for supervisor in ["web", "api"] {
        let records = tree["status"]["supervisors"]
            .as_array()
            .into_iter()
            .flatten();
        let mut own = records.filter(|one| one["name"] == supervisor);
        assert!(own.all(|one| one["incarnation"] == 2), "{tree:#}");
        let events = space.kubectl(&["get", "events", "-o", "jsonpath={.items[*].message}"]);
        assert!(
            events.contains(&format!("{supervisor} gives up")),
            "{events}"
        );
    }
    assert_restarted(&record, &["db", "ui", "v1"], "v1");
    let children = by_child(&record);
    let (v2, ui) = (&children["v2"], &children["ui"]);
    assert_eq!(v2.len(), 2, "{children:#?}");
    assert!(
        ui[0].stopped > v2[0].ended && v2[0].ended.is_some(),
        "api stops its children before web does: {children:#?}"
    );
}

/// Who is told to stop by others and exits with 0 has not ended as its type allows.
#[tokio::test(flavor = "multi_thread")]
async fn what_others_delete_has_not_finished_however_politely_it_exits() {
    let space = Space::new(shared().await, "polite").await;
    let record = Record::of_pods(space.cluster, &space.name);
    let transient = "worker: {restart: Transient, ";
    space.apply(&tree("OneForAll", &["a", "b"]).replace("worker: {", transient));
    space.until_at_rest("tree", WITHIN).await;
    let name = space.pods_of("tree", "b").await[0].name_any();
    space.kubectl(&["delete", "pod", &name, "--wait=false"]);
    let tree = healed(&space, 1, WITHIN).await;
    assert_eq!(charges(&tree, "(root)"), BTreeMap::new());
    assert_restarted(&record, &["a", "b"], "b");
    assert_eq!(space.pods_of("tree", "b").await.len(), 1);
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
