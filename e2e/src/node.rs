//! A real node: containerd, kubelet and kube-proxy in network, mount and process namespaces and control groups of
//! their own, so that its power can be cut, its cable pulled, and it can be booted again on the same disk.
//!
//! Rule: a node is gone when its PID 1 is killed, mounts and network included; what remains on the machine is its
//! folder, its control groups and its cable's end, all of them in the run's ledger.
//!
//! ```text
//! unshare ── PID 1 of the node (`lab node-init`, [`init`])
//!              ├── containerd ── shims ── containers
//!              ├── kubelet
//!              └── kube-proxy
//! ```

mod cable;
mod command;
mod config;
mod containers;
mod error;
pub mod init;
mod layout;
mod options;
mod readiness;

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;

pub use error::Error;
pub use options::NodeOptions;

use crate::cgroup::Subtree;
use crate::ledger::Entry;
use crate::network::node_address;
use crate::pid::Pid;
use crate::pki::Pki;
use crate::process::{Process, Program};
use crate::reaper;
use crate::run::Run;

/// The subcommand of the `lab` binary that is a node's PID 1, followed by the file of its instructions.
pub const INIT_SUBCOMMAND: &str = "node-init";
/// How many real nodes a cluster can have.
pub const MAX_NODES: u8 = 8;
/// How long PID 1 may take to appear.
const INIT_WITHIN: Duration = Duration::from_secs(10);
/// How long a boot may take until containerd has its images.
const BOOT_WITHIN: Duration = Duration::from_mins(1);
/// How long the kubelet may take from there until its node is Ready.
const READY_WITHIN: Duration = Duration::from_mins(1);
/// How long the processes of a node may take to disappear, and the kernel to let go of their control groups.
const GONE_WITHIN: Duration = Duration::from_secs(15);

/// A node of the cluster, up or down. Dropping it changes nothing: [`Node::power_cut`] or the run's ledger ends it.
#[derive(Debug)]
pub struct Node {
    run: Arc<Run>,
    options: NodeOptions,
    index: u8,
    dir: PathBuf,
    cgroup: Subtree,
    power: Mutex<Option<Power>>,
}

/// The processes at the top of a node that is up.
#[derive(Debug, Clone)]
struct Power {
    /// `unshare`, which made the namespaces and waits for PID 1.
    parent: Process,
    init: Pid,
    since: Timestamp,
}

impl Node {
    /// Prepares the node number `index`, from 0, and boots it: when this returns, its runtime is up with all images of
    /// `images`, and its kubelet has been started. [`Node::ready`] waits for Kubernetes. `server` is the API server's
    /// URL on the bridge, which must exist.
    pub async fn start(
        run: Arc<Run>,
        pki: &Pki,
        server: &str,
        index: u8,
        options: NodeOptions,
        images: &[PathBuf],
    ) -> Result<Self, Error> {
        if index >= MAX_NODES {
            return Err(Error::TooMany { index });
        }
        let dir = run.folder(&options.name).map_err(Error::Run)?;
        let cgroup = Subtree::named(&options.name);
        let node = Self {
            run,
            options,
            index,
            dir,
            cgroup,
            power: Mutex::new(None),
        };
        for path in node.cgroup.groups() {
            node.record(Entry::Cgroup { path: path.clone() })?;
        }
        config::write(&node, pki, server, images)?;
        node.boot().await?;
        Ok(node)
    }

