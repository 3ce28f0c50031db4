//! Planted mistakes: that the simulation finds what it is for.
//!
//! Rule: each must be found by the run that is named with it, and by the predicate that is there for it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::EXTRA;
use crate::sim::kind::Kind;
use crate::sim::plan::{Blow, Mistake, Plan};
use crate::sim::scenarios;

/// Runs a scenario with a planted mistake, and asks whether that predicate is broken.
fn finds(mistake: Mistake, scenario: &str, plan: Plan, predicate: &str) {
    let scenario = scenarios::named(scenario);
    let sound = scenario.run(&plan, EXTRA);
    assert_eq!(
        sound.wrong,
        Vec::<String>::new(),
        "without the mistake nothing is wrong"
    );
    let outcome = scenario.tell(
        &Plan {
            mistake: Some(mistake),
            ..plan
        },
        EXTRA,
    );
    let differs = outcome.state != sound.state;
    let named = format!("{predicate} ");
    let broken = outcome
        .wrong
        .iter()
        .any(|what| what.starts_with(&named) || what.starts_with(&format!("{predicate}:")))
        || predicate == "state" && differs;
    assert!(
        broken,
        "{mistake:?} was not found by {predicate}: {:?}\n{}",
        outcome.wrong, outcome.timeline
    );
}

#[test]
fn planted_act_before_intent_is_found() {
    finds(
        Mistake::ActBeforeIntent,
        "crash_loop_escalates",
        Plan::default(),
        "S10",
    );
}

#[test]
fn planted_missing_uid_precondition_is_found() {
    finds(
        Mistake::NoUidPrecondition,
        "delete_in_background",
        Plan::default(),
        "S2",
    );
}

#[test]
fn planted_belief_in_an_empty_store_is_found() {
    let plan = Plan {
        away: Duration::from_secs(1),
        ..Plan::blow(20, Blow::CrashAfter)
    };
    finds(Mistake::BelieveEmptyStore, "heal_two_exits", plan, "S1");
}

#[test]
fn planted_double_count_of_a_death_is_found() {
    finds(Mistake::CountTwice, "heal_an_exit", Plan::default(), "S4");
}

#[test]
fn planted_loss_of_a_delay_is_found() {
    finds(
        Mistake::ForgetDelay,
        "crash_loop_gives_up_and_retries",
        Plan::default(),
        "S4",
    );
}

#[test]
fn planted_retry_of_what_is_stopped_is_found() {
    let mistake = Mistake::RetryWhatIsStopped;
    finds(mistake, "crash_loop_escalates", Plan::default(), "L2");
}

#[test]
fn planted_haste_about_a_lost_node_is_found() {
    let mistake = Mistake::ForgetPatience;
    finds(mistake, "node_lost_for_good", Plan::default(), "S2");
}

#[test]
fn planted_loss_of_a_count_is_found() {
    let mistake = Mistake::ForgetCount;
    finds(mistake, "heal_an_exit", Plan::default(), "counted");
}

#[test]
fn planted_history_of_another_tree_is_found() {
    let mistake = Mistake::InheritHistory;
    finds(mistake, "delete_and_create_again", Plan::default(), "S9");
}

#[test]
fn planted_overwrite_of_newer_data_is_found() {
    let plan = Plan {
        two: true,
        lag: BTreeMap::from([(Kind::Tree, Duration::from_secs(4))]),
        laggard: Some(1),
        ..Plan::default()
    };
    finds(
        Mistake::OverwriteNewer,
        "edit_of_the_intensity_before_a_death",
        plan,
        "S8",
    );
}

#[test]
fn planted_restart_of_a_group_before_it_is_stored_is_found() {
    let mistake = Mistake::RestartBeforeIntent;
    let scenario = "one_for_all_restarts_all";
    finds(mistake, scenario, Plan::default(), "S10");
}

#[test]
fn planted_start_beside_a_former_incarnation_is_found() {
    let mistake = Mistake::StartBesideFormer;
    let scenario = "group_that_starts_together";
    finds(mistake, scenario, Plan::default(), "S5");
}

#[test]
fn planted_charge_of_an_absorbed_death_is_found() {
    let mistake = Mistake::ChargeAbsorbed;
    let scenario = "one_for_all_a_sibling_dies_in_the_stop";
    finds(mistake, scenario, Plan::default(), "S4");
}

#[test]
fn planted_stop_without_order_is_found() {
    let mistake = Mistake::StopTogether;
    let scenario = "rest_for_one_restarts_the_rest";
    finds(mistake, scenario, Plan::default(), "S5");
}

#[test]
fn planted_start_without_order_is_found() {
    let mistake = Mistake::StartTogether;
    let scenario = "rest_for_one_restarts_the_rest";
    finds(mistake, scenario, Plan::default(), "S5");
}

#[test]
fn planted_loss_of_an_end_is_found() {
    let mistake = Mistake::ForgetEnds;
    let scenario = "ends_in_a_group_disturb_nobody";
    finds(mistake, scenario, Plan::default(), "finished");
}

#[test]
fn planted_repetition_of_an_operation_is_found() {
    let mistake = Mistake::RepeatOperation;
    let scenario = "one_for_all_restarts_all";
    finds(mistake, scenario, Plan::default(), "once");
}

#[test]
fn planted_restart_of_too_many_is_found() {
    let mistake = Mistake::RestartTooMany;
    let scenario = "rest_for_one_restarts_the_rest";
    finds(mistake, scenario, Plan::default(), "once");
}

#[test]
fn planted_new_template_beside_a_canary_is_found() {
    let mistake = Mistake::ForgetCanary;
    finds(mistake, "canary_is_promoted", Plan::default(), "canary");
}

#[test]
fn planted_loss_of_a_worker_on_the_way_back_is_found() {
    let mistake = Mistake::LeaveOneBehind;
    for scenario in ["roll_out_is_taken_back", "in_place_is_taken_back"] {
        finds(mistake, scenario, Plan::default(), "L1");
    }
}

#[test]
fn planted_surge_beyond_its_bound_is_found() {
    let mistake = Mistake::AddTooMany;
    finds(mistake, "roll_out_over_the_tree", Plan::default(), "surge");
}
