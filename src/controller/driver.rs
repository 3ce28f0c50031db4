//! Runs the queue: takes keys, lets them run side by side, and sleeps until the next one is due.
//!
//! Rule: the loop never waits for anything but the queue, the runs, the clock and the stop, so that its
//! heartbeat shows whether the process lives.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::queue::{Next, Queue, Ran};
use super::store::ObjectKey;
use crate::runtime::health::Heartbeat;
use crate::runtime::metrics::QueueMetrics;

/// How often the loop turns when nothing happens.
const PULSE: Duration = Duration::from_secs(2);
/// How long runs may go on after a stop was asked for. They begin nothing more, so this is how long an answer is waited
/// for; until then no other operator works, and what comes of a request that nobody waits for harms nobody.
const DRAIN: Duration = Duration::from_secs(2);

/// Wakes trees. Clones speak to the same queue.
#[derive(Clone, Debug)]
pub(super) struct Wake {
    queue: Arc<Mutex<Queue<ObjectKey>>>,
    bell: Arc<Notify>,
    metrics: QueueMetrics,
}

impl Wake {
    /// An empty queue that lets at most that many trees run at once.
    pub(super) fn new(limit: usize, metrics: QueueMetrics) -> Self {
        Self {
            queue: Arc::new(Mutex::new(Queue::new(limit))),
            bell: Arc::default(),
            metrics,
        }
    }

