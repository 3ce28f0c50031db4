//! What can go wrong with a node.
//!
//! Rule: each error says what was tried; where a program is to blame, it shows what the program said.

use std::path::PathBuf;

use super::{GONE_WITHIN, MAX_NODES, READY_WITHIN};
use crate::{cgroup, ledger, pki, process, reaper, run};

/// Why a node could not be started or acted upon.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no room for another node.
    #[error(
        "start node number {index}: a cluster has at most {MAX_NODES} real nodes, numbered from 0"
    )]
    TooMany {
        /// The number that was asked for.
        index: u8,
    },
    /// The node is down, or is up already.
    #[error("reach node {name}: it is {}", if *up { "up already" } else { "down" })]
    Power {
        /// The node's name.
        name: String,
        /// Whether it is up.
        up: bool,
    },
    /// A file of the node could not be read or written.
    #[error("use the node's file {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system answered.
        source: std::io::Error,
    },
    /// The node's folder could not be made.
    #[error("prepare the node")]
    Run(#[source] run::Error),
    /// Its certificates could not be made.
    #[error("certify the node")]
    Pki(#[source] pki::Error),
    /// Its control groups could not be made.
    #[error("make the node's control groups")]
    Cgroup(#[source] cgroup::Error),
    /// Something of it could not be written down.
    #[error("write the node down")]
    Ledger(#[source] ledger::Error),
    /// The harness's own binary is not there.
    #[error("find the node's PID 1")]
    Init(#[source] reaper::Error),
    /// It did not boot.
    #[error("boot the node")]
    Boot(#[source] process::Error),
    /// A command failed.
    #[error("run `{command}`: {reason}")]
    Command {
        /// The program and its arguments.
        command: String,
        /// What it said.
        reason: String,
    },
    /// It booted, but Kubernetes does not have it.
    #[error("wait {} s until node {name} is Ready: {last}; the end of {log}:\n{tail}", READY_WITHIN.as_secs())]
    NotReady {
        /// The node's name.
        name: String,
        /// What was seen last.
        last: String,
        /// The kubelet's log.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// Processes or control groups of a node without power are still there.
    #[error("wait {} s until {what} of node {name} are gone", GONE_WITHIN.as_secs())]
    Left {
        /// The node's name.
        name: String,
        /// What is left.
        what: &'static str,
    },
    /// No such container is running on the node.
    #[error(
        "find the process of container {container} of the Pod with UID {pod_uid}: it is not running on this node"
    )]
    NoContainer {
        /// The Pod's UID.
        pod_uid: String,
        /// The container's name.
        container: String,
    },
}
