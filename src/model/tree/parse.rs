//! A spec is read into a tree, or refused in words that say what to fix.
//!
//! Rule: what cannot be carried out as it is written is refused as a whole; nothing is guessed.

mod update;
use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use self::update::{check_update, check_update_moves};
use super::{Kind, Leaf, Node, NodeId, Policy, ROOT, ROOT_NAME, Tree};
use crate::api::v1alpha1::{
    AutoShutdown, Child, ClaimTemplate, FaultAction, FaultMatch, FaultPolicy, GiveUp, Identity,
    Intensity, ReadyWhen, Restart, RootGiveUp, Startup, Strategy, SupervisionTreeSpec,
    SupervisorSettings, WorkerSettings,
};
use crate::model::names;
use crate::model::policy::{Rule, unknown_name};
use crate::model::revisions::made_from;
use crate::model::window::{backoff_total, whole_second};

/// Longest name of tree and child together.
const MAX_NAMES: usize = 50;

/// A spec that cannot be carried out, in words that say what to fix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SpecError {
    /// The field, as a path from the object; elements of `children` by name.
    pub field: String,
    /// What is wrong with it, and what it must be.
    pub message: String,
}

impl SpecError {
    fn of_child(name: &str, field: &str, message: String) -> Self {
        Self {
            field: format!("spec.children[{name}]{field}"),
            message,
        }
    }
}

impl<'a> Tree<'a> {
    /// Reads a spec. The API server checks most of this already, but a stored tree may be older than
    /// today's rules.
    pub fn parse(name: &str, spec: &'a SupervisionTreeSpec) -> Result<Self, SpecError> {
        let mut tree = Self::without_children(spec);
        check_policy("the root", "spec", tree.parent_policy(ROOT))?;
        check_rules("the root", "spec", spec.fault_policy.as_ref())?;
        for child in &spec.children {
            tree.add(name, child)?;
        }
        Ok(tree)
    }

    /// The root alone, whatever it says: where nothing is below it, nothing follows from that.
    pub fn without_children(spec: &'a SupervisionTreeSpec) -> Self {
        let root = Policy {
            strategy: spec.strategy,
            intensity: spec.intensity,
            ordered: is_ordered(spec.startup, spec.strategy),
            backoff: spec.backoff,
            on_start_failure: spec.on_start_failure,
            on_give_up: match spec.on_give_up {
                RootGiveUp::Retry => GiveUp::Retry,
                RootGiveUp::Stop => GiveUp::Stop,
            },
            auto_shutdown: spec.auto_shutdown,
        };
        Self {
            nodes: vec![Node {
                name: ROOT_NAME,
                parent: ROOT,
                enabled: true,
                restart: Restart::Permanent,
                significant: false,
                restart_at: whole(spec.restart_at.as_ref()),
                children: Vec::new(),
                kind: Kind::Supervisor(root),
            }],
            suspended: spec.suspend,
            wanted: String::new(),
            goes_back: None,
            rules: vec![rules(ROOT, spec.fault_policy.as_ref(), &[])],
        }
    }

    fn add(&mut self, tree_name: &str, child: &'a Child) -> Result<(), SpecError> {
        let name = child.name.as_str();
        if self.find(name).is_some() {
            let message =
                format!("child '{name}' is declared twice in `children`; names must be unique");
            return Err(SpecError::of_child(name, ".name", message));
        }
        if tree_name.len() + name.len() > MAX_NAMES {
            let message = format!(
                "`metadata.name` and the `name` of child '{name}' must not be longer than {MAX_NAMES} characters together"
            );
            return Err(SpecError::of_child(name, ".name", message));
        }
        let parent = match child.parent.as_deref() {
            None => ROOT,
            Some(wanted) => self.find(wanted).filter(|id| self.policy(*id).is_some()).ok_or_else(|| {
                let message = format!(
                    "the `parent` of child '{name}' must name a supervisor declared earlier in `children`, but is '{wanted}'"
                );
                SpecError::of_child(name, ".parent", message)
            })?,
        };
        let mut kind = kind_of(child)?;
        let (restart, significant) = type_of(child);
        if significant {
            let kind = if child.worker.is_some() {
                "worker"
            } else {
                "supervisor"
            };
            self.check_significance(name, parent, restart)
                .map_err(|message| {
                    SpecError::of_child(name, &format!(".{kind}.significant"), message)
                })?;
        }
        let id = self.nodes.len();
        let inherited = &self.rules[parent];
        match (&mut kind, &child.supervisor, &child.worker) {
            (Kind::Worker(leaf), _, Some(settings)) => {
                if let Kind::Supervisor(policy) = &self.nodes[parent].kind {
                    check_update_moves(name, policy, leaf)?;
                }
                leaf.rules = rules(id, settings.fault_policy.as_ref(), inherited);
                self.rules.push(Vec::new());
            }
            (_, settings, _) => {
                let own = settings.as_ref().and_then(|s| s.fault_policy.as_ref());
                self.rules.push(rules(id, own, inherited));
            }
        }
        self.nodes.push(Node {
            name,
            parent,
            enabled: child.enabled,
            restart,
            significant,
            restart_at: whole(child.restart_at.as_ref()),
            children: Vec::new(),
            kind,
        });
        self.nodes[parent].children.push(id);
        Ok(())
    }

