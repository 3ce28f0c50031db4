//! What the scheduler says of Pods that no node takes.
//!
//! Rule: each text stands as the scheduler has written it, in one of its versions.

use super::*;
use crate::model::fault::testing::{PodBuilder, Scene, at, event, object, pod, proof};
use crate::model::fault::{EventView, Verdict, identify_object};
use crate::model::pod::PodView;

fn unscheduled(pod: &PodView, now: Timestamp) -> Option<Fault> {
    super::unscheduled(&Evidence::of(pod), now)
}

#[test]
fn what_the_scheduler_says() {
    use Class as C;
    let table = [
        (
            "0/2 nodes are available: 1 Insufficient cpu, 1 Insufficient memory, 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }. preemption: 0/2 nodes are available: 2 No preemption victims found.",
            C::InsufficientCpu,
        ),
        (
            "0/5 nodes are available: 1 Insufficient cpu, 4 Insufficient memory.",
            C::InsufficientMemory,
        ),
        (
            "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.",
            C::InsufficientExtendedResource,
        ),
        (
            "0/1 nodes are available: 1 Insufficient hugepages-2Mi.",
            C::InsufficientExtendedResource,
        ),
        ("0/3 nodes are available: 3 Too many pods.", C::TooManyPods),
        (
            "0/1 nodes are available: 1 node(s) had untolerated taint(s).",
            C::UntoleratedTaint,
        ),
        (
            "0/1 nodes are available: 1 node(s) had taint {a: b}, that the pod didn't tolerate.",
            C::UntoleratedTaint,
        ),
        (
            "0/2 nodes are available: 2 node(s) had untolerated taint {node.kubernetes.io/not-ready: }.",
            C::NodeUnknownConditions,
        ),
        (
            "0/2 nodes are available: 2 node(s) were unschedulable.",
            C::NodesCordoned,
        ),
        (
            "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. no new claims to deallocate, preemption: 0/1 nodes are available",
            C::NodeSelectorMismatch,
        ),
        (
            "0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules.",
            C::PodAntiAffinityConflict,
        ),
        (
            "0/1 nodes are available: 1 node(s) didn't match pod affinity rules.",
            C::PodAffinityUnsatisfied,
        ),
        (
            "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.",
            C::HostPortConflict,
        ),
        (
            "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. preemption: 0/1",
            C::PvcUnbound,
        ),
        (
            "0/1 nodes are available: 1 node(s) had volume node affinity conflict.",
            C::VolumeNodeAffinityConflict,
        ),
        (
            "0/1 nodes are available: 1 node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod.",
            C::RwopConflict,
        ),
        ("persistentvolumeclaim \"data\" not found", C::PvcMissing),
        (
            "0/5 nodes are available: 5 node(s) didn't satisfy plugin(s) [NodeAffinity]. preemption: 0/5 nodes are available: 5 Preemption is not helpful for scheduling.",
            C::NodeNameMismatch,
        ),
        (
            "0/5 nodes are available: 1 node(s) had untolerated taint(s), 4 node(s) didn't satisfy plugin(s) [NodeAffinity]. preemption: 0/5 nodes are available: 5 Preemption is not helpful for scheduling.",
            C::UntoleratedTaint,
        ),
        ("0/0 nodes are available.", C::NoNodes),
        ("no nodes available to schedule pods", C::NoNodes),
        ("the moon is in the wrong place", C::Unschedulable),
    ];
    for (message, class) in table {
        let fault = unscheduled(&pod("p").unschedulable(message).build(), at(1)).unwrap();
        assert_eq!(fault.class, class, "{message}");
        assert_eq!(fault.at, Some(at(0)));
    }
}

#[test]
fn gates_are_told_by_their_reason() {
    let gated = pod("p").scheduling(
        "SchedulingGated",
        "Scheduling is blocked due to non-empty scheduling gates",
    );
    let fault = unscheduled(&gated.build(), at(1)).unwrap();
    assert_eq!(
        (fault.class, fault.confidence),
        (Class::SchedulingGated, Confidence::Proved)
    );
}

