//! The network of a full cluster: one bridge, which the API server listens on and every real node is plugged into.
//!
//! Rule: every link of ours has a name that begins with [`PREFIX`], so that nothing else is ever touched.

use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;

use crate::ledger::{self, Entry, Ledger};

/// What the names of all our links begin with.
pub const PREFIX: &str = "coppice";
/// The bridge.
pub const BRIDGE: &str = "coppice0";
/// The address of the bridge and of the API server. The range is set aside for tests of network gear (RFC 2544), so no
/// machine's own network uses it.
pub const HOST: Ipv4Addr = Ipv4Addr::new(198, 18, 244, 1);
/// The length of the bridge network's prefix.
pub const PREFIX_LENGTH: u8 = 24;
/// The addresses of all Pods.
pub const PODS: &str = "10.244.0.0/16";

/// Why there is no network.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bridge could not be written down.
    #[error("make the bridge {BRIDGE}")]
    Ledger(#[source] ledger::Error),
    /// A command failed.
    #[error("run `{command}`: {output}")]
    Command {
        /// The command.
        command: String,
        /// What it said.
        output: String,
    },
}

/// The address of the node number `index`, from 0.
pub fn node_address(index: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(198, 18, 244, 10 + index))
}

/// The addresses of the Pods on the node number `index`, from 0.
pub fn pod_range(index: u8) -> String {
    format!("10.244.{index}.0/24")
}

/// Makes the bridge and gives the machine its address on it; the API server can listen there from then on.
pub fn create(ledger: &Ledger) -> Result<(), Error> {
    ledger
        .record(Entry::Link {
            name: BRIDGE.to_owned(),
        })
        .map_err(Error::Ledger)?;
    ip(&["link", "add", BRIDGE, "type", "bridge"])?;
    ip(&[
        "address",
        "add",
        &format!("{HOST}/{PREFIX_LENGTH}"),
        "dev",
        BRIDGE,
    ])?;
    ip(&["link", "set", BRIDGE, "up"])
}

fn ip(args: &[&str]) -> Result<(), Error> {
    let command = format!("ip {}", args.join(" "));
    match Command::new("ip").args(args).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(Error::Command {
            command,
            output: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        }),
        Err(error) => Err(Error::Command {
            command,
            output: error.to_string(),
        }),
    }
}
