//! A changed template on real Pods: how many are up and how many live, at every moment that a watch tells of.
//!
//! Rule: the bounds are judged by the Pods' own stories, not by what the operator says of them.

use std::collections::BTreeMap;
use std::time::Duration;

use e2e::current;

use super::bounds::extremes;
use super::record::Record;
use super::shared;
use super::support::Space;

const SOON: Duration = Duration::from_mins(3);

/// A tree of three workers: one updated by default, one without surge, and below a group one with a fixed name.
fn tree(version: &str) -> String {
    let image = current::workload_image();
    let template = format!(
        "template: {{spec: {{terminationGracePeriodSeconds: 1, containers: [{{name: app, image: {image}, env: [{{name: VERSION, value: \"{version}\"}}]}}]}}}}"
    );
    let unchanged = template.replace(version, "same");
    format!(
        "
apiVersion: coppice.dev/v1alpha1
kind: SupervisionTree
metadata: {{name: tree}}
spec:
  children:
  - {{name: web, worker: {{replicas: 4, quorum: 2, {template}}}}}
  - {{name: api, worker: {{replicas: 4, quorum: 2, update: {{maxSurge: 0, maxUnavailable: 50%}}, {template}}}}}
  - {{name: group, supervisor: {{strategy: RestForOne}}}}
  - {{name: first, parent: group, worker: {{{unchanged}}}}}
  - {{name: db, parent: group, worker: {{identity: Stable, {template}}}}}
  - {{name: last, parent: group, worker: {{{unchanged}}}}}
"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_keeps_its_bounds_at_every_moment() {
    let cluster = shared().await;
    let space = Space::new(cluster, "update").await;
    space.apply(&tree("one"));
    space.until_at_rest("tree", SOON).await;
    let mut before = BTreeMap::new();
    for child in ["web", "api", "first", "db", "last"] {
        before.insert(child, uids(&space, child).await);
    }
    let record = Record::of_pods(cluster, &space.name);
    record.until_begun().await;

    space.apply(&tree("two"));
    let tree = space.until_at_rest("tree", SOON).await;
    assert_eq!(tree["status"]["restarts"].as_u64().unwrap_or(0), 0);
    for (child, old) in &before {
        let new = uids(&space, child).await;
        assert_eq!(new.len(), old.len(), "{child}");
        let kept = new.iter().filter(|uid| old.contains(uid)).count();
        // What comes after the member that cannot be missing is restarted with it, and what comes before is not.
        let expected = if *child == "first" { old.len() } else { 0 };
        assert_eq!(kept, expected, "{child}");
    }
    let seen = record.so_far();
    assert_eq!(extremes(&seen, "web", 4), (4, 5));
    let (up, live) = extremes(&seen, "api", 4);
    assert!(up >= 2 && live == 4, "{up} up, {live} live");
}

/// The UIDs of the Pods of a child that nobody has asked to stop.
async fn uids(space: &Space<'_>, child: &str) -> Vec<String> {
    let pods = space.pods_of("tree", child).await;
    let live = pods
        .iter()
        .filter(|pod| pod.metadata.deletion_timestamp.is_none());
    live.filter_map(|pod| pod.metadata.uid.clone()).collect()
}
