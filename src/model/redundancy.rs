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
            Self::Replica => Reason::SingleReplica,
            Self::Node(_) => Reason::SingleNode,
            Self::Zone(_) => Reason::SingleZone,
        }
    }

    fn message(self, worker: &str) -> String {
        match self {
            Self::Replica => format!("{worker} has one replica"),
            Self::Node(name) => format!("{worker} runs on one node, {name}"),
            Self::Zone(name) => format!("{worker} runs in one zone, {name}"),
        }
    }
}

impl Engine<'_> {
    /// Whether two of everything run, and if not, of what there is only one. Work that runs once and what is not to run are
    /// nothing to be doubled.
    pub(super) fn redundancy(&self) -> (bool, Reason, String) {
        let runs = |(id, leaf): &(NodeId, &Leaf<'_>)| {
            !leaf.completes() && self.mode(*id) != Mode::Down && !self.is_over(*id)
        };
        let workers = self.tree.leaves().filter(runs);
        let mut single: Vec<(Single<'_>, &str)> = workers
            .filter_map(|(id, leaf)| Some((self.single(id, leaf)?, self.name(id))))
            .collect();
        // The narrowest first; among equals in the order of the tree.
        single.sort_by_key(|(what, _)| what.reason());
        let Some((first, _)) = single.first() else {
            let message = "every worker that is to run has more than one replica, node and zone, as far as is known";
            return (true, Reason::NothingSingle, message.to_owned());
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
        (false, first.reason(), format!("{}{more}", named.join("; ")))
    }

    /// What a worker has only one of. Nodes count once two of its replicas have one, and zones where all these nodes name
    /// theirs.
    fn single(&self, id: NodeId, leaf: &Leaf<'_>) -> Option<Single<'_>> {
        match self.replicas_wanted(id, leaf) {
            0 => return None,
            1 => return Some(Single::Replica),
            _ => {}
        }
        let wanted = self.replicas.get(&id).into_iter().flat_map(|r| &r.wanted);
        let pods = wanted.filter_map(|view| view.current);
        let live = pods.filter(|pod| !pod.is_deleting() && !pod.is_terminal());
        let nodes: Vec<&str> = live.filter_map(|pod| pod.node.as_deref()).collect();
        let distinct: BTreeSet<&str> = nodes.iter().copied().collect();
        if nodes.len() < 2 {
            return None;
        }
        if distinct.len() == 1 {
            return distinct.first().copied().map(Single::Node);
        }
        let known = self.world.nodes.as_ref()?;
        let zones = distinct
            .iter()
            .map(|node| known.get(*node)?.zone.as_deref());
        let zones: BTreeSet<&str> = zones.collect::<Option<_>>()?;
        match zones.len() {
            1 => zones.first().copied().map(Single::Zone),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::model::lab::Lab;
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