#[test]
fn a_scheduled_pod_and_one_not_yet_looked_at_have_no_fault() {
    assert_eq!(unscheduled(&pod("p").build(), at(600)), None);
    assert_eq!(
        unscheduled(&pod("p").scheduling("", "").build(), at(600)),
        None
    );
}

#[test]
fn a_pod_that_no_scheduler_looks_at_is_told_after_a_while() {
    let alone = pod("p")
        .unschedulable("")
        .but(|pod| pod.conditions.clear())
        .build();
    assert_eq!(unscheduled(&alone, at(30)), None);
    let fault = unscheduled(&alone, at(31)).unwrap();
    assert_eq!(
        (fault.class, fault.at),
        (Class::SchedulerMissing, Some(at(0)))
    );
}

fn told(message: &str, seconds: i64) -> EventView {
    event("FailedScheduling", message).of("p").at(seconds)
}

fn of_claim(claim: &str, reason: &str, message: &str) -> EventView {
    event(reason, message)
        .about("PersistentVolumeClaim", claim)
        .at(10)
}

/// A Pod without a node of which the scheduler has written nothing into its status.
fn unjudged() -> PodBuilder {
    pod("p").unschedulable("").but(|pod| pod.conditions.clear())
}

/// A Pod with an unbound claim named `data`.
fn unbound() -> Scene {
    let text = "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.";
    let pod = pod("p").unschedulable(text).alone();
    pod.but_spec(|spec| spec.claims = vec!["data".to_owned()])
}

#[test]
fn what_else_the_scheduler_says() {
    use Class as C;
    let table = [
        (
            "1 Insufficient ephemeral-storage",
            C::InsufficientEphemeralStorage,
        ),
        (
            "1 node(s) had untolerated taint {node.kubernetes.io/unschedulable: }",
            C::NodesCordoned,
        ),
        (
            "1 node(s) had untolerated taint {node.kubernetes.io/unreachable: }",
            C::NodeUnknownConditions,
        ),
        ("1 node(s) had unknown conditions", C::NodeUnknownConditions),
        (
            "1 node(s) didn't match node selector",
            C::NodeSelectorMismatch,
        ),
        (
            "1 node(s) didn't match the requested node name",
            C::NodeNameMismatch,
        ),
        (
            "1 node(s) didn't satisfy existing pods anti-affinity rules",
            C::PodAntiAffinityConflict,
        ),
        (
            "1 node(s) didn't match pod topology spread constraints",
            C::TopologySpreadUnsatisfiable,
        ),
        (
            "1 node(s) didn't match pod topology spread constraints (missing required label)",
            C::TopologySpreadUnsatisfiable,
        ),
        (
            "1 node(s) didn't match Pod's required features",
            C::NodeFeatureMissing,
        ),
        (
            "resourceclaim.resource.k8s.io \"gpu\" not found",
            C::ResourceClaimMissing,
        ),
        (
            "1 cannot allocate all claims",
            C::ResourceClaimUnschedulable,
        ),
        ("1 resourceclaim in use", C::ResourceClaimUnschedulable),
        (
            "1 resourceclaim not available on the node",
            C::ResourceClaimUnschedulable,
        ),
        (
            "resourceclaim \"gpu\" is being deleted",
            C::ResourceClaimUnschedulable,
        ),
        (
            "waiting for minCount pods from a gang to appear in scheduling queue",
            C::GangWaiting,
        ),
        (
            "waiting for pods's pod group \"g\" to appear in scheduling queue",
            C::GangWaiting,
        ),
    ];
    for (text, class) in table {
        let message = format!("0/1 nodes are available: {text}.");
        let fault = pod("p").unschedulable(&message).alone().fault(30);
        assert_eq!(
            (fault.class, fault.confidence),
            (class, Confidence::Witnessed),
            "{text}"
        );
        let condition = proof("Pod p", "status.conditions[PodScheduled].message", &message);
        assert_eq!(fault.proofs, [condition]);
    }
}

#[test]
fn an_error_of_the_scheduler_is_told_by_its_reason() {
    let fault = pod("p")
        .scheduling("SchedulerError", "boom")
        .alone()
        .fault(30);
    assert_eq!(
        (fault.class, fault.confidence),
        (Class::SchedulerError, Confidence::Proved)
    );
}

