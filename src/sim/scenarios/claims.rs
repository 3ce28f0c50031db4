//! Stories of replicas with claims.
//!
//! Rule: what was dropped before and is filled again has all its claims in the end, whoever deleted them meanwhile.

use super::HEALTHY;
use crate::sim::scenario::Scenario;
use crate::sim::scenario::Step::{Delete, DeletePod, Kill, PowerOff, PowerOn, Set};

/// A worker with two claims a replica, that stay.
const KEPT: &str = "
children:
- name: db
  worker:
    identity: Stable
    replicas: 2
    volumeClaimTemplates:
    - {metadata: {name: data}, spec: {accessModes: [ReadWriteOnce]}}
    - {metadata: {name: log}, spec: {accessModes: [ReadWriteOnce]}}
- {name: web, worker: {}}
";

/// The same in a group, with claims that go with their slots and their child.
const DROPPED: &str = "
strategy: OneForAll
children:
- name: db
  worker:
    identity: Stable
    replicas: 2
    persistentVolumeClaimRetentionPolicy: {whenDeleted: Delete, whenScaled: Delete}
    volumeClaimTemplates:
    - {metadata: {name: data}, spec: {accessModes: [ReadWriteOnce]}}
- {name: web, worker: {}}
";

const REPLICAS: &str = "children.db.worker.replicas";
const POLICY: &str = "children.db.worker.persistentVolumeClaimRetentionPolicy";

/// Claims that are made, kept and let go.
pub(super) fn claims() -> Vec<Scenario> {
    vec![
        Scenario::new(
            "claims_outlive_their_pods",
            KEPT,
            200,
            HEALTHY,
            vec![
                (20, Kill("db", 0, 1)),
                (50, DeletePod("db", 1)),
                (
                    80,
                    Set(
                        "children.db.worker.template.spec.containers.app.image",
                        "two",
                    ),
                ),
            ],
        ),
        Scenario::new(
            "claims_of_dropped_slots_stay",
            KEPT,
            200,
            HEALTHY,
            vec![(20, Set(REPLICAS, "0")), (70, Set(REPLICAS, "3"))],
        ),
        Scenario::new(
            "claims_of_dropped_slots_go",
            DROPPED,
            260,
            HEALTHY,
            vec![
                (20, Set(REPLICAS, "1")),
                (70, Set(REPLICAS, "3")),
                (120, Set(REPLICAS, "1")),
                (121, Set(REPLICAS, "2")),
            ],
        ),
        Scenario::new(
            "claims_go_through_a_restart_of_their_group",
            DROPPED,
            200,
            HEALTHY,
            vec![(20, Kill("web", 0, 1)), (24, Set(REPLICAS, "1"))],
        ),
        Scenario::new(
            "claims_of_dropped_slots_go_when_their_group_is_restarted",
            DROPPED,
            200,
            HEALTHY,
            vec![(20, Kill("web", 0, 1)), (20, Set(REPLICAS, "1"))],
        ),
        Scenario::new(
            "claims_of_dropped_slots_go_when_their_tree_is_suspended",
            DROPPED,
            200,
            HEALTHY,
            vec![(20, Set(REPLICAS, "1")), (20, Set("suspend", "true"))],
        ),
        Scenario::new(
            "claims_follow_their_policy",
            DROPPED,
            240,
            HEALTHY,
            vec![
                (20, Set(POLICY, "{whenDeleted: Retain, whenScaled: Retain}")),
                (50, Set(REPLICAS, "1")),
                (90, Set(POLICY, "{whenDeleted: Delete, whenScaled: Delete}")),
                (130, Set(REPLICAS, "2")),
            ],
        ),
        Scenario::new(
            "claims_of_a_lost_node_stay",
            KEPT,
            320,
            HEALTHY,
            vec![(20, PowerOff("node-a")), (150, PowerOn("node-a"))],
        ),
    ]
}

/// Claims of a tree that is deleted.
pub(super) fn claims_of_deleted_trees() -> Vec<Scenario> {
    vec![
        Scenario::new(
            "claims_go_with_their_tree",
            DROPPED,
            120,
            "",
            vec![(20, Delete("Background"))],
        ),
        Scenario::new(
            "claims_outlive_their_tree",
            KEPT,
            120,
            "",
            vec![(20, Delete("Background"))],
        ),
        // The first edit is refused, and with it the second.
        Scenario::new(
            "claims_that_a_refused_spec_retains_outlive_their_tree",
            DROPPED,
            150,
            "",
            vec![
                (20, Set("children.db.worker.quorum", "0")),
                (20, Set(POLICY, "{whenDeleted: Retain}")),
                (50, Delete("Background")),
            ],
        ),
    ]
}
