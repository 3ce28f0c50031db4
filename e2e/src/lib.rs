//! Real Kubernetes clusters on one Linux machine, for tests, demonstrations and benchmarks.
//!
//! Rule: whatever is made on the machine is written down first ([`ledger`]) and undone by that record, whoever made it.
//!
//! In reading order: [`cluster`] is what tests use; it starts a [`run`] in a [`session`] under a [`lock`], with binaries
//! that [`build`] made at the versions of [`versions`], certificates of [`pki`], a [`control_plane`], a [`network`],
//! real nodes ([`node`], with [`images`] in [`cgroup`]s) and [`kwok`] nodes. [`current`] is a cluster that somebody else
//! runs. [`ledger`], [`process`] and [`pid`] keep the machine clean, and [`reaper`] does so when the owner of a run dies.
//! On top of it, [`storage`] makes volumes, [`metrics_server`] measures Pods, [`operator`] runs Coppice, [`proxy`] lets faults come between it and the API server, [`demo`] shows it,
//! [`layers`] runs all tests, and [`mod@bench`] measures. [`deny`] and [`sbom`] look at the dependencies and
//! [`mutants`] at the tests of the engine, with [`cargo_tools`].

#![forbid(unsafe_code)]

pub mod bench;
pub mod build;
pub mod cache;
pub mod cargo_tools;
pub mod cgroup;
pub mod cluster;
pub mod control_plane;
pub mod current;
pub mod demo;
pub mod deny;
pub mod earlier;
pub mod images;
pub mod kstatus;
pub mod kubeconfig;
pub mod kwok;
pub mod layers;
pub mod ledger;
pub mod lock;
pub mod metrics_server;
pub mod mutants;
pub mod network;
pub mod node;
pub mod operator;
pub mod pid;
pub mod pki;
pub mod process;
pub mod progress;
pub mod proxy;
pub mod reaper;
pub mod run;
pub mod sbom;
pub mod session;
pub mod storage;
pub mod system;
pub mod versions;