#[test]
fn the_reason_of_most_nodes_is_the_class_and_the_others_contribute() {
    let fault = pod("p")
        .unschedulable(
            "0/6 nodes are available: 1 node(s) had untolerated taint {a: b}, 2 Insufficient \
             memory, 3 Insufficient cpu. preemption: 0/6 nodes are available: 6 Too many pods.",
        )
        .alone()
        .fault(30);
    assert_eq!(fault.class, Class::InsufficientCpu);
    assert_eq!(
        fault.contributing,
        [Class::InsufficientMemory, Class::UntoleratedTaint]
    );
}

/// Of three nodes of the control plane and two that are full, the two that could take the Pod say what it lacks.
#[test]
fn nodes_that_are_kept_for_others_count_only_where_no_other_node_is_left() {
    use Class as C;
    let control_plane = "node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }";
    let gpu = "node(s) had untolerated taint {gpu: yes}";
    let selector = "node(s) didn't match Pod's node affinity/selector";
    let table = [
        (
            format!("3 {control_plane}, 2 Insufficient cpu"),
            C::InsufficientCpu,
            vec![C::UntoleratedTaint],
        ),
        (
            "2 Insufficient cpu, 3 node(s) had untolerated taint(s)".to_owned(),
            C::InsufficientCpu,
            vec![C::UntoleratedTaint],
        ),
        (
            format!("9 {gpu}, 4 {selector}, 2 Too many pods, 1 Insufficient memory"),
            C::TooManyPods,
            vec![
                C::InsufficientMemory,
                C::UntoleratedTaint,
                C::NodeSelectorMismatch,
            ],
        ),
        (
            format!("3 {control_plane}, 1 node(s) were unschedulable"),
            C::NodesCordoned,
            vec![C::UntoleratedTaint],
        ),
        (
            format!("5 {selector}, 1 node(s) didn't match PersistentVolume's node affinity"),
            C::VolumeNodeAffinityConflict,
            vec![C::NodeSelectorMismatch],
        ),
        // Nothing is left but what is kept for others; nobody means to run on the control plane.
        (
            format!("3 {control_plane}, 2 {selector}"),
            C::NodeSelectorMismatch,
            vec![C::UntoleratedTaint],
        ),
        (
            format!("3 {control_plane}, 1 {gpu}, 2 {selector}"),
            C::UntoleratedTaint,
            vec![C::NodeSelectorMismatch],
        ),
        (
            format!("3 {control_plane}"),
            C::UntoleratedTaint,
            Vec::new(),
        ),
        // A node that is lost was meant for such a Pod.
        (
            "3 node(s) had untolerated taint {node.kubernetes.io/unreachable: }, 2 Insufficient cpu"
                .to_owned(),
            C::NodeUnknownConditions,
            vec![C::InsufficientCpu],
        ),
    ];
    for (text, class, others) in table {
        let message = format!("0/9 nodes are available: {text}. preemption: none");
        let fault = pod("p").unschedulable(&message).alone().fault(30);
        assert_eq!((fault.class, fault.contributing), (class, others), "{text}");
    }
}

#[test]
fn what_is_said_of_the_pod_as_a_whole_beats_what_is_said_of_nodes() {
    let text =
        "0/9 nodes are available: 9 Insufficient cpu, persistentvolumeclaim \"data\" not found.";
    let fault = pod("p").unschedulable(text).alone().fault(30);
    assert_eq!(fault.class, Class::PvcMissing);
    assert_eq!(fault.contributing, [Class::InsufficientCpu]);
}

#[test]
fn an_event_tells_what_the_status_does_not() {
    let text = "0/1 nodes are available: 1 Too many pods.";
    let fault = unjudged().told([told(text, 20)]).fault(60);
    assert_eq!(
        (fault.class, fault.confidence, fault.at),
        (Class::TooManyPods, Confidence::Witnessed, Some(at(20)))
    );
    let said = proof("Event FailedScheduling of Pod p", "message", text);
    assert_eq!(fault.proofs, [said]);
    let silent = pod("p").unschedulable("").told([told(text, 20)]);
    assert_eq!(silent.fault(60).class, Class::TooManyPods);
}

