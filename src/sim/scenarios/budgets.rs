//! Stories of disruption budgets.
//!
//! Rule: in the end each worker has the one that it is to have, whoever meddled with it.

use super::HEALTHY;
use crate::sim::scenario::Scenario;
use crate::sim::scenario::Step::{
    AddBudget, Crash, DeleteBudget, DeleteWorker, EditBudget, RemoveBudget, Scale, Set,
};

/// A worker that can spare a replica, and one that others scale.
const SPARE: &str = "
children:
- {name: a, worker: {replicas: 3, quorum: 2}}
- {name: b, worker: {quorum: 2}}
";

/// Disruption budgets come, go, and are put back.
pub(super) fn budgets() -> Vec<Scenario> {
    vec![
        Scenario::new(
            "replicas_cross_the_quorum",
            SPARE,
            240,
            HEALTHY,
            vec![
                (20, Scale("b", 3)),
                (40, Set("children.a.worker.replicas", "2")),
                (70, Scale("b", 0)),
                (90, Set("children.a.worker.quorum", "1")),
                (120, Scale("b", 4)),
                (140, Set("children.b.worker.quorum", "3")),
            ],
        ),
        Scenario::new(
            "somebody_meddles_with_a_budget",
            SPARE,
            180,
            HEALTHY,
            vec![
                (20, EditBudget("a")),
                (40, DeleteBudget("a")),
                (41, Crash),
                (70, DeleteWorker("a")),
            ],
        ),
        Scenario::new(
            "another_budget_comes_and_goes",
            SPARE,
            260,
            HEALTHY,
            vec![
                (20, AddBudget("theirs", "a")),
                (40, AddBudget("t-b", "nobody")),
                (50, Scale("b", 3)),
                (70, RemoveBudget("theirs")),
                (90, RemoveBudget("t-b")),
                (160, AddBudget("theirs", "b")),
            ],
        ),
        Scenario::new(
            "a_worker_without_a_budget",
            SPARE,
            180,
            HEALTHY,
            vec![
                (20, Set("children.a.worker.disruptionBudget", "None")),
                (40, Set("children.a.worker.disruptionBudget", "Auto")),
                (60, Set("children.a.enabled", "false")),
                (80, Set("children.a.enabled", "true")),
                (100, Set("suspend", "true")),
                (120, Set("suspend", "false")),
            ],
        ),
    ]
}
