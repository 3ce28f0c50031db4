//! One look at one tree: observe, decide, execute.
//!
//! Rule: it knows only the name of the tree, never why it was woken, and a panic in it ends one look at
//! one tree.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use jiff::Timestamp;
use tokio::time::Instant;
use tracing::Instrument;

use super::context::Context;
use super::error::{Error, chain};
use super::execute::{Executed, execute, report_malformed, settle};
use super::observe::{Observed, observe};
use super::queue::{Next, Ran};
use super::store::ObjectKey;
use crate::runtime::metrics::ReconcileResult;

/// After that long no further write is begun; the next look goes on.
const BUDGET: Duration = Duration::from_secs(30);
/// The shortest time until a tree is looked at again by itself, so that a due time that has passed
/// already cannot keep us busy.
const SHORTEST_SLEEP: Duration = Duration::from_millis(50);
/// The longest time until a tree is looked at again although nothing has happened: every delay is kept
/// by the wall clock, which may have been set meanwhile.
const LONGEST_SLEEP: Duration = Duration::from_mins(5);

/// For so many Pods a tree rests a millisecond after a look. To look at many, and to store what is remembered of them,
/// takes this process and the API server longer; a tree whose Pods all crash must leave both of them to the others.
const PODS_PER_MILLISECOND: u64 = 20;
/// The longest that a tree rests, however many Pods it has.
const LONGEST_REST: Duration = Duration::from_millis(100);

/// What came of a look.
struct Looked {
    next: Next,
    pods: u64,
}

impl Looked {
    fn at_nothing(next: Next) -> Self {
        Self { next, pods: 0 }
    }
}

/// Looks at one tree and says what comes next.
pub(super) async fn reconcile(context: Arc<Context>, key: ObjectKey) -> Ran {
    let span = tracing::info_span!("reconcile", namespace = key.namespace, tree = key.name);
    let run = AssertUnwindSafe(look(&context, &key)).catch_unwind();
    let metric = context.metrics.reconcile.start();
    let outcome = run.instrument(span.clone()).await;
    let _entered = span.enter();
    let mut rest = Duration::ZERO;
    let (next, result) = match outcome {
        Ok(Ok(Looked { next, pods })) => {
            rest = rest_after(pods);
            (next, result_of(next))
        }
        Ok(Err(error)) if !error.was_sent() => {
            // When we lead again, every tree is looked at again.
            tracing::debug!(reason = chain(&error), "left to the leader");
            (Next::Wait, ReconcileResult::Success)
        }
        Ok(Err(error)) => {
            tracing::warn!(error = chain(&error), reason = error.reason(), "will retry");
            (after(&error), ReconcileResult::Error)
        }
        // The panic hook has logged what and where.
        Err(_) => {
            context.memories.panicked(&key);
            (Next::Failed, ReconcileResult::Panic)
        }
    };
    metric.done(result);
    Ran { next, rest }
}

fn rest_after(pods: u64) -> Duration {
    Duration::from_millis(pods / PODS_PER_MILLISECOND).min(LONGEST_REST)
}

fn result_of(next: Next) -> ReconcileResult {
    match next {
        Next::At(_) => ReconcileResult::RequeueAfter,
        _ => ReconcileResult::Success,
    }
}

async fn look(context: &Context, key: &ObjectKey) -> Result<Looked, Error> {
    let mut observation = match observe(context, key).await? {
        Observed::NotLeading | Observed::NotLoaded | Observed::Gone => {
            return Ok(Looked::at_nothing(Next::Wait));
        }
        Observed::Malformed(malformed) => {
            let executed = report_malformed(context, &malformed).await?;
            let next = next(executed, Instant::now() + LONGEST_SLEEP);
            return Ok(Looked::at_nothing(next));
        }
        Observed::World(observation) => observation,
    };
    settle(context, &mut observation);
    let now = context.now();
    let decision = (context.decide)(&observation.world, now);
    let wake = wake(decision.wake_at, now);
    let workers = observation.world.workers.values();
    let pods = workers.map(|worker| worker.pods.len() as u64).sum();
    let executed = execute(context, &observation, decision, Instant::now() + BUDGET).await?;
    tracing::debug!(?executed, "looked");
    if context
        .memories
        .wrote(key, matches!(executed, Executed::Wrote | Executed::Reread))
    {
        tracing::warn!("somebody seems to undo what is written; slowing down");
        return Ok(Looked {
            next: Next::Failed,
            pods,
        });
    }
    if executed == Executed::Reread {
        // A new leader's first act is not to wait until all other trees were read as well.
        return Box::pin(look(context, key)).await;
    }
    Ok(Looked {
        next: next(executed, wake),
        pods,
    })
}

/// When to look again after an error: not before the time that the API server asks for.
fn after(error: &Error) -> Next {
    error.retry_after().map_or(Next::Failed, |pause| {
        Next::FailedUntil(Instant::now() + pause)
    })
}

fn next(executed: Executed, wake: Instant) -> Next {
    match executed {
        Executed::Nothing => Next::At(wake),
        Executed::Wrote | Executed::Reread => Next::Again,
        Executed::ReportDue(due) => Next::At(due.min(wake)),
        // Not an error, but the same brake: whoever changes things all the time must not keep us busy.
        Executed::Stale => Next::Failed,
    }
}

fn wake(at: Option<Timestamp>, now: Timestamp) -> Instant {
    let sleep = at.map_or(LONGEST_SLEEP, |at| {
        Duration::try_from(at.duration_since(now)).unwrap_or_default()
    });
    Instant::now() + sleep.clamp(SHORTEST_SLEEP, LONGEST_SLEEP)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::kinds::Trees;
    use super::super::memory::Behind;
    use super::super::store::Source;
    use super::super::testing::{self, Answer};
    use super::*;

    #[tokio::test]
    async fn a_panic_ends_one_look_at_one_tree() {
        let (client, log) = testing::client(|_| Answer::Never);
        let mut context = testing::context(client);
        let tree = json!({"metadata": {"name": "t", "namespace": "ns", "uid": "u", "resourceVersion": "2"},
            "spec": {"children": []}});
        let tree = serde_json::from_value(tree).unwrap();
        context.views.lock().put::<Trees>(tree, Source::Watch, None);
        context.clock = Arc::new(|| panic!("on purpose"));
        let context = Arc::new(context);
        let ran = reconcile(Arc::clone(&context), testing::tree()).await;
        assert_eq!(ran.next, Next::Failed, "it is tried again, later");
        let behind = context.memories.behind(&testing::tree());
        assert_eq!(behind, Some(Behind::Panic), "answers may be lost");
        assert!(log.lock().unwrap().is_empty());
        let other = reconcile(context, ObjectKey::new("ns", "other")).await;
        assert_eq!(other, Next::Wait.into());
    }
}
