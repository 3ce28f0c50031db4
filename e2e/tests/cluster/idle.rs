//! An operator with nothing to do does nothing.
//!
//! Rule: the API server's own audit log is the witness.

use std::time::Duration;

use e2e::current;
use jiff::Timestamp;
use serde_json::Value;

use super::shared;
use super::support::{OPERATOR, Request, SYSTEM, Space, is_current, requests_of};

const SETTLED: Duration = Duration::from_mins(2);
/// How long nothing may happen, unless the environment says `IDLE_SECONDS`.
const IDLE: Duration = Duration::from_mins(2);

/// Three trees at rest: one as it should be, one that gave up for good, and one that waits for what nobody makes.
fn trees() -> String {
    let image = current::workload_image();
    let pod = |more: &str| {
        format!(
            "{{spec: {{containers: [{{name: app, image: {image}{more}}}], terminationGracePeriodSeconds: 1}}}}"
        )
    };
    let (plain, crashing) = (pod(""), pod(", args: [run, exit 1]"));
    let held = pod(", envFrom: [{configMapRef: {name: nowhere}}]");
    format!(
        "
apiVersion: coppice.dev/v1alpha1
kind: SupervisionTree
metadata: {{name: whole}}
spec:
  startup: Ordered
  children:
  - {{name: first, worker: {{replicas: 2, template: {plain}}}}}
  - {{name: inner, supervisor: {{}}}}
  - {{name: second, parent: inner, worker: {{identity: Stable, replicas: 2, template: {plain}}}}}
---
apiVersion: coppice.dev/v1alpha1
kind: SupervisionTree
metadata: {{name: stopped}}
spec:
  intensity: {{maxRestarts: 1, periodSeconds: 300}}
  onGiveUp: Stop
  children:
  - {{name: app, worker: {{ready: Running, template: {crashing}}}}}
---
apiVersion: coppice.dev/v1alpha1
kind: SupervisionTree
metadata: {{name: held}}
spec:
  children:
  - {{name: app, worker: {{template: {held}}}}}
"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_operator_writes_nothing() {
    let space = Space::new(shared().await, "idle").await;
    space.apply(&trees());
    space.until_at_rest("whole", SETTLED).await;
    for name in ["stopped", "held"] {
        let stalled = |tree: &Value| is_current(tree, "Stalled", "True");
        space.until(name, SETTLED, "Stalled", stalled).await;
    }
    let is_proved = |tree: &Value| tree["status"]["revisions"][0]["mark"] == "Good";
    space.until("whole", SETTLED, "proved", is_proved).await;
    // What only reports may come a second later, and the last Pods end meanwhile.
    tokio::time::sleep(Duration::from_secs(10)).await;

    let seconds = std::env::var("IDLE_SECONDS")
        .ok()
        .map(|text| text.parse().expect("IDLE_SECONDS is a number"));
    let idle = seconds.map_or(IDLE, Duration::from_secs);
    let begun = Timestamp::now();
    tokio::time::sleep(idle).await;
    let requests = requests_of(space.cluster, OPERATOR);
    assert!(
        requests.iter().any(Request::is_write),
        "the audit log shows nothing of the operator at all"
    );

    // Other tests keep the operator busy in namespaces of their own.
    let ours = |request: &&Request| {
        let namespace = request.namespace.as_str();
        request.at >= begun
            && (namespace == space.name || namespace == SYSTEM || namespace.is_empty())
    };
    let (leases, writes): (Vec<&Request>, Vec<&Request>) = requests
        .iter()
        .filter(ours)
        .filter(|request| request.is_write())
        .partition(|request| request.resource == "leases" && request.verb != "create");
    println!(
        "idle for {} s: {} writes, {} Lease renewals",
        idle.as_secs(),
        writes.len(),
        leases.len()
    );
    assert!(writes.is_empty(), "{writes:#?}");
}
