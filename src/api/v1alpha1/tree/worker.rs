//! Settings of a worker: its Pods, how many there are, and when one of them counts as up or as ended.
//!
//! Rule: what the template can say is said there, and not here once more.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Restart, UpdateSettings};
use crate::api::v1alpha1::{ClaimTemplate, FaultPolicy, PodTemplate};

/// A worker: identical Pods, supervised one for one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkerSettings {
    /// replicas is how many Pods the worker has, from 0 to 1000. No default here: left out, the number
    /// belongs to the generated Worker object (1 when new), where `kubectl scale` and a
    /// HorizontalPodAutoscaler change it. Stated here, the tree owns the number and puts any other
    /// one back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub replicas: Option<i32>,

    /// quorum is how many replicas must be alive for the worker to be alive, from 1 to 1000. While a
    /// quorum is alive, a death restarts that replica alone and is charged to its slot; a death
    /// that leaves less is a death of the worker, charged to its supervisor. In force is the smaller
    /// of quorum and replicas. Default 1.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1000))]
    pub quorum: i32,

    /// identity says whether replicas are told apart.
    /// Interchangeable: Pods have generated names, and a lost Pod is replaced at once.
    /// Stable: Pods are named tree-child-slot, for example `shop-db-0`, and a Pod is replaced only when the old one is proven
    /// gone, so that there are never two of one name.
    /// Default Interchangeable.
    #[serde(default)]
    pub identity: Identity,

    /// serviceName gives the Pods names in DNS: each has its own name as `hostname` and this one as `subdomain`, so that
    /// `shop-db-0.db` is found where serviceName is `db`. A headless Service of that name is yours to make; it selects the Pods
    /// by `coppice.dev/tree` and `coppice.dev/child`. A DNS label of at most 63 characters. Needs `identity: Stable`. Left out,
    /// the Pods have no such names. A change replaces the Pods as one of the template does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub service_name: Option<String>,

    /// volumeClaimTemplates are PersistentVolumeClaims that each replica has for itself, at most 16, as in a StatefulSet. The
    /// claim of a slot is named template-tree-child-slot, for example `data-shop-db-0`, and made before the Pod of that slot,
    /// which has it as a volume of the name of its template, in place of one of that name in `template`. A claim that exists by
    /// that name is used as it is. Needs `identity: Stable`. Cannot be changed while the child is in the tree: remove the child,
    /// and add it again; its claims stay, unless `persistentVolumeClaimRetentionPolicy` says otherwise. No default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub volume_claim_templates: Vec<ClaimTemplate>,

    /// persistentVolumeClaimRetentionPolicy says what becomes of the claims made from `volumeClaimTemplates`. Left out, they
    /// stay whatever happens. `suspend` and `enabled: false` never touch them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent_volume_claim_retention_policy: Option<ClaimRetention>,

    /// restart says when a replica is started again after it has ended by itself. One that is not has finished, which counts
    /// as alive. A finished one runs again in a restart of its group, when a supervisor above it is restarted, and when its
    /// template changes; a Temporary one never.
    /// Permanent: always.
    /// Transient: only after an abnormal end. Clean is an exit code listed in `cleanExitCodes`, of all containers, that
    /// nobody else brought about: a program that is told to stop by an eviction or by `kubectl delete` and exits with 0 has
    /// not ended cleanly.
    /// Temporary: never.
    /// Default Permanent.
    #[serde(default)]
    pub restart: Restart,

    /// significant says that the end of this worker (of all its replicas) counts for the `autoShutdown` of its supervisor,
    /// which must not be Never; needs `restart: Transient` or `Temporary`. Default false.
    #[serde(default)]
    pub significant: bool,

    /// cleanExitCodes are the exit codes that are a clean end, at most 16, from 0 to 255. Default: 0 alone.
    #[serde(default = "default_clean_exit_codes")]
    #[schemars(length(min = 1, max = 16), inner(range(min = 0, max = 255)))]
    pub clean_exit_codes: Vec<i32>,

    /// ready says when a replica has started.
    /// Ready: its Pod is Ready for the first time.
    /// Running: all its containers run.
    /// Completed: it has ended cleanly; for work that runs once before the next child starts, such as a migration. Needs
    /// `restart: Transient` or `Temporary`, and all replicas must complete, whatever `quorum` says.
    /// Default Ready.
    #[serde(default)]
    pub ready: ReadyWhen,

    /// startDeadlineSeconds is how long the containers of a replica may run without it having started,
    /// from 1 to 86400; then its start has failed, which is charged like a death. It does not run
    /// while the replica is held or waits for capacity, nor with `ready: Completed`. Default 600.
    #[serde(default = "default_start_deadline_seconds")]
    #[schemars(range(min = 1, max = 86_400))]
    pub start_deadline_seconds: i32,

    /// nodeLossSeconds is how long a Pod stays bound to a node that is not ready or unreachable, from 0
    /// to 86400. It becomes the Pod's tolerations for both taints, unless the template has its own. An
    /// `Interchangeable` Pod is deleted and replaced when its node has been unreachable for that long
    /// and Kubernetes has decided to evict it. Default 60.
    #[serde(default = "default_node_loss_seconds")]
    #[schemars(range(min = 0, max = 86_400))]
    pub node_loss_seconds: i32,

    /// disruptionBudget says whether the worker has a PodDisruptionBudget, so that evictions, such as those of `kubectl drain`,
    /// never take it below its quorum.
    /// Auto: it has one of its own as long as it has more replicas than its quorum and no other PodDisruptionBudget of the
    /// namespace selects its Pods. Pods that are not Ready may always be evicted. With `ready: Running` and a readiness probe or
    /// gates it has none, because Kubernetes would count fewer than the worker does.
    /// None: it has none of its own.
    /// Default Auto.
    #[serde(default)]
    pub disruption_budget: DisruptionBudget,

    /// update says how Pods give way to those of a changed template. Default: one Pod more than `replicas`, and none missing; with
    /// `identity: Stable` one missing, and none more.
    #[serde(default)]
    pub update: UpdateSettings,

    /// faultPolicy says which faults are treated otherwise than by the verdict on their class when they befall this worker. No default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault_policy: Option<FaultPolicy>,

    /// template of the Pods, as in a Deployment, but without what Coppice decides: `restartPolicy`,
    /// `nodeName`, `hostname` and `subdomain` (see `serviceName`), `ephemeralContainers` and restart rules of containers. A
    /// change replaces the Pods as `update` says.
    pub template: PodTemplate,
}

