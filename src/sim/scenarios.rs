//! The named stories: what a tree goes through in its life.
//!
//! Rule: each ends in a state that stays, early enough that the last seconds are quiet; steps are far enough apart that
//! an operator that was away for a moment has caught up.

use super::scenario::Scenario;

mod asked;
mod budgets;
mod claims;
mod deaths;
mod edits;
mod ends;
mod escalation;
mod groups;
mod healthy;
mod in_place;
mod operations;
mod rollouts;
mod strangers;
mod types;

/// All is up.
const HEALTHY: &str = "TFF";

/// Two workers, started together.
const PAIR: &str = "
children:
- {name: a, worker: {}}
- {name: b, worker: {replicas: 2}}
";

/// A tree that starts in order, with a supervisor of its own windows below the root.
const SHOP: &str = "
startup: Ordered
children:
- {name: db, worker: {identity: Stable, replicas: 2, quorum: 2}}
- name: web
  supervisor: {startup: Ordered, intensity: {maxRestarts: 2, periodSeconds: 120}}
- {name: api, parent: web, worker: {replicas: 2}}
- {name: ui, parent: web, worker: {}}
";

/// One worker that may die twice in a minute.
const BRITTLE: &str = "
intensity: {maxRestarts: 2, periodSeconds: 60}
children:
- {name: a, worker: {}}
- {name: b, worker: {}}
";

/// Replicas of which each may die once in a long time.
const BRITTLE_SLOTS: &str = "
intensity: {maxRestarts: 1, periodSeconds: 3600}
children:
- {name: a, worker: {}}
- {name: b, worker: {replicas: 3, quorum: 2}}
";

/// All named stories.
pub(super) fn all() -> Vec<Scenario> {
    [plain(), of_strategies()].concat()
}

/// The stories of trees whose children do not depend on each other.
pub(super) fn plain() -> Vec<Scenario> {
    [
        healthy::lives(),
        deaths::healed(),
        deaths::not_healed(),
        edits::scaling(),
        budgets::budgets(),
        claims::claims(),
        claims::claims_of_deleted_trees(),
        edits::edits_of_children(),
        rollouts::rollouts(),
        rollouts::taken_back(),
        rollouts::canaries(),
        rollouts::of_groups(),
        in_place::updates(),
        ends::ends(),
        ends::nodes(),
        strangers::strangers(),
        strangers::operators(),
    ]
    .concat()
}

/// The stories of groups, restart types, exits, and what is asked for by hand.
fn of_strategies() -> Vec<Scenario> {
    [
        groups::deaths(),
        groups::deaths_in_operations(),
        escalation::escalations(),
        types::ends(),
        types::ends_of_supervisors(),
        asked::suspended(),
        asked::restarts(),
        operations::edits(),
    ]
    .concat()
}

/// The story of that name.
pub(super) fn named(name: &str) -> Scenario {
    all()
        .into_iter()
        .find(|scenario| scenario.name == name)
        .expect("there is a scenario of that name")
}
