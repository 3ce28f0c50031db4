//! All that is known of the cluster, and which trees a change concerns.
//!
//! Rule: a tree is looked at only when everything that a decision on it rests on has been listed once.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::kinds::{
    ClaimEvents, ClaimItem, DisruptionBudgetItem, DisruptionBudgets, EventItem, Kind, Need,
    NodeEvents, NodeItem, Nodes, PodEvents, PodItem, Pods, Quotas, RevisionItem, Revisions,
    TreeItem, Trees, WaitedItem, WorkerItem, Workers, key_of, within,
};
use super::store::{ObjectKey, Source, Store, Touched, Unbelieved, Version};
use super::wire::label;
use crate::model::changes::words;
use crate::model::fault::EventView;
use crate::model::pod::{PodSpecView, PodView};
use crate::model::world::{
    ClaimView, DisruptionBudgetView, NodeView, RevisionView, TreeView, Unseen,
};
use kube::{Resource, ResourceExt};

mod changes;
mod listing;
mod scopes;

use changes::{Change, Changes};
#[cfg(test)]
pub(super) use listing::listed;
pub(super) use listing::{Listed, Listing};
use scopes::Scopes;

/// All that is known of the cluster.
#[derive(Debug, Default)]
pub(super) struct Views {
    pub(super) trees: Store<TreeItem>,
    pub(super) workers: Store<WorkerItem>,
    pub(super) revisions: Store<RevisionItem>,
    pub(super) disruption_budgets: Store<DisruptionBudgetItem>,
    pub(super) pods: Store<PodItem>,
    pub(super) nodes: Store<NodeItem>,
    pub(super) pod_events: Store<EventItem>,
    pub(super) claim_events: Store<EventItem>,
    pub(super) node_events: Store<EventItem>,
    pub(super) claims: Store<ClaimItem>,
    pub(super) quotas: Store<WaitedItem>,
    pub(super) config_maps: Store<WaitedItem>,
    /// When what Pods wait for changed last.
    changes: Changes,
    pub(super) specs: Specs,
    /// What has been listed once.
    loaded: Scopes,
    /// What is done without.
    forgone: Scopes,
    /// What may not be watched, and what the API server says about it: kind and scope.
    unseen: BTreeMap<(&'static str, Option<String>), String>,
}

/// Everything known that concerns one tree, at one moment.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) tree: Arc<TreeItem>,
    /// The Workers that the tree controls, with the Pods that they control.
    pub(super) workers: Vec<(Arc<WorkerItem>, Vec<Arc<PodView>>)>,
    /// The revisions that the tree controls, by name.
    pub(super) revisions: Vec<Arc<RevisionView>>,
    /// The disruption budgets of its Workers, and those of others; `None` when they may not be read, or have not been yet.
    pub(super) disruption_budgets: Option<Vec<Arc<DisruptionBudgetView>>>,
    /// The claims that are labelled with the tree, and those that its slots use, by name.
    pub(super) claims: BTreeMap<String, Arc<ClaimView>>,
    /// The nodes of these Pods, without those that are known to be gone; `None` when nodes may not be read.
    pub(super) nodes: Option<BTreeMap<String, NodeView>>,
    /// Whether every node says which zone it is in.
    pub(super) zoned: bool,
    /// When what its Pods may wait for changed.
    pub(super) changes: Vec<Change>,
    /// What Events tell of these Pods and their claims, by the UID of the Pod.
    pub(super) events: BTreeMap<String, Vec<Arc<EventView>>>,
    /// The kinds that may not be watched in the namespace of the tree.
    pub(super) unseen: Vec<Unseen>,
}

/// The specs of the Pods, each once.
#[derive(Debug, Default)]
pub(super) struct Specs {
    shared: HashSet<Arc<PodSpecView>>,
    /// How many there may be before those are dropped that no Pod has any more.
    room: usize,
}

