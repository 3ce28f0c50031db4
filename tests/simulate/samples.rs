//! Every sample, alone, with a crash of each worker, and with a crash loop of each worker.
//!
//! Rule: a sample that is added is tried without a word here.

use serde_json::Value;

use super::{printed, rows, samples};

/// The workers of a sample with their replicas.
fn workers(file: &str) -> Vec<String> {
    let tree: Value = serde_yaml::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let children = tree["spec"]["children"].as_array().unwrap();
    let workers = children.iter().filter(|child| child["worker"].is_object());
    workers
        .map(|child| child["name"].as_str().unwrap().to_owned())
        .collect()
}

fn end(rows: &[Value]) -> (String, String) {
    let end = rows.last().unwrap();
    assert_eq!(end["event"], "end");
    let text = |field: &str| end[field].as_str().unwrap().to_owned();
    (text("why"), text("next"))
}

#[test]
fn every_sample_becomes_ready_and_comes_to_rest() {
    for file in samples() {
        let file = file.display().to_string();
        let (why, next) = end(&rows(&format!("-f {file}"), ""));
        assert!(why.starts_with("Ready (AllUp)"), "{file}: {why}");
        assert_eq!(next, "nothing more happens by itself", "{file}");
    }
}

#[test]
fn every_sample_heals_from_a_crash_of_each_worker() {
    for file in samples() {
        let file = file.display().to_string();
        for worker in workers(&file) {
            // What runs to completion is hit while it still runs.
            for at in ["", "@3s"] {
                let words = format!("-f {file} --fault {worker}=exit:1{at}");
                let rows = rows(&words, "");
                let (why, _) = end(&rows);
                assert!(why.starts_with("Ready (AllUp)"), "{words}: {why}");
                let who = format!("{worker}/0");
                let died = |row: &&Value| row["event"] == "died" && row["subject"] == who.as_str();
                let unmet = |row: &&Value| row["event"] == "not befallen";
                let deaths = rows.iter().filter(died).count();
                let unmet = rows.iter().filter(unmet).count();
                assert_eq!(deaths + unmet, 1, "{words}");
                assert!(unmet == 0 || at.is_empty(), "{words}");
            }
        }
    }
}

#[test]
fn every_sample_says_how_a_crash_loop_of_each_worker_escalates() {
    for file in samples() {
        let file = file.display().to_string();
        for worker in workers(&file) {
            let words = format!("-f {file} --crash-loop {worker}");
            let rows = rows(&words, "");
            let (_, next) = end(&rows);
            assert!(next.contains("repeats every"), "{words}: {next}");
            let overflown = rows.iter().filter(|row| row["event"] == "died");
            let deaths = overflown.count();
            assert!((3..1000).contains(&deaths), "{words}: {deaths} deaths");
            let table = printed(&words, "");
            assert!(table.lines().count() < 500, "{words}: too long to be read");
            assert!(table.contains("as before"), "{words}");
        }
    }
}
