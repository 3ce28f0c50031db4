//! What stands in the Lease, as Kubernetes' own components write it.
//!
//! Rule: times in it are for people: they are written, never read.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::ResourceExt;
use kube::api::ObjectMeta;

use super::LeaderElection;
use super::election::{Claim, Record};

/// How long a Lease that was given back counts for those who do not see that it has no holder, in seconds.
const RELEASED_SECONDS: i32 = 1;

/// What decides in a Lease.
pub(super) fn record(lease: &Lease, election: &LeaderElection) -> Record {
    let spec = lease.spec.as_ref();
    let seconds = spec.and_then(|spec| spec.lease_duration_seconds);
    let duration = seconds
        .and_then(|seconds| u64::try_from(seconds).ok())
        .filter(|seconds| *seconds > 0)
        .map_or_else(|| election.timing.duration(), Duration::from_secs);
    Record {
        holder: holder(lease).to_owned(),
        duration,
        version: lease.resource_version().unwrap_or_default(),
    }
}

/// Who holds a Lease; empty when nobody does.
pub(super) fn holder(lease: &Lease) -> &str {
    let spec = lease.spec.as_ref();
    spec.and_then(|spec| spec.holder_identity.as_deref())
        .unwrap_or_default()
}

/// The Lease to be stored for that claim, made from the one that was seen.
pub(super) fn claimed(
    seen: Option<&Lease>,
    claim: Claim,
    election: &LeaderElection,
    now: Timestamp,
) -> Lease {
    let mut lease = seen.cloned().unwrap_or_else(|| Lease {
        metadata: ObjectMeta {
            name: Some(election.name.clone()),
            namespace: Some(election.namespace.clone()),
            ..ObjectMeta::default()
        },
        spec: None,
    });
    let old = lease.spec.take().unwrap_or_default();
    let time = Some(MicroTime(now));
    let (acquire_time, transitions) = match claim {
        Claim::Acquire => {
            let transitions = match seen {
                Some(_) => old.lease_transitions.unwrap_or_default().saturating_add(1),
                None => 0,
            };
            (time.clone(), Some(transitions))
        }
        Claim::Renew | Claim::Release => (old.acquire_time.clone(), old.lease_transitions),
    };
    let seconds = i32::try_from(election.timing.duration().as_secs()).unwrap_or(i32::MAX);
    let is_released = claim == Claim::Release;
    lease.spec = Some(LeaseSpec {
        holder_identity: Some(if is_released {
            String::new()
        } else {
            election.identity.clone()
        }),
        lease_duration_seconds: Some(if is_released {
            RELEASED_SECONDS
        } else {
            seconds
        }),
        acquire_time,
        renew_time: time,
        lease_transitions: transitions,
        ..old
    });
    lease
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Timing;
    use super::*;

    fn election() -> LeaderElection {
        LeaderElection {
            namespace: "ns".to_owned(),
            name: "coppice".to_owned(),
            identity: "me".to_owned(),
            timing: Timing::default(),
        }
    }

    fn at(time: &str) -> Timestamp {
        time.parse().unwrap()
    }

    #[test]
    fn is_written_as_kubernetes_does() {
        let me = election();
        let created = claimed(
            None,
            Claim::Acquire,
            &me,
            at("2026-01-01T00:00:00.123456789Z"),
        );
        assert_eq!(
            serde_json::to_value(&created).unwrap(),
            json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                "metadata": {"name": "coppice", "namespace": "ns"},
                "spec": {"holderIdentity": "me", "leaseDurationSeconds": 6, "leaseTransitions": 0,
                    "acquireTime": "2026-01-01T00:00:00.123456Z", "renewTime": "2026-01-01T00:00:00.123456Z"}})
        );
        let renewed = claimed(
            Some(&created),
            Claim::Renew,
            &me,
            at("2026-01-01T00:00:01Z"),
        );
        let released = claimed(
            Some(&renewed),
            Claim::Release,
            &me,
            at("2026-01-01T00:00:02Z"),
        );
        let spec = |lease: &Lease| serde_json::to_value(&lease.spec).unwrap();
        assert_eq!(
            spec(&renewed),
            json!({"holderIdentity": "me", "leaseDurationSeconds": 6, "leaseTransitions": 0,
                "acquireTime": "2026-01-01T00:00:00.123456Z", "renewTime": "2026-01-01T00:00:01.000000Z"})
        );
        assert_eq!(
            spec(&released),
            json!({"holderIdentity": "", "leaseDurationSeconds": 1, "leaseTransitions": 0,
                "acquireTime": "2026-01-01T00:00:00.123456Z", "renewTime": "2026-01-01T00:00:02.000000Z"})
        );
        let next = claimed(
            Some(&released),
            Claim::Acquire,
            &me,
            at("2026-01-01T00:00:03Z"),
        );
        let spec = next.spec.unwrap();
        assert_eq!(spec.lease_transitions, Some(1));
        assert_eq!(spec.acquire_time, spec.renew_time);
    }

    #[test]
    fn what_others_wrote_into_the_object_is_kept() {
        let seen: Lease = serde_json::from_value(json!({
            "metadata": {"name": "coppice", "namespace": "ns", "resourceVersion": "7", "labels": {"a": "b"}},
            "spec": {"holderIdentity": "other", "leaseDurationSeconds": 15, "strategy": "OldestEmulationVersion"}}))
        .unwrap();
        let me = election();
        assert_eq!(
            record(&seen, &me),
            Record {
                holder: "other".to_owned(),
                duration: Duration::from_secs(15),
                version: "7".to_owned()
            }
        );
        let taken = claimed(Some(&seen), Claim::Acquire, &me, at("2026-01-01T00:00:00Z"));
        assert_eq!(taken.metadata, seen.metadata);
        assert_eq!(
            taken.spec.unwrap().strategy.as_deref(),
            Some("OldestEmulationVersion")
        );
    }

    #[test]
    fn a_lease_without_a_duration_lasts_as_long_as_ours() {
        for spec in [
            json!({}),
            json!({"leaseDurationSeconds": 0}),
            json!({"leaseDurationSeconds": -5}),
        ] {
            let lease = json!({"metadata": {"resourceVersion": "1"}, "spec": spec});
            let record = record(&serde_json::from_value(lease).unwrap(), &election());
            assert_eq!((record.holder.as_str(), record.duration.as_secs()), ("", 6));
        }
    }
}
