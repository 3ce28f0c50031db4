//! A simulation of everything: the whole controller over an API server in memory, in virtual time, on one thread.
//!
//! * `kind`, `server`: what an API server answers and stores. A real one answers `tests/api-calls.yaml` the same (`script`).
//! * `cluster`: scheduler, kubelets, node controller, garbage collector.
//! * `network`, `operator`, `world`: the controller as it is, over a connection on which all goes wrong that `plan` says;
//!   `mistakes`: the controller as it must not be.
//! * `objects`: how objects are read. `predicates`: every promise, judged at every step. `history`: the timeline of a run.
//! * `scenario`, `scenarios`, `run`, `ends`, `claims`, `revisions`: what happens, and what came of it.
//! * `tests`: every scenario; a crash before and after every write; stale views; dropped news; seeds; planted mistakes.
//!
//! Rule: nothing here is in the program; nothing in the program knows of it.

mod claims;
mod cluster;
mod ends;
mod history;
mod kind;
mod mistakes;
mod network;
mod objects;
mod operator;
mod plan;
mod predicates;
mod revisions;
mod run;
mod scenario;
mod scenarios;
mod script;
mod server;
mod story;
mod tests;
mod world;
