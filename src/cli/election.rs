//! The flags of the leader election, named as those of Kubernetes' own components.
//!
//! Rule: times that would let two believe in themselves at once are refused before anything is started.

use std::time::Duration;

use clap::{ArgAction, Args};
use coppice::runtime::leader::{LeaderElection, Timing, TimingError, identity};

/// How operators agree on which of them works.
#[derive(Debug, Args)]
pub(super) struct Election {
    /// Work only while holding a Lease, so that several operators may run. Without it this one works in any case
    #[arg(
        long,
        env = "COPPICE_LEADER_ELECT",
        value_name = "BOOL",
        default_value_t = true,
        default_missing_value = "true",
        num_args = 0..=1,
        require_equals = true,
        action = ArgAction::Set
    )]
    leader_elect: bool,

    /// Name of the Lease
    #[arg(
        long,
        env = "COPPICE_LEADER_ELECT_RESOURCE_NAME",
        value_name = "NAME",
        default_value = "coppice",
        value_parser = super::name
    )]
    leader_elect_resource_name: String,

    /// Namespace of the Lease [default: that of the Pod, else that of the kubeconfig]
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAMESPACE", value_parser = super::name)]
    leader_elect_resource_namespace: Option<String>,

    /// How long others leave a Lease alone that is not renewed; whole seconds
    #[arg(long, value_name = "DURATION", default_value = "6s", value_parser = duration)]
    leader_elect_lease_duration: Duration,

    /// How long after its last renewal the leader goes on; shorter than the lease duration
    #[arg(long, value_name = "DURATION", default_value = "4s", value_parser = duration)]
    leader_elect_renew_deadline: Duration,

    /// How often the leader renews and the others look; shorter than half the renew deadline
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration)]
    leader_elect_retry_period: Duration,

    /// Name of this Pod, which is what this operator is called in the Lease
    #[arg(long, env = "POD_NAME", value_name = "NAME", hide = true)]
    pod_name: Option<String>,
}

impl Election {
    /// The election; `None` when there is to be none. `default_namespace` is that of the client.
    pub(super) fn settings(
        &self,
        default_namespace: &str,
    ) -> Result<Option<LeaderElection>, TimingError> {
        let timing = Timing::new(
            self.leader_elect_lease_duration,
            self.leader_elect_renew_deadline,
            self.leader_elect_retry_period,
        )?;
        let namespace = self.leader_elect_resource_namespace.as_deref();
        Ok(self.leader_elect.then(|| LeaderElection {
            namespace: namespace.unwrap_or(default_namespace).to_owned(),
            name: self.leader_elect_resource_name.clone(),
            identity: identity(self.pod_name.as_deref()),
            timing,
        }))
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let signed: jiff::SignedDuration = text
        .parse()
        .map_err(|_| format!("'{text}' is not a duration such as 6s or 500ms"))?;
    Duration::try_from(signed).map_err(|_| format!("'{text}' is less than nothing"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        election: Election,
    }

    fn parse(args: &str) -> Result<Option<LeaderElection>, String> {
        let args = std::iter::once("program").chain(args.split_whitespace());
        let program = Program::try_parse_from(args).map_err(|error| error.to_string())?;
        let settings = program.election.settings("of-the-client");
        settings.map_err(|error| error.to_string())
    }

    #[test]
    fn there_is_an_election_unless_it_is_switched_off() {
        let election = parse("--pod-name=coppice-0").unwrap().unwrap();
        assert_eq!(
            (election.to_string().as_str(), election.identity.as_str()),
            ("of-the-client/coppice", "coppice-0")
        );
        assert_eq!(election.timing, Timing::default());
        assert_eq!(parse("--leader-elect=false"), Ok(None));
        assert!(parse("--leader-elect").unwrap().is_some());
        let named = "--leader-elect-resource-name=x --leader-elect-resource-namespace=ns";
        assert_eq!(parse(named).unwrap().unwrap().to_string(), "ns/x");
    }

    #[test]
    fn times_are_checked() {
        let times = "--leader-elect-lease-duration=15s --leader-elect-renew-deadline=10s \
                     --leader-elect-retry-period=2500ms";
        let timing = parse(times).unwrap().unwrap().timing;
        assert_eq!(
            (timing.duration(), timing.retry()),
            (Duration::from_secs(15), Duration::from_millis(2500))
        );
        for (args, complaint) in [
            (
                "--leader-elect-renew-deadline=6s",
                "shorter than the lease duration",
            ),
            (
                "--leader-elect-retry-period=2s",
                "shorter than the renew deadline",
            ),
            ("--leader-elect-lease-duration=soon", "not a duration"),
            ("--leader-elect-lease-duration=-5s", "less than nothing"),
            ("--leader-elect-resource-name=A/b", "is not a name"),
            ("--leader-elect-resource-name=", "is not a name"),
            ("--leader-elect=maybe", "invalid value"),
        ] {
            let error = parse(args).unwrap_err();
            assert!(error.contains(complaint), "{args}: {error}");
        }
    }
}
