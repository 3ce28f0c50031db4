//! What single cells of a timeline say: who was charged how much, what follows, and when.
//!
//! Rule: each expectation is what happens in the same timeline, so that no cell can promise something else.

use serde_json::Value;

use super::rows;

/// A tree with these settings of the root and these children; `T` is the template of a worker.
fn tree(root: &str, children: &[&str]) -> String {
    let children: Vec<String> = children
        .iter()
        .map(|child| format!("  - {child}\n"))
        .collect();
    let children = children.concat();
    format!(
        "apiVersion: coppice.dev/v1alpha1\nkind: SupervisionTree\nmetadata: {{name: t}}\nspec:\n  {root}\n  children:\n{children}"
    )
    .replace(": T}", ": {spec: {containers: [{name: c, image: x}]}}}")
}

/// The rows of one event as `at subject charges | next`.
fn told(rows: &[Value], event: &str) -> Vec<String> {
    let rows = rows.iter().filter(|row| row["event"] == event);
    rows.map(|row| {
        let text = |field: &str| row[field].as_str().unwrap().to_owned();
        let (who, charges, next) = (text("subject"), text("charges"), text("next"));
        format!("{} {who} {charges} | {next}", row["at"])
    })
    .collect()
}

fn why(rows: &[Value], event: &str) -> Vec<String> {
    let rows = rows.iter().filter(|row| row["event"] == event);
    rows.map(|row| row["why"].as_str().unwrap().to_owned())
        .collect()
}

const ONE: &str = "{name: a, worker: {replicas: 1, template: T}}";

#[test]
fn a_slot_that_is_parked_says_so_and_when_it_is_tried_again() {
    let three = "{name: a, worker: {replicas: 3, quorum: 2, template: T}}";
    let input = tree(
        "strategy: OneForAll",
        &[three, "{name: b, worker: {replicas: 1, template: T}}"],
    );
    let rows = rows("-f - --crash-loop a/0 --for 2m", &input);
    let parked = told(&rows, "parked");
    assert!(!parked.is_empty(), "{rows:#?}");
    let first = &parked[0];
    let at = first.split(' ').next().unwrap().to_owned();
    let until = first.rsplit(' ').next().unwrap().to_owned();
    assert_eq!(
        *first,
        format!("{at} a/0  | its slot is parked until {until}")
    );
    assert_eq!(
        why(&rows, "parked")[0],
        "4 deaths within 300 s at a/0, which allows 3"
    );
    let died = told(&rows, "died");
    let last = format!("{at} a/0 4/3 in 300s at a/0 | ");
    assert!(died.contains(&last), "{died:#?}");
    let again = told(&rows, "tried again");
    assert_eq!(again[0], format!("{} a/0  | ", seconds(&until)));
    let table = super::printed("-f - --crash-loop a/0 --for 2m", &input);
    assert!(table.contains("(SlotParked)"), "{table}");
}

fn seconds(text: &str) -> i64 {
    coppice::simulate::parse_time(text).unwrap()
}

#[test]
fn of_several_deaths_at_once_each_says_its_own_charge() {
    let children: Vec<String> = (1..=12)
        .map(|n| format!("{{name: w{n}, worker: {{replicas: 1, template: T}}}}"))
        .collect();
    let children: Vec<&str> = children.iter().map(String::as_str).collect();
    let root = "intensity: {maxRestarts: 10, periodSeconds: 5}\n  backoff: {initialSeconds: 0}";
    let faults: Vec<String> = (1..=12)
        .map(|n| format!("--fault w{n}=exit:1@10s"))
        .collect();
    let rows = rows(
        &format!("-f - {} --for 20s", faults.join(" ")),
        &tree(root, &children),
    );
    let died = told(&rows, "died");
    let charged = |n: usize| format!(" w{n}/0 {n}/10 in 5s at (root) |");
    for n in 1..=11 {
        assert!(
            died.iter().any(|row| row.contains(&charged(n))),
            "{n}: {died:#?}"
        );
    }
}

#[test]
fn a_death_that_only_its_slot_pays_for_does_not_show_the_charge_of_its_worker() {
    let three = "{name: a, worker: {replicas: 3, quorum: 2, template: T}}";
    let words = "-f - --fault a/0=exit:1@10s --fault a/1=exit:1@10s";
    let rows = rows(words, &tree("strategy: OneForAll", &[three, ONE_B]));
    let died = told(&rows, "died");
    assert!(
        died[0].starts_with("10 a/0 1/3 in 300s at a/0 |"),
        "{died:#?}"
    );
    assert_eq!(
        died[1],
        "10 a/1 1/3 in 300s at (root) | restarted at once with 1 sibling"
    );
    let end = told(&rows, "end");
    assert!(end[0].contains("restarts left: 2/3"), "{end:?}");
}

const ONE_B: &str = "{name: b, worker: {replicas: 1, template: T}}";

#[test]
fn a_supervisor_that_its_type_leaves_given_up_says_what_would_start_it_again() {
    let s = "{name: s, supervisor: {restart: Temporary, intensity: {maxRestarts: 1, periodSeconds: 300}}}";
    let a = "{name: a, parent: s, worker: {replicas: 1, template: T}}";
    let rows = rows(
        "-f - --crash-loop a --for 5m",
        &tree("strategy: OneForOne", &[s, a]),
    );
    let exited = told(&rows, "exited");
    assert_eq!(exited.len(), 1, "{exited:?}");
    let next = "s none | s stays stopped until `retryAt` or an edit of a template";
    assert!(exited[0].ends_with(next), "{exited:?}");
    assert_eq!(why(&rows, "exited"), ["gave up and has stopped"]);
    assert!(why(&rows, "gives up")[0].contains("2 deaths within 300 s at s, which allows 1"));
}

