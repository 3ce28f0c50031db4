//! PID 1 of a node: `lab node-init FILE`, started in new namespaces by [`super::Node::boot`].
//!
//! Rule: it never ends. When it is killed, the kernel ends everything in the node with it, which is the power cut.

mod mounts;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs::File;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{WaitOptions, wait};
use serde::{Deserialize, Serialize};

use super::{cable, layout};
use crate::cgroup::{self, Subtree};
use crate::network::node_address;

/// The programs that run as long as the node does.
pub(super) const SERVICES: [&str; 3] = ["containerd", "kubelet", "kube-proxy"];

/// How long the cable may take to be plugged in, and containerd to listen.
const DEADLINE: Duration = Duration::from_secs(30);
/// How long a service that ended stays down.
const RESTART_DELAY: Duration = Duration::from_secs(1);

/// What the node's PID 1 is told.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Boot {
    /// The node's name.
    pub(super) name: String,
    /// Which node of the cluster it is; its addresses follow from it.
    pub(super) index: u8,
    /// The labels it registers with.
    pub(super) labels: BTreeMap<String, String>,
    /// The node's folder on the machine.
    pub(super) dir: PathBuf,
    /// The log files of [`SERVICES`], in their order.
    pub(super) logs: [PathBuf; 3],
    /// The files of its programs.
    pub(super) programs: Vec<PathBuf>,
    /// The archives of its images.
    pub(super) images: Vec<PathBuf>,
}

/// Why a node could not boot.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It was not started as the first process of a namespace, and would change the machine itself.
    #[error(
        "boot a node: this is not PID 1 of a node's namespace, which only the harness can start"
    )]
    NotInit,
    /// Its instructions could not be read.
    #[error("read the node's instructions {path}")]
    Instructions {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: std::io::Error,
    },
    /// It could not enter its control groups.
    #[error("enter the node's control groups")]
    Cgroup(#[source] cgroup::Error),
    /// Something could not be mounted or linked.
    #[error("arrange the node's files: {path}")]
    Files {
        /// The file or mount point.
        path: PathBuf,
        /// What the system answered.
        source: std::io::Error,
    },
    /// A command of the boot did not succeed.
    #[error("run {command}: {reason}")]
    Command {
        /// The program and its arguments.
        command: String,
        /// What happened.
        reason: String,
    },
    /// Something did not come in time.
    #[error("wait {} s for {what}", DEADLINE.as_secs())]
    Late {
        /// What was awaited.
        what: &'static str,
    },
}

/// Boots the node that the instructions in `file` describe, and then keeps its services running for ever.
pub fn run(file: &Path) -> Result<Infallible, Error> {
    if std::process::id() != 1 {
        return Err(Error::NotInit);
    }
    let instructions = |source| Error::Instructions {
        path: file.to_owned(),
        source,
    };
    let text = std::fs::read(file).map_err(instructions)?;
    let boot: Boot = serde_json::from_slice(&text).map_err(|error| instructions(error.into()))?;

    Subtree::named(&boot.name).join().map_err(Error::Cgroup)?;
    // The logs are opened first: the folder they are in may be hidden afterwards.
    let services = services(&boot)?;
    mounts::arrange(&boot)?;
    set_up_network(boot.index)?;
    let mut running = BTreeMap::new();
    let [containerd, kubelet, kube_proxy] = services;
    kube_proxy.start(&mut running)?;
    containerd.start(&mut running)?;
    poll("containerd", || {
        UnixStream::connect(layout::CONTAINERD_SOCKET).is_ok()
    })?;
    import_images()?;
    kubelet.start(&mut running)?;
    std::fs::write(layout::BOOTED, "").map_err(|source| Error::Files {
        path: layout::BOOTED.into(),
        source,
    })?;
    keep_running(running)
}

/// Waits for the cable and gives the node its addresses.
fn set_up_network(index: u8) -> Result<(), Error> {
    poll("the network cable", || {
        std::fs::read_to_string("/proc/net/dev").is_ok_and(|devices| devices.contains("eth0:"))
    })?;
    let failed = |reason: String| Error::Command {
        command: "ip -batch".to_owned(),
        reason,
    };
    let mut ip = Command::new("ip");
    let ip = ip
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped());
    let mut ip = ip.spawn().map_err(|error| failed(error.to_string()))?;
    if let Some(mut stdin) = ip.stdin.take() {
        stdin
            .write_all(cable::node_side(index).as_bytes())
            .map_err(|error| failed(error.to_string()))?;
    }
    succeeded("ip -batch", ip)?;
    let forward = "/proc/sys/net/ipv4/ip_forward";
    std::fs::write(forward, "1").map_err(|source| Error::Files {
        path: forward.into(),
        source,
    })
}

