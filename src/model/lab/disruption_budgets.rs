//! The disruption budgets of the lab.
//!
//! Rule: like the API server, it lets nobody have a name twice, and nobody change what is not as it was seen.

use std::sync::Arc;

use k8s_openapi::api::policy::v1::PodDisruptionBudgetSpec;
use serde_json::Value;

use super::Lab;
use crate::model::disruption_budgets::KIND;
use crate::model::world::{DisruptionBudgetView, Refusal};

impl Lab {
    /// The disruption budgets that there are, to be changed behind everybody's back.
    pub(crate) fn disruption_budgets_mut(&mut self) -> &mut Vec<Arc<DisruptionBudgetView>> {
        self.world.disruption_budgets.get_or_insert_default()
    }

    pub(super) fn create_disruption_budget(&mut self, child: &str, body: &Value) {
        let refused = self.refuse_creates.clone();
        let is_budget = |r: &Refusal| r.kind == KIND && r.child == child;
        if let Some(refusal) = refused.filter(is_budget) {
            self.log
                .push(format!("refused a disruption budget of {child}"));
            let at = self.now;
            self.world.refusals.push(Refusal { at, ..refusal });
            return;
        }
        self.collect_garbage();
        self.uid += 1;
        let text = |at: &str| body.pointer(at).and_then(Value::as_str).unwrap().to_owned();
        let budget = DisruptionBudgetView {
            name: text("/metadata/name"),
            uid: format!("budget-{}", self.uid),
            resource_version: self.uid.to_string(),
            owner_uid: text("/metadata/ownerReferences/0/uid"),
            deleting: false,
            spec: serde_json::from_value(body["spec"].clone()).unwrap(),
        };
        let known = self.disruption_budgets_mut();
        assert!(
            known.iter().all(|one| one.name != budget.name),
            "the name {} is taken",
            budget.name
        );
        known.push(Arc::new(budget));
    }

    /// `false` when it is not as it was seen.
    pub(super) fn patch_disruption_budget(
        &mut self,
        seen: &DisruptionBudgetView,
        spec: PodDisruptionBudgetSpec,
    ) -> bool {
        self.uid += 1;
        self.log.push("change a disruption budget".into());
        let spec = self.admitted_budget.clone().unwrap_or(spec);
        let version = self.uid.to_string();
        let mut known = self.disruption_budgets_mut().iter_mut();
        let Some(one) = known.find(|one| one.resource_version == seen.resource_version) else {
            return false;
        };
        let one = Arc::make_mut(one);
        (one.spec, one.resource_version) = (spec, version);
        true
    }

    /// What belonged to Workers that are gone goes.
    pub(super) fn collect_garbage(&mut self) {
        let workers = self.world.workers.values();
        let uids: Vec<String> = workers.map(|worker| worker.uid.clone()).collect();
        let is_left = |one: &Arc<DisruptionBudgetView>| {
            one.owner_uid.is_empty() || uids.contains(&one.owner_uid)
        };
        self.world
            .disruption_budgets
            .iter_mut()
            .for_each(|known| known.retain(is_left));
    }
}
