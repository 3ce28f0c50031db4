//! Undoing what a ledger holds, one function per kind of thing.
//!
//! Rule: every wait is bounded, what is gone already counts as undone, and one failure does not stop the rest.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{Entry, MARK};
use crate::pid::Pid;

/// How long killed processes may take to disappear.
const PROCESSES_GONE: Duration = Duration::from_secs(15);
/// How long the kernel may take to let go of one mount, link or control group.
const THING_GONE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);

/// Undoes `entries` of the run `run`; `same_boot` is false when the machine has rebooted since they were made.
/// Returns one sentence for each thing that is left.
pub(super) fn undo(run: &str, same_boot: bool, entries: &[Entry]) -> Vec<String> {
    let mut failures = Vec::new();
    if same_boot {
        failures.extend(end_processes(run, entries));
    }
    for entry in entries.iter().rev() {
        let outcome = match entry {
            Entry::Path { path } => remove_path(path),
            // A reboot takes everything away that is not a file, and its number or name may be somebody else's now.
            _ if !same_boot => Ok(()),
            Entry::Process { .. } => Ok(()),
            Entry::Mount { path } => unmount_beneath(path),
            Entry::Link { name } => remove_link(name),
            Entry::NetworkNamespace { name } => remove_network_namespace(name),
            Entry::Cgroup { path } => remove_cgroup(path),
            Entry::NftTable { family, name } => remove_nft_table(family, name),
            Entry::Route {
                destination,
                device,
            } => remove_route(destination, device),
            Entry::Sysctl { key, before } => {
                write_sysctl(key, before).map_err(|error| format!("set {key}: {error}"))
            }
        };
        failures.extend(outcome.err());
    }
    failures
}

/// Kills every process of the run and waits until all are gone, looking again for what they may have started.
fn end_processes(run: &str, entries: &[Entry]) -> Option<String> {
    let mark = format!("{MARK}={run}");
    let recorded: Vec<Pid> = entries
        .iter()
        .filter_map(|entry| {
            if let Entry::Process { pid, .. } = entry {
                Some(*pid)
            } else {
                None
            }
        })
        .collect();
    let itself = std::process::id();
    let mut left = Vec::new();
    let mut seen_none = 0;
    let gone = poll(PROCESSES_GONE, || {
        left = Pid::all()
            .into_iter()
            .filter(|pid| {
                pid.number != itself && (recorded.contains(pid) || pid.has_environment(&mark))
            })
            .collect();
        for pid in &left {
            pid.kill();
        }
        seen_none = if left.is_empty() { seen_none + 1 } else { 0 };
        // A process that has just been started shows no environment for an instant.
        seen_none == 2
    });
    (!gone).then(|| {
        format!(
            "processes are still running: {:?}",
            left.iter().map(|pid| pid.number).collect::<Vec<_>>()
        )
    })
}

/// Unmounts `path` and everything mounted beneath it, the innermost first.
fn unmount_beneath(path: &Path) -> Result<(), String> {
    let unmounted = poll(THING_GONE, || {
        let mounts = mounts_beneath(path);
        for mount in mounts.iter().rev() {
            // Detached, because a file of it may be open for a moment in a process that is just ending.
            let _ = rustix::mount::unmount(mount, rustix::mount::UnmountFlags::DETACH);
        }
        mounts.is_empty()
    });
    if unmounted {
        Ok(())
    } else {
        Err(format!("{} is still mounted", path.display()))
    }
}

/// The mount points at and beneath `path`, in the order they were mounted.
fn mounts_beneath(path: &Path) -> Vec<PathBuf> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(unescape);
    points.filter(|point| point.starts_with(path)).collect()
}

/// Mount points have spaces and the like as octal escapes.
fn unescape(point: &str) -> PathBuf {
    let plain = point
        .replace("\\040", " ")
        .replace("\\011", "\t")
        .replace("\\012", "\n")
        .replace("\\134", "\\");
    PathBuf::from(plain)
}

fn remove_link(name: &str) -> Result<(), String> {
    let there = || Path::new("/sys/class/net").join(name).exists();
    remove_with(
        &["ip", "link", "delete", name],
        there,
        &format!("link {name}"),
    )
}

fn remove_network_namespace(name: &str) -> Result<(), String> {
    let there = || Path::new("/run/netns").join(name).exists();
    remove_with(
        &["ip", "netns", "delete", name],
        there,
        &format!("network namespace {name}"),
    )
}

fn remove_nft_table(family: &str, name: &str) -> Result<(), String> {
    let there = || succeeds(&["nft", "list", "table", family, name]);
    remove_with(
        &["nft", "delete", "table", family, name],
        there,
        &format!("nft table {family} {name}"),
    )
}

fn remove_route(destination: &str, device: &str) -> Result<(), String> {
    let there = || {
        let shown = Command::new("ip")
            .args(["route", "show", destination, "dev", device])
            .output();
        shown.is_ok_and(|output| output.status.success() && !output.stdout.is_empty())
    };
    remove_with(
        &["ip", "route", "delete", destination, "dev", device],
        there,
        &format!("route to {destination}"),
    )
}

/// Kills what is left in a control group, then removes the groups beneath it and itself.
fn remove_cgroup(path: &Path) -> Result<(), String> {
    let removed = poll(THING_GONE, || {
        remove_cgroup_tree(path);
        !path.exists()
    });
    if removed {
        Ok(())
    } else {
        Err(format!("control group {} is still there", path.display()))
    }
}

fn remove_cgroup_tree(group: &Path) {
    for entry in std::fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_cgroup_tree(&entry.path());
        }
    }
    let members = std::fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    for pid in members
        .lines()
        .filter_map(|line| Pid::of(line.parse().ok()?))
    {
        pid.kill();
    }
    let _ = std::fs::remove_dir(group);
}

/// Removes a file or a folder; what is mounted beneath it is unmounted first, lest its contents be removed too.
fn remove_path(path: &Path) -> Result<(), String> {
    let Ok(metadata) = std::fs::symlink_metadata(path) else {
        return Ok(());
    };
    unmount_beneath(path)?;
    let mut last = None;
    let removed = poll(THING_GONE, || {
        let outcome = if metadata.is_dir() {
            std::fs::remove_dir_all(path)
        } else {
            std::fs::remove_file(path)
        };
        last = outcome.err();
        std::fs::symlink_metadata(path).is_err()
    });
    if removed {
        Ok(())
    } else {
        Err(format!("{} is still there: {last:?}", path.display()))
    }
}

/// Runs `command` until `there` is false.
fn remove_with(command: &[&str], there: impl Fn() -> bool, what: &str) -> Result<(), String> {
    let gone = poll(THING_GONE, || {
        if there() {
            succeeds(command);
        }
        !there()
    });
    if gone {
        Ok(())
    } else {
        Err(format!("{what} is still there"))
    }
}

fn succeeds(command: &[&str]) -> bool {
    let mut run = Command::new(command[0]);
    let run = run
        .args(&command[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    run.status().is_ok_and(|status| status.success())
}

fn poll(deadline: Duration, mut done: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    while !done() {
        if begun.elapsed() > deadline {
            return false;
        }
        std::thread::sleep(POLL);
    }
    true
}

pub(super) fn read_sysctl(key: &str) -> std::io::Result<String> {
    Ok(std::fs::read_to_string(sysctl(key))?.trim().to_owned())
}

pub(super) fn write_sysctl(key: &str, value: &str) -> std::io::Result<()> {
    std::fs::write(sysctl(key), value)
}

fn sysctl(key: &str) -> PathBuf {
    Path::new("/proc/sys").join(key.replace('.', "/"))
}
