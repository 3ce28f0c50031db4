//! Everything that exists in a run, behind one lock.
//!
//! Rule: whoever changes something rings, so that whoever waits for it looks again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::cluster::{Cluster, register_nodes};
use super::kind::{Call, Kind, Verb};
use super::plan::{Blow, Plan};
use super::predicates::Monitor;
use super::server::{Actor, Answer, Server};

/// When virtual time begins.
const BEGIN: i64 = 1_800_000_000;

/// Everything that exists.
pub(super) struct World {
    pub(super) server: Server,
    pub(super) cluster: Cluster,
    pub(super) plan: Plan,
    pub(super) monitor: Monitor,
    /// How many requests that change something, and others, operators have made.
    pub(super) writes: usize,
    pub(super) reads: usize,
    /// How many requests operators have made about their Lease.
    leases: usize,
    /// The changes at which the watch of an operator has failed already.
    pub(super) failed_watches: BTreeSet<(usize, usize)>,
    /// When an operator last asked for a change, of anything but its Lease.
    pub(super) last_write: Option<Timestamp>,
    /// What was said and done, for the timeline.
    pub(super) notes: BTreeMap<usize, Vec<String>>,
}

/// A handle on everything that exists.
#[derive(Clone)]
pub(super) struct Shared {
    world: Arc<Mutex<World>>,
    began: Instant,
    bell: watch::Sender<usize>,
    crashes: mpsc::UnboundedSender<usize>,
}

impl Shared {
    /// A cluster with nodes and nothing else, and where the crashes of operators are told.
    pub(super) fn new(plan: Plan) -> (Self, mpsc::UnboundedReceiver<usize>) {
        let mut server =
            Server::new(Timestamp::from_second(BEGIN).expect("a time of this century"));
        register_nodes(&mut server);
        let (crashes, told) = mpsc::unbounded_channel();
        let world = World {
            monitor: Monitor::new(&plan),
            server,
            cluster: Cluster::default(),
            plan,
            writes: 0,
            reads: 0,
            leases: 0,
            failed_watches: BTreeSet::new(),
            last_write: None,
            notes: BTreeMap::new(),
        };
        let shared = Self {
            world: Arc::new(Mutex::new(world)),
            began: Instant::now(),
            bell: watch::Sender::new(0),
            crashes,
        };
        (shared, told)
    }

    /// The time now.
    pub(super) fn now(&self) -> Timestamp {
        let elapsed = SignedDuration::try_from(self.began.elapsed()).unwrap_or_default();
        Timestamp::from_second(BEGIN).expect("a time of this century") + elapsed
    }

    /// Locks everything, at the time now.
    pub(super) fn lock(&self) -> MutexGuard<'_, World> {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        world.server.now = self.now();
        world
    }

    /// Something changed.
    pub(super) fn ring(&self) {
        let count = self.lock().server.changes.len();
        self.bell
            .send_if_modified(|known| std::mem::replace(known, count) != count);
    }

    /// Rings although nothing changed in the API.
    pub(super) fn ring_anyway(&self) {
        self.bell.send_modify(|_| ());
    }

    pub(super) fn listen(&self) -> watch::Receiver<usize> {
        self.bell.subscribe()
    }

    /// An operator dies.
    pub(super) fn crash(&self, operator: usize) {
        // Nobody listens any more when the run is over.
        let _ = self.crashes.send(operator);
    }

    /// Makes a request and has every change judged.
    pub(super) fn call(&self, actor: &Actor, call: &Call) -> Answer {
        let answer = self.lock().call(actor, call);
        self.ring();
        answer
    }

    /// Lets the rest of Kubernetes do its work for ever.
    pub(super) async fn run_cluster(self) {
        let mut bell = self.listen();
        loop {
            let due = {
                let mut world = self.lock();
                let due = world.tick();
                let now = world.server.now;
                due.map(|due| Duration::try_from(due.duration_since(now)).unwrap_or_default())
            };
            self.ring();
            let sleep = due
                .unwrap_or(Duration::from_hours(1))
                .max(Duration::from_millis(1));
            tokio::select! {
                biased;
                changed = bell.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(sleep) => {}
            }
        }
    }
}

impl World {
    pub(super) fn call(&mut self, actor: &Actor, call: &Call) -> Answer {
        let before = self.server.changes.len();
        let answer = self.server.call(actor, call);
        if call.verb.writes() {
            self.monitor
                .asked(actor, call, &answer, &self.server, before);
        }
        self.judge(before);
        let in_vain =
            self.server.changes.len() == before && call.verb.writes() && call.kind != Kind::Lease;
        if let Actor::Operator(number) = actor
            && in_vain
        {
            let why = answer
                .as_ref()
                .map_or_else(|refusal| refusal.message.as_str(), |_| "changes nothing");
            let what = format!(
                "operator {number}: {:?} {} {}: {why}",
                call.verb,
                call.kind.name(),
                call.name
            );
            self.note(what);
        }
        answer
    }

    fn tick(&mut self) -> Option<Timestamp> {
        let before = self.server.changes.len();
        let due = self.cluster.tick(&mut self.server);
        self.judge(before);
        due
    }

    /// Has every change from that number on judged.
    pub(super) fn judge(&mut self, before: usize) {
        for index in before..self.server.changes.len() {
            self.monitor.changed(&self.server, index);
            if self.plan.compactions.contains(&index) {
                self.server.compacted = self.server.version();
            }
        }
    }

    /// Writes a line into the timeline.
    pub(super) fn note(&mut self, text: impl Into<String>) {
        let at = self.server.changes.len();
        let text = format!("{:>9}  {}", self.clock(), text.into());
        self.notes.entry(at).or_default().push(text);
    }

    /// Seconds since the beginning.
    pub(super) fn clock(&self) -> String {
        let millis = self.server.now.as_millisecond() - BEGIN * 1000;
        format!("{}.{:03}", millis / 1000, millis % 1000)
    }

    /// Counts a request of an operator and says what shall happen to it.
    pub(super) fn next_blow(&mut self, operator: usize, call: &Call) -> Option<Blow> {
        let blow = if call.kind == Kind::Lease {
            self.leases += 1;
            self.plan.leases.get(&self.leases).copied()
        } else if call.verb.writes() {
            self.writes += 1;
            self.last_write = Some(self.server.now);
            self.plan.writes.get(&self.writes).copied()
        } else {
            self.reads += 1;
            self.plan.reads.get(&self.reads).copied()
        }?;
        if call.verb == Verb::Watch && matches!(blow, Blow::CrashAfter | Blow::FailsAfter(_)) {
            return None;
        }
        let verb = format!("{:?}", call.verb).to_lowercase();
        self.note(format!(
            "operator {operator}: {verb} {} {}: {blow:?}",
            call.kind.name(),
            call.name
        ));
        Some(blow)
    }
}

/// The object's place in a line of the timeline.
pub(super) fn place(object: &Value) -> String {
    let labels = &object["metadata"]["labels"];
    match (
        labels[crate::api::labels::CHILD].as_str(),
        labels[crate::api::labels::SLOT].as_str(),
    ) {
        (Some(child), Some(slot)) => format!("{child}/{slot}"),
        (Some(child), None) => child.to_owned(),
        _ => object["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
    }
}
