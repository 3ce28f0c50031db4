//! How many Pods of a worker were Ready, and how many lived, at every moment that a watch told of.
//!
//! Rule: the Pods' own stories are judged, not what the operator says of them.
#![allow(unreachable_pub, reason = "several test programs include this file")]

use std::collections::BTreeMap;

use serde_json::Value;

use crate::record::Seen;

/// The fewest Pods of a child that were Ready at once, and the most that nobody had asked to stop, from the moment on
/// when all its `replicas` were up.
pub fn extremes(seen: &[Seen], child: &str, replicas: usize) -> (usize, usize) {
    let mut pods: BTreeMap<&str, &Value> = BTreeMap::new();
    let (mut up, mut live, mut is_complete) = (usize::MAX, 0, false);
    for entry in seen {
        match entry {
            Seen::Object(pod) => drop(pods.insert(uid(pod), pod)),
            Seen::Gone(pod) => drop(pods.remove(uid(pod))),
        }
        let lives = |pod: &&&Value| {
            pod["metadata"]["labels"]["coppice.dev/child"] == child
                && pod["metadata"]["deletionTimestamp"].is_null()
        };
        let all: Vec<_> = pods.values().filter(lives).collect();
        let ready = all.iter().filter(|pod| is_ready(pod)).count();
        is_complete |= ready == replicas;
        if is_complete {
            up = up.min(ready);
            live = live.max(all.len());
        }
    }
    (up, live)
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|one| one["type"] == "Ready" && one["status"] == "True")
}

fn uid(pod: &Value) -> &str {
    pod["metadata"]["uid"].as_str().unwrap_or_default()
}
