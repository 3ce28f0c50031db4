//! Metrics, in the `OpenMetrics` format.
//!
//! Rule: a label value is a `&'static str`, so that no name, message or number from outside can make
//! a series, and the number of series is bounded by the text of this program.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

mod api;
mod leader;
mod process;
mod queue;
mod reconcile;
mod rollouts;
mod supervision;

pub use api::ApiMetrics;
pub use leader::LeaderMetrics;
pub use queue::QueueMetrics;
pub use reconcile::{Reconcile, ReconcileMetrics, ReconcileResult};
pub use rollouts::{ROLLOUT_OUTCOMES, ROLLOUT_STATES, RolloutMetrics};
pub use supervision::SupervisionMetrics;

/// Every metric of the process. Clones share the same counts.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Reconciles: how many, how long, how they ended.
    pub reconcile: ReconcileMetrics,
    /// The queue of keys that wait for a reconcile.
    pub queue: QueueMetrics,
    /// Faults, restarts and supervisors that gave up.
    pub supervision: SupervisionMetrics,
    /// Rollouts: how they ended, and how they stand.
    pub rollouts: RolloutMetrics,
    /// Requests to the API server, and watches that broke.
    pub api: ApiMetrics,
    /// Whether this process leads.
    pub leader: LeaderMetrics,
    registry: Arc<Registry>,
}

impl Metrics {
    /// All counts at zero. `controller` is the value of the label of that name on the metrics of the
    /// reconciles and the queue.
    pub fn new(controller: &'static str) -> Self {
        let mut registry = Registry::default();
        let reconcile = ReconcileMetrics::register(
            registry.sub_registry_with_label(label("controller", controller)),
        );
        let queue_labels = [label("name", controller), label("controller", controller)];
        let queue =
            QueueMetrics::register(registry.sub_registry_with_labels(queue_labels.into_iter()));
        let supervision = SupervisionMetrics::register(&mut registry);
        let rollouts = RolloutMetrics::register(&mut registry);
        let api = ApiMetrics::register(&mut registry);
        let leader = LeaderMetrics::register(&mut registry, "coppice");
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("coppice_build", "The version that runs", version);
        registry.register_collector(Box::new(process::ProcessMetrics));
        Self {
            reconcile,
            queue,
            supervision,
            rollouts,
            api,
            leader,
            registry: Arc::new(registry),
        }
    }

