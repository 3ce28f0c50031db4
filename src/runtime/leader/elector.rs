//! Carries out an election over a client.
//!
//! Rule: it decides nothing; every request ends in time, and its answer goes to the election with the moment it was
//! sent.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::election::{Claim, Election, Step};
use super::leadership::{Belief, Leadership};
use super::{LeaderElection, hint, lease};
use crate::runtime::Clock;
use crate::runtime::health::Readiness;
use crate::runtime::metrics::LeaderMetrics;

/// How long the Lease may be out of reach before the process is not ready.
const PATIENCE: Duration = Duration::from_secs(30);

/// One candidate.
pub struct Elector {
    settings: LeaderElection,
    api: Api<Lease>,
    clock: Clock,
    metrics: LeaderMetrics,
    readiness: Readiness,
    election: Election,
    belief: watch::Sender<Belief>,
    /// The Lease as it was last seen.
    seen: Option<Lease>,
    /// Since when the Lease is out of reach, and why.
    trouble: Option<(Instant, String)>,
}

/// Why a request said nothing.
enum Failure {
    /// The Lease is not what the request was for.
    Conflict,
    /// Anything else.
    Trouble(String),
}

impl Elector {
    /// A candidate, which leads once it runs and has won. The clock is for the times in the Lease, which people read.
    pub fn new(
        settings: LeaderElection,
        client: Client,
        clock: Clock,
        metrics: LeaderMetrics,
        readiness: Readiness,
    ) -> (Self, Leadership) {
        let (belief, heard) = watch::channel(Belief::Standby);
        let election = Election::new(&settings.identity, settings.timing, Instant::now());
        let api = Api::namespaced(client, &settings.namespace);
        let elector = Self {
            settings,
            api,
            clock,
            metrics,
            readiness,
            election,
            belief,
            seen: None,
            trouble: None,
        };
        (elector, Leadership::new(heard))
    }

    /// Competes until all work has `ended`, then gives the Lease back.
    pub async fn run(mut self, ended: CancellationToken) {
        let bell = Arc::new(Notify::new());
        let mut hints = JoinSet::new();
        let name = self.settings.name.clone();
        hints.spawn(hint::ring(self.api.clone(), name, Arc::clone(&bell)));
        while !ended.is_cancelled() {
            let step = self.election.next(Instant::now());
            self.publish();
            match step {
                Step::Wait(until) => tokio::select! {
                    biased;
                    () = ended.cancelled() => {}
                    () = tokio::time::sleep_until(until) => {}
                    () = bell.notified() => self.election.hinted(Instant::now()),
                },
                Step::Read => self.read().await,
                Step::Write(claim, version) => self.write(claim, version).await,
            }
        }
        drop(hints);
        self.release().await;
    }

    async fn release(&mut self) {
        if self.election.is_in_doubt() && self.seen.is_some() {
            self.read().await;
        }
        let step = self.election.release();
        self.publish();
        if let Some(Step::Write(claim, version)) = step {
            self.write(claim, version).await;
            if self.election.holder().is_empty() {
                tracing::info!(lease = %self.settings, "gave the Lease back");
            }
        }
    }

    async fn read(&mut self) {
        let begun = Instant::now();
        let request = self.api.get_opt(&self.settings.name);
        let answer = tokio::time::timeout(self.election.patience(begun), request).await;
        let now = Instant::now();
        let holder = self.election.holder().to_owned();
        match answer {
            Ok(Ok(found)) => {
                self.works();
                let record = found
                    .as_ref()
                    .map(|lease| lease::record(lease, &self.settings));
                self.seen = found;
                self.election.read(record, begun, now);
                self.tell_holder(&holder);
            }
            Ok(Err(error)) => {
                self.fails(error.to_string());
                self.election.not_read(begun, now);
            }
            Err(_) => {
                self.fails("no answer in time".to_owned());
                self.election.not_read(begun, now);
            }
        }
        self.publish();
    }

    async fn write(&mut self, claim: Claim, version: Option<String>) {
        let base = self.seen.as_ref().filter(|_| version.is_some());
        let lease = lease::claimed(base, claim, &self.settings, (self.clock)());
        let sent = Instant::now();
        let answer = self.send(&lease, version.is_some(), sent).await;
        let now = Instant::now();
        match answer {
            Ok(stored) => {
                self.works();
                let version = lease::record(&stored, &self.settings).version;
                self.seen = Some(stored);
                self.election.stored(claim, version, sent, now);
            }
            Err(Failure::Conflict) => self.election.not_stored(sent, now),
            Err(Failure::Trouble(why)) => {
                self.fails(why);
                self.election.not_stored(sent, now);
            }
        }
        self.publish();
    }

    /// Sends a Lease; it names the version that it replaces.
    async fn send(&self, lease: &Lease, replaces: bool, now: Instant) -> Result<Lease, Failure> {
        let params = PostParams::default();
        let request = async {
            if replaces {
                self.api.replace(&self.settings.name, &params, lease).await
            } else {
                self.api.create(&params, lease).await
            }
        };
        match tokio::time::timeout(self.election.patience(now), request).await {
            Ok(Ok(stored)) => Ok(stored),
            Ok(Err(kube::Error::Api(status))) if [404, 409].contains(&status.code) => {
                // A missing namespace is not found either.
                if replaces || status.code == 409 {
                    Err(Failure::Conflict)
                } else {
                    Err(Failure::Trouble(status.message.clone()))
                }
            }
            Ok(Err(error)) => Err(Failure::Trouble(error.to_string())),
            Err(_) => Err(Failure::Trouble("no answer in time".to_owned())),
        }
    }

    /// Tells the process what we believe of ourselves. Nobody asks while the word is changed, so whether our belief had
    /// ended before is the same for all who asked.
    fn publish(&mut self) {
        let election = &mut self.election;
        let mut before = Belief::Standby;
        self.belief.send_modify(|said| {
            let now = Instant::now();
            if let Belief::Leader(term, until) = *said
                && until <= now
            {
                election.was_doubted(term);
            }
            before = std::mem::replace(said, election.belief(now));
        });
        let belief = *self.belief.borrow();
        match (before, belief) {
            (Belief::Leader(old, _), Belief::Leader(new, _)) if old == new => {}
            (_, Belief::Leader(..)) => {
                tracing::info!(lease = %self.settings, identity = self.settings.identity, "leading");
                self.metrics.acquired();
            }
            (Belief::Leader(..), _) => {
                tracing::info!(lease = %self.settings, holder = self.election.holder(), "not leading any more");
                self.metrics.lost();
            }
            _ => {}
        }
    }

    fn tell_holder(&self, before: &str) {
        let holder = self.election.holder();
        if holder != before && !holder.is_empty() && holder != self.settings.identity {
            tracing::info!(lease = %self.settings, holder, "somebody else leads; standing by");
        }
    }

    fn works(&mut self) {
        if self.trouble.take().is_some() {
            tracing::info!(lease = %self.settings, "the Lease is within reach again");
        }
        self.readiness.ready();
    }

    fn fails(&mut self, why: String) {
        match &mut self.trouble {
            Some((_, known)) if *known == why => {}
            Some((_, known)) => *known = why,
            None => {
                tracing::warn!(lease = %self.settings, why, "the Lease is out of reach; will retry");
                self.trouble = Some((Instant::now(), why));
            }
        }
        if let Some((since, why)) = &self.trouble
            && (self.seen.is_none() || since.elapsed() > PATIENCE)
        {
            self.readiness.not_ready(format!(
                "the Lease {} is out of reach: {why}",
                self.settings
            ));
        }
    }
}

#[cfg(test)]
mod tests;
