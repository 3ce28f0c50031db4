//! The state of the machine that a cluster could change, as a set of lines that can be compared.
//!
//! Rule: only what other programs of the machine change all the time is left out: their processes.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use e2e::cache;
use e2e::ledger::MARK;
use e2e::pid::Pid;

/// How long the kernel may take to tidy up after killed processes.
const SETTLED: Duration = Duration::from_secs(15);

/// What there is: one line for each process of a cluster, mount, link, route, namespace, control group, packet filter
/// table, forwarding switch and file of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Snapshot(BTreeSet<String>);

impl Snapshot {
    pub(crate) fn take() -> Self {
        let mut lines = BTreeSet::new();
        let mut add = |kind: &str, things: Vec<String>| {
            lines.extend(things.into_iter().map(|one| format!("{kind} {one}")));
        };
        add("process", processes());
        add("mount", mounts());
        add("link", names("/sys/class/net"));
        add(
            "route",
            output(&["ip", "-o", "route", "show", "table", "all"]),
        );
        add("named network namespace", names("/run/netns"));
        add("namespace", namespaces());
        add("control group", control_groups(Path::new("/sys/fs/cgroup")));
        add("packet filter table", output(&["nft", "list", "tables"]));
        add(
            "forwarding",
            fs::read_to_string("/proc/sys/net/ipv4/ip_forward")
                .into_iter()
                .collect(),
        );
        add("run", runs());
        Self(lines)
    }

    /// What is only in one of two states.
    pub(crate) fn differences(&self, other: &Self) -> Vec<String> {
        let gone = self.0.difference(&other.0).map(|line| format!("- {line}"));
        gone.chain(other.0.difference(&self.0).map(|line| format!("+ {line}")))
            .collect()
    }

    /// Fails when the machine does not come back to this state soon.
    #[track_caller]
    pub(crate) fn wait_until_same(&self) {
        let begun = Instant::now();
        loop {
            let differences = self.differences(&Self::take());
            if differences.is_empty() {
                return;
            }
            assert!(
                begun.elapsed() < SETTLED,
                "the machine is not as it was:\n{}",
                differences.join("\n")
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Processes that belong to a cluster by any sign: the mark of a run, a program of the cache, a control group of ours, or
/// a name that only a cluster has.
fn processes() -> Vec<String> {
    let programs = cache::folder().expect("a cache").join("bin");
    let itself = std::process::id();
    let belongs = |pid: &Pid| {
        let read =
            |file: &str| fs::read(format!("/proc/{}/{file}", pid.number)).unwrap_or_default();
        let (environment, command, groups) = (read("environ"), read("cmdline"), read("cgroup"));
        let has = |text: &[u8], part: &str| String::from_utf8_lossy(text).contains(part);
        has(&environment, &format!("{MARK}="))
            || has(&command, &programs.to_string_lossy())
            || has(&command, "containerd-shim")
            || has(&command, "node-init")
            || has(&groups, "/coppice-")
    };
    let ours = Pid::all()
        .into_iter()
        .filter(|pid| pid.number != itself && belongs(pid));
    ours.map(|pid| format!("{} {}", pid.number, command_line(pid)))
        .collect()
}

fn command_line(pid: Pid) -> String {
    let arguments = fs::read(format!("/proc/{}/cmdline", pid.number)).unwrap_or_default();
    String::from_utf8_lossy(&arguments)
        .replace('\0', " ")
        .chars()
        .take(100)
        .collect()
}

fn mounts() -> Vec<String> {
    let table = fs::read_to_string("/proc/self/mountinfo").expect("a mount table");
    table
        .lines()
        .filter_map(|line| line.split(' ').nth(4).map(str::to_owned))
        .collect()
}

/// Every network, mount and process namespace that a process lives in.
fn namespaces() -> Vec<String> {
    let of = |pid: Pid| {
        let kinds = ["net", "mnt", "pid"].into_iter();
        kinds.filter_map(move |kind| fs::read_link(format!("/proc/{}/ns/{kind}", pid.number)).ok())
    };
    Pid::all()
        .into_iter()
        .flat_map(of)
        .map(|link| link.display().to_string())
        .collect()
}

fn control_groups(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let groups = entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path());
    groups
        .flat_map(|group| [vec![group.display().to_string()], control_groups(&group)].concat())
        .collect()
}

/// Folders, ledgers and locks of runs; the guard is a file that stays, and holds nothing.
fn runs() -> Vec<String> {
    let folder = cache::folder().expect("a cache").join("runs");
    let all = [names(&folder.to_string_lossy()), names("/run/coppice-e2e")].concat();
    all.into_iter().filter(|name| name != "guard").collect()
}

fn names(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

fn output(command: &[&str]) -> Vec<String> {
    let output = Command::new(command[0])
        .args(&command[1..])
        .output()
        .expect("the command runs");
    assert!(output.status.success(), "{command:?}");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(str::to_owned)
        .collect()
}