    /// Everything as `OpenMetrics` text. Fails only when a metric cannot be written in that format.
    pub fn render(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

type Labels<const N: usize> = [(&'static str, &'static str); N];
type Counters<const N: usize> = Family<Labels<N>, Counter>;
type Gauges<const N: usize> = Family<Labels<N>, Gauge>;

fn label(name: &'static str, value: &'static str) -> (Cow<'static, str>, Cow<'static, str>) {
    (Cow::Borrowed(name), Cow::Borrowed(value))
}

/// Registers metrics. The names of counters come without `_total`, which the encoder adds.
trait Register {
    fn counter(&mut self, name: &str, help: &str) -> Counter;
    fn counters<const N: usize>(&mut self, name: &str, help: &str) -> Counters<N>;
    fn gauge(&mut self, name: &str, help: &str) -> Gauge;
    fn gauges<const N: usize>(&mut self, name: &str, help: &str) -> Gauges<N>;
    fn histogram(
        &mut self,
        name: &str,
        help: &str,
        buckets: impl IntoIterator<Item = f64>,
    ) -> Histogram;
}

impl Register for Registry {
    fn counter(&mut self, name: &str, help: &str) -> Counter {
        let counter = Counter::default();
        self.register(name, help, counter.clone());
        counter
    }

    fn counters<const N: usize>(&mut self, name: &str, help: &str) -> Counters<N> {
        let counters = Counters::<N>::default();
        self.register(name, help, counters.clone());
        counters
    }

    fn gauge(&mut self, name: &str, help: &str) -> Gauge {
        let gauge = Gauge::default();
        self.register(name, help, gauge.clone());
        gauge
    }

    fn gauges<const N: usize>(&mut self, name: &str, help: &str) -> Gauges<N> {
        let gauges = Gauges::<N>::default();
        self.register(name, help, gauges.clone());
        gauges
    }

    fn histogram(
        &mut self,
        name: &str,
        help: &str,
        buckets: impl IntoIterator<Item = f64>,
    ) -> Histogram {
        let histogram = Histogram::new(buckets);
        self.register(name, help, histogram.clone());
        histogram
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::*;

    /// Every line of the metrics whose name starts with one of ours or of controller-runtime.
    fn lines(metrics: &Metrics) -> Vec<String> {
        let text = metrics.render().unwrap();
        assert!(text.ends_with("# EOF\n"), "{text}");
        text.lines().map(str::to_owned).collect()
    }

    #[track_caller]
    fn assert_line(metrics: &Metrics, expected: &str) {
        let lines = lines(metrics);
        assert!(
            lines.iter().any(|line| line == expected),
            "no {expected} in {lines:#?}"
        );
    }

    #[test]
    fn names_and_labels_are_those_of_controller_runtime() {
        let metrics = Metrics::new("supervisiontree");
        metrics.reconcile.set_max_concurrent(4);
        metrics.reconcile.start().done(ReconcileResult::Success);
        metrics
            .reconcile
            .start()
            .done(ReconcileResult::RequeueAfter);
        metrics.reconcile.start().done(ReconcileResult::Error);
        metrics.queue.added();
        metrics.queue.retried();
        metrics.queue.set_depth(7);
        metrics.queue.taken(Duration::from_millis(20));
        metrics.queue.worked(Duration::from_millis(200));
        for expected in [
            r#"controller_runtime_max_concurrent_reconciles{controller="supervisiontree"} 4"#,
            r#"controller_runtime_active_workers{controller="supervisiontree"} 0"#,
            r#"controller_runtime_reconcile_total{controller="supervisiontree",result="success"} 1"#,
            r#"controller_runtime_reconcile_total{controller="supervisiontree",result="requeue_after"} 1"#,
            r#"controller_runtime_reconcile_total{controller="supervisiontree",result="error"} 1"#,
            r#"controller_runtime_reconcile_errors_total{controller="supervisiontree"} 1"#,
            r#"controller_runtime_reconcile_panics_total{controller="supervisiontree"} 0"#,
            r#"controller_runtime_reconcile_time_seconds_count{controller="supervisiontree"} 3"#,
            r#"workqueue_depth{name="supervisiontree",controller="supervisiontree"} 7"#,
            r#"workqueue_adds_total{name="supervisiontree",controller="supervisiontree"} 1"#,
            r#"workqueue_retries_total{name="supervisiontree",controller="supervisiontree"} 1"#,
            r#"workqueue_queue_duration_seconds_sum{name="supervisiontree",controller="supervisiontree"} 0.02"#,
            r#"workqueue_work_duration_seconds_sum{name="supervisiontree",controller="supervisiontree"} 0.2"#,
        ] {
            assert_line(&metrics, expected);
        }
    }

    #[test]
    fn counts_what_happens_to_trees() {
        let metrics = Metrics::new("supervisiontree");
        metrics.supervision.fault("AppExitedNonZero", "Application");
        metrics.supervision.restart(true);
        metrics.supervision.restart(false);
        metrics.supervision.restart(false);
        metrics.supervision.unidentified();
        metrics.supervision.gave_up();
        metrics.rollouts.started();
        metrics.rollouts.ended("proved", Some(42));
        metrics.rollouts.ended("rolled_back", None);
        let oldest = Duration::from_secs(90);
        metrics.rollouts.set_standing([3, 0, 1, 0, 2], oldest);
        metrics.api.request("patch", "Pod", "ok");
        metrics.api.watch_error("Pod");
        metrics.api.not_believed("Pod", "watch", 2);
        metrics.api.not_believed("Pod", "list", 0);
        metrics.api.reread("Worker", "takeover");
        metrics.api.set_view_age("Pod", Duration::from_secs(7));
        for expected in [
            r#"coppice_stale_reads_total{kind="Pod",source="watch"} 2"#,
            r#"coppice_rereads_total{kind="Worker",reason="takeover"} 1"#,
            r#"coppice_faults_total{class="AppExitedNonZero",verdict="Application"} 1"#,
            r#"coppice_restarts_total{charged="true"} 1"#,
            r#"coppice_restarts_total{charged="false"} 2"#,
            "coppice_faults_unidentified_total 1",
            "coppice_give_ups_total 1",
            "coppice_rollouts_started_total 1",
            r#"coppice_rollouts_ended_total{outcome="proved"} 1"#,
            r#"coppice_rollouts_ended_total{outcome="rolled_back"} 1"#,
            r#"coppice_rollouts_ended_total{outcome="failed"} 0"#,
            "coppice_rollout_duration_seconds_count 1",
            "coppice_rollout_duration_seconds_sum 42.0",
            r#"coppice_rollouts{state="updating"} 3"#,
            r#"coppice_rollouts{state="paused"} 0"#,
            r#"coppice_rollouts{state="rolled_back"} 2"#,
            "coppice_rollout_oldest_seconds 90",
            r#"coppice_api_requests_total{verb="patch",kind="Pod",result="ok"} 1"#,
            r#"coppice_watch_errors_total{kind="Pod"} 1"#,
            r#"coppice_view_age_seconds{kind="Pod"} 7"#,
            concat!(
                "coppice_build_info{version=\"",
                env!("CARGO_PKG_VERSION"),
                "\"} 1"
            ),
        ] {
            assert_line(&metrics, expected);
        }
    }

    #[test]
    fn every_metric_has_a_help_text() {
        let metrics = Metrics::new("supervisiontree");
        let lines = lines(&metrics);
        let words = |prefix: &str| -> Vec<String> {
            lines
                .iter()
                .filter_map(|line| line.strip_prefix(prefix))
                .filter_map(|rest| rest.split_once(' '))
                .map(|(name, _)| name.to_owned())
                .collect()
        };
        assert_eq!(words("# HELP "), words("# TYPE "));
        assert!(words("# HELP ").len() > 15);
    }

    /// The names in `docs/metrics.md` are the names that are served.
    #[test]
    fn documentation_lists_every_metric_and_no_other() {
        let metrics = Metrics::new("supervisiontree");
        // Metrics with labels are served from their first count on.
        metrics.supervision.fault("OomKilled", "Application");
        metrics.api.request("list", "Pod", "ok");
        metrics.api.watch_error("Pod");
        metrics.api.not_believed("Pod", "watch", 1);
        metrics.api.reread("Pod", "doubt");
        metrics.api.set_view_age("Pod", Duration::ZERO);
        let served: BTreeSet<String> = lines(&metrics)
            .iter()
            .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
            .map(|(name, kind)| match kind {
                "counter" => format!("{name}_total"),
                "info" => format!("{name}_info"),
                _ => name.to_owned(),
            })
            .collect();
        let families = [
            "coppice_",
            "controller_runtime_",
            "workqueue_",
            "leader_election_",
            "process_",
        ];
        let documented: BTreeSet<String> = include_str!("../../docs/metrics.md")
            .split('`')
            .filter(|word| families.iter().any(|family| word.starts_with(family)))
            .map(str::to_owned)
            .collect();
        assert_eq!(documented, served);
    }
}
