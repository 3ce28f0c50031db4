//! `SupervisionTree`: what people write.
//!
//! Rule: the tree is a flat list of children, because CRD schemas cannot recurse; `parent` names a
//! supervisor declared earlier, so that a cycle cannot be written.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{PodTemplate, SupervisionTreeStatus, rules};

/// spec is the tree as it should be: its children, and how the root supervisor treats those directly
/// below it.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "coppice.dev",
    version = "v1alpha1",
    kind = "SupervisionTree",
    namespaced,
    status = "SupervisionTreeStatus",
    shortname = "stree",
    category = "coppice",
    validation = rules::names_fit_together(),
    validation = rules::added_names_fit_together(),
    doc = "SupervisionTree is a tree of supervisors and workers. Coppice keeps its workers running, finds out why one failed, restarts what belongs together, and gives up upwards when restarting does not help.",
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].status","description":"Whether every enabled child has its quorum up."}"#,
    printcolumn = r#"{"name":"Status","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].reason","description":"Why the tree is Ready or not, in one word."}"#,
    printcolumn = r#"{"name":"Strategy","type":"string","jsonPath":".spec.strategy","description":"Restart strategy of the root supervisor."}"#,
    printcolumn = r#"{"name":"Workers","type":"integer","jsonPath":".status.workers","description":"How many workers the tree has."}"#,
    printcolumn = r#"{"name":"Up","type":"integer","jsonPath":".status.up","description":"How many workers have their quorum up."}"#,
    printcolumn = r#"{"name":"Restarts","type":"integer","jsonPath":".status.restarts","description":"Deaths of replicas judged since the tree was created."}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name":"Budget","type":"string","priority":1,"jsonPath":".status.budget","description":"Restarts left in the scarcest window of the tree."}"#,
    printcolumn = r#"{"name":"Message","type":"string","priority":1,"jsonPath":".status.conditions[?(@.type==\"Ready\")].message","description":"What happened, why, and what happens next."}"#
)]
#[x_kube(validation = rules::parents_come_first())]
#[x_kube(validation = rules::significance_counts())]
#[serde(rename_all = "camelCase")]
pub struct SupervisionTreeSpec {
    /// strategy says which children of the root are restarted when one of them dies.
    /// OneForOne: only the one that died.
    /// OneForAll: all of them; they are stopped in reverse start order, and started again in order.
    /// RestForOne: the one that died and those after it in the list.
    /// Default OneForOne.
    #[serde(default)]
    pub strategy: Strategy,

    /// intensity is how many charged restarts the root may make within a sliding window before it
    /// gives up. Default 3 restarts in 300 seconds.
    #[serde(default)]
    pub intensity: Intensity,

    /// startup says how the children of the root start and stop.
    /// Ordered: one child after another in list order, each awaited, and stopped in reverse.
    /// Parallel: all together.
    /// Left out: Parallel under OneForOne, else Ordered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Startup")]
    pub startup: Option<Startup>,

    /// onStartFailure says what follows when a child of the root fails in its first start.
    /// Retry: it is started again, which is charged like a restart.
    /// Fail: what had started is stopped in reverse order, and the root has failed to start, which is dealt with as
    /// `onGiveUp` says (in Erlang/OTP, a first start is not retried).
    /// Default Retry.
    #[serde(default)]
    pub on_start_failure: StartFailure,

    /// backoff delays repeated restarts of the same child of the root. It never changes a count.
    /// Default: the first restart at once, then 1, 2, 4 … up to 30 seconds.
    #[serde(default)]
    pub backoff: Backoff,

    /// onGiveUp says what the root does when its intensity is exceeded.
    /// Retry: what the strategy names is stopped, and started again after 30 seconds, doubling up to 5 minutes; everything
    /// else keeps running. Under OneForOne that is the child with the most charges, under OneForAll all children, under
    /// RestForOne the child that died and those after it.
    /// Stop: the whole tree is stopped until `retryAt` or an edit of a template.
    /// Default Retry.
    #[serde(default)]
    pub on_give_up: RootGiveUp,

    /// autoShutdown says whether the tree ends when its significant children have ended as their type allows.
    /// Never: it does not.
    /// AnySignificant: when one of them has.
    /// AllSignificant: when all of them have.
    /// The remaining children are then stopped in reverse order, and the tree is `Finished`, which is an end and not a
    /// failure: an edit of a template or `restartAt` starts it again.
    /// Default Never.
    #[serde(default)]
    pub auto_shutdown: AutoShutdown,

    /// suspend set to true stops all children in order and keeps them down; the Workers stay. False again starts the tree as
    /// new, without a charge: windows, waits and delays are forgotten, and children that had finished run again. Default
    /// false.
    #[serde(default)]
    pub suspend: bool,