impl Specs {
    /// Lets a Pod use a spec that is there.
    pub(super) fn share(&mut self, spec: &mut Arc<PodSpecView>) {
        if let Some(known) = self.shared.get(spec) {
            *spec = Arc::clone(known);
            return;
        }
        if self.shared.len() >= self.room {
            self.shared.retain(|spec| Arc::strong_count(spec) > 1);
            self.room = 2 * self.shared.len() + 64;
        }
        self.shared.insert(Arc::clone(spec));
    }
}

impl Views {
    /// Takes in one version of an object.
    pub(super) fn put<K: Kind>(
        &mut self,
        wire: K::Wire,
        source: Source,
        scope: Option<&str>,
    ) -> BTreeSet<ObjectKey> {
        let (key, version) = address(&wire);
        if source == Source::Watch {
            K::store(self).watched(scope, version);
        }
        let mut item = K::read(wire);
        if !K::keeps(self, &key, &item) {
            return BTreeSet::new();
        }
        K::place(self, &mut item);
        let touched = K::store(self).put(key, version, item, source);
        self.note_changes::<K>(&touched);
        self.concerned::<K>(&touched)
    }

    /// Takes in the answer to a request of ours: an object that there is. What is not watched is not kept, because
    /// nobody would ever tell that it has changed.
    pub(super) fn answered<K: Kind>(&mut self, wire: K::Wire) {
        if K::SELECTOR.is_empty() || label(wire.meta(), K::SELECTOR).is_some() {
            self.put::<K>(wire, Source::Answer, None);
        } else {
            let (key, version) = address(&wire);
            K::store(self).remove(&key, version, Source::Answer);
        }
    }

    /// Takes in the answer to a delete of ours: an object as it was marked, or as it was when it went.
    pub(super) fn deleted<K: Kind>(&mut self, wire: K::Wire) {
        if wire.meta().deletion_timestamp.is_some() {
            return self.answered::<K>(wire);
        }
        let (key, version) = address(&wire);
        let uid = wire.uid().unwrap_or_default();
        K::store(self).deleted(&key, version, &uid);
    }

    /// Takes in that a watch saw an object go.
    pub(super) fn remove<K: Kind>(
        &mut self,
        wire: &K::Wire,
        scope: Option<&str>,
    ) -> BTreeSet<ObjectKey> {
        let (key, version) = address(wire);
        let store = K::store(self);
        store.watched(scope, version);
        let touched = store.remove(&key, version, Source::Watch);
        self.note_changes::<K>(&touched);
        self.concerned::<K>(&touched)
    }

    /// Takes in that an object does not exist.
    pub(super) fn forget<K: Kind>(
        &mut self,
        key: &ObjectKey,
        uid: Option<&str>,
    ) -> BTreeSet<ObjectKey> {
        let touched = K::store(self).forget(key, uid);
        self.concerned::<K>(&touched)
    }

    /// How often a watch or list of that kind was not believed since this was asked last.
    pub(super) fn take_unbelieved<K: Kind>(&mut self) -> Unbelieved {
        K::store(self).take_unbelieved()
    }

    /// Takes in that a watch has got to that version without a change. Trees whose Pods name a node that is not
    /// known are concerned by how far the nodes are known.
    pub(super) fn advance<K: Kind>(
        &mut self,
        scope: Option<&str>,
        version: Version,
    ) -> BTreeSet<ObjectKey> {
        K::store(self).watched(scope, version);
        if K::NAME != Nodes::NAME {
            return BTreeSet::new();
        }
        let homeless = self.pods.iter().map(|(_, pod)| pod).filter(|pod| {
            let node = pod.view.node.as_deref();
            node.is_some_and(|name| self.nodes.get(&ObjectKey::new("", name)).is_none())
        });
        homeless.flat_map(|pod| Pods::concerns(self, pod)).collect()
    }

    /// Takes in a complete list, of which is here what is kept; see [`Listing`]. The first one concerns every tree of its scope,
    /// and so does the first after the kind was done without.
    pub(super) fn replace<K: Kind>(
        &mut self,
        scope: Option<&str>,
        version: &str,
        listed: Vec<Listed<K::Item>>,
    ) -> BTreeSet<ObjectKey> {
        let touched = K::store(self).replace(scope, Version::parse(version), listed);
        let was_forgone = self.forgone.remove(K::NAME, scope);
        if self.loaded.insert(K::NAME, scope) || was_forgone {
            return self.trees_in(scope);
        }
        self.note_changes::<K>(&touched);
        self.concerned::<K>(&touched)
    }

