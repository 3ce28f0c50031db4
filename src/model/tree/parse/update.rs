//! What `update` of a worker may say.
//!
//! Rule: whatever is let through can be carried out, so that no update waits for ever for what its own settings forbid.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::SpecError;
use crate::api::v1alpha1::{
    Identity, NumberOrPercent, Restart, Strategy, UpdateStep, WorkerSettings,
};
use crate::model::tree::{Leaf, Policy};

pub(super) fn check_update(name: &str, settings: &WorkerSettings) -> Result<(), SpecError> {
    let stable = settings.identity == Identity::Stable;
    let update = &settings.update;
    let shares = [
        ("maxUnavailable", &update.max_unavailable, 1),
        ("maxSurge", &update.max_surge, 0),
    ];
    for (field, share, of_stable) in shares {
        let Some(share) = share else { continue };
        let message = if share.rounded_up(1).is_none() {
            format!(
                "`update.{field}` of worker '{name}' must be a number from 0 to 1000, or from '0%' to '100%'"
            )
        } else if stable && share.0 != IntOrString::Int(of_stable) {
            format!(
                "`update.{field}` of worker '{name}' must be {of_stable} with `identity: Stable`: there are never two Pods of one name, and they are replaced one after another"
            )
        } else {
            continue;
        };
        return Err(SpecError::of_child(
            name,
            &format!(".worker.update.{field}"),
            message,
        ));
    }
    check_steps(name, settings)
}

/// A canary goes forward only, and where some Pods can be updated before the others.
fn check_steps(name: &str, settings: &WorkerSettings) -> Result<(), SpecError> {
    let update = &settings.update;
    let refuse = |message: String| Err(SpecError::of_child(name, ".worker.update.steps", message));
    let says = |step: &UpdateStep| {
        let said = [
            step.updated.is_some(),
            step.pause_seconds.is_some(),
            step.pause.is_some(),
        ];
        said.into_iter().filter(|said| *said).count()
    };
    if update.steps.iter().any(|step| says(step) != 1) {
        return refuse(format!(
            "each of the `update.steps` of worker '{name}' must say exactly one of `updated`, `pauseSeconds` and `pause`"
        ));
    }
    let shares = update.steps.iter().filter_map(|step| step.updated.as_ref());
    let is_number = |share: &&NumberOrPercent| matches!(share.0, IntOrString::Int(_));
    let numbers = shares.clone().filter(is_number).count();
    let is_mixed = numbers != 0 && numbers != shares.clone().count();
    // Of a thousand replicas, no part that is more than another one is rounded to the same.
    let mut counts = Vec::new();
    for share in shares {
        let Some(count) = share.rounded_up(1000) else {
            return refuse(format!(
                "`updated` of a step of worker '{name}' must be a number from 1 to 1000, or from '1%' to '100%'"
            ));
        };
        counts.push(count);
    }
    if is_mixed || !counts.is_sorted() || counts.first() == Some(&0) {
        return refuse(format!(
            "`update.steps` of worker '{name}' must update at least 1 Pod and never fewer than in an earlier step, all in numbers or all in parts of `replicas`"
        ));
    }
    let is_permanent = settings.restart == Restart::Permanent;
    if !update.steps.is_empty() && (!is_permanent || update.is_none_at_all()) {
        return refuse(format!(
            "`update.steps` of worker '{name}' need `restart: Permanent`, and `maxUnavailable` or `maxSurge` above 0: only then some of its Pods can be updated before the others"
        ));
    }
    Ok(())
}

/// Where nobody else is in its group, a worker of which not one Pod may be missing and none be added cannot be updated.
pub(super) fn check_update_moves(
    name: &str,
    policy: &Policy,
    leaf: &Leaf<'_>,
) -> Result<(), SpecError> {
    if policy.strategy == Strategy::OneForOne && leaf.updates_as_a_whole() {
        let message = format!(
            "`update` of worker '{name}' has both `maxUnavailable` and `maxSurge` 0, so that no Pod could ever be replaced: raise one of them"
        );
        return Err(SpecError::of_child(name, ".worker.update", message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::api::v1alpha1::SupervisionTreeSpec;
    use crate::model::tree::Tree;

    /// What is said of a worker with these settings.
    fn refused(settings: &str) -> Option<String> {
        let spec = format!(
            "children: [{{name: api, worker: {{{settings}, template: {{spec: {{containers: [{{name: app, image: one}}]}}}}}}}}]"
        );
        let spec: SupervisionTreeSpec = serde_yaml::from_str(&spec).unwrap();
        Tree::parse("shop", &spec).err().map(|error| error.message)
    }

    #[test]
    fn steps_go_forward_and_say_one_thing_each() {
        for steps in [
            "{updated: 1}, {pauseSeconds: 30}, {updated: 1}, {updated: 3}, {pause: {}}",
            "{pause: {}}, {updated: 5%}, {updated: 100%}",
            "{pause: {}}",
        ] {
            assert_eq!(
                refused(&format!("update: {{steps: [{steps}]}}")),
                None,
                "{steps}"
            );
        }
        for (steps, said) in [
            (
                "{updated: 10}, {updated: 9}",
                "never fewer than in an earlier step",
            ),
            (
                "{updated: 9%}, {updated: 10}",
                "all in numbers or all in parts",
            ),
            ("{updated: 0}", "at least 1 Pod"),
            ("{updated: 0%}, {updated: 10%}", "at least 1 Pod"),
            ("{updated: 101%}", "from '1%' to '100%'"),
            ("{}", "exactly one of"),
            ("{updated: 1, pause: {}}", "exactly one of"),
        ] {
            let refusal = refused(&format!("update: {{steps: [{steps}]}}")).unwrap_or_default();
            assert!(refusal.contains(said), "{steps}: {refusal}");
        }
        for settings in [
            "restart: Transient, update: {steps: [{updated: 1}]}",
            "update: {maxSurge: 0, maxUnavailable: 0%, steps: [{updated: 1}]}",
        ] {
            assert!(refused(settings).is_some(), "{settings}");
        }
    }
}