    /// Boots the node: a reboot, when its power was cut before. Its disk is as it was; its memory, network and control
    /// groups are new. Returns like [`Node::start`].
    pub async fn boot(&self) -> Result<(), Error> {
        if self.is_up() {
            return Err(self.power_error(true));
        }
        let booted = self.dir.join("booted");
        match fs::remove_file(&booted) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::File {
                    path: booted,
                    source,
                });
            }
            _ => {}
        }
        // A node that somebody else has killed was not cleared yet.
        self.clear().await?;
        self.cgroup.make().map_err(Error::Cgroup)?;
        let since = Timestamp::try_from(SystemTime::now()).unwrap_or_default();
        let parent = self.run.spawn(self.namespaces()?).map_err(Error::Boot)?;
        let mut init = None;
        let appeared = parent.ready(INIT_WITHIN, async || {
            init = parent.pid().children().first().copied();
            init.is_some()
        });
        appeared.await.map_err(Error::Boot)?;
        let init = init.ok_or_else(|| self.power_error(false))?;
        *self.power() = Some(Power {
            parent: parent.clone(),
            init,
            since,
        });
        self.record(Entry::Process {
            name: format!("PID 1 of {}", self.name()),
            pid: init,
        })?;
        cable::plug_in(self.index, init, self.run.ledger()).await?;
        parent
            .ready(BOOT_WITHIN, async || booted.exists())
            .await
            .map_err(Error::Boot)
    }

    /// Cuts the node's power: every process in it is gone when this returns, and nobody was told.
    pub async fn power_cut(&self) -> Result<(), Error> {
        let power = self.powered()?;
        power.init.kill();
        *self.power() = None;
        self.gone("the processes", || {
            !power.parent.pid().is_alive() && self.cgroup.processes().is_empty()
        })
        .await?;
        self.clear().await
    }

    /// Pulls the network cable: containers go on, but neither the machine nor another node can be reached.
    pub async fn partition(&self) -> Result<(), Error> {
        self.powered()?;
        cable::set_connected(self.index, false).await
    }

    /// Puts the network cable back.
    pub async fn heal(&self) -> Result<(), Error> {
        self.powered()?;
        cable::set_connected(self.index, true).await
    }

    /// The node's name.
    pub fn name(&self) -> &str {
        &self.options.name
    }

    /// The node's address, where its kubelet listens.
    pub fn address(&self) -> IpAddr {
        node_address(self.index)
    }

    /// What it was asked to be like.
    pub fn options(&self) -> &NodeOptions {
        &self.options
    }

    /// Its folder on the machine: its disk and its configuration.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its control groups.
    pub fn cgroup(&self) -> &Subtree {
        &self.cgroup
    }

    /// Whether it has power.
    pub fn is_up(&self) -> bool {
        self.power()
            .as_ref()
            .is_some_and(|power| power.init.is_alive())
    }

    /// The node's PID 1, as seen from the machine.
    pub fn init(&self) -> Result<Pid, Error> {
        Ok(self.powered()?.init)
    }

    /// The log of one of its services: `containerd`, `kubelet` or `kube-proxy`.
    pub fn service_log(&self, service: &str) -> PathBuf {
        self.run.log(&format!("{}-{service}", self.name()))
    }

    fn power(&self) -> std::sync::MutexGuard<'_, Option<Power>> {
        self.power.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn powered(&self) -> Result<Power, Error> {
        let power = self.power().clone().filter(|power| power.init.is_alive());
        power.ok_or_else(|| self.power_error(false))
    }

    fn power_error(&self, up: bool) -> Error {
        Error::Power {
            name: self.name().to_owned(),
            up,
        }
    }

    fn record(&self, entry: Entry) -> Result<(), Error> {
        self.run.ledger().record(entry).map_err(Error::Ledger)
    }

    /// The command that makes the node's namespaces and its PID 1 in them.
    fn namespaces(&self) -> Result<Program, Error> {
        let lab = reaper::lab_binary().map_err(Error::Init)?;
        let program = Program::new(self.name(), "unshare", self.run.log(self.name()));
        let program = program.args([
            "--net",
            "--mount",
            "--propagation",
            "private",
            "--pid",
            "--fork",
        ]);
        // PID 1 goes with its parent, so that the death of either is the end of the node.
        let program = program.args(["--kill-child", "--mount-proc", "--"]);
        Ok(program
            .arg(lab)
            .arg(INIT_SUBCOMMAND)
            .arg(self.dir.join("boot.json")))
    }

    /// Takes away what a node without power leaves on the machine, except its disk.
    async fn clear(&self) -> Result<(), Error> {
        // The kernel takes the cable away too, but some time later, when the next boot may want its name.
        cable::unplug(self.index).await?;
        self.gone("the control groups", || self.cgroup.remove())
            .await
    }

    async fn gone(&self, what: &'static str, gone: impl Fn() -> bool) -> Result<(), Error> {
        let begun = Instant::now();
        while !gone() {
            if begun.elapsed() > GONE_WITHIN {
                return Err(Error::Left {
                    name: self.name().to_owned(),
                    what,
                });
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }
}