#[test]
fn the_condition_counts_more_than_the_event_which_may_be_cut() {
    let condition = pod("p").unschedulable("0/1 nodes are available: 1 Insufficient cpu.");
    let cut = told("0/1 nodes are available: 1 Too many pods", 20);
    let fault = condition.told([cut]).fault(60);
    assert_eq!(fault.class, Class::InsufficientCpu);
}

#[test]
fn the_newest_event_counts_and_none_before_a_node_was_found() {
    let cpu = || told("0/1 nodes are available: 1 Insufficient cpu.", 10);
    let pods = || told("0/1 nodes are available: 1 Too many pods.", 20);
    let fault = unjudged().told([pods(), cpu()]).fault(60);
    assert_eq!(fault.class, Class::TooManyPods);
    let found = event("Scheduled", "Successfully assigned n/p to node-a")
        .of("p")
        .at(30);
    let fault = unjudged().told([cpu(), pods(), found]).fault(60);
    assert_eq!(fault.class, Class::NoFault);
}

#[test]
fn events_of_another_pod_say_nothing() {
    let other = told("0/1 nodes are available: 1 Insufficient cpu.", 10).of("other");
    let fault = unjudged().told([other]).fault(60);
    assert_eq!(fault.class, Class::SchedulerMissing);
}

#[test]
fn what_is_known_of_a_claim_is_the_cause_that_it_is_not_bound() {
    for (reason, text, class) in [
        (
            "FailedBinding",
            "no persistent volumes available for this claim and no storage class is set",
            Class::StorageClassMissing,
        ),
        (
            "ProvisioningFailed",
            "storageclass.storage.k8s.io \"fast\" not found",
            Class::StorageClassMissing,
        ),
        (
            "ProvisioningFailed",
            "failed to provision volume: quota",
            Class::ProvisioningFailed,
        ),
        ("ClaimLost", "gone", Class::ClaimLost),
    ] {
        let fault = unbound().told([of_claim("data", reason, text)]).fault(60);
        assert_eq!(fault.class, class, "{text}");
        assert_eq!(fault.contributing, [Class::PvcUnbound]);
        assert_eq!(fault.proofs.len(), 2, "the Event and the condition");
        let other = unbound().told([of_claim("logs", reason, text)]);
        assert_eq!(other.fault(60).class, Class::PvcUnbound);
    }
    let fault = unbound().fault(60);
    assert_eq!(fault.class, Class::PvcUnbound);
    let lost = object("PersistentVolumeClaim", "data").in_phase("Lost");
    let fault = unbound().beside(lost).fault(60);
    assert_eq!(fault.class, Class::ClaimLost);
    let waits = of_claim("data", "WaitForFirstConsumer", "waiting");
    let fault = unbound().told([waits]).fault(60);
    assert_eq!(fault.class, Class::PvcUnbound);
    assert_eq!(fault.contributing, [Class::WaitForFirstConsumer]);
}

#[test]
fn a_pod_that_names_a_resource_claim_is_not_looked_at_before_there_is_one() {
    let waits = unjudged().alone();
    let waits = waits.but_spec(|spec| spec.resource_claims = vec!["gpu".to_owned()]);
    let fault = waits.fault(60);
    assert_eq!(
        (fault.class, fault.confidence),
        (Class::ResourceClaimMissing, Confidence::Inferred)
    );
    assert!(fault.message.ends_with("resource claim gpu"));
}

#[test]
fn a_claim_for_a_node_is_told_by_its_first_step_that_failed() {
    for step in ["Launched", "Registered", "Initialized"] {
        let claim = |status| {
            let claim = object("NodeClaim", "pool-1");
            identify_object(&claim.says(step, status, "Failed", "sold out"), &[])
        };
        let fault = claim("False");
        assert_eq!(
            (fault.class, fault.confidence),
            (Class::NodeProvisioningFailed, Confidence::Proved)
        );
        assert_eq!(claim("True").class, Class::NoFault);
    }
}

