//! A tree as a `SupervisionTree` in OTP's profile: one replica, one child after another, no retry of a first start, no
//! delay.
//!
//! Rule: what is not said here has its default.

use serde_json::{Value, json};

use crate::api::v1alpha1::SupervisionTreeSpec;

use super::history::{
    AutoShutdown, Child, Flags, Kind, ROOT, Reason, Restart, Strategy, Supervisor,
};

/// The spec of a tree.
pub(super) fn spec(tree: &Supervisor) -> SupervisionTreeSpec {
    let mut children = Vec::new();
    // In this order, each supervisor is declared before its children.
    tree.walk(ROOT, &mut |parent, c| children.push(child(parent, c)));
    let mut spec = settings(&tree.flags);
    // In OTP nobody starts a root again that gave up: it stays down.
    spec["onGiveUp"] = json!("Stop");
    // A release that fails stays installed, until somebody says otherwise.
    spec["rollout"] = json!({"onFailure": "None", "order": "Parallel"});
    spec["children"] = Value::Array(children);
    serde_json::from_value(spec).expect("a tree of a history is a legal one")
}

/// The exit code of a program that ends so. All clean ones are one to a supervisor.
pub(super) fn exit_code(reason: Reason) -> i32 {
    match reason {
        Reason::Normal => 0,
        Reason::Shutdown => 10,
        Reason::ShutdownWith => 11,
        Reason::Error => 1,
        // Not 137: a signal whose sender nobody knows is judged a moment later, and here everything is known.
        Reason::Killed => 9,
    }
}

fn child(parent: &str, child: &Child) -> Value {
    let mut node = json!({"name": child.name, "enabled": child.enabled});
    if parent != ROOT {
        node["parent"] = json!(parent);
    }
    let restart = match child.restart {
        Restart::Permanent => "Permanent",
        Restart::Transient => "Transient",
        Restart::Temporary => "Temporary",
    };
    match &child.kind {
        Kind::Supervisor(supervisor) => {
            node["supervisor"] = settings(&supervisor.flags);
            node["supervisor"]["restart"] = json!(restart);
            node["supervisor"]["significant"] = json!(child.significant);
        }
        Kind::Worker(_) => {
            // Difference 8 (two tiers): the kubelet makes the first restart under OneForOne, in place and before we know,
            // unless there are other clean exit codes than 0.
            let clean = [Reason::Normal, Reason::Shutdown, Reason::ShutdownWith].map(exit_code);
            node["worker"] = json!({
                "replicas": 1,
                "restart": restart,
                "significant": child.significant,
                "cleanExitCodes": clean,
                "template": {"spec": {"containers": [{"name": "app", "image": "app:1"}]}},
            });
        }
    }
    node
}

fn settings(flags: &Flags) -> Value {
    let strategy = match flags.strategy {
        Strategy::OneForOne => "OneForOne",
        Strategy::OneForAll => "OneForAll",
        Strategy::RestForOne => "RestForOne",
    };
    let auto_shutdown = match flags.auto_shutdown {
        AutoShutdown::Never => "Never",
        AutoShutdown::AnySignificant => "AnySignificant",
        AutoShutdown::AllSignificant => "AllSignificant",
    };
    json!({
        "strategy": strategy,
        "intensity": {"maxRestarts": flags.intensity, "periodSeconds": flags.period},
        "startup": "Ordered",
        "onStartFailure": "Fail",
        "backoff": {"initialSeconds": 0, "maxSeconds": 0},
        "autoShutdown": auto_shutdown,
    })
}
