//! Specs of Pods that are as small as can be, to be changed where the fault is to be.
//!
//! Rule: they do not mind the taints that other tests set, so that tests can be side by side.

use e2e::current;
use serde_json::{Value, json};

pub use super::support::merge;

/// The taints that tests set on nodes for a while, and which are of no concern to the others.
pub const OF_OTHERS: [&str; 2] = ["coppice.test/evicting", "node.kubernetes.io/unschedulable"];

/// The spec of a Pod whose container `app` does what that shell script says.
pub fn script(script: &str) -> Value {
    json!({
        "containers": [{
            "name": "app",
            "image": current::workload_image(),
            "command": ["/bin/sh", "-c", script],
        }],
        "terminationGracePeriodSeconds": 1,
        "automountServiceAccountToken": false,
        "tolerations": OF_OTHERS.map(|key| json!({"key": key, "operator": "Exists"})),
    })
}

/// The spec of a Pod that does nothing, with these fields of the spec changed.
pub fn idle_with(fields: Value) -> Value {
    let mut spec = script("while :; do sleep 1; done");
    merge(&mut spec, fields);
    spec
}

/// The spec of a Pod that does nothing, with these fields of its container `app` changed.
pub fn idle_app_with(fields: Value) -> Value {
    app_with("while :; do sleep 1; done", fields)
}

/// The spec of a Pod that does what that shell script says, with these fields of its container `app` changed.
pub fn app_with(text: &str, fields: Value) -> Value {
    let mut spec = script(text);
    merge(&mut spec["containers"][0], fields);
    spec
}
