//! Who of several processes works: an election over one Lease (`coordination.k8s.io/v1`).
//!
//! Rule: the election saves work and nothing else. Whoever is elected may be wrong about it for a moment, so what
//! leaders do must be safe when two of them do it; see the architecture text.
//!
//! In reading order: [`Timing`] says how long everything takes, `election` decides (it has no client, no clock and no
//! async), `lease` is what stands in the Lease, [`Leadership`] is what the rest of the process holds in its hands, `hint`
//! tells early of a change, and [`Elector`] does it all over a client.
//!
//! Why two leaders at once do not come from the election itself, as long as the monotonic clocks of two machines run at
//! about the same rate: a leader believes in itself until `renew_deadline` after it *sent* its last renewal that
//! succeeded. Another one takes over when the Lease has not changed for the lease's duration after it *received* an
//! answer that showed it. It received that later than the leader sent it, and the duration is longer than the deadline.
//! No time that another machine wrote is compared with a clock of this one.

use std::fmt;

mod election;
mod elector;
mod hint;
mod identity;
mod leadership;
mod lease;
#[cfg(test)]
mod races;
mod timing;

pub use elector::Elector;
pub use identity::identity;
#[cfg(test)]
pub(crate) use leadership::Giver;
pub use leadership::{Leadership, Term};
pub use timing::{Timing, TimingError};

/// The Lease to compete for, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderElection {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Name of the Lease.
    pub name: String,
    /// Who we are. No other living process may have the same.
    pub identity: String,
    /// How long everything takes.
    pub timing: Timing,
}

impl fmt::Display for LeaderElection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}
