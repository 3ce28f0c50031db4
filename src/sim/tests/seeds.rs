//! Random stories, each from a seed.
//!
//! Rule: a seed tells the same story everywhere; a failure prints the seed and the shortest story that shows it.
//! `SIM_SEEDS=from..to` runs others than the usual ones (`make soak`); so does a list of seeds and ranges.

use std::collections::BTreeMap;

use super::check_all;
use crate::sim::plan::Plan;
use crate::sim::story::Story;

/// How many seeds are run when nobody says which.
const SEEDS: std::ops::Range<u64> = 0..20_000;

#[test]
fn seeds_of_random_stories_end_as_they_must() {
    let asked = std::env::var("SIM_SEEDS").ok();
    let seeds: Vec<u64> = asked.map_or_else(|| SEEDS.collect(), |text| parse(&text));
    let good: BTreeMap<&str, String> = Story::good_lives()
        .map(|life| (life.tree, comparable(&life.run(&Plan::default(), 0).state)))
        .collect();
    check_all("seeds, each a random story", &seeds, |seed| {
        let story = Story::of(*seed);
        let Some(wrong) = wrong(&story, &good) else {
            return Ok(());
        };
        let shortest = shorten(story, &good);
        let outcome = shortest.scenario.tell(&shortest.plan, 0);
        Err(format!(
            "seed {seed}\n{}\n\n{}\nin the end:\n{}\n{wrong}",
            shortest.tell(),
            outcome.timeline,
            outcome.state
        ))
    });
}

/// Seeds and ranges of seeds, for example `7,100..200`.
fn parse(text: &str) -> Vec<u64> {
    let number = |text: &str| -> u64 {
        let seed = text.trim().parse();
        seed.expect("SIM_SEEDS has seeds and ranges, such as 7,100..200")
    };
    let ranges = text.split(',').map(|part| match part.split_once("..") {
        Some((from, to)) => number(from)..number(to),
        None => number(part)..number(part) + 1,
    });
    ranges.flatten().collect()
}

/// L4 compares what is so, not how often the spec was edited or what strangers there are; and what has finished by then, as
/// its type allows, is as good as up.
fn comparable(state: &str) -> String {
    let lines = state
        .lines()
        .map(|line| line.split(", generation").next().unwrap_or(line));
    lines
        .filter(|line| !line.contains("strangers"))
        .collect::<Vec<_>>()
        .join("\n")
        .replace("finished", "ready")
}

fn wrong(story: &Story, good: &BTreeMap<&str, String>) -> Option<String> {
    let outcome = story.scenario.run(&story.plan, 0);
    let mut wrong = outcome.wrong;
    let state = comparable(&outcome.state);
    if state != good[story.good] {
        wrong.push(format!(
            "L4: it ends so:\n{state}\nbut the same spec alone leads to:\n{}",
            good[story.good]
        ));
    }
    (!wrong.is_empty()).then(|| wrong.join("\n"))
}

/// The shortest story, of those that are made by leaving things out, in which anything is wrong.
fn shorten(mut story: Story, good: &BTreeMap<&str, String>) -> Story {
    while let Some(shorter) = story
        .shorter()
        .into_iter()
        .find(|shorter| wrong(shorter, good).is_some())
    {
        story = shorter;
    }
    story
}
