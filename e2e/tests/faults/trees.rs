//! The trees that tests apply, as YAML, and what simulated nodes do with their Pods.
//!
//! Rule: every Pod here is one of a simulated node; none needs an image.

/// A stage of simulated Pods with the label `fault: OutOfcpu`: their node does not take them.
pub(crate) const REJECTS: &str = r"
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: {name: pod-rejected}
spec:
  weight: 1
  resourceRef: {apiGroup: v1, kind: Pod}
  selector:
    matchLabels: {fault: OutOfcpu}
    matchExpressions:
    - {key: .metadata.deletionTimestamp, operator: DoesNotExist}
    - {key: .status.phase, operator: In, values: [Pending]}
  next:
    statusTemplate: |
      phase: Failed
      reason: OutOfcpu
      message: 'Pod was rejected: Node didn''t have enough resource: cpu, requested: 100, used: 3900, capacity: 4000'
";

/// A tree of these children, as YAML.
pub(crate) fn tree(name: &str, children: &[String]) -> String {
    let children: Vec<String> = children
        .iter()
        .map(|child| format!("  - {child}\n"))
        .collect();
    format!(
        "---\napiVersion: coppice.dev/v1alpha1\nkind: SupervisionTree\nmetadata: {{name: {name}}}\nspec:\n  \
         intensity: {{maxRestarts: 10, periodSeconds: 3600}}\n  children:\n{}",
        children.concat()
    )
}

/// A worker of so many simulated Pods; `more` are fields of it, with a comma at the end.
pub(crate) fn worker(name: &str, replicas: u32, more: &str) -> String {
    labelled(name, replicas, more, "{}")
}

/// A worker whose Pods carry these labels.
pub(crate) fn labelled(name: &str, replicas: u32, more: &str, labels: &str) -> String {
    format!(
        "{{name: {name}, worker: {{replicas: {replicas}, {more} template: {{metadata: {{labels: {labels}}}, spec: {{\
         nodeSelector: {{type: kwok}}, tolerations: [{{key: kwok.x-k8s.io/node, operator: Exists}}], \
         containers: [{{name: app, image: none}}], terminationGracePeriodSeconds: 1}}}}}}}}"
    )
}
