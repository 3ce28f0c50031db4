//! The control groups of a node: one subtree in each hierarchy, on hosts with cgroup v1, v1 beside v2, and v2.
//!
//! Rule: it touches only groups whose name starts with [`PREFIX`], except that on cgroup v2 it lets the root hand its
//! controllers down, without which no subtree can have limits.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What the name of every control group of ours starts with.
pub const PREFIX: &str = "coppice-";

const ROOT: &str = "/sys/fs/cgroup";
/// The group below a node's own one that holds the node's services: on cgroup v2 only leaves may hold processes.
const SERVICES: &str = "init";
/// The controllers that the kubelet wants; those that the kernel lacks are left out.
const CONTROLLERS: [&str; 6] = ["cpuset", "cpu", "io", "memory", "hugetlb", "pids"];

/// Why a control group could not be made or entered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A group's folder could not be made.
    #[error("make the control group {path}")]
    Make {
        /// The group's folder.
        path: PathBuf,
        /// What the system answered.
        source: std::io::Error,
    },
    /// A group's file could not be read or written.
    #[error("set up the control group file {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system answered.
        source: std::io::Error,
    },
    /// On cgroup v2 a group that holds processes cannot hand controllers down.
    #[error(
        "hand the controllers of {path} down: it holds processes, so it is not the machine's own root; move them to a group beneath it"
    )]
    Occupied {
        /// The group's folder.
        path: PathBuf,
    },
}

/// One node's control groups: a group of the same name at the top of every hierarchy.
#[derive(Debug, Clone)]
pub struct Subtree {
    name: String,
    groups: Vec<PathBuf>,
    unified: bool,
}

impl Subtree {
    /// The subtree called `PREFIX` + `name`, whether it exists or not.
    pub fn named(name: &str) -> Self {
        let name = format!("{PREFIX}{name}");
        let unified = Path::new(ROOT).join("cgroup.controllers").exists();
        let hierarchies = if unified {
            vec![PathBuf::from(ROOT)]
        } else {
            hierarchies()
        };
        let groups = hierarchies
            .into_iter()
            .map(|hierarchy| hierarchy.join(&name))
            .collect();
        Self {
            name,
            groups,
            unified,
        }
    }

    /// Its name from the root of a hierarchy, with the leading slash that the kubelet wants.
    pub fn root(&self) -> String {
        format!("/{}", self.name)
    }

    /// Its folders, one for each hierarchy.
    pub fn groups(&self) -> &[PathBuf] {
        &self.groups
    }

    /// Makes the groups; what is there already stays.
    pub fn make(&self) -> Result<(), Error> {
        if self.unified {
            hand_down(Path::new(ROOT))?;
        }
        for group in &self.groups {
            make(group)?;
            if self.unified {
                hand_down(group)?;
            }
            make(&group.join(SERVICES))?;
        }
        Ok(())
    }

    /// Moves the calling process into the part for the node's services; its children follow.
    pub fn join(&self) -> Result<(), Error> {
        for group in &self.groups {
            // Zero stands for the writer itself, whatever its number is in its process namespace.
            write(&group.join(SERVICES).join("cgroup.procs"), "0")?;
        }
        Ok(())
    }

    /// Removes the groups and those beneath them, innermost first; `true` when all are gone. A group that still holds
    /// a process, or that the kernel has not let go of yet, stays: call it again.
    pub fn remove(&self) -> bool {
        let left = self.groups.iter().filter(|group| !remove(group));
        left.count() == 0
    }

    /// The numbers of all processes in it, as seen from the machine.
    pub fn processes(&self) -> BTreeSet<u32> {
        let mut found = BTreeSet::new();
        for group in &self.groups {
            collect(group, &mut found);
        }
        found
    }
}

/// The mounted hierarchies of cgroup v1, and the v2 one beside them. Links to hierarchies mounted together are left out.
fn hierarchies() -> Vec<PathBuf> {
    let mut hierarchies = beneath(Path::new(ROOT));
    hierarchies.retain(|path| path.join("cgroup.procs").exists());
    hierarchies.sort();
    hierarchies
}

fn make(group: &Path) -> Result<(), Error> {
    if let Err(source) = std::fs::create_dir(group)
        && source.kind() != std::io::ErrorKind::AlreadyExists
    {
        return Err(Error::Make {
            path: group.to_owned(),
            source,
        });
    }
    // A new cpuset of cgroup v1 is empty, and no process can enter it until it has processors and memory.
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let above = group.with_file_name(file);
        if group.join("cgroup.clone_children").exists() && above.exists() {
            write(&group.join(file), &read(&above)?)?;
        }
    }
    Ok(())
}

/// Lets the groups beneath `group` use its controllers (cgroup v2).
fn hand_down(group: &Path) -> Result<(), Error> {
    let available = read(&group.join("cgroup.controllers"))?;
    let control = group.join("cgroup.subtree_control");
    let already = read(&control)?;
    let has = |list: &str, name: &str| list.split_ascii_whitespace().any(|word| word == name);
    for name in CONTROLLERS
        .into_iter()
        .filter(|name| has(&available, name) && !has(&already, name))
    {
        match std::fs::write(&control, format!("+{name}")) {
            Err(source) if source.kind() == std::io::ErrorKind::ResourceBusy => {
                return Err(Error::Occupied {
                    path: group.to_owned(),
                });
            }
            outcome => outcome.map_err(|source| Error::File {
                path: control.clone(),
                source,
            })?,
        }
    }
    Ok(())
}

fn remove(group: &Path) -> bool {
    for inner in beneath(group) {
        remove(&inner);
    }
    let _ = std::fs::remove_dir(group);
    !group.exists()
}

/// The groups directly beneath a group.
fn beneath(group: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(group).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

fn collect(group: &Path, found: &mut BTreeSet<u32>) {
    let members = std::fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    found.extend(members.lines().filter_map(|line| line.parse::<u32>().ok()));
    for inner in beneath(group) {
        collect(&inner, found);
    }
}

fn read(file: &Path) -> Result<String, Error> {
    std::fs::read_to_string(file).map_err(|source| Error::File {
        path: file.to_owned(),
        source,
    })
}

fn write(file: &Path, value: &str) -> Result<(), Error> {
    std::fs::write(file, value.trim()).map_err(|source| Error::File {
        path: file.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subtree_has_one_group_of_ours_in_each_hierarchy() {
        let subtree = Subtree::named("node-a");
        assert_eq!(subtree.root(), "/coppice-node-a");
        assert!(
            subtree
                .groups()
                .iter()
                .all(|group| group.ends_with("coppice-node-a"))
        );
        assert!(subtree.groups().iter().all(|group| group.starts_with(ROOT)));
    }

    #[test]
    fn controllers_are_handed_down_once_each_and_only_those_there_are() {
        let group = std::env::temp_dir().join(format!("cgroup-{}", std::process::id()));
        std::fs::create_dir_all(&group).expect("a folder");
        std::fs::write(group.join("cgroup.controllers"), "cpu memory rdma\n").expect("controllers");
        std::fs::write(group.join("cgroup.subtree_control"), "cpu\n").expect("control");
        hand_down(&group).expect("handed down");
        assert_eq!(
            std::fs::read_to_string(group.join("cgroup.subtree_control")).expect("control"),
            "+memory"
        );
        std::fs::remove_dir_all(&group).expect("removed");
    }
}
