//! Where things are for the programs of a node, inside its mount namespace.
//!
//! Rule: `/run` and `/var` are the node's own, everything else is the machine's; what a node needs from elsewhere is
//! bound beneath [`OURS`], because those two may hide it.

/// Beneath it stands what the harness gives a node.
pub(super) const OURS: &str = "/run/coppice";
/// The node's programs.
pub(super) const PROGRAMS: &str = "/run/coppice/bin";
/// The node's folder on the machine.
pub(super) const NODE: &str = "/run/coppice/node";
/// The configuration and the credentials of its programs.
pub(super) const CONFIG: &str = "/run/coppice/node/config";
/// The archives of its images.
pub(super) const IMAGES: &str = "/run/coppice/images";
/// The file that says that the node has booted: its runtime is up and has all images.
pub(super) const BOOTED: &str = "/run/coppice/node/booted";
/// Where containerd listens.
pub(super) const CONTAINERD_SOCKET: &str = "/run/containerd/containerd.sock";
/// Where containerd keeps what it knows about running containers; it does not survive a reboot.
pub(super) const TASKS: &str = "/run/containerd/io.containerd.runtime.v2.task/k8s.io";
/// Names of the images that have been imported; like them, they survive a reboot.
pub(super) const IMPORTED: &str = "/var/lib/coppice/images";