    /// Something changed that concerns this tree.
    pub(super) fn wake(&self, key: ObjectKey) {
        if self.lock().add(key, Instant::now()) {
            self.metrics.added();
            self.bell.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue<ObjectKey>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` for every tree that is woken, until `stop`; then lets what runs finish, for at most
    /// 2 s. `work` must not panic.
    pub(super) async fn drive<W, F>(&self, work: W, heartbeat: &Heartbeat, stop: &CancellationToken)
    where
        W: Fn(ObjectKey) -> F,
        F: Future<Output: Into<Ran>> + Send + 'static,
    {
        let mut runs = JoinSet::new();
        while !stop.is_cancelled() {
            // A bell that rings all the time must not keep others from their turn.
            tokio::task::coop::consume_budget().await;
            heartbeat.beat();
            self.begin(&mut runs, &work);
            let pulse = Instant::now() + PULSE;
            let until = self.next_turn().map_or(pulse, |due| due.min(pulse));
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                Some(ended) = runs.join_next() => self.end(ended),
                () = self.bell.notified() => {}
                () = tokio::time::sleep_until(until) => {}
            }
        }
        let left = async { while runs.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN, left).await.is_err() {
            tracing::warn!(
                "some reconciles did not finish in time; their trees are taken up again by the next operator"
            );
        }
    }

    /// When a key may run without anything else happening.
    fn next_turn(&self) -> Option<Instant> {
        let queue = self.lock();
        let next_place = queue.next_place(Instant::now());
        queue.next_due().into_iter().chain(next_place).min()
    }

    fn begin<W, F>(&self, runs: &mut JoinSet<(ObjectKey, Ran)>, work: &W)
    where
        W: Fn(ObjectKey) -> F,
        F: Future<Output: Into<Ran>> + Send + 'static,
    {
        let mut queue = self.lock();
        while let Some(taken) = queue.take(Instant::now()) {
            self.metrics.taken(taken.waited);
            let run = work(taken.key.clone());
            let metrics = self.metrics.clone();
            runs.spawn(async move {
                let started = Instant::now();
                let ran = run.await.into();
                metrics.worked(started.elapsed());
                (taken.key, ran)
            });
        }
        self.metrics.set_depth(queue.depth());
    }

    fn end(&self, ended: Result<(ObjectKey, Ran), tokio::task::JoinError>) {
        match ended {
            Ok((key, ran)) => {
                if matches!(ran.next, Next::Failed | Next::FailedUntil(_)) {
                    self.metrics.retried();
                }
                self.lock().done(key, ran, Instant::now());
            }
            Err(error) => tracing::error!(%error, "a reconcile ended without a result"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::health::Health;
    use crate::runtime::metrics::Metrics;

    fn key(name: &str) -> ObjectKey {
        ObjectKey::new("ns", name)
    }

    type Log = Arc<Mutex<Vec<(String, u128)>>>;

    /// Drives a queue until nothing has run for long, and returns what ran when, in milliseconds.
    async fn drive<F>(wake: Wake, work: impl Fn(ObjectKey, usize) -> F) -> Vec<(String, u128)>
    where
        F: Future<Output = Next> + Send + 'static,
    {
        let log: Log = Arc::default();
        let start = Instant::now();
        let stop = CancellationToken::new();
        let ender = stop.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(100)).await;
            ender.cancel();
        });
        let heartbeat = Health::new(Duration::from_secs(5)).heartbeat();
        let logging = |key: ObjectKey| {
            let mut log = log.lock().unwrap();
            log.push((key.name.clone(), start.elapsed().as_millis()));
            work(key, log.len())
        };
        wake.drive(logging, &heartbeat, &stop).await;
        Arc::try_unwrap(log).unwrap().into_inner().unwrap()
    }

    fn wake() -> Wake {
        Wake::new(2, Metrics::new("test").queue)
    }

    #[tokio::test(start_paused = true)]
    async fn runs_what_is_woken_and_what_is_due() {
        let wake = wake();
        wake.wake(key("a"));
        let runs = drive(wake, |_, turn| async move {
            match turn {
                1 => Next::At(Instant::now() + Duration::from_millis(1500)),
                2 => Next::Again,
                3 => Next::Failed,
                _ => Next::Wait,
            }
        })
        .await;
        let times: Vec<u128> = runs.iter().map(|(_, millis)| *millis).collect();
        assert_eq!(times, [0, 1500, 1500, 1700]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_tree_does_not_hold_up_another() {
        let wake = wake();
        for name in ["slow", "b", "c"] {
            wake.wake(key(name));
        }
        let runs = drive(wake, |key, _| async move {
            let slow = key.name == "slow";
            tokio::time::sleep(Duration::from_secs(if slow { 20 } else { 1 })).await;
            Next::Wait
        })
        .await;
        assert_eq!(
            runs,
            [
                ("slow".to_owned(), 0),
                ("b".to_owned(), 0),
                ("c".to_owned(), 1000)
            ]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn trees_that_hang_keep_no_other_waiting_for_longer_than_a_second() {
        let wake = wake();
        for name in ["hangs", "hangs too", "a", "b"] {
            wake.wake(key(name));
        }
        let runs = drive(wake, |key, _| async move {
            let hangs = key.name.starts_with("hangs");
            tokio::time::sleep(Duration::from_secs(if hangs { 20 } else { 0 })).await;
            Next::Wait
        })
        .await;
        let times: Vec<u128> = runs.iter().map(|(_, millis)| *millis).collect();
        assert_eq!(times, [0, 0, 1000, 1000], "{runs:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_lets_runs_finish_but_begins_no_other() {
        let wake = wake();
        let finished = Arc::new(Mutex::new(0));
        let stop = CancellationToken::new();
        let heartbeat = Health::new(Duration::from_secs(5)).heartbeat();
        for name in ["a", "b", "waits"] {
            wake.wake(key(name));
        }
        let ender = stop.clone();
        let count = Arc::clone(&finished);
        let work = move |key: ObjectKey| {
            let (ender, count) = (ender.clone(), Arc::clone(&count));
            async move {
                ender.cancel();
                tokio::time::sleep(Duration::from_secs(if key.name == "b" { 60 } else { 1 })).await;
                *count.lock().unwrap() += 1;
                Next::Wait
            }
        };
        let begun = Instant::now();
        wake.drive(work, &heartbeat, &stop).await;
        assert_eq!(*finished.lock().unwrap(), 1);
        assert_eq!(begun.elapsed().as_secs(), 2);
    }
}