#[test]
fn an_autoscaler_that_cannot_help_only_contributes() {
    let full = pod("p").unschedulable("0/1 nodes are available: 1 Insufficient cpu.");
    let told = event("NotTriggerScaleUp", "text").of("p").at(20);
    let fault = full.told([told]).fault(60);
    assert_eq!(fault.class, Class::InsufficientCpu);
    assert_eq!(fault.contributing, [Class::NodeProvisioningFailed]);
}

/// Karpenter's v1 says Unknown, with a reason, until the node has come.
#[test]
fn a_node_that_does_not_come_is_told_while_it_is_waited_for() {
    let claim = |reason: &str| {
        let claim = object("NodeClaim", "pool-1").says("Launched", "Unknown", reason, "");
        identify_object(&claim, &[]).class
    };
    assert_eq!(claim("LaunchFailed"), Class::NodeProvisioningFailed);
    assert_eq!(claim("AwaitingReconciliation"), Class::NoFault);
}

const MAKING: &str = "Waiting for a volume to be created either by the external provisioner 'd.csi' or manually by the system administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered.";
const WAITED_IN_VAIN: &str =
    "running PreBind plugin \"VolumeBinding\": binding volumes: context deadline exceeded";

/// A Pod with a claim named `data` of which the scheduler has written nothing into its status.
fn with_claim() -> Scene {
    let pod = unjudged().alone();
    pod.but_spec(|spec| spec.claims = vec!["data".to_owned()])
}

#[test]
fn a_volume_that_is_made_for_long_is_told_by_its_claim_and_no_scheduler_is_missing() {
    let consumer = || {
        of_claim(
            "data",
            "WaitForPodScheduled",
            "waiting for pod p to be scheduled",
        )
    };
    for reason in ["ExternalProvisioning", "Provisioning"] {
        let making = of_claim("data", reason, MAKING).at(20);
        let waits = with_claim().told([consumer(), making]);
        assert_eq!(waits.fault(30).class, Class::NoFault, "{reason}");
        let fault = waits.fault(31);
        assert_eq!(
            (fault.class, fault.confidence),
            (Class::PvcUnbound, Confidence::Witnessed),
            "{reason}"
        );
        assert_eq!(fault.contributing, [Class::WaitForFirstConsumer]);
        assert!(
            fault
                .message
                .starts_with("the volume of claim data is being made")
        );
    }
    let failed = of_claim(
        "data",
        "ProvisioningFailed",
        "failed to provision volume: quota",
    );
    let fault = with_claim().told([consumer(), failed]).fault(60);
    assert_eq!(fault.class, Class::ProvisioningFailed);
    let other = of_claim("logs", "Provisioning", MAKING);
    assert_eq!(
        with_claim().told([other]).fault(60).class,
        Class::SchedulerMissing
    );
}

/// The controller of claims looks at them four times a minute, and says it again as long as no node is chosen.
#[test]
fn a_claim_that_waits_for_a_node_shows_a_scheduler_when_it_does_so_no_longer() {
    let consumer = |seconds| {
        let text = "waiting for pod p to be scheduled";
        of_claim("data", "WaitForPodScheduled", text).at(seconds)
    };
    let at_first = with_claim().told([consumer(1)]);
    assert_eq!(at_first.fault(30).class, Class::NoFault);
    let fault = at_first.fault(60);
    assert_eq!(
        (fault.class, fault.verdict, fault.confidence),
        (Class::PvcUnbound, Verdict::Wait, Confidence::Inferred)
    );
    assert_eq!(fault.contributing, [Class::WaitForFirstConsumer]);
    let still = with_claim().told([consumer(1), consumer(46)]);
    let fault = still.fault(60);
    assert_eq!(fault.class, Class::SchedulerMissing);
    assert_eq!(fault.contributing, [Class::WaitForFirstConsumer]);
    let of_another = with_claim().told([consumer(1).about("PersistentVolumeClaim", "logs")]);
    assert_eq!(of_another.fault(60).class, Class::SchedulerMissing);
}

