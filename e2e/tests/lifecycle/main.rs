//! The life of an installation: installed by Helm, used rightly and wrongly, upgraded, released, uninstalled, installed again.
//!
//! Rule: what changes the installation comes step by step; what only uses it happens side by side, each part in a
//! namespace of its own.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    unreachable_pub,
    reason = "a test fails by panicking, and nobody is outside of it"
)]

mod collisions;
mod conditions;
mod deletion;
mod installing;
mod kit;
mod older;
mod record;
mod refused;
mod samples;
mod table;
mod waiting;

#[path = "../cluster/support.rs"]
mod support;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use futures::StreamExt;
use kit::Kit;
use record::Record;
use tokio::task::LocalSet;

/// How many parts happen at once: as many as two cores can start Pods for.
const AT_ONCE: usize = 8;

type Part = Pin<Box<dyn Future<Output = ()>>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_installation_from_beginning_to_end() {
    let kit = Arc::new(Kit::start().await);
    installing::by_helm(&kit).await;
    let record = Record::of_trees(kit.cluster());
    let witness = samples::Witness::plant(&kit).await;
    let operators = installing::operator_pods(&kit).await;
    let mut wrong = side_by_side(parts(&kit)).await;
    wrong.extend(table::broken(&record.so_far()));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    installing::assert_never_restarted(&kit, &operators).await;
    installing::assert_nothing_was_forbidden(&kit, "").await;
    witness.is_untouched(&kit).await;
    drop(record);

    step(
        "the operator",
        installing::the_operator_tells_of_itself(&kit),
    )
    .await;
    step("helm upgrade", installing::upgrade_touches_no_pod(&kit)).await;
    step("coppice release", installing::release_by_hand(&kit)).await;
    step("helm uninstall", installing::uninstall(&kit, &witness)).await;
    step(
        "one namespace",
        installing::for_one_namespace(&kit, &witness),
    )
    .await;
    step(
        "kubectl apply",
        installing::by_kubectl_on_an_empty_cluster(&kit),
    )
    .await;
    step(
        "CLUSTER=current",
        installing::beside_a_current_cluster(&kit),
    )
    .await;
    step("TERM", installing::ends_when_told(&kit)).await;
    Arc::into_inner(kit).expect("all parts have ended").stop();
}

/// What happens side by side.
fn parts(kit: &Arc<Kit>) -> Vec<(&'static str, Part)> {
    let of = || Arc::clone(kit);
    vec![
        ("samples", Box::pin(samples::each_becomes_ready(of()))),
        ("unfit intensity", Box::pin(refused::unfit_intensity(of()))),
        ("a Worker's name", Box::pin(collisions::of_workers(of()))),
        ("a Pod's name", Box::pin(collisions::of_pods(of()))),
        ("600 KB", Box::pin(refused::a_spec_of_600_kb(of()))),
        (
            "a fat template",
            Box::pin(refused::a_template_too_large_for_a_pod(of())),
        ),
        ("older trees", Box::pin(older::trees_are_reported(of()))),
        ("scaling to 0", Box::pin(deletion::scaling_to_zero(of()))),
        (
            "wait for Ready",
            Box::pin(waiting::for_ready_after_an_edit(of())),
        ),
        (
            "wait for Stalled",
            Box::pin(waiting::for_stalled_after_an_edit(of())),
        ),
        (
            "helm --wait",
            Box::pin(waiting::helm_waits_for_a_tree(of())),
        ),
        ("a hold", Box::pin(conditions::of_a_hold(of()))),
        ("no capacity", Box::pin(conditions::without_capacity(of()))),
        ("given up", Box::pin(conditions::of_giving_up(of()))),
        (
            "a missed deadline",
            Box::pin(conditions::of_a_missed_start_deadline(of())),
        ),
        (
            "a quorum left",
            Box::pin(conditions::with_a_quorum_left(of())),
        ),
        (
            "a failed init",
            Box::pin(conditions::of_an_init_container_that_fails_once(of())),
        ),
        ("named faults", Box::pin(conditions::of_named_faults(of()))),
        ("rollouts", Box::pin(conditions::of_rollouts(of()))),
        (
            "nothing to do",
            Box::pin(conditions::with_nothing_to_do(of())),
        ),
        (
            "ordered deletion",
            Box::pin(deletion::in_reverse_start_order(of())),
        ),
        (
            "foreground deletion",
            Box::pin(deletion::in_the_foreground(of())),
        ),
        ("orphans", Box::pin(deletion::leaving_orphans(of()))),
        (
            "deleted namespace",
            Box::pin(deletion::of_the_namespace(of())),
        ),
    ]
}

async fn step(name: &str, work: impl Future<Output = ()>) {
    let begun = Instant::now();
    work.await;
    eprintln!("{name}: {:.1} s", begun.elapsed().as_secs_f64());
}

/// Does the parts, some at once, and names those that failed.
async fn side_by_side(parts: Vec<(&'static str, Part)>) -> Vec<String> {
    let begin = |(name, part)| {
        let running = tokio::task::spawn_local(step(name, part));
        async move { running.await.err().map(|_| format!("{name} failed")) }
    };
    let ends = futures::stream::iter(parts)
        .map(begin)
        .buffer_unordered(AT_ONCE);
    let failed = ends.filter_map(std::future::ready).collect();
    LocalSet::new().run_until(failed).await
}