    /// Takes in that a kind is done without in that scope. What was known of one that may not be read counts no more.
    pub(super) fn forgo<K: Kind>(&mut self, scope: Option<&str>) -> BTreeSet<ObjectKey> {
        if K::NEED == Need::WhereAllowed {
            *K::store(self) = Store::default();
            self.loaded.remove(K::NAME, scope);
        }
        if self.forgone.insert(K::NAME, scope) {
            self.trees_in(scope)
        } else {
            BTreeSet::new()
        }
    }

    /// Takes in that a kind may not be watched in that scope, and why; with no reason, that it is watched.
    pub(super) fn unsee<K: Kind>(
        &mut self,
        scope: Option<&str>,
        message: Option<String>,
    ) -> BTreeSet<ObjectKey> {
        let watch = (K::NAME, scope.map(str::to_owned));
        let is_news = self.unseen.get(&watch) != message.as_ref();
        match message {
            Some(message) => drop(self.unseen.insert(watch, message)),
            None => drop(self.unseen.remove(&watch)),
        }
        if is_news {
            self.trees_in(scope)
        } else {
            BTreeSet::new()
        }
    }

    fn unseen_in(&self, namespace: &str) -> Vec<Unseen> {
        let of_namespace =
            |scope: &Option<String>| scope.as_deref().is_none_or(|scope| scope == namespace);
        let unseen = self
            .unseen
            .iter()
            .filter(|((_, scope), _)| of_namespace(scope));
        unseen
            .map(|((kind, _), message)| Unseen {
                kind,
                message: message.clone(),
            })
            .collect()
    }

    /// Whether everything that a decision on trees of this namespace rests on has been listed once, or is done without.
    pub(super) fn is_loaded(&self, namespace: &str) -> bool {
        let is_loaded =
            |kind| self.loaded.covers(kind, namespace) || self.forgone.covers(kind, namespace);
        [
            Trees::NAME,
            Workers::NAME,
            Revisions::NAME,
            Pods::NAME,
            Nodes::NAME,
            PodEvents::NAME,
            ClaimEvents::NAME,
            NodeEvents::NAME,
        ]
        .into_iter()
        .all(is_loaded)
    }

    /// Whether that kind has been listed once in that scope.
    pub(super) fn has_listed(&self, kind: &'static str, scope: Option<&str>) -> bool {
        self.loaded.contains(kind, scope)
    }

    /// Everything known that concerns that tree; `None` when there is no such tree.
    pub(super) fn snapshot(&self, key: &ObjectKey) -> Option<Snapshot> {
        let tree = Arc::clone(self.trees.get(key)?);
        let workers: Vec<_> = self
            .workers
            .owned_by(&tree.uid)
            .filter(|worker| worker.key.namespace == key.namespace)
            .map(|worker| {
                let pods = self.pods.owned_by(&worker.uid);
                let pods = pods.map(|pod| Arc::clone(&pod.view)).collect();
                (Arc::clone(worker), pods)
            })
            .collect();
        let nodes = (!self.forgone.contains(Nodes::NAME, None)).then(|| self.nodes_of(&workers));
        let revisions = self.revisions.owned_by(&tree.uid);
        let revisions = revisions
            .filter(|one| one.tree.as_ref() == Some(key))
            .map(|one| Arc::clone(&one.view))
            .collect();
        let disruption_budgets = self.disruption_budgets_for(&key.namespace, &workers);
        let claims = self.claims_of(key, &tree, &workers);
        let events = self.events_of(&key.namespace, &workers);
        let changes = self.changes_for(&key.namespace, &workers);
        Some(Snapshot {
            tree,
            workers,
            revisions,
            disruption_budgets,
            claims,
            nodes,
            zoned: self.nodes.len() > 0
                && self.nodes.iter().all(|(_, node)| node.view.zone.is_some()),
            events,
            changes,
            unseen: self.unseen_in(&key.namespace),
        })
    }