#[test]
fn a_root_that_could_not_start_says_why_before_what_follows() {
    let root = "onStartFailure: Fail\n  startup: Ordered";
    let rows = rows(
        "-f - --fault b=StartDeadlineExceeded --for 10m",
        &tree(
            root,
            &[
                ONE,
                "{name: b, worker: {replicas: 1, startDeadlineSeconds: 5, template: T}}",
            ],
        ),
    );
    let exited = told(&rows, "exited");
    let next = exited[0].rsplit(" | ").next().unwrap();
    assert!(
        next.starts_with("(root) is stopped and tried again at "),
        "{exited:?}"
    );
    assert!(
        seconds(next.rsplit(' ').next().unwrap()) > 30,
        "the time ends it: {next}"
    );
    let why = &why(&rows, "exited")[0];
    assert!(why.starts_with("could not start: b: "), "{why}");
}

#[test]
fn what_the_kubelet_does_is_not_promised_for_another_time() {
    let backoff = "backoff: {initialSeconds: 20}";
    let crashed = rows("-f - --crash-loop a --for 30s", &tree(backoff, &[ONE]));
    let died = told(&crashed, "died");
    assert!(died[0].ends_with("| restarted at once"), "{died:#?}");
    assert!(died[1].ends_with(" at the latest"), "{died:#?}");
    let hook = rows(
        "-f - --fault a=PostStartHookFailed",
        &tree("strategy: OneForOne", &[ONE]),
    );
    let next = "restarted by the kubelet, after a wait";
    let died = told(&hook, "died");
    assert!(died[0].ends_with(next), "{died:?}");
    let lost = rows(
        "-f - --fault a=ContainerLost",
        &tree("strategy: OneForOne", &[ONE]),
    );
    let died = told(&lost, "died");
    assert!(died[0].ends_with("none | restarted at once"), "{died:?}");
    assert!(
        told(&lost, "starting").len() == 2,
        "the root and one Pod: {lost:#?}"
    );
}

#[test]
fn a_group_that_waits_says_until_when_and_that_it_is_back() {
    let root = "strategy: OneForAll\n  backoff: {initialSeconds: 20}\n  intensity: {maxRestarts: 3, periodSeconds: 300}";
    let words = "-f - --fault a=exit:1@10s --fault a=exit:1@20s";
    let rows = rows(words, &tree(root, &[ONE, ONE_B]));
    let died = told(&rows, "died");
    assert!(
        died[0].ends_with("restarted at once with 1 sibling"),
        "{died:?}"
    );
    let (next, due) = died[1].rsplit_once(" at ").unwrap();
    assert!(next.ends_with("restarted"), "{died:?}");
    let due = due.strip_suffix(" with 1 sibling").unwrap();
    let started = told(&rows, "starting");
    let again = format!("{} a/0  | ", seconds(due));
    assert!(started.contains(&again), "{due}: {started:#?}");
    assert_eq!(told(&rows, "group restarted").len(), 2, "{rows:#?}");
}

#[test]
fn what_runs_again_within_its_second_has_started_after_its_death() {
    let running = "{name: a, worker: {replicas: 1, ready: Running, template: T}}";
    let rows = rows(
        "-f - --fault a=exit:1@6s",
        &tree("strategy: OneForOne", &[running]),
    );
    let of_a: Vec<&str> = rows
        .iter()
        .filter(|row| row["subject"] == "a/0" && row["at"].as_i64() > Some(3))
        .map(|row| row["event"].as_str().unwrap())
        .collect();
    assert_eq!(of_a, ["died", "restarting", "started"]);
}

#[test]
fn a_late_fault_is_told_to_its_end() {
    let rows = rows(
        "-f - --fault a=exit:1@2h",
        &tree("strategy: OneForOne", &[ONE]),
    );
    let end = rows.last().unwrap();
    assert_eq!(end["next"], "nothing more happens by itself");
    assert!(end["why"].as_str().unwrap().starts_with("Ready (AllUp)"));
    assert!((7201..7210).contains(&end["at"].as_i64().unwrap()), "{end}");
}

#[test]
fn a_fault_that_finds_nobody_says_how_it_would() {
    let done =
        "{name: m, worker: {replicas: 1, restart: Transient, ready: Completed, template: T}}";
    let off = "{name: a, enabled: false, worker: {replicas: 1, template: T}}";
    let rows = rows(
        "-f - --fault m=exit:1 --fault a=exit:1",
        &tree("strategy: OneForOne", &[done, off]),
    );
    let told = why(&rows, "not befallen");
    let expected = [
        "m=exit:1 found no such replica, because it had run to completion before: give it a time while it runs, for example m=exit:1@3s",
        "a=exit:1 found no such replica: a is disabled",
    ];
    assert_eq!(told, expected);
    assert_eq!(
        why(&rows, "finished"),
        ["container c ended with exit code 0 after 3 s"]
    );
}
