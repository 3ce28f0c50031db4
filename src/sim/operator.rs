//! The operators of a run: the whole controller, as it is, over a connection that can be cut.
//!
//! Rule: an operator that died left nothing behind but what the API server holds.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::mistakes::decide_with;
use super::network::Link;
use super::plan::Plan;
use super::run::{LEASE, OPERATORS};
use super::world::Shared;
use crate::controller::{self, Settings};
use crate::runtime::health::Health;
use crate::runtime::leader::{LeaderElection, Timing};
use crate::runtime::metrics::Metrics;

/// An operator that runs.
pub(super) struct Operator {
    link: Link,
    task: JoinHandle<()>,
    stop: CancellationToken,
}

impl Operator {
    /// Starts an operator with that number.
    pub(super) fn start(shared: &Shared, number: usize, plan: &Plan) -> Self {
        let link = Link::new(shared.clone(), number);
        let client = link.client();
        let stop = CancellationToken::new();
        let settings = Settings {
            namespaces: Vec::new(),
            concurrency: 4,
            election: plan.elects.then(|| election(shared, number)),
            opt_in_role: None,
            watch_config_maps: false,
        };
        let clock = {
            let shared = shared.clone();
            Arc::new(move || shared.now())
        };
        let decide = decide_with(plan.mistake);
        let task = {
            let stop = stop.clone();
            tokio::spawn(async move {
                let metrics = Metrics::new(controller::NAME);
                let health = Health::new(Duration::from_secs(30));
                let ended = controller::run_deciding(
                    &settings, client, clock, metrics, &health, &stop, decide,
                );
                // It ends when it is asked to; a watch that ended is a panic, which the run shows.
                drop(ended.await);
            })
        };
        Self { link, task, stop }
    }

    /// Ends at once, as with SIGKILL.
    pub(super) fn kill(self) {
        self.link.cut();
        self.task.abort();
    }

    /// Ends in order, as with SIGTERM.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        drop(self.task.await);
        self.link.cut();
    }
}

/// The Lease that operators compete for. Every life of an operator is another candidate.
fn election(shared: &Shared, number: usize) -> LeaderElection {
    LeaderElection {
        namespace: OPERATORS.to_owned(),
        name: LEASE.to_owned(),
        identity: format!("operator-{number} since {}", shared.now()),
        timing: Timing::default(),
    }
}
