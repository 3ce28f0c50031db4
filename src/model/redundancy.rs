//! Redundancy: what a tree has only one of.
//!
//! Rule: this is information; nothing else rests on it, and a worker that is single is as Ready as any.

use std::collections::BTreeSet;

use super::engine::{Engine, Mode};
use super::tree::{Leaf, NodeId};
use crate::api::conditions::Reason;

/// How many workers a message names.
const NAMED: usize = 3;

/// What a worker has only one of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Single<'a> {
    /// Of nothing that is known.
    Nothing,
    /// Its replica.
    Replica,
    /// The node that its replicas run on.
    Node(&'a str),
    /// The zone of their nodes.
    Zone(&'a str),
}

impl Single<'_> {
    fn reason(self) -> Reason {
        match self {
            Self::Nothing => Reason::NothingSingle,
            Self::Replica => Reason::SingleReplica,
            Self::Node(_) => Reason::SingleNode,
            Self::Zone(_) => Reason::SingleZone,
        }
    }

    fn message(self, worker: &str) -> String {
        match self {
            Self::Nothing => format!("{worker} has more than one of everything that is known"),
            Self::Replica => format!("{worker} has one replica"),
            Self::Node(name) => format!("{worker} runs on one node, {name}"),
            Self::Zone(name) => format!("{worker} runs in one zone, {name}"),
        }
    }
}

impl Engine<'_> {
    /// Whether two of everything run, and if not, of what there is only one; `None` while that is not known, because replicas
    /// are on their way. Work that runs once and what is not to run are nothing to be doubled.
    pub(super) fn redundancy(&self) -> Option<(bool, Reason, String)> {
        let runs = |(id, leaf): &(NodeId, &Leaf<'_>)| {
            !leaf.completes() && self.mode(*id) != Mode::Down && !self.is_over(*id)
        };
        let mut single = Vec::new();
        for (id, leaf) in self.tree.leaves().filter(runs) {
            match self.single(id, leaf)? {
                Single::Nothing => {}
                what => single.push((what, self.name(id))),
            }
        }
        // The narrowest first; among equals in the order of the tree.
        single.sort_by_key(|(what, _)| what.reason());
        let Some((first, _)) = single.first() else {
            let message = "every worker that is to run has more than one replica, node and zone, as far as is known";
            return Some((true, Reason::NothingSingle, message.to_owned()));
        };
        let named: Vec<String> = single
            .iter()
            .take(NAMED)
            .map(|(what, worker)| what.message(worker))
            .collect();
        let more = match single.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        let message = format!("{}{more}", named.join("; "));
        Some((false, first.reason(), message))
    }

    /// What a worker has only one of, if anything; `None` while not all of its replicas have a node. Zones count where all
    /// their nodes name theirs.
    fn single(&self, id: NodeId, leaf: &Leaf<'_>) -> Option<Single<'_>> {
        let replicas = self.replicas_wanted(id, leaf);
        match replicas {
            0 => return Some(Single::Nothing),
            1 => return Some(Single::Replica),
            _ => {}
        }
        let wanted = self.replicas.get(&id).into_iter().flat_map(|r| &r.wanted);
        let pods = wanted.filter_map(|view| view.current);
        let live = pods.filter(|pod| !pod.is_deleting() && !pod.is_terminal());
        let nodes: Vec<&str> = live.filter_map(|pod| pod.node.as_deref()).collect();
        let distinct: BTreeSet<&str> = nodes.iter().copied().collect();
        let zone = |node: &&str| self.world.nodes.as_ref()?.get(*node)?.zone.as_deref();
        let zones: Option<BTreeSet<&str>> = distinct.iter().map(zone).collect();
        let only = |set: &BTreeSet<&'_ str>| set.len() == 1;
        let several_zones = zones.as_ref().is_some_and(|zones| zones.len() > 1);
        if several_zones || (distinct.len() > 1 && zones.is_none()) {
            return Some(Single::Nothing);
        }
        if i32::try_from(nodes.len()).is_ok_and(|placed| placed < replicas) {
            return None;
        }
        let zone = zones.filter(only).and_then(|zones| zones.first().copied());
        Some(match distinct.first() {
            Some(node) if only(&distinct) => Single::Node(node),
            _ => zone.map_or(Single::Nothing, Single::Zone),
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::model::lab::{Behaviour, Lab};
    use crate::model::world::NodeView;

    /// A tree of one worker of so many replicas on these nodes, each with its zone; what it says.
    fn told(replicas: i32, nodes: &[(&str, &str)], place: impl Fn(i32) -> usize) -> String {
        let settings = format!(
            "{{replicas: {replicas}, template: {{spec: {{containers: [{{name: app, image: one}}]}}}}}}"
        );
        let mut lab = Lab::new(&format!("children: [{{name: a, worker: {settings}}}]"));
        lab.run(5);
        for (name, zone) in nodes {
            let node = NodeView {
                zone: (!zone.is_empty()).then(|| (*zone).to_owned()),
                ..NodeView::default()
            };
            let known = lab.world.nodes.as_mut().unwrap();
            known.insert((*name).to_owned(), node);
        }
        for slot in 0..replicas {
            let (name, _) = nodes[place(slot)];
            lab.pod_mut("a", slot).node = Some(name.into());
        }
        lab.run(5);
        let (status, reason) = lab.condition("Redundant");
        let told = format!("{status} {reason}");
        let conditions = &lab.world.tree.status.conditions;
        let condition = conditions.iter().find(|one| one.type_ == "Redundant");
        assert!(lab.state().starts_with("TFF"), "it is information only");
        format!("{told}: {}", condition.unwrap().message)
    }

    #[test]
    fn a_replica_that_is_on_its_way_changes_nothing() {
        let settings = "{replicas: 2, template: {spec: {containers: [{name: app, image: one}]}}}";
        let mut lab = Lab::new(&format!("children: [{{name: a, worker: {settings}}}]"));
        lab.run(5);
        assert_eq!(lab.condition("Redundant"), ("False", "SingleNode"));
        lab.behave("a", Behaviour::NoCapacity);
        lab.delete_by_hand("a", 0);
        lab.run(5);
        assert_eq!(lab.condition("Redundant"), ("False", "SingleNode"));
        let mut new = Lab::new(&format!("children: [{{name: a, worker: {settings}}}]"));
        new.behave("a", Behaviour::NoCapacity);
        new.run(5);
        assert_eq!(new.condition("Redundant"), ("Unknown", "Starting"));
    }

    #[test]
    fn what_there_is_only_one_of_is_named() {
        let nodes = [("n1", "z1"), ("n2", "z1"), ("n3", "z2"), ("n4", "")];
        let on =
            |places: [usize; 2]| told(2, &nodes, |slot| places[usize::try_from(slot).unwrap()]);
        assert_eq!(
            told(1, &nodes, |_| 0),
            "False SingleReplica: a has one replica"
        );
        assert_eq!(on([0, 0]), "False SingleNode: a runs on one node, n1");
        assert_eq!(on([0, 1]), "False SingleZone: a runs in one zone, z1");
        assert!(on([0, 2]).starts_with("True NothingSingle"));
        assert!(
            on([0, 3]).starts_with("True NothingSingle"),
            "a node without a zone says nothing of zones"
        );
    }
}
