//! What is remembered of a tree, for how long, and what is not.
//!
//! Rule: no tree inherits from another.

use jiff::Timestamp;
use serde_json::json;

use super::*;

fn refusal(slot: i32) -> Refusal {
    Refusal {
        kind: "Pod",
        child: "c".to_owned(),
        slot: Some(slot),
        at: Timestamp::UNIX_EPOCH,
        code: 403,
        reason: "Forbidden".to_owned(),
        message: "quota".to_owned(),
    }
}

#[test]
fn a_refusal_stays_until_a_stored_decision_knew_it() {
    let memories = Memories::default();
    let tree = ObjectKey::new("ns", "t");
    memories.refused(&tree, refusal(0));
    let known = memories.refusals(&tree);
    memories.refused(&tree, refusal(1));
    memories.dealt_with(&tree, known.len());
    assert_eq!(memories.refusals(&tree), [refusal(1)]);
    memories.forget(&tree);
    assert_eq!(memories.refusals(&tree), []);
}

#[test]
fn no_more_is_left_untold_than_a_tree_shows_and_nothing_twice() {
    let memories = Memories::default();
    let tree = ObjectKey::new("ns", "t");
    let untold = |slots: [i32; 2], restarts| {
        let fault = |slot| {
            let fault = json!({"time": "2026-01-01T00:00:00Z", "child": "c", "slot": slot, "class": "C",
                "verdict": "V", "confidence": "P", "message": "m", "decision": "d"});
            serde_json::from_value(fault).unwrap()
        };
        Untold {
            faults: slots.map(fault).to_vec(),
            restarts,
        }
    };
    for slot in 0..100 {
        let restarts = if slot == 50 { 7 } else { 3 };
        memories.left_untold(&tree, untold([slot, slot + 1], restarts));
    }
    let Untold { faults, restarts } = memories.untold(&tree);
    assert_eq!(restarts, 7, "whoever counted most has counted all");
    let slots: Vec<i32> = faults.iter().map(|fault| fault.slot).collect();
    assert_eq!(slots, (91..=100).collect::<Vec<i32>>());
}

#[test]
fn a_tree_inherits_no_memory_of_its_name() {
    let memories = Memories::default();
    let tree = ObjectKey::new("ns", "t");
    memories.belongs_to(&tree, "old");
    memories.refused(&tree, refusal(0));
    memories.doubt(&tree, Written::Pod, "p");
    assert!(memories.must_count(&tree) && !memories.must_count(&tree));
    memories.belongs_to(&tree, "old");
    assert_eq!(memories.refusals(&tree).len(), 1);
    memories.belongs_to(&tree, "new");
    assert_eq!(memories.refusals(&tree), []);
    assert_eq!(memories.doubts(&tree).len(), 1, "what is in doubt stays so");
    assert!(memories.must_count(&tree));
}

#[test]
fn whoever_writes_all_the_time_has_to_wait() {
    let memories = Memories::default();
    let tree = ObjectKey::new("ns", "t");
    assert!((0..LONGEST_STREAK).all(|_| !memories.wrote(&tree, true)));
    assert!(memories.wrote(&tree, true));
    assert!(!memories.wrote(&tree, false));
    assert!(!memories.wrote(&tree, true));
}

#[tokio::test(start_paused = true)]
async fn a_name_is_waited_for_without_a_word_for_a_while() {
    let memories = Memories::default();
    let tree = ObjectKey::new("ns", "t");
    let start = Instant::now();
    let waits =
        |name, seconds| memories.waits_for(&tree, name, start + Duration::from_secs(seconds));
    assert!(waits("a", 0) && waits("a", 29) && !waits("a", 30));
    assert!(waits("b", 30), "each name by itself");
    assert!(waits("a", 301), "another story");
}

#[tokio::test(start_paused = true)]
async fn reports_are_a_second_apart() {
    let memories = Memories::default();
    let tree = ObjectKey::new("ns", "t");
    let start = Instant::now();
    assert_eq!(memories.may_report(&tree, start), Ok(()));
    memories.reported(&tree, start);
    let due = start + REPORT_INTERVAL;
    assert_eq!(
        memories.may_report(&tree, start + Duration::from_millis(999)),
        Err(due)
    );
    assert_eq!(memories.may_report(&tree, due), Ok(()));
}