    fn disruption_budgets_for(
        &self,
        namespace: &str,
        workers: &[(Arc<WorkerItem>, Vec<Arc<PodView>>)],
    ) -> Option<Vec<Arc<DisruptionBudgetView>>> {
        let kind = DisruptionBudgets::NAME;
        let is_known = self.loaded.covers(kind, namespace) && !self.forgone.covers(kind, namespace);
        let is_ours = |uid: &str| workers.iter().any(|(worker, _)| worker.uid == uid);
        is_known.then(|| {
            let all = self.disruption_budgets.within(namespace);
            let concerned = all.filter(|one| !one.is_of_worker || is_ours(&one.view.owner_uid));
            concerned.map(|one| Arc::clone(&one.view)).collect()
        })
    }

    /// Labels say which claims were made for a tree, names which ones it uses.
    fn claims_of(
        &self,
        key: &ObjectKey,
        tree: &TreeItem,
        workers: &[(Arc<WorkerItem>, Vec<Arc<PodView>>)],
    ) -> BTreeMap<String, Arc<ClaimView>> {
        let labelled = self.claims.owned_by(&key.to_string());
        let replicas = |child: &str| {
            let mut workers = workers.iter().map(|(worker, _)| worker);
            let worker = workers.find(|worker| worker.child == child);
            let view = worker.and_then(|worker| worker.view.as_ref().ok());
            view.map_or(0, |view| view.replicas)
        };
        let used = tree.view.iter().flat_map(|tree| tree.claim_names(replicas));
        let used = used.filter_map(|name| self.claims.get(&ObjectKey::new(&key.namespace, name)));
        labelled
            .chain(used)
            .map(|claim| (claim.view.name.clone(), Arc::clone(&claim.view)))
            .collect()
    }

    /// Remembers that these changed now, if they are of a kind that Pods wait for.
    fn note_changes<K: Kind>(&mut self, touched: &Touched<K::Item>) {
        for item in touched.iter().filter_map(|item| K::waited_for(item)) {
            self.changes.note(K::NAME, &item.key);
        }
    }

    /// The changes that Pods of these Workers may wait for: of quotas, and of what is named where it is said what keeps
    /// them from being up.
    fn changes_for(
        &self,
        namespace: &str,
        workers: &[(Arc<WorkerItem>, Vec<Arc<PodView>>)],
    ) -> Vec<Change> {
        let troubles = workers.iter().flat_map(|(worker, _)| worker.troubles());
        let names: BTreeSet<&str> = troubles
            .flat_map(|trouble| words(&trouble.message))
            .collect();
        let of_these = self.changes.of(namespace, &names);
        let quota = self.changes.last(namespace, Quotas::NAME);
        quota.into_iter().chain(of_these).collect()
    }

    /// The trees of a namespace that something keeps from being up.
    pub(super) fn troubled_in(&self, namespace: &str) -> Vec<ObjectKey> {
        let is_troubled = |key: &ObjectKey, tree: &TreeItem| {
            let refused = |view: &TreeView| !view.status.refused.is_empty();
            let mut workers = self.workers.owned_by(&tree.uid);
            key.namespace == namespace
                && (tree.view.as_deref().is_ok_and(refused)
                    || workers.any(|worker| worker.is_troubled()))
        };
        let trees = self.trees.iter();
        let troubled = trees.filter(|(key, tree)| is_troubled(key, tree));
        troubled.map(|(key, _)| key.clone()).collect()
    }

    fn events_of(
        &self,
        namespace: &str,
        workers: &[(Arc<WorkerItem>, Vec<Arc<PodView>>)],
    ) -> BTreeMap<String, Vec<Arc<EventView>>> {
        if self.pod_events.len() + self.claim_events.len() + self.node_events.len() == 0 {
            return BTreeMap::new();
        }
        let pods = workers.iter().flat_map(|(_, pods)| pods);
        let told = pods.filter_map(|pod| {
            let claims = pod.spec.claims.iter();
            let of_claims = claims.flat_map(|name| self.events_of_claim(namespace, name));
            let of_node = self.events_of_node(pod);
            let of_pod = self.pod_events.owned_by(&within(namespace, &pod.uid));
            let events = of_pod.chain(of_claims).chain(of_node);
            let events: Vec<Arc<EventView>> = events.map(|item| Arc::clone(&item.view)).collect();
            (!events.is_empty()).then(|| (pod.uid.clone(), events))
        });
        told.collect()
    }

