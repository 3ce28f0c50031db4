//! What is done about a fault: by a rule of the user's, or by the verdict on its class.
//!
//! Rule: the first rule that matches decides, those of the worker first, the root's last; a rule changes what a fault
//! means for the tree, never what it is called.

use crate::api::v1alpha1::{FaultAction, FaultCharge, FaultMatch, FaultRule};

use super::fault::{Class, Fault, Verdict};
use super::pod::{ContainerView, PodView};
use super::tree::{NodeId, ROOT, Tree};

/// A rule, and where it stands.
#[derive(Clone, Copy, Debug)]
pub struct Rule<'a> {
    /// The supervisor or worker whose rule it is.
    pub node: NodeId,
    /// Its place in the list.
    pub place: usize,
    /// What it says.
    pub says: &'a FaultRule,
}

/// What a fault means for the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// As which verdict it is treated.
    pub verdict: Verdict,
    /// Whether its supervisor gives up at once.
    pub escalates: bool,
    /// The field of the rule; `None` where no rule of the user's matches.
    pub rule: Option<String>,
}

impl Ruling {
    /// What the class itself means.
    pub fn of_class(fault: &Fault) -> Self {
        Self {
            verdict: fault.verdict,
            escalates: false,
            rule: None,
        }
    }

    /// What it means for a Pod that somebody deletes: it cannot be left as it is, and to replace it costs nothing.
    #[must_use]
    pub fn of_deleted(self) -> Self {
        let verdict = match self.verdict {
            Verdict::Hold | Verdict::Wait => Verdict::Infrastructure,
            verdict => verdict,
        };
        Self { verdict, ..self }
    }

    /// Whether a restart counts for a window.
    pub fn is_charged(&self) -> bool {
        matches!(self.verdict, Verdict::Application | Verdict::Unknown)
    }

    /// Whether the replica is restarted.
    pub fn restarts(&self) -> bool {
        !matches!(self.verdict, Verdict::Hold | Verdict::Wait)
    }
}

impl Tree<'_> {
    /// What that fault of a worker means.
    pub(super) fn ruling(&self, id: NodeId, fault: &Fault, pod: Option<&PodView>) -> Ruling {
        let rules = self.leaf(id).map_or(&[][..], |leaf| &leaf.rules);
        let Some(rule) = rules.iter().find(|rule| matches(rule.says, fault, pod)) else {
            return Ruling::of_class(fault);
        };
        let (verdict, escalates) = match (rule.says.action, rule.says.charge.unwrap_or_default()) {
            (FaultAction::Restart, FaultCharge::Charged) => (Verdict::Application, false),
            (FaultAction::Restart, FaultCharge::Exempt) => (Verdict::Infrastructure, false),
            (FaultAction::Hold, _) => (Verdict::Hold, false),
            (FaultAction::Escalate, _) => (Verdict::Application, true),
        };
        Ruling {
            verdict,
            escalates,
            rule: Some(self.field_of(*rule)),
        }
    }

    /// Whether what a death means may depend on the class of its fault: whether a rule that asks for the class comes before
    /// the first that matches whatever the class is.
    pub(super) fn is_ruled_by_class(&self, id: NodeId, fault: &Fault, pod: &PodView) -> bool {
        let rules = self.leaf(id).map_or(&[][..], |leaf| &leaf.rules);
        let asks = |rule: &Rule<'_>| {
            !rule.says.matches.classes.is_empty() || !rule.says.matches.families.is_empty()
        };
        let first = rules
            .iter()
            .find(|rule| asks(rule) || matches(rule.says, fault, Some(pod)));
        first.is_some_and(asks)
    }

    /// Where a rule stands in the spec.
    fn field_of(&self, rule: Rule<'_>) -> String {
        let place = rule.place;
        if rule.node == ROOT {
            return format!("spec.faultPolicy.rules[{place}]");
        }
        let name = self.nodes[rule.node].name;
        let kind = match self.leaf(rule.node) {
            Some(_) => "worker",
            None => "supervisor",
        };
        format!("spec.children[{name}].{kind}.faultPolicy.rules[{place}]")
    }
}

fn matches(rule: &FaultRule, fault: &Fault, pod: Option<&PodView>) -> bool {
    let FaultMatch {
        classes,
        families,
        exit_codes,
        containers,
    } = &rule.matches;
    let names = |list: &[String], name: &str| list.is_empty() || list.iter().any(|one| one == name);
    let container = fault.container.as_deref();
    names(classes, fault.class.as_str())
        && names(families, fault.class.family().as_str())
        && (containers.is_empty() || container.is_some_and(|name| names(containers, name)))
        && (exit_codes.is_empty()
            || exit_code(fault, pod).is_some_and(|code| exit_codes.contains(&code)))
}

/// The exit code of the container whose fault it is.
fn exit_code(fault: &Fault, pod: Option<&PodView>) -> Option<i32> {
    let (name, pod) = (fault.container.as_deref()?, pod?);
    let mut containers = pod.containers.iter().chain(&pod.init_containers);
    let container = containers.find(|container| container.name == name);
    Some(container.and_then(ContainerView::last_end)?.exit_code)
}

/// The name in a rule that is none of a class with a verdict, or of a family.
pub(super) fn unknown_name(rule: &FaultRule) -> Option<(&'static str, &str)> {
    let has_verdict =
        |name: &&String| Class::of(name).is_some_and(|class| class.verdict().is_some());
    let is_family = |name: &&String| {
        super::fault::Family::ALL
            .iter()
            .any(|family| family.as_str() == name.as_str())
    };
    let classes = rule.matches.classes.iter().find(|name| !has_verdict(name));
    let families = rule.matches.families.iter().find(|name| !is_family(name));
    let class = classes.map(|name| ("classes", name.as_str()));
    class.or_else(|| families.map(|name| ("families", name.as_str())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::v1alpha1::{FAULT_CLASSES, FAULT_FAMILIES};
    use crate::model::fault::Family;

    #[test]
    fn the_schema_knows_every_class_that_a_rule_can_name() {
        let with_verdict = Class::ALL.iter().filter(|class| class.verdict().is_some());
        let names: Vec<&str> = with_verdict.map(|class| class.as_str()).collect();
        assert_eq!(FAULT_CLASSES, names);
        let families: Vec<&str> = Family::ALL.iter().map(|family| family.as_str()).collect();
        assert_eq!(FAULT_FAMILIES, families);
    }
}
