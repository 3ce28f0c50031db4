//! How far an update may go: how many replicas of a worker may be missing, and how many Pods there may be above them.
//!
//! Rule: read off the spec and the number of replicas; what is left out has the default that its description says.

use serde_json::Value;

use crate::sim::objects::{child_of, lineage, quorum, replicas_of, spec_of};

/// How many Pods a worker may have above its replicas.
pub(super) fn surge(tree: &Value, worker: &Value) -> i64 {
    let Some(child) = spec_of(tree, child_of(worker)) else {
        return 0;
    };
    let replicas = replicas_of(worker);
    // What is to complete is not made twice.
    if replicas == 0 || child["worker"]["ready"] == "Completed" {
        return 0;
    }
    let default = i64::from(!is_stable(child));
    let written = &child["worker"]["update"]["maxSurge"];
    share(written, replicas, 99).unwrap_or(default)
}

/// How many replicas of a worker may be missing because their Pods are replaced. One may be where nothing else would ever let a
/// Pod be replaced beside the others, unless its group is there to be restarted as a whole.
pub(super) fn unavailable(tree: &Value, worker: &Value) -> i64 {
    let Some(child) = spec_of(tree, child_of(worker)) else {
        return 0;
    };
    let replicas = replicas_of(worker);
    let update = &child["worker"]["update"];
    let default = i64::from(is_stable(child));
    let written = share(&update["maxUnavailable"], replicas, 0);
    let mut unavailable = written.unwrap_or(default);
    let is_none = |field: &str| share(&update[field], 1000, 99) == Some(0);
    let has_surge = surge(tree, worker) > 0;
    let may_do_neither = is_none("maxUnavailable") && is_none("maxSurge");
    if !has_surge && !may_do_neither {
        unavailable = unavailable.max(1);
    }
    let spare = replicas - i64::try_from(quorum(tree, worker)).unwrap_or(0);
    unavailable = unavailable.min(spare);
    let above = lineage(tree, child);
    let parent = spec_of(tree, &above[0]).map_or(&tree["spec"], |parent| &parent["supervisor"]);
    let is_alone = matches!(parent["strategy"].as_str(), None | Some("OneForOne"));
    if !has_surge && (is_alone || child["worker"]["restart"] == "Temporary") {
        unavailable = unavailable.max(1);
    }
    unavailable
}

fn is_stable(child: &Value) -> bool {
    child["worker"]["identity"] == "Stable"
}

/// A number, or a part of the replicas to which that many hundredths are added before it is cut; `None` where neither is written.
fn share(written: &Value, replicas: i64, up: i64) -> Option<i64> {
    let part = || {
        let percent = written.as_str()?.strip_suffix('%')?;
        let percent: i64 = percent.parse().ok()?;
        Some((percent * replicas + up) / 100)
    };
    written.as_i64().or_else(part)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parts_are_resolved_up_for_surge_and_down_for_what_may_be_missing() {
        #[rustfmt::skip]
        let table = [
            // Settings, replicas; surge, unavailable.
            (json!({}), 3, 1, 0),
            (json!({"identity": "Stable"}), 3, 0, 1),
            (json!({"update": {"maxSurge": "25%", "maxUnavailable": "25%"}}), 5, 2, 1),
            (json!({"update": {"maxSurge": "25%", "maxUnavailable": "50%"}, "quorum": 4}), 5, 2, 1),
            (json!({"update": {"maxSurge": 0, "maxUnavailable": "10%"}}), 5, 0, 1),
            (json!({"update": {"maxSurge": 0, "maxUnavailable": 0}}), 5, 0, 1),
            (json!({"ready": "Completed", "restart": "Transient"}), 2, 0, 1),
            (json!({"update": {"maxSurge": 2}}), 0, 0, 1),
        ];
        for (settings, replicas, more, missing) in table {
            let tree = json!({"spec": {"children": [{"name": "a", "worker": settings}]}});
            let worker = json!({"metadata": {"labels": {"coppice.dev/child": "a"}},
                "spec": {"replicas": replicas}});
            assert_eq!(surge(&tree, &worker), more, "{settings}");
            assert_eq!(unavailable(&tree, &worker), missing, "{settings}");
        }
        let group = json!({"spec": {"strategy": "OneForAll", "children": [
            {"name": "a", "worker": {"update": {"maxSurge": 0, "maxUnavailable": "0%"}}}]}});
        let worker =
            json!({"metadata": {"labels": {"coppice.dev/child": "a"}}, "spec": {"replicas": 5}});
        assert_eq!(unavailable(&group, &worker), 0);
    }
}
