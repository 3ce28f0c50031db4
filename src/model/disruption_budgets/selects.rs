//! Whether a disruption budget is about the Pods of a worker.
//!
//! Rule: one that may be about a single Pod is about the worker; which labels its Pods have, its templates say.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use serde_json::Value;

use crate::api::labels;

/// The labels of ours whose value differs from Pod to Pod.
const VARIOUS: [&str; 4] = [
    labels::SLOT,
    labels::POD_INDEX,
    labels::REVISION,
    labels::INCARNATION,
];

/// The labels of the Pods of a worker: those of each template that they have, or are to have.
pub(super) struct PodLabels<'a>(Vec<BTreeMap<&'a str, &'a str>>);

/// What Pods have for a label.
#[derive(Clone, Copy)]
enum Label<'a> {
    Absent,
    Same(&'a str),
    Various,
}

impl<'a> PodLabels<'a> {
    pub(super) fn of(tree: &'a str, child: &'a str, templates: Vec<&'a Value>) -> Self {
        let templates = templates.into_iter();
        Self(
            templates
                .map(|template| {
                    let stated = template
                        .pointer("/metadata/labels")
                        .and_then(Value::as_object);
                    let stated = stated.into_iter().flatten();
                    let stated =
                        stated.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)));
                    let ours = [(labels::TREE, tree), (labels::CHILD, child)];
                    stated.chain(ours).collect()
                })
                .collect(),
        )
    }

    /// Whether a selector selects a Pod with these labels, as far as can be known. One that is absent selects nothing, and
    /// an empty one everything.
    pub(super) fn may_be_selected(&self, selector: Option<&LabelSelector>) -> bool {
        let selects = |selector: &LabelSelector| self.0.iter().any(|pod| selects(selector, pod));
        selector.is_some_and(selects)
    }
}

fn selects(selector: &LabelSelector, pod: &BTreeMap<&str, &str>) -> bool {
    let label = |name: &str| match pod.get(name) {
        _ if VARIOUS.contains(&name) => Label::Various,
        Some(value) => Label::Same(value),
        None => Label::Absent,
    };
    let mut equal = selector.match_labels.iter().flatten();
    let mut others = selector.match_expressions.iter().flatten();
    equal.all(|(name, value)| is_one_of(label(name), std::slice::from_ref(value)))
        && others.all(|requirement| meets(label(&requirement.key), requirement))
}

fn meets(label: Label<'_>, requirement: &LabelSelectorRequirement) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    match (requirement.operator.as_str(), label) {
        ("In", label) => is_one_of(label, values),
        ("NotIn", Label::Same(_)) => !is_one_of(label, values),
        ("NotIn", Label::Absent | Label::Various) => true,
        ("Exists", label) => !matches!(label, Label::Absent),
        ("DoesNotExist", label) => matches!(label, Label::Absent),
        _ => false,
    }
}

fn is_one_of(label: Label<'_>, values: &[String]) -> bool {
    match label {
        Label::Absent => false,
        Label::Same(label) => values.iter().any(|value| value == label),
        Label::Various => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::v1alpha1::SupervisionTreeSpec;
    use crate::model::tree::Tree;

    /// Whether the selector that a text says selects the Pods of the worker `api` of the tree `shop`.
    fn selected(selector: &str) -> bool {
        let spec = "children: [{name: api, worker: {template: {metadata: {labels: {app: shop, tier: front}}, spec: {containers: [{name: app, image: one}]}}}}]";
        let spec: SupervisionTreeSpec = serde_yaml::from_str(spec).unwrap();
        let tree = Tree::parse("shop", &spec).unwrap();
        let (_, leaf) = tree.leaves().next().unwrap();
        let selector: Option<LabelSelector> = serde_yaml::from_str(selector).unwrap();
        PodLabels::of("shop", "api", vec![&leaf.template]).may_be_selected(selector.as_ref())
    }

    #[test]
    fn an_absent_selector_selects_nothing_and_an_empty_one_everything() {
        assert!(!selected("null"));
        assert!(selected("{}"));
    }

    #[test]
    fn labels_of_the_template_and_of_ours_are_selected_by() {
        for selector in [
            "matchLabels: {app: shop}",
            "matchLabels: {app: shop, coppice.dev/tree: shop, coppice.dev/child: api}",
            "matchExpressions: [{key: tier, operator: In, values: [back, front]}]",
            "matchExpressions: [{key: tier, operator: NotIn, values: [back]}, {key: zone, operator: NotIn, values: [a]}]",
            "matchExpressions: [{key: app, operator: Exists}, {key: zone, operator: DoesNotExist}]",
        ] {
            assert!(selected(selector), "{selector}");
        }
        for selector in [
            "matchLabels: {app: other}",
            "matchLabels: {app: shop, zone: a}",
            "matchLabels: {coppice.dev/tree: shop, coppice.dev/child: db}",
            "matchExpressions: [{key: zone, operator: In, values: [a]}]",
            "matchExpressions: [{key: tier, operator: NotIn, values: [front]}]",
            "matchExpressions: [{key: zone, operator: Exists}]",
            "matchExpressions: [{key: app, operator: DoesNotExist}]",
        ] {
            assert!(!selected(selector), "{selector}");
        }
    }

    #[test]
    fn what_selects_a_single_replica_selects_the_worker() {
        assert!(selected("matchLabels: {apps.kubernetes.io/pod-index: '0'}"));
        assert!(selected(
            "matchExpressions: [{key: coppice.dev/slot, operator: NotIn, values: ['0']}]"
        ));
        assert!(!selected(
            "matchExpressions: [{key: coppice.dev/slot, operator: DoesNotExist}]"
        ));
    }
}
