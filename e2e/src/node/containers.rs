//! What happens inside a node: commands, images, and the ends of containers.
//!
//! Rule: a container's process is found in containerd's own records and among the processes of the node's control
//! groups, never by a process name.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::Value;

use super::command::output;
use super::{Error, Node, layout};
use crate::pid::Pid;

impl Node {
    /// Runs `command` in the node's namespaces, as its root, and gives back what it printed; it has 20 s.
    pub async fn exec(&self, command: &[&str]) -> Result<String, Error> {
        let init = self.init()?.number.to_string();
        // Its root folder too, lest the command see another one where the harness itself runs in a changed root.
        let enter = [
            "nsenter", "--target", &init, "--mount", "--root", "--net", "--pid", "--",
        ];
        output(&[&enter, command].concat(), "").await
    }

    /// Imports the image archive `archive` of the machine into the running node; what has its name gives way to it.
    pub async fn import(&self, archive: &Path) -> Result<(), Error> {
        let file = |source| Error::File {
            path: archive.to_owned(),
            source,
        };
        // The node does not see the archive's folder, but it sees its own.
        let copy = self.dir().join(archive.file_name().unwrap_or_default());
        fs::copy(archive, &copy).map_err(file)?;
        let seen = Path::new(layout::NODE).join(archive.file_name().unwrap_or_default());
        let ctr = Path::new(layout::PROGRAMS).join("ctr");
        let (ctr, seen) = (ctr.to_string_lossy(), seen.to_string_lossy());
        let outcome = self
            .exec(&[&ctr, "--namespace", "k8s.io", "images", "import", &seen])
            .await;
        fs::remove_file(&copy).map_err(file)?;
        outcome.map(drop)
    }

    /// Sends `signal` to the main process of the running container `container` of the Pod with the UID `pod_uid`, from
    /// outside the container, without the kubelet, the API server or a live network having any part in it.
    ///
    /// Linux delivers only KILL and STOP to a container's first process when it has no handler for the signal.
    pub fn kill_container(
        &self,
        pod_uid: &str,
        container: &str,
        signal: Signal,
    ) -> Result<(), Error> {
        if self.container_process(pod_uid, container)?.signal(signal) {
            return Ok(());
        }
        Err(no_such_container(pod_uid, container))
    }

    /// The main process of a running container, as seen from the machine.
    pub fn container_process(&self, pod_uid: &str, container: &str) -> Result<Pid, Error> {
        let tasks = self.path(layout::TASKS)?;
        let entries = fs::read_dir(&tasks).map_err(|source| Error::File {
            path: tasks.clone(),
            source,
        })?;
        let mut matching = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|task| is_container(task, pod_uid, container));
        // A task whose process has ended stays for a moment beside the one that replaces it.
        let process = matching.find_map(|task| self.main_process(&task));
        process.ok_or_else(|| no_such_container(pod_uid, container))
    }

    /// The main process of a containerd task.
    fn main_process(&self, task: &Path) -> Option<Pid> {
        let number = fs::read_to_string(task.join("init.pid"))
            .ok()?
            .trim()
            .parse()
            .ok()?;
        let processes = self.cgroup().processes().into_iter().filter_map(Pid::of);
        processes
            .into_iter()
            .find(|pid| number_in_node(*pid) == Some(number))
    }

    /// Where the node's file `path` is for the machine, while the node is up.
    fn path(&self, path: &str) -> Result<PathBuf, Error> {
        Ok(PathBuf::from(format!(
            "/proc/{}/root{path}",
            self.init()?.number
        )))
    }
}

fn no_such_container(pod_uid: &str, container: &str) -> Error {
    Error::NoContainer {
        pod_uid: pod_uid.to_owned(),
        container: container.to_owned(),
    }
}

/// Whether a containerd task is the container of that name in that Pod: its runtime specification says so.
fn is_container(task: &Path, pod_uid: &str, container: &str) -> bool {
    let text = fs::read(task.join("config.json")).unwrap_or_default();
    let Ok(spec) = serde_json::from_slice::<Value>(&text) else {
        return false;
    };
    let annotation = |name: &str| spec["annotations"][format!("io.kubernetes.cri.{name}")].as_str();
    annotation("container-type") == Some("container")
        && annotation("sandbox-uid") == Some(pod_uid)
        && annotation("container-name") == Some(container)
}

/// The number that a process has for the node: the second of its numbers, the first being the machine's.
fn number_in_node(pid: Pid) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.number)).ok()?;
    let numbers = status
        .lines()
        .find_map(|line| line.strip_prefix("NSpid:"))?;
    numbers.split_ascii_whitespace().nth(1)?.parse().ok()
}
