//! A scene as a file shows it, for tests of `coppice identify`.
//!
//! Rule: it says what the scene says, and nothing more.

use serde_json::{Value, json};

use super::{Scene, of};
use crate::model::fault::Class;

const STARTED: &str = "2030-01-01T00:00:00Z";
const ENDED: &str = "2030-01-01T00:00:10Z";

/// The evidence of the scene that acts a class out; `None` where it is not acted out, or no file shows it.
pub(crate) fn document(class: Class) -> Option<Value> {
    let pod = |status: Value| {
        json!({"pod": {
            "kind": "Pod",
            "metadata": {"name": "app", "creationTimestamp": STARTED},
            "spec": {"nodeName": "node-a", "containers": [{"name": "main"}]},
            "status": status,
        }})
    };
    let container = |phase: &str, state: Value, last: Value| {
        let status = json!({"name": "main", "restartCount": 0, "state": state, "lastState": last});
        pod(json!({"phase": phase, "containerStatuses": [status]}))
    };
    let end = |code: i32, reason: &str, message: &str| {
        json!({"terminated": {"exitCode": code, "reason": reason, "message": message,
            "startedAt": STARTED, "finishedAt": ENDED}})
    };
    let condition = |type_: &str, status: &str, reason: &str, message: &str| {
        json!([{"type": type_, "status": status, "reason": reason, "message": message,
            "lastTransitionTime": ENDED}])
    };
    let running = || {
        container(
            "Running",
            json!({"running": {"startedAt": STARTED}}),
            json!({}),
        )
    };
    let pending = |conditions: Value| {
        let mut document = pod(json!({"phase": "Pending", "conditions": conditions}));
        document["pod"]["spec"] = json!({});
        document
    };
    let on_silent_node = |taints: Value| {
        let mut document = running();
        let ready = condition("Ready", "Unknown", "NodeStatusUnknown", "");
        document["node"] = json!({"metadata": {"name": "node-a"}, "spec": {"taints": taints},
            "status": {"conditions": ready}});
        document
    };
    Some(match of(class).ok()? {
        Scene::Ends(code, reason, message) => {
            container("Running", end(code, reason, message), json!({}))
        }
        Scene::HookFails => {
            let waiting = json!({"waiting": {"reason": "PostStartHookError"}});
            container("Running", waiting, end(137, "Error", ""))
        }
        Scene::PodFails(reason, message) | Scene::Rejected(reason, message) => {
            pod(json!({"phase": "Failed", "reason": reason, "message": message}))
        }
        Scene::Deleted(announced) => {
            let mut document = running();
            document["pod"]["metadata"]["deletionTimestamp"] = "2030-01-01T01:00:00Z".into();
            let target = announced.map(|by| condition("DisruptionTarget", "True", by, ""));
            document["pod"]["status"]["conditions"] = target.unwrap_or_default();
            document
        }
        Scene::NodeSilent => on_silent_node(json!([])),
        Scene::NodeOff => on_silent_node(json!([{"key": "node.kubernetes.io/out-of-service"}])),
        // The word for a name that is taken is ours; the API server says less.
        Scene::NodeGone | Scene::Hangs | Scene::Refused(_, "NameCollision", _) => return None,
        Scene::Waits(reason, message) => {
            let message = message.replace("{image}", "r.example/x:1");
            let waiting = json!({"waiting": {"reason": reason, "message": message}});
            container("Pending", waiting, json!({}))
        }
        Scene::Unscheduled(reason, message) => {
            pending(condition("PodScheduled", "False", reason, message))
        }
        Scene::Overlooked => pending(json!([])),
        Scene::Refused(code, reason, message) => {
            json!({"createError": {"code": code, "reason": reason, "message": message}})
        }
    })
}
