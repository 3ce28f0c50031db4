//! What holds up the sandbox of a Pod.
//!
//! Rule: each text stands as a component has written it.

use super::*;
use crate::model::fault::Verdict;
use crate::model::fault::testing::{Scene, at, event, pod, proof};

const FAILED: &str = "Failed to create pod sandbox: rpc error: code = Unknown desc = ";
const RESERVED: &str = "failed to reserve sandbox name \"p\": name \"p\" is reserved for \"1f\"";

/// A Pod on its way to which these things were said, in this order.
fn told(events: &[(&str, &str)]) -> Scene {
    let events = events.iter().zip([10, 20, 30, 40]);
    pod("p").told(events.map(|((reason, text), seconds)| event(reason, text).of("p").at(seconds)))
}

#[test]
fn what_is_said_of_a_sandbox() {
    use Class as C;
    let table = [
        (
            "failed to setup network for sandbox \"a\": plugin type=\"calico\" failed (add): stat /var/lib/calico/nodename: no such file or directory",
            C::CniPluginFailed,
        ),
        (
            "NetworkPlugin cni failed to set up pod \"p_n\" network: open /run/flannel/subnet.env: no such file or directory",
            C::CniPluginFailed,
        ),
        (
            "failed to setup network for sandbox \"a\": plugin type=\"aws-cni\" name=\"aws-cni\" failed (add): add cmd: failed to assign an IP address to container",
            C::IpExhausted,
        ),
        (
            "failed to setup network for sandbox \"a\": plugin type=\"host-local\" failed (add): failed to allocate for range 0: no IP addresses available in range set: 10.0.0.1-10.0.0.254",
            C::IpExhausted,
        ),
        (
            "failed to setup network for sandbox \"a\": cni plugin not initialized",
            C::NetworkNotReady,
        ),
        (
            "failed to get sandbox image \"registry.k8s.io/pause:3.10\": failed to pull image",
            C::SandboxImageFailed,
        ),
        (
            "failed to get sandbox runtime: no runtime for \"gvisor\" is configured",
            C::RuntimeHandlerMissing,
        ),
        (
            "failed to find runtime handler kata from runtime list",
            C::RuntimeHandlerMissing,
        ),
        (
            "failed to create containerd task: OCI runtime create failed: unable to apply cgroup configuration",
            C::CgroupFailed,
        ),
        (
            "rpc error: code = DeadlineExceeded desc = context deadline exceeded",
            C::SandboxCreateTimeout,
        ),
        (
            "failed to start sandbox \"c9\": failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: container init was OOM-killed (memory limit too low?)",
            C::OomAtStart,
        ),
        (RESERVED, C::SandboxCreateTimeout),
        (
            "connection error: desc = \"transport: Error while dialing: dial unix /run/containerd/containerd.sock: connect: connection refused\"",
            C::RuntimeUnavailable,
        ),
    ];
    for (text, class) in table {
        let message = format!("{FAILED}{text}");
        let fault = told(&[(SANDBOX, &message)]).fault(30);
        assert_eq!(
            (fault.class, fault.confidence, fault.at),
            (class, Confidence::Witnessed, Some(at(10))),
            "{text}"
        );
        let said = proof("Event FailedCreatePodSandBox of Pod p", "message", &message);
        assert_eq!(fault.proofs, [said]);
    }
}

#[test]
fn other_events_that_come_before_the_first_container() {
    use Class as C;
    let table = [
        (
            "FailedCreatePodContainer",
            "unable to ensure pod container exists: failed to create container for [kubepods pod1]",
            C::CgroupFailed,
        ),
        (
            "NetworkNotReady",
            "network is not ready: container runtime network not ready",
            C::NetworkNotReady,
        ),
        (
            "FailedPrepareDynamicResources",
            "prepare dynamic resources: NodePrepareResources failed for ResourceClaim gpu",
            C::DraPrepareFailed,
        ),
        (
            "FailedSync",
            "error determining status: rpc error: code = Unavailable desc = gone",
            C::RuntimeUnavailable,
        ),
    ];
    for (reason, text, class) in table {
        let fault = told(&[(reason, text)]).fault(30);
        assert_eq!(
            (fault.class, fault.confidence),
            (class, Confidence::Witnessed),
            "{reason}"
        );
    }
}

#[test]
fn the_first_failure_is_the_cause_and_not_that_its_name_is_taken() {
    let first = format!("{FAILED}plugin type=\"calico\" failed (add): no nodename");
    let second = format!("{FAILED}{RESERVED}");
    let fault = told(&[(SANDBOX, &first), (SANDBOX, &second)]).fault(60);
    assert_eq!(fault.class, Class::CniPluginFailed);
}

#[test]
fn a_text_that_nobody_knows_is_a_start_that_is_stuck() {
    let text = format!("{FAILED}the moon is in the wrong place");
    let fault = told(&[(SANDBOX, &text)]).fault(30);
    assert_eq!(
        (fault.class, fault.confidence, fault.verdict),
        (Class::StartStuck, Confidence::Rest, Verdict::Unknown)
    );
    assert!(fault.message.ends_with("the moon is in the wrong place"));
}

#[test]
fn a_container_that_is_made_later_has_a_sandbox() {
    let text = format!("{FAILED}plugin type=\"calico\" failed (add): no nodename");
    for success in ["Pulling", "Pulled", "Created", "Started"] {
        let later = told(&[(SANDBOX, &text), (success, "done")]);
        assert_eq!(stuck(&later.evidence()), None, "{success}");
        let before = told(&[(success, "done"), (SANDBOX, &text)]);
        assert!(stuck(&before.evidence()).is_some(), "{success}");
    }
}

#[test]
fn a_volume_that_is_missing_comes_before_the_sandbox() {
    let sandbox = format!("{FAILED}{RESERVED}");
    let volume = "MountVolume.SetUp failed for volume \"s\" : secret \"token\" not found";
    let fault = told(&[(SANDBOX, &sandbox), ("FailedMount", volume)]).fault(60);
    assert_eq!(fault.class, Class::SecretMissing);
}

#[test]
fn what_only_explains_does_not_become_the_fault() {
    for (reason, class) in [
        ("SandboxChanged", Class::SandboxChanged),
        ("DNSConfigForming", Class::DnsConfigInvalid),
        ("MissingClusterDNS", Class::DnsConfigInvalid),
        ("CheckLimitsForResolvConf", Class::DnsConfigInvalid),
    ] {
        let told = event(reason, "text").of("p").at(20);
        let fault = pod("p").ready(at(1)).told([told]).fault(60);
        assert_eq!(fault.class, Class::NoFault, "{reason}");
        assert_eq!(fault.contributing, [class], "{reason}");
    }
}