    /// OTP's `bad_combination`: what never ends, or whose end counts for nobody, is not significant.
    fn check_significance(
        &self,
        name: &str,
        parent: NodeId,
        restart: Restart,
    ) -> Result<(), String> {
        if restart == Restart::Permanent {
            return Err(format!(
                "child '{name}' is `significant`, which needs `restart: Transient` or `restart: Temporary`: a Permanent child never ends"
            ));
        }
        let counts = self
            .policy(parent)
            .is_some_and(|policy| policy.auto_shutdown != AutoShutdown::Never);
        if !counts {
            let supervisor = match parent {
                ROOT => ", the root".to_owned(),
                parent => format!(" '{}'", self.nodes[parent].name),
            };
            return Err(format!(
                "child '{name}' is `significant`, which needs `autoShutdown: AnySignificant` or `AllSignificant` on its supervisor{supervisor}"
            ));
        }
        Ok(())
    }
}

fn kind_of(child: &Child) -> Result<Kind<'_>, SpecError> {
    let name = &child.name;
    match (&child.supervisor, &child.worker) {
        (Some(settings), None) => {
            let policy = Policy::of(settings);
            let field = format!("spec.children[{name}].supervisor");
            let who = format!("supervisor '{name}'");
            check_policy(&who, &field, &policy)?;
            check_rules(&who, &field, settings.fault_policy.as_ref())?;
            Ok(Kind::Supervisor(policy))
        }
        (None, Some(settings)) => {
            check_worker(name, settings)?;
            check_identity(name, settings)?;
            check_completion(name, settings)?;
            check_update(name, settings)?;
            check_rules(
                &format!("worker '{name}'"),
                &format!("spec.children[{name}].worker"),
                settings.fault_policy.as_ref(),
            )?;
            let template = made_from(settings);
            let revision = names::revision(&template);
            Ok(Kind::Worker(Leaf {
                settings,
                template,
                revision: revision.clone(),
                target: revision,
                restart_at: whole(child.restart_at.as_ref()),
                rules: Vec::new(),
            }))
        }
        (both, _) => {
            let has = if both.is_some() { "both" } else { "neither" };
            let message =
                format!("child '{name}' must have either `supervisor` or `worker`, but has {has}");
            Err(SpecError::of_child(name, "", message))
        }
    }
}

impl Policy {
    fn of(settings: &SupervisorSettings) -> Self {
        Self {
            strategy: settings.strategy,
            intensity: settings.intensity,
            ordered: is_ordered(settings.startup, settings.strategy),
            backoff: settings.backoff,
            on_start_failure: settings.on_start_failure,
            on_give_up: settings.on_give_up,
            auto_shutdown: settings.auto_shutdown,
        }
    }
}