    /// What Events tell of the claim that has this name now, and not of an earlier one.
    fn events_of_claim<'a>(
        &'a self,
        namespace: &str,
        name: &str,
    ) -> impl Iterator<Item = &'a Arc<EventItem>> + use<'a> {
        let known = self.claims.get(&ObjectKey::new(namespace, name));
        let uid = known.map(|known| known.waited.uid.as_str());
        let told = self.claim_events.owned_by(&within(namespace, name));
        told.filter(move |told| {
            let about = told.view.object.uid.as_str();
            about.is_empty() || uid.is_none_or(|uid| uid == about)
        })
    }

    /// What Events tell of the node of a Pod since there is the Pod.
    fn events_of_node<'a>(
        &'a self,
        pod: &PodView,
    ) -> impl Iterator<Item = &'a Arc<EventItem>> + use<'a> {
        let node = pod.node.as_deref().unwrap_or_default();
        let created = pod.created;
        let told = self.node_events.owned_by(node);
        told.filter(move |told| told.view.seen().is_none_or(|seen| seen >= created))
    }

    fn nodes_of(
        &self,
        workers: &[(Arc<WorkerItem>, Vec<Arc<PodView>>)],
    ) -> BTreeMap<String, NodeView> {
        let pods = || workers.iter().flat_map(|(_, pods)| pods);
        let names: BTreeSet<&str> = pods().filter_map(|pod| pod.node.as_deref()).collect();
        let known = |name: &str| self.nodes.get(&ObjectKey::new("", name));
        let (there, unknown): (BTreeSet<&str>, BTreeSet<&str>) =
            names.into_iter().partition(|name| known(name).is_some());
        let there = there
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), known(name)?.view.clone())));
        let mut views: BTreeMap<String, NodeView> = there.collect();
        if !unknown.is_empty() {
            // A node is there when a Pod is bound to it. What we know of the nodes may be older than the Pod.
            let seen = self.nodes.seen(None);
            let newer = pods().filter(|pod| seen < Version::parse(&pod.resource_version));
            let hosts = newer.filter_map(|pod| pod.node.as_deref());
            let hosts = hosts.filter(|name| unknown.contains(name));
            views.extend(hosts.map(|name| (name.to_owned(), NodeView::default())));
        }
        views
    }

    fn concerned<K: Kind>(&self, touched: &Touched<K::Item>) -> BTreeSet<ObjectKey> {
        touched
            .iter()
            .flat_map(|item| K::concerns(self, item))
            .collect()
    }

    /// Every tree that is known.
    pub(super) fn all_trees(&self) -> BTreeSet<ObjectKey> {
        self.trees_in(None)
    }

    /// The trees of a namespace, or all of them.
    pub(super) fn trees_in(&self, scope: Option<&str>) -> BTreeSet<ObjectKey> {
        let key = |tree: &Arc<TreeItem>| tree.key.clone();
        match scope {
            None => self.trees.iter().map(|(_, tree)| key(tree)).collect(),
            Some(namespace) => self.trees.within(namespace).map(key).collect(),
        }
    }
}

fn address<W: Resource>(wire: &W) -> (ObjectKey, Version) {
    (
        key_of(wire.meta()),
        Version::parse(&wire.resource_version().unwrap_or_default()),
    )
}

/// The views, shared by the watches that write them and the reconciles that read them.
#[derive(Clone, Debug, Default)]
pub(super) struct SharedViews(Arc<Mutex<Views>>);

impl SharedViews {
    /// The views, for a moment.
    pub(super) fn lock(&self) -> MutexGuard<'_, Views> {
        // A panic of a reader leaves the views whole; every write above is one step for its readers.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
