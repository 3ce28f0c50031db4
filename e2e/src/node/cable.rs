//! The cable between the machine and a node: a pair of linked network devices, one end in the bridge of
//! [`crate::network`], the other, `eth0`, inside the node.
//!
//! Rule: nodes reach the machine, each other and each other's Pods straight through the bridge, and have no way to
//! anywhere else. So the machine's forwarding switch and packet filter do not matter, and nothing leaves the machine.

use super::command::output;
use super::{Error, MAX_NODES};
use crate::control_plane::SERVICES;
use crate::ledger::{Entry, Ledger};
use crate::network::{BRIDGE, HOST, PREFIX, PREFIX_LENGTH, node_address, pod_range};
use crate::pid::Pid;

/// The first five bytes of the hardware addresses on the bridge, which are fixed: a bridge would else take a new one
/// when a cable is plugged in or out, and a node when it boots, and until the others have noticed nobody can be reached.
const HARDWARE: &str = "02:63:6f:70:00";

/// The name of the machine's end of the cable to the node number `index`.
fn name(index: u8) -> String {
    format!("{PREFIX}-n{index}")
}

/// Plugs the node in: one end of a new cable into the bridge, the other into the network namespace of `init`; and tells
/// the machine the way to the node's Pods.
pub(super) async fn plug_in(index: u8, init: Pid, ledger: &Ledger) -> Result<(), Error> {
    let name = name(index);
    ledger
        .record(Entry::Link { name: name.clone() })
        .map_err(Error::Ledger)?;
    let commands = format!(
        "link set {BRIDGE} address {HARDWARE}:01\n\
         link add {name} type veth peer name eth0 address {HARDWARE}:{address:02x} netns {init}\n\
         link set {name} master {BRIDGE}\n\
         link set {name} up\n\
         route replace {pods} via {node} dev {BRIDGE}\n",
        address = 0x10 + index,
        init = init.number,
        pods = pod_range(index),
        node = node_address(index),
    );
    output(&["ip", "-batch", "-"], &commands).await.map(drop)
}

/// Takes the cable away; fine when it is gone already, as it is soon after the node's namespace is.
pub(super) async fn unplug(index: u8) -> Result<(), Error> {
    let name = name(index);
    match output(&["ip", "link", "delete", &name], "").await {
        Err(error) if output(&["ip", "link", "show", &name], "").await.is_ok() => Err(error),
        _ => Ok(()),
    }
}

/// Connects or disconnects the cable, which both ends notice.
pub(super) async fn set_connected(index: u8, connected: bool) -> Result<(), Error> {
    let state = if connected { "up" } else { "down" };
    output(&["ip", "link", "set", &name(index), state], "")
        .await
        .map(drop)
}

/// The commands for `ip -batch` that set up the node's own end.
pub(super) fn node_side(index: u8) -> String {
    let others = (0..MAX_NODES).filter(|other| *other != index);
    let to_others: Vec<String> = others
        .map(|other| {
            format!(
                "route add {} via {}\n",
                pod_range(other),
                node_address(other)
            )
        })
        .collect();
    // A Service address never leaves the node, where kube-proxy replaces it, but it needs a route to be sent at all.
    format!(
        "link set lo up\n\
         addr add {address}/{PREFIX_LENGTH} dev eth0\n\
         link set eth0 up\n\
         route add {SERVICES} via {HOST}\n\
         {to_others}",
        address = node_address(index),
        to_others = to_others.concat(),
    )
}