/// The rules of a node, and after them those that it inherits.
fn rules<'a>(node: NodeId, own: Option<&'a FaultPolicy>, inherited: &[Rule<'a>]) -> Vec<Rule<'a>> {
    let own = own.map_or(&[][..], |policy| &policy.rules).iter();
    let own = own
        .enumerate()
        .map(|(place, says)| Rule { node, place, says });
    own.chain(inherited.iter().copied()).collect()
}

fn check_rules(who: &str, at: &str, policy: Option<&FaultPolicy>) -> Result<(), SpecError> {
    for (place, rule) in policy.iter().flat_map(|policy| &policy.rules).enumerate() {
        let refuse = |field: &str, message: String| {
            Err(SpecError {
                field: format!("{at}.faultPolicy.rules[{place}].{field}"),
                message,
            })
        };
        if let Some((list, name)) = unknown_name(rule) {
            let message = format!(
                "`faultPolicy` of {who} names '{name}' in `match.{list}`, which is none; `coppice faults` lists them"
            );
            return refuse(&format!("match.{list}"), message);
        }
        if rule.charge.is_some() && rule.action != FaultAction::Restart {
            let message = format!(
                "`faultPolicy` of {who} has a rule with `charge` whose `action` is not `Restart`: only a restart is charged"
            );
            return refuse("charge", message);
        }
        if rule.matches == FaultMatch::default() {
            let message = format!(
                "`faultPolicy` of {who} has a rule whose `match` is empty: it must have at least one of `classes`, `families`, `exitCodes` and `containers`"
            );
            return refuse("match", message);
        }
    }
    Ok(())
}

/// Left out, the strategy decides: members of a group depend on each other.
fn is_ordered(startup: Option<Startup>, strategy: Strategy) -> bool {
    startup.map_or(strategy != Strategy::OneForOne, |startup| {
        startup == Startup::Ordered
    })
}

/// What is stored has no fractions of a second.
fn whole(time: Option<&Time>) -> Option<Timestamp> {
    time.map(|time| whole_second(time.0))
}

/// Restart type and significance of a child.
fn type_of(child: &Child) -> (Restart, bool) {
    match (&child.supervisor, &child.worker) {
        (Some(settings), _) => (settings.restart, settings.significant),
        (None, Some(settings)) => (settings.restart, settings.significant),
        (None, None) => (Restart::Permanent, false),
    }
}

fn check_completion(name: &str, settings: &WorkerSettings) -> Result<(), SpecError> {
    if settings.ready == ReadyWhen::Completed && settings.restart == Restart::Permanent {
        let message = format!(
            "worker '{name}' has `ready: Completed`, which needs `restart: Transient` or `restart: Temporary`: a Permanent worker is started again when it has completed"
        );
        return Err(SpecError::of_child(name, ".worker.ready", message));
    }
    Ok(())
}

/// What belongs to one slot needs slots that are told apart.
fn check_identity(name: &str, settings: &WorkerSettings) -> Result<(), SpecError> {
    let claims = &settings.volume_claim_templates;
    let field = if settings.service_name.is_some() {
        "serviceName"
    } else {
        "volumeClaimTemplates"
    };
    let is_told_apart = settings.identity == Identity::Stable;
    if !is_told_apart && (settings.service_name.is_some() || !claims.is_empty()) {
        let message = format!(
            "worker '{name}' has `{field}`, which needs `identity: Stable`: only replicas with fixed names have names in DNS and claims of their own"
        );
        return Err(SpecError::of_child(
            name,
            &format!(".worker.{field}"),
            message,
        ));
    }
    let names: BTreeSet<&str> = claims.iter().map(ClaimTemplate::name).collect();
    if names.len() < claims.len() {
        let message = format!(
            "worker '{name}' has two `volumeClaimTemplates` of one `metadata.name`; names must be unique"
        );
        let field = ".worker.volumeClaimTemplates";
        return Err(SpecError::of_child(name, field, message));
    }
    Ok(())
}

fn check_policy(who: &str, at: &str, policy: &Policy) -> Result<(), SpecError> {
    let Intensity {
        max_restarts,
        period_seconds,
    } = policy.intensity;
    if max_restarts < 0 || period_seconds < 1 {
        return Err(SpecError {
            field: format!("{at}.intensity"),
            message: format!(
                "`intensity` of {who} must have `maxRestarts` of at least 0 and `periodSeconds` of at least 1"
            ),
        });
    }
    let delays = backoff_total(&policy.backoff, max_restarts);
    if delays > i64::from(period_seconds) {
        let message = format!(
            "the `backoff` of {who} delays {max_restarts} restarts by {delays} seconds in all, which must fit into `periodSeconds` {period_seconds}; otherwise a child that keeps dying would hardly ever make it give up: lower `backoff.maxSeconds` or `intensity.maxRestarts`, or raise `intensity.periodSeconds`"
        );
        return Err(SpecError {
            field: format!("{at}.backoff"),
            message,
        });
    }
    Ok(())
}

fn check_worker(name: &str, settings: &WorkerSettings) -> Result<(), SpecError> {
    if settings
        .replicas
        .is_some_and(|replicas| !(0..=1000).contains(&replicas))
    {
        let message = format!("`replicas` of worker '{name}' must be from 0 to 1000");
        return Err(SpecError::of_child(name, ".worker.replicas", message));
    }
    if settings.quorum < 1 {
        let message = format!("`quorum` of worker '{name}' must be at least 1");
        return Err(SpecError::of_child(name, ".worker.quorum", message));
    }
    let template = &settings.template.0;
    let containers = template
        .pointer("/spec/containers")
        .and_then(serde_json::Value::as_array);
    if containers.is_none_or(Vec::is_empty) {
        let message = format!(
            "`template.spec.containers` of worker '{name}' must have at least one container"
        );
        let field = ".worker.template.spec.containers";
        return Err(SpecError::of_child(name, field, message));
    }
    for field in ["labels", "annotations"] {
        let reserved = template
            .pointer(&format!("/metadata/{field}"))
            .and_then(serde_json::Value::as_object)
            .and_then(|map| map.keys().find(|key| key.starts_with("coppice.dev/")));
        if let Some(key) = reserved {
            let one = field.trim_end_matches('s');
            let message = format!(
                "child '{name}' must not set the {one} '{key}' in `template.metadata.{field}`: Coppice sets it"
            );
            let field = format!(".worker.template.metadata.{field}");
            return Err(SpecError::of_child(name, &field, message));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(spec: &str) -> Option<String> {
        let spec = serde_yaml::from_str(spec).unwrap();
        Tree::parse("t", &spec).err().map(|error| error.to_string())
    }

    #[test]
    fn a_significant_child_must_be_able_to_end_and_to_end_its_supervisor() {
        let with = |root: &str, restart: &str| {
            refusal(&format!(
                "{root}\nchildren:\n- {{name: a, worker: {{significant: true, restart: {restart}, template: {{spec: {{containers: [{{name: app}}]}}}}}}}}"
            ))
        };
        let any = "autoShutdown: AnySignificant";
        assert_eq!(with(any, "Transient"), None);
        assert!(with(any, "Permanent").unwrap().contains("never ends"));
        assert!(
            with("", "Transient")
                .unwrap()
                .contains("needs `autoShutdown")
        );
    }

    #[test]
    fn names_may_be_so_long_and_no_longer() {
        let with = |length: usize| {
            let name = "a".repeat(length);
            refusal(&format!(
                "children: [{{name: {name}, worker: {{template: {{spec: {{containers: [{{name: app}}]}}}}}}}}]"
            ))
        };
        assert_eq!(with(MAX_NAMES - 1), None);
        assert!(with(MAX_NAMES).unwrap().contains("must not be longer"));
    }

    #[test]
    fn delays_must_leave_a_window_that_can_fill() {
        let with = |restarts: i32, period: i32| {
            refusal(&format!(
                "intensity: {{maxRestarts: {restarts}, periodSeconds: {period}}}\nbackoff: {{initialSeconds: 10, maxSeconds: 10}}\nchildren: []"
            ))
        };
        assert_eq!(with(2, 10), None, "the second restart waits ten seconds");
        assert!(with(2, 9).unwrap().contains("10 seconds in all"));
        assert!(with(0, 0).unwrap().contains("must have"));
        assert!(with(-1, 10).unwrap().contains("must have"));
    }

    #[test]
    fn claims_need_fixed_names_and_names_of_their_own() {
        let with = |settings: &str, names: &[&str]| {
            let spec =
                "spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}";
            let claims: Vec<String> = names
                .iter()
                .map(|name| format!("{{metadata: {{name: {name}}}, {spec}}}"))
                .collect();
            refusal(&format!(
                "children: [{{name: a, worker: {{{settings}volumeClaimTemplates: [{}], template: {{spec: {{containers: [{{name: app}}]}}}}}}}}]",
                claims.join(", ")
            ))
        };
        let stable = "identity: Stable, ";
        assert_eq!(with(stable, &["data", "log"]), None);
        assert_eq!(with("", &[]), None);
        assert!(with(stable, &["data", "data"]).unwrap().contains("unique"));
        let refused = with("", &["data"]).unwrap();
        assert!(refused.contains("`volumeClaimTemplates`, which needs"));
        let refused = with("serviceName: a, ", &[]).unwrap();
        assert!(refused.contains("`serviceName`, which needs"));
    }
}