/// Whether replicas are told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Identity {
    /// Generated names; replaced at once.
    #[default]
    Interchangeable,
    /// One fixed name per slot; replaced when proven gone.
    Stable,
}

/// Whether a worker has a disruption budget of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DisruptionBudget {
    /// Where it has replicas to spare, and nobody else's budget is about them.
    #[default]
    Auto,
    /// Never.
    None,
}

/// What becomes of the claims of a worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClaimRetention {
    /// whenDeleted says what becomes of the claims when the tree is deleted, or the child is removed from it.
    /// Retain: they stay.
    /// Delete: they are deleted after the Pods, by Kubernetes, because they are owned by the Worker; also when somebody
    /// deletes that Worker.
    /// Default Retain.
    #[serde(default)]
    pub when_deleted: Retention,

    /// whenScaled says what becomes of the claims of a slot that is dropped because there are fewer replicas.
    /// Retain: they stay, and are used when there are as many replicas again.
    /// Delete: they are deleted after the Pod of the slot, by Kubernetes, because they are owned by that Pod from then on. Those
    /// of slots that were dropped before this was set stay.
    /// Default Retain.
    #[serde(default)]
    pub when_scaled: Retention,
}

/// Whether claims stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Retention {
    /// They stay.
    #[default]
    Retain,
    /// They are deleted.
    Delete,
}

/// When a replica has started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ReadyWhen {
    /// Its Pod was Ready once.
    #[default]
    Ready,
    /// All its containers ran.
    Running,
    /// It ended cleanly.
    Completed,
}

fn one() -> i32 {
    1
}

fn default_start_deadline_seconds() -> i32 {
    600
}

fn default_clean_exit_codes() -> Vec<i32> {
    vec![0]
}

fn default_node_loss_seconds() -> i32 {
    60
}
