//! The pure core: what to do, given what is seen and what is remembered.
//!
//! Rule: no client, no clock, no async, no logging; the time is a parameter.

pub mod budget;
mod build;
pub mod changes;
mod charge;
pub mod claims;
#[cfg(test)]
mod conformance;
mod deaths;
mod decide;
pub mod decision;
pub mod disruption_budgets;
mod engine;
mod exits;
pub mod fault;
mod fit;
pub mod in_place;
mod incarnations;
mod judge;
pub mod kubelet;
#[cfg(test)]
pub(crate) mod lab;
mod memory;
pub mod names;
mod order;
pub mod outcome;
mod plan;
pub mod pod;
pub mod policy;
mod reasons;
mod redundancy;
mod replica;
mod report;
pub mod revisions;
mod rollout;
#[cfg(test)]
mod scenarios;
mod situations;
mod supervise;
pub mod tally;
pub mod tree;
mod troubles;
mod update;
mod waits;
mod warnings;
pub mod window;
pub mod world;

pub use decide::decide;
pub use memory::RECENT_FAULTS;
