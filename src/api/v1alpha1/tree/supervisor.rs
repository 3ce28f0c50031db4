//! Settings of a supervisor: what it restarts together, how often, and what follows when that is exceeded.
//!
//! Rule: each has a default, so that a supervisor without any is one that works.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Restart;
use crate::api::v1alpha1::FaultPolicy;

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

    /// backoff delays repeated restarts of the same child. It never changes a count. Under OneForOne the kubelet makes the
    /// first restart in each Pod, and others when its own waits of 10, 20, 40 … seconds are over before the delay.
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

    /// autoShutdown says whether this supervisor ends when its significant children have ended as their type allows. The
    /// remaining children are then stopped in reverse order, and the parent judges that as a clean end.
    /// Never: it does not.
    /// AnySignificant: when one of them has.
    /// AllSignificant: when all of them have.
    /// Default Never.
    #[serde(default)]
    pub auto_shutdown: AutoShutdown,

    /// faultPolicy says which faults are treated otherwise than by the verdict on their class, in everything below this supervisor. No default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault_policy: Option<FaultPolicy>,

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
    /// into `periodSeconds`, else a child that keeps dying would hardly ever make the supervisor give up, and the tree is
    /// refused.
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