    /// restartAt restarts the whole tree once, without a charge: when this time has come, all children are stopped in
    /// reverse order and started again in order. Set it to the current time to do so at once. Each value acts once. No
    /// default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_at: Option<Time>,

    /// retryAt ends waiting: once this time has come, everything in the tree that was given up or parked
    /// is started again. Set it to the current time to do so at once. Each value acts once. No default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Time>,

    /// children are the supervisors and workers of the tree, parents before their children. The order
    /// is the start order among siblings. At most 256; names are unique. An empty list is a tree
    /// with nothing to do, which is Ready.
    #[serde(default)]
    #[schemars(length(max = 256))]
    #[x_kube(merge_strategy = kube::core::ListMerge::Map(vec!["name".into()]))]
    pub children: Vec<Child>,
}

/// One node of the tree below the root: a supervisor or a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = rules::supervisor_or_worker())]
#[x_kube(validation = rules::labels_not_reserved())]
#[x_kube(validation = rules::significant_ones_may_end())]
#[x_kube(validation = rules::completion_is_an_end())]
#[serde(rename_all = "camelCase")]
pub struct Child {
    /// name of the child: a DNS label (lower case letters, digits and dashes), unique in the tree. The
    /// names of the tree and the child have at most 50 characters together, because Pods are named
    /// after both.
    #[schemars(
        length(min = 1, max = 49),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub name: String,

    /// parent is the supervisor that this child belongs to. It must be declared earlier in `children`.
    /// Left out: the root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 49))]
    pub parent: Option<String>,

    /// enabled set to false stops the child, in order, and keeps it down; on a supervisor, everything
    /// below it. True again starts it as new, without a charge. Default true.
    #[serde(default = "yes")]
    pub enabled: bool,

    /// restartAt restarts the child once, without a charge, when this time has come. On a worker it replaces the replicas
    /// created before it, one at a time, like an edit of the template; on a supervisor, all its children are stopped in
    /// reverse order and started again in order. No default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_at: Option<Time>,

    /// supervisor makes this child a supervisor of other children. Exactly one of `supervisor` and
    /// `worker` must be set; `supervisor: {}` is one with the defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supervisor: Option<SupervisorSettings>,

    /// worker makes this child a worker: one or more identical Pods. Exactly one of `supervisor` and
    /// `worker` must be set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerSettings>,
}

/// How a supervisor treats its children.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SupervisorSettings {
    /// strategy says which children are restarted when one of them dies.
    /// OneForOne: only the one that died.
    /// OneForAll: all of them; they are stopped in reverse start order, and started again in order.
    /// RestForOne: the one that died and those after it in the list.
    /// Default OneForOne.
    #[serde(default)]
    pub strategy: Strategy,

    /// intensity is how many charged restarts this supervisor may make within a sliding window before
    /// it gives up. Default 3 restarts in 300 seconds.
    #[serde(default)]
    pub intensity: Intensity,

    /// startup says how the children start and stop.
    /// Ordered: one child after another in list order, each awaited, and stopped in reverse.
    /// Parallel: all together.
    /// Left out: Parallel under OneForOne, else Ordered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Startup")]
    pub startup: Option<Startup>,

    /// onStartFailure says what follows when a child fails in the first start of this supervisor.
    /// Retry: it is started again, which is charged like a restart.
    /// Fail: what had started is stopped in reverse order, and this supervisor has failed to start, which its parent judges
    /// (in Erlang/OTP, a first start is not retried).
    /// Default Retry.
    #[serde(default)]
    pub on_start_failure: StartFailure,

    /// backoff delays repeated restarts of the same child. It never changes a count.
    /// Default: the first restart at once, then 1, 2, 4 … up to 30 seconds.
    #[serde(default)]
    pub backoff: Backoff,

    /// onGiveUp says what this supervisor does when its intensity is exceeded.
    /// Escalate: all its children are stopped in reverse start order, and its parent judges that as
    /// the death of this supervisor (Erlang/OTP).
    /// Retry: what the strategy names is stopped, and started again after 30 seconds, doubling up to 5 minutes; everything
    /// else keeps running. Under OneForOne that is the child with the most charges, under OneForAll all children, under
    /// RestForOne the child that died and those after it.
    /// Stop: the whole supervisor is stopped until the root's `retryAt` or an edit of a template below it.
    /// Default Escalate.
    #[serde(default)]
    pub on_give_up: GiveUp,

    /// autoShutdown says whether this supervisor ends when its significant children have ended as their type allows.
    /// Never: it does not.
    /// AnySignificant: when one of them has.
    /// AllSignificant: when all of them have.
    /// The remaining children are then stopped in reverse order, and the parent judges that as a clean end.
    /// Default Never.
    #[serde(default)]
    pub auto_shutdown: AutoShutdown,

    /// restart says whether its parent starts this supervisor again when it has ended.
    /// Permanent: always, whether it gave up or shut itself down.
    /// Transient: not after it shut itself down; and not after it gave up either, because Erlang/OTP takes that for a clean
    /// end: it then stays down until the root's `retryAt` or an edit of a template below it.
    /// Temporary: never.
    /// Default Permanent.
    #[serde(default)]
    pub restart: Restart,

    /// significant says that the end of this supervisor counts for the `autoShutdown` of its parent, which must not be
    /// Never; needs `restart: Transient` or `Temporary`. Default false.
    #[serde(default)]
    pub significant: bool,
}

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

    /// restart says when a replica is started again after it has ended by itself.
    /// Permanent: always.
    /// Transient: only after an abnormal end. Clean is an exit code listed in `cleanExitCodes`, of all containers, that
    /// nobody else brought about: a program that is told to stop by an eviction or by `kubectl delete` and exits with 0 has
    /// not ended cleanly.
    /// Temporary: never.
    /// A replica that is not started again has finished, which counts as alive. A finished one runs again in a restart of
    /// its group, when a supervisor above it is restarted, and when its template changes; a Temporary one never.
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

    /// template of the Pods, as in a Deployment, but without what Coppice decides: `restartPolicy`,
    /// `nodeName`, `hostname`, `subdomain`, `ephemeralContainers` and restart rules of containers. A
    /// change replaces the Pods one at a time.
    pub template: PodTemplate,
}

