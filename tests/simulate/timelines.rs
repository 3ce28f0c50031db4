//! Whole timelines, as they are printed.
//!
//! Rule: each shows one thing, on a tree that people have.

use std::{env, fs};

use super::{ONE, printed, root, rows};

#[track_caller]
fn compare(name: &str, words: &str) {
    let file = root().join(format!("tests/simulate/timelines/{name}.txt"));
    let now = format!("$ coppice simulate {words}\n{}", printed(words, ""));
    if env::var_os("UPDATE").is_some() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, &now).unwrap();
    }
    let expected = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        now == expected,
        "{} differs from what is printed now:\n{now}",
        file.display()
    );
}

#[test]
fn one_for_one_restarts_what_died() {
    compare(
        "one-for-one",
        "-f manifests/samples/nested-shop.yaml --fault api=OomKilled --fault db=exit:1@30s",
    );
}

#[test]
fn one_for_all_restarts_the_group() {
    compare(
        "one-for-all",
        "-f manifests/samples/group.yaml --fault producer=exit:1",
    );
}

#[test]
fn the_readme_shows_what_is_printed() {
    let words = "-f manifests/samples/group.yaml --fault producer=exit:1";
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    assert!(readme.contains(&format!("cargo run -- simulate {words}\n")));
    assert!(
        readme.contains(&printed(words, "")),
        "the timeline in README.md is stale"
    );
}

#[test]
fn rest_for_one_restarts_what_comes_after() {
    compare(
        "rest-for-one",
        "-f manifests/samples/migration.yaml --fault db=OomKilled --fault api/1=signal:9@30s",
    );
}

#[test]
fn a_crash_loop_escalates_until_the_root_gives_it_up() {
    compare(
        "escalation",
        "-f manifests/samples/escalation.yaml --crash-loop blade",
    );
}

#[test]
fn a_lost_node_a_hold_and_a_wait_are_not_charged() {
    compare(
        "uncharged",
        "-f manifests/samples/stateful.yaml -f manifests/samples/one-worker.yaml --fault store/1=NodeUnreachable \
         --fault web=ImageNotFound --fault web/1=InsufficientMemory",
    );
}

#[test]
fn the_same_plan_gives_the_same_timeline() {
    let words =
        "-f manifests/samples/escalation.yaml --crash-loop sensor --fault feed=NodeUnreachable@1m";
    assert_eq!(printed(words, ""), printed(words, ""));
}

#[test]
fn json_is_an_array_of_events_with_the_documented_fields() {
    let rows = rows("-f - --fault app=exit:3@10s", ONE);
    for row in &rows {
        let fields: Vec<&String> = row.as_object().unwrap().keys().collect();
        assert_eq!(
            fields,
            ["at", "charges", "event", "next", "subject", "tree", "why"]
        );
        assert_eq!(row["tree"], "one");
        assert!(row["at"].is_u64());
    }
    let died: Vec<_> = rows.iter().filter(|row| row["event"] == "died").collect();
    assert_eq!(died.len(), 1);
    assert_eq!(died[0]["at"], 10);
    assert_eq!(died[0]["subject"], "app/0");
    assert_eq!(died[0]["charges"], "1/3 in 300s at (root)");
    assert_eq!(
        died[0]["why"],
        "AppExitedNonZero: container main ended with exit code 3 after 9 s"
    );
    assert_eq!(rows.last().unwrap()["event"], "end");
}

#[test]
fn several_files_trees_and_documents_are_simulated_one_after_another_and_other_kinds_skipped() {
    let input = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c}}\n---\n{ONE}\n---\n{}\n---\n---\n\
         apiVersion: v1\nkind: List\nitems: [{{apiVersion: example.com/v1, kind: SupervisionTree}}]\n",
        ONE.replace("name: one", "name: two")
    );
    let rows = rows(
        "-f manifests/samples/one-worker.yaml -f - --fault app=exit:1",
        &input,
    );
    let mut trees: Vec<&str> = rows
        .iter()
        .map(|row| row["tree"].as_str().unwrap())
        .collect();
    trees.dedup();
    assert_eq!(trees, ["hello", "one", "two"]);
    let died = rows.iter().filter(|row| row["event"] == "died");
    let died: Vec<_> = died.map(|row| row["tree"].as_str().unwrap()).collect();
    assert_eq!(died, ["one", "two"], "in every tree that has such a child");
}

#[test]
fn it_goes_on_for_as_long_as_it_is_asked_to() {
    let rows = rows("-f - --crash-loop app --for 10s", ONE);
    assert_eq!(rows.last().unwrap()["at"], 10);
    let longer = super::rows("-f - --crash-loop app --for 2h", ONE);
    assert_eq!(longer.last().unwrap()["at"], 7200);
}

#[test]
fn two_faults_of_one_replica_befall_two_lives() {
    let rows = rows("-f - --fault app=exit:1 --fault app=exit:2", ONE);
    let died = rows.iter().filter(|row| row["event"] == "died");
    let charges: Vec<_> = died.map(|row| row["charges"].as_str().unwrap()).collect();
    assert_eq!(charges, ["1/3 in 300s at (root)", "2/3 in 300s at (root)"]);
}

#[test]
fn a_fault_that_finds_nothing_running_is_told() {
    let rows = rows("-f - --fault app=ImageNotFound --fault app=exit:1@5s", ONE);
    let left = rows.iter().find(|row| row["event"] == "not befallen");
    let left = left.unwrap();
    assert_eq!(left["subject"], "app");
    assert!(left["why"].as_str().unwrap().starts_with("app=exit:1@5s"));
}
