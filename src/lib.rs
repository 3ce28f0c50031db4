//! Coppice: Erlang/OTP supervision trees for Kubernetes.
//!
//! This page is the architecture document. It says how the parts fit, in the order in which one
//! reads them, and what each of them must never do.
//!
//! # Bird's-eye view
//!
//! People write a [`SupervisionTree`](api::v1alpha1::SupervisionTree); Coppice generates one
//! [`Worker`](api::v1alpha1::Worker) for each worker in it, and Pods for each Worker. The chain of
//! controlling owners is SupervisionTree → Worker → Pod; a tree owns its `ControllerRevision`s, too, and a Worker its
//! `PodDisruptionBudget`. There is one key, the tree, and one reconcile does everything below it:
//!
//! ```text
//! observe → identify → judge → plan → record intent → execute → report
//! ```
//!
//! * [`controller`] reads the world from its stores into a plain [`World`](model::world::World);
//! * [`model::decide`] answers with a [`Decision`](model::decision::Decision): the next statuses, which
//!   of them record an intent, the next safe writes, and when to look again;
//! * [`controller`] stores the intents by compare-and-swap, carries out the writes in order, and then
//!   stores what only reports.
//!
//! The next change of anything in the world starts the same function from the beginning. Nothing that a
//! decision needs lives in the process: windows, delays, operations and counted deaths are in the status
//! of the tree and of its Workers, so a crash of the operator at any point changes nothing in the end.
//!
//! # Code map
//!
//! * [`api`]: the custom resources, labels, conditions and their reasons. Types only.
//! * [`model`]: the pure core. In reading order: `world` and `pod` (what is seen), `tree` (what is
//!   wanted), `memory` (what is remembered), `replica` (what the Pods of a slot amount to), `fault`
//!   (why something failed), `deaths` (which lives have ended), `judge` and `charge` (who is charged, who gives up),
//!   `incarnations` (what an operation of a supervisor starts anew), `exits` (supervisors that end), `waits` (what is tried
//!   again, and when), `supervise` (what is forgotten, and starts that have succeeded), `troubles` (what keeps slots down),
//!   `order` (whose turn it is), `claims` (the volumes of `Stable` replicas), `revisions` (the templates of a tree), `rollout` (which
//!   worker gets another one, with its preflight, canaries and gate), `update` (which Pods give way to a changed template), `in_place` (which of them get it themselves), `plan`
//!   (the next writes), `disruption_budgets` (what evictions must leave of a worker), `redundancy` (what there is only one of), `situations`, `warnings`, `reasons` and `report` (what people read), `fit` (how
//!   much of it), `decide` (all of it in one function). `kubelet` is apart: it plays the other side where a world is acted out.
//! * [`controller`]: the shell. `connection` is how the API server is reached, `watches` and `store` keep views of the cluster, `queue` says which tree
//!   is next, `observe` is the only reader, `execute` the only writer, `reconcile` joins them.
//! * [`simulate`]: the simulation for people, `coppice simulate`: [`model::decide`] is asked about a world in memory, in virtual
//!   time, and what it answers is told as a timeline. It decides nothing itself.
//! * [`identify`]: `coppice identify` and `coppice faults`: objects in files are judged by [`model::fault`], as those of a tree
//!   are. It only reads and prints.
//! * [`why`]: `kubectl coppice why`: what is wrong with a tree, from its statuses and from what [`identify`] says of its Pods. It
//!   only tells. `src/bin/kubectl-coppice` reads what it needs from a cluster, or it stands in a file.
//! * `yaml`: how `simulate` and `identify` read a stream of documents.
//! * [`runtime`]: process plumbing that knows none of our kinds: telemetry, metrics, health, the election of a
//!   [`leader`](runtime::leader), shutdown.
//! * `pages` (for tests only): files that are made from the code are current.
//! * `every_class` (for tests only): every class of fault comes out of some evidence.
//! * `hostile` (for tests only): files that hold anything at all are answered by `identify`, in few words. What an API
//!   server could send is tried the same way in `controller/wire`, up to what the engine asks.
//! * `conformance` (for tests only): the page that says how far all this does what Erlang/OTP does.
//! * `sim` (for tests only): all of this over an API server in memory, in virtual time, on one thread, with everything
//!   going wrong that can; and the promises of the design as predicates that are judged at every step.
//! * `otp` (for tests only): random trees and histories, run on the supervisor of a real Erlang/OTP and on `model`; both do the
//!   same, one thing after another. What the design has otherwise is named there by its number.
//!
//! # Invariants
//!
//! * Imports go one way: `api ← model ← controller ← main`, `runtime ← controller`, and beside the controller
//!   `model ← simulate ← main`, `model ← identify ← main`, `identify ← why ← kubectl-coppice` and `model ← history ← kubectl-coppice`.
//!   A test enforces it.
//! * `model`, `simulate`, `identify`, `why` and `history` have no client, no clock, no async and no logging; the time is a parameter. The same test
//!   enforces it.
//! * Intent before effect: whatever spends a budget or begins an operation is stored with a
//!   resourceVersion before any Pod is touched. Replacing a Pod that others deleted spends nothing: an elected leader
//!   does so first and stores it then, and the successor's name tells of the death if that fails. Deaths are keyed by Pod UID and number of ended runs, so
//!   none is charged twice or lost. A death that is charged to a supervisor changes two objects, the tree
//!   and the Worker; the tree is written first and names the death in `judgedDeaths`, so that a crash
//!   between the two writes is repaired by the next decision. A death that only its Worker remembers is counted by the
//!   tree after it; what a crash leaves out there, the counts of the Workers make up for, as long as none of them is gone.
//! * What a supervisor is in the middle of is an operation with a number, stored in the tree. A worker that is to go through
//!   it and has not yet shows that by a lower number in its Worker; then it begins a new incarnation, and Pods that are
//!   labelled with an earlier one are stopped in their turn, whatever they die of. How far an operation has come is read off
//!   the Pods. So a crash after any write is continued and not repeated, and a tree that is seen older than its Workers is
//!   noticed by their numbers.
//! * Every Pod name is computed, every delete carries a UID, and no decision is made on a view older than
//!   our own last write to that tree. A status that another operator wrote has the whole tree read before the next write.
//! * Two operators at once do no harm. Which of them works is agreed on by a Lease, and that only saves work: safety
//!   rests on the three rules above, on the API server, which refuses what assumes something that is no longer so, and
//!   on nothing that a process believes of itself. Every write asks right before it is sent whether we lead still, and
//!   in the same term in which it was decided; a standby has every view and makes no write. Who comes to lead looks at
//!   every tree, and reads a tree anew before its first write to it, because the last write may have been another's;
//!   unless no operator has written to it yet, which the API server confirms by granting that first write. Who is told
//!   to stop begins nothing more, waits for what is under way, and gives the Lease back.
//! * What a lost node ran is evicted by Kubernetes; where it does so, by its own taint, the tree deletes its
//!   `Interchangeable` Pods there together when `nodeLossSeconds` are over, because Kubernetes takes them one after the
//!   other.
//! * What is remembered is stored in lists as a whole, not as maps by key: for these the API server would keep who owns
//!   each field of each element, at a multiple of the cost. A tree of many Pods rests a moment after each look, so that it
//!   leaves the API server and us to the others however many of them crash.
//! * What Events tell is evidence and never needed: where they may not be read, or cannot, faults have more general names,
//!   and everything else goes on. The same is true of what only shortens waits: claims, quotas, `ConfigMaps`. Events of nodes
//!   are read only where all namespaces are watched.
//! * A death of which only a signal is known waits three seconds for Events, if the kubelet makes the restart, the death
//!   would have a supervisor give up or park its slot, or a rule asks for its class; so does an end that looks clean, if the
//!   replica would not be started again. No other restart of ours waits for it.
//! * A hold that an Event told of lasts as long as the Pod stands as it stood then, because Events expire.
//! * What keeps many replicas of a worker from starting is told in one Event, and counted for each.
//! * A worker that is updated may fill more slots than it has replicas; how many more is stored before a Pod is made for one.
//!   A Pod that is made for a `restartAt` says so, because only the API server's clock tells when it was made.
//! * A rollout gives each worker its template by a stored intent, in its turn; what is made for a worker is made from the template
//!   that it was given, which a `ControllerRevision` holds. Whether a revision is bad is judged by what is stored and seen, so it does
//!   not matter how often that is looked at; that it is bad is stored before anything goes back.
//! * A Pod that is updated in place is changed after that is stored with how its containers stood, on the condition that it is as it
//!   was seen then. So the first end of each of them after that is known to be ordered, whoever looks at it, and when.
//! * Which slots a canary has updated is stored in the Worker before one of their Pods goes; every other slot is filled with the
//!   template of the good revision. Before a rollout takes a Pod down, the API server is asked whether it would take those of the new
//!   templates; what it said is not stored, because to ask again has no effect.
//! * A worker has a disruption budget only where no other one selects its Pods: what two are about cannot be evicted. Where
//!   disruption budgets may not be read, none is written; whatever becomes of one, nothing else waits for it.
//! * The claims of a slot are made before its Pod, and never deleted: how long they stay is said by who owns them, the Worker, the
//!   Pod of a slot that is dropped, or nobody. That Pod is deleted when it is seen to own them, or where that was refused, so
//!   that a crash in between leaves none behind; and no Pod is made on a claim that is on its way out. Only what is labelled
//!   as ours gets owners.
//! * We never touch what does not name a UID of ours as its controlling owner, whatever its labels say.
//! * Every write stays in the namespace of its tree, and nothing here reads Secrets.
//! * Who may ask for which Pods is decided by the API server when a tree is written, by the admission policies of the
//!   chart (`templates/authority.yaml`), and by what admits every Pod; never here.

#![forbid(unsafe_code)]

pub mod api;
pub mod controller;
pub mod history;
pub mod identify;
pub mod model;
pub mod runtime;
pub mod simulate;
pub mod why;

mod yaml;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod dice;
#[cfg(test)]
mod every_class;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod layers;
#[cfg(test)]
mod otp;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod shown;
#[cfg(test)]
mod sim;