/// Which children are restarted when one dies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Strategy {
    /// Only the child that died.
    #[default]
    OneForOne,
    /// All children.
    OneForAll,
    /// The child that died and those after it.
    RestForOne,
}

/// Whether a child is started again when it has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Restart {
    /// Always.
    #[default]
    Permanent,
    /// Only after an abnormal end.
    Transient,
    /// Never.
    Temporary,
}

/// What follows when a child fails in its first start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum StartFailure {
    /// It is started again, charged like a restart.
    #[default]
    Retry,
    /// The supervisor has failed to start.
    Fail,
}

/// Whether a supervisor ends when its significant children have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AutoShutdown {
    /// It does not.
    #[default]
    Never,
    /// When one of them has ended.
    AnySignificant,
    /// When all of them have ended.
    AllSignificant,
}

/// How often is too often: a sliding window of charges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Intensity {
    /// maxRestarts is how many charged restarts are allowed within the window, from 0 to 100; one more
    /// makes the supervisor give up. 0: the first death does. Default 3.
    #[serde(default = "default_max_restarts")]
    #[schemars(range(min = 0, max = 100))]
    pub max_restarts: i32,

    /// periodSeconds is the length of the sliding window in seconds, from 1 to 604800 (a week).
    /// Default 300.
    #[serde(default = "default_period_seconds")]
    #[schemars(range(min = 1, max = 604_800))]
    pub period_seconds: i32,
}

/// Delays between repeated restarts of one child.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Backoff {
    /// initialSeconds is the delay of a child's second restart, from 0 to 3600; the first is immediate,
    /// and every further one waits twice as long as the one before. 0: no delays. Default 1.
    #[serde(default = "default_backoff_initial")]
    #[schemars(range(min = 0, max = 3600))]
    pub initial_seconds: i32,

    /// maxSeconds is the longest delay, from 0 to 3600. The delays of `maxRestarts` restarts must fit
    /// into `periodSeconds`, else the supervisor could never give up and the tree is refused.
    /// Default 30.
    #[serde(default = "default_backoff_max")]
    #[schemars(range(min = 0, max = 3600))]
    pub max_seconds: i32,
}

/// How children start and stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Startup {
    /// One child after another, each awaited; stopped in reverse.
    Ordered,
    /// All together.
    Parallel,
}

/// What the root does when its intensity is exceeded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RootGiveUp {
    /// Stop what the strategy names and try it again later.
    #[default]
    Retry,
    /// Stop the whole tree.
    Stop,
}

/// What a supervisor below the root does when its intensity is exceeded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum GiveUp {
    /// Stop all children and let the parent judge.
    #[default]
    Escalate,
    /// Stop what the strategy names and try it again later.
    Retry,
    /// Stop the whole supervisor.
    Stop,
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

impl Default for Intensity {
    fn default() -> Self {
        Self {
            max_restarts: default_max_restarts(),
            period_seconds: default_period_seconds(),
        }
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            initial_seconds: default_backoff_initial(),
            max_seconds: default_backoff_max(),
        }
    }
}

fn yes() -> bool {
    true
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

fn default_max_restarts() -> i32 {
    3
}

fn default_period_seconds() -> i32 {
    300
}

fn default_backoff_initial() -> i32 {
    1
}

fn default_backoff_max() -> i32 {
    30
}