/// Imports, side by side, the images that are not there since an earlier boot.
fn import_images() -> Result<(), Error> {
    let files = |path: &str| {
        let path = PathBuf::from(path);
        move |source| Error::Files { path, source }
    };
    std::fs::create_dir_all(layout::IMPORTED).map_err(files(layout::IMPORTED))?;
    let mut imports = Vec::new();
    for archive in std::fs::read_dir(layout::IMAGES)
        .map_err(files(layout::IMAGES))?
        .flatten()
    {
        let done = Path::new(layout::IMPORTED).join(archive.file_name());
        if !done.exists() {
            imports.push((done, ctr_import(&archive.path())?));
        }
    }
    for (done, import) in imports {
        succeeded("ctr images import", import)?;
        std::fs::write(&done, "").map_err(files(layout::IMPORTED))?;
    }
    Ok(())
}

fn ctr_import(archive: &Path) -> Result<Child, Error> {
    let ctr = Path::new(layout::PROGRAMS).join("ctr");
    let mut ctr = Command::new(ctr);
    let ctr = ctr
        .args(["--namespace", "k8s.io", "images", "import"])
        .arg(archive)
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    ctr.spawn().map_err(|error| Error::Command {
        command: "ctr images import".to_owned(),
        reason: error.to_string(),
    })
}

fn succeeded(command: &str, child: Child) -> Result<(), Error> {
    let failed = |reason: String| Error::Command {
        command: command.to_owned(),
        reason,
    };
    let output = child
        .wait_with_output()
        .map_err(|error| failed(error.to_string()))?;
    let complaint = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.success() {
        Ok(())
    } else {
        Err(failed(complaint))
    }
}

/// A program that runs as long as the node does.
struct Service {
    program: PathBuf,
    args: Vec<String>,
    log: File,
}

impl Service {
    fn new(name: &str, args: Vec<String>, log: &Path) -> Result<Self, Error> {
        let opened = File::options().create(true).append(true).open(log);
        let log = opened.map_err(|source| Error::Files {
            path: log.to_owned(),
            source,
        })?;
        Ok(Self {
            program: Path::new(layout::PROGRAMS).join(name),
            args,
            log,
        })
    }

    fn start(self, running: &mut BTreeMap<i32, Self>) -> Result<(), Error> {
        let failed = |source: std::io::Error| Error::Command {
            command: self.program.display().to_string(),
            reason: source.to_string(),
        };
        let mut command = Command::new(&self.program);
        command.args(&self.args).stdin(Stdio::null());
        command
            .stdout(self.log.try_clone().map_err(failed)?)
            .stderr(self.log.try_clone().map_err(failed)?);
        // containerd finds its shim there, and all find `runc`, `nft` and `mount` of the machine.
        command.env(
            "PATH",
            format!(
                "{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                layout::PROGRAMS
            ),
        );
        let child = command.spawn().map_err(failed)?;
        running.insert(child.id().cast_signed(), self);
        Ok(())
    }
}

/// The [`SERVICES`], ready to be started.
fn services(boot: &Boot) -> Result<[Service; 3], Error> {
    let [containerd, kubelet, kube_proxy] = SERVICES;
    let [containerd_log, kubelet_log, kube_proxy_log] = &boot.logs;
    let config = layout::CONFIG;
    let labels: Vec<String> = boot
        .labels
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let kubelet_args = vec![
        format!("--config={config}/kubelet.json"),
        format!("--kubeconfig={config}/kubelet.kubeconfig"),
        format!("--hostname-override={}", boot.name),
        format!("--node-ip={}", node_address(boot.index)),
        format!("--node-labels={}", labels.join(",")),
    ];
    Ok([
        Service::new(
            containerd,
            vec![format!("--config={config}/containerd.toml")],
            containerd_log,
        )?,
        Service::new(kubelet, kubelet_args, kubelet_log)?,
        Service::new(
            kube_proxy,
            vec![format!("--config={config}/kube-proxy.json")],
            kube_proxy_log,
        )?,
    ])
}

/// Reaps what ends in the node, as every PID 1 must, and starts services again that ended.
fn keep_running(mut running: BTreeMap<i32, Service>) -> Result<Infallible, Error> {
    loop {
        let Ok(Some((pid, status))) = wait(WaitOptions::empty()) else {
            // There is no child at all: the services are all between two lives.
            std::thread::sleep(RESTART_DELAY);
            continue;
        };
        if let Some(service) = running.remove(&pid.as_raw_nonzero().get()) {
            eprintln!(
                "{} ended ({status:?}), it is started again",
                service.program.display()
            );
            std::thread::sleep(RESTART_DELAY);
            service.start(&mut running)?;
        }
    }
}

fn poll(what: &'static str, mut there: impl FnMut() -> bool) -> Result<(), Error> {
    let begun = Instant::now();
    while !there() {
        if begun.elapsed() > DEADLINE {
            return Err(Error::Late { what });
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