#[test]
fn a_volume_that_was_made_is_not_waited_for() {
    let making = of_claim("data", "Provisioning", MAKING).at(10);
    let made = of_claim(
        "data",
        "ProvisioningSucceeded",
        "Successfully provisioned volume",
    )
    .at(20);
    let fault = with_claim().told([making, made]).fault(60);
    assert_eq!(fault.class, Class::SchedulerMissing);
}

#[test]
fn a_claim_for_whose_pod_a_node_was_chosen_shows_that_a_scheduler_was_there() {
    let claim = |phase: &str| {
        let mut claim = object("PersistentVolumeClaim", "data").in_phase(phase);
        claim.selected_node = Some("node-b".to_owned());
        claim
    };
    let fault = with_claim().beside(claim("Pending")).fault(60);
    assert_eq!(
        (fault.class, fault.confidence),
        (Class::PvcUnbound, Confidence::Proved)
    );
    assert_eq!(fault.contributing, [Class::WaitForFirstConsumer]);
    assert_eq!(fault.proofs[0].value, "node-b");
    let bound = with_claim().beside(claim("Bound"));
    assert_eq!(bound.fault(60).class, Class::SchedulerMissing);
}

#[test]
fn a_scheduler_that_gave_up_waiting_for_a_volume_names_the_volume() {
    let error = pod("p")
        .scheduling("SchedulerError", WAITED_IN_VAIN)
        .alone();
    let fault = error.clone().fault(700);
    assert_eq!(
        (fault.class, fault.confidence),
        (Class::PvcUnbound, Confidence::Witnessed)
    );
    let failed = of_claim(
        "data",
        "ProvisioningFailed",
        "failed to provision volume: quota",
    );
    let fault = error.told([failed]).fault(700);
    assert_eq!(fault.class, Class::ProvisioningFailed);
    let fault = unjudged().told([told(WAITED_IN_VAIN, 640)]).fault(700);
    assert_eq!(fault.class, Class::PvcUnbound);
}

#[test]
fn a_resource_claim_that_is_not_there_is_missing_however_it_is_said() {
    for text in [
        "waiting for dynamic resource controller to create the resourceclaim \"p-gpu\"",
        "0/1 nodes are available: 1 waiting for dynamic resource controller to create the resourceclaim \"p-gpu\".",
        "pod claim \"gpu\": ResourceClaim not created yet",
        "resourceclaim \"p-gpu\" not found",
    ] {
        let waits = pod("p").unschedulable(text);
        let fault = waits.clone().alone().fault(60);
        assert_eq!(
            (fault.class, fault.confidence),
            (Class::ResourceClaimMissing, Confidence::Witnessed),
            "{text}"
        );
        let why = "PodResourceClaim gpu: resourceclaimtemplate.resource.k8s.io \"gpus\" not found";
        let event = event("FailedResourceClaimCreation", why).of("p").at(5);
        assert_eq!(waits.told([event]).fault(60).proofs[1].value, why);
    }
    let deleted = "0/1 nodes are available: 1 resourceclaim \"p-gpu\" is being deleted.";
    let fault = pod("p").unschedulable(deleted).alone().fault(60);
    assert_eq!(fault.class, Class::ResourceClaimUnschedulable);
}

/// The provisioner takes back the choice of a node when it cannot make the volume there (kubernetes issue 83181).
#[test]
fn a_node_that_was_refused_for_a_volume_is_a_volume_that_could_not_be_made() {
    for text in [
        "selectedNode annotation value \"\" not set to scheduled node \"node-b\"",
        "running PreBind plugin \"VolumeBinding\": binding volumes: provisioning failed for PVC \"data\"",
    ] {
        let error = pod("p").scheduling("SchedulerError", text).alone();
        for scene in [error, unjudged().told([told(text, 20)])] {
            let fault = scene.fault(60);
            assert_eq!(
                (fault.class, fault.confidence),
                (Class::ProvisioningFailed, Confidence::Witnessed),
                "{text}"
            );
            let why = "storageclass.storage.k8s.io \"fast\" not found";
            let fault = scene
                .told([of_claim("data", "ProvisioningFailed", why)])
                .fault(60);
            assert_eq!(fault.class, Class::StorageClassMissing);
            assert_eq!(fault.contributing, [Class::ProvisioningFailed]);
        }
    }
}
