//! A right that is taken away while the operator runs, and given back.
//!
//! Rule: a kind that cannot be seen any more stops nobody but itself, and is told where people look.

use std::time::{Duration, Instant};

use e2e::proxy::rule::Filter;
use k8s_openapi::api::rbac::v1::{PolicyRule, Role};
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use crate::kit::{Bench, SOON, said};
use crate::support::{self, condition};
use crate::trees::{tree, worker};

/// A watch lasts up to 20 s, and its trees are told when it was refused for 30 s.
const TOLD_WITHIN: Duration = Duration::from_secs(75);

/// The operator's role, without these verbs on that resource; gives back the role as it was.
async fn revoke(bench: &Bench<'_>, resource: &str, verbs: &[&str]) -> Role {
    let roles: Api<Role> = Api::namespaced(bench.space.cluster.client(), &bench.space.name);
    let before = roles.get(&bench.space.name).await.unwrap();
    let mut without = before.clone();
    without.rules = Some(
        without
            .rules
            .into_iter()
            .flatten()
            .flat_map(|rule| stripped(rule, resource, verbs))
            .filter(|rule| {
                !rule.verbs.is_empty() && rule.resources.iter().any(|all| !all.is_empty())
            })
            .collect(),
    );
    replace(bench, &without).await;
    // The API server takes a moment to know of it, and lets a watch begin until then.
    let name = &bench.space.name;
    let account = format!("--as=system:serviceaccount:{name}:{name}");
    let question = ["-n", name, "auth", "can-i", verbs[0], resource, &account];
    bench
        .until("the right to be gone", SOON, async || {
            let answer = support::kubectl(bench.space.cluster, &question, "");
            support::said(&answer).starts_with("no").then_some(())
        })
        .await;
    before
}

/// A rule, as one for everything else and one for that resource and its subresources without these verbs.
fn stripped(rule: PolicyRule, resource: &str, verbs: &[&str]) -> [PolicyRule; 2] {
    let names = rule.resources.clone().unwrap_or_default().into_iter();
    let (of_it, others) = names.partition(|name| name.split('/').next() == Some(resource));
    let mut left = rule.verbs.clone();
    left.retain(|verb| !verbs.contains(&verb.as_str()));
    let without = PolicyRule {
        resources: Some(of_it),
        verbs: left,
        ..rule.clone()
    };
    let others = PolicyRule {
        resources: Some(others),
        ..rule
    };
    [others, without]
}

async fn replace(bench: &Bench<'_>, role: &Role) {
    let roles: Api<Role> = Api::namespaced(bench.space.cluster.client(), &bench.space.name);
    let patch = Patch::Merge(json!({"rules": role.rules}));
    let params = PatchParams::default();
    let patched = roles.patch(&bench.space.name, &params, &patch);
    patched.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_that_may_not_be_watched_any_more_are_told_and_everything_else_goes_on() {
    let bench = Bench::new("revoked", 7).await;
    bench.space.apply(&tree("shop", &[worker("app", 2, "")]));
    bench.space.until_at_rest("shop", SOON).await;

    let begun = Instant::now();
    let role = revoke(&bench, "pods", &["list", "watch"]).await;
    let is_told = |tree: &serde_json::Value| said(tree, "Stalled").0 == "WatchRefused";
    let told = bench
        .space
        .until("shop", TOLD_WITHIN, "told", is_told)
        .await;
    println!(
        "told after {:.1?}: {}",
        begun.elapsed(),
        said(&told, "Stalled").1
    );
    let message = said(&told, "Stalled").1;
    for part in [
        "Pods may not be watched",
        "cannot list resource \"pods\"",
        &bench.space.name,
    ] {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(
        condition(&told, "Ready")["status"],
        "True",
        "as far as is known"
    );
    assert_eq!(condition(&told, "Reconciling")["status"], "False");
    let (code, text) = bench.page("/readyz").await;
    assert!(
        code == 503 && text.contains("Pod in ") && text.contains("forbidden"),
        "{text}"
    );
    assert!(
        bench
            .metric(r#"coppice_watch_errors_total{kind="Pod"}"#)
            .await
            >= 5.0
    );
    assert!(
        bench
            .metric(r#"coppice_view_age_seconds{kind="Pod"}"#)
            .await
            >= 30.0
    );
    assert!(
        bench
            .metric(r#"coppice_view_age_seconds{kind="Worker"}"#)
            .await
            < 25.0
    );
    let described = bench.space.kubectl(&["describe", "stree", "shop"]);
    assert!(described.contains("Pods may not be watched"), "{described}");

    // Trees and Workers are seen as ever, and what is to be done about Pods is done.
    bench.space.apply(&tree("shop", &[worker("app", 3, "")]));
    bench.space.apply(&tree("other", &[worker("app", 2, "")]));
    let (more, other) = tokio::join!(
        bench.until_live("shop", "app", 3, &[], SOON),
        bench.until_live("other", "app", 2, &[], SOON)
    );
    assert_eq!((more.len(), other.len()), (3, 2));

    let asked = bench.requests(begun, |seen| {
        seen.call.resource == "pods" && ["list", "watch"].contains(&seen.call.verb)
    });
    let minutes = begun.elapsed().as_secs_f64() / 60.0;
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let rate = asked.len() as f64 / minutes;
    println!("asked for Pods {rate:.0} times a minute meanwhile");
    assert!(rate < 40.0, "{rate}");

    replace(&bench, &role).await;
    let given = Instant::now();
    for tree in ["shop", "other"] {
        bench.space.until_at_rest(tree, SOON).await;
    }
    bench.until_ready_is(200, SOON).await;
    println!(
        "well again {:.1?} after the right was given back",
        given.elapsed()
    );
    bench.end();
}

/// Not even the conditions can be written then; `/readyz` and the metrics say it.
#[tokio::test(flavor = "multi_thread")]
async fn trees_that_may_not_be_touched_any_more_are_healed_all_the_same() {
    let bench = Bench::new("untouchable", 7).await;
    bench.space.apply(&tree("shop", &[worker("app", 2, "")]));
    bench.space.until_at_rest("shop", SOON).await;
    let verbs = ["get", "list", "watch", "patch"];
    let role = revoke(&bench, "supervisiontrees", &verbs).await;
    bench
        .proxy
        .cut(Filter::of(&["watch"], &["supervisiontrees"]));
    let (found, text) = bench.until_ready_is(503, Duration::from_secs(40)).await;
    println!("not ready after {found:.1?}");
    assert!(
        text.contains("SupervisionTree in ") && text.contains("forbidden"),
        "{text}"
    );

    let before = bench.live("shop", "app").await;
    let victim = before[0].name_any();
    bench
        .space
        .kubectl(&["delete", "pod", &victim, "--wait=false"]);
    bench.until_live("shop", "app", 2, &before[..1], SOON).await;
    let refused = r#"coppice_api_requests_total{verb="patch_status",kind="SupervisionTree",result="forbidden"}"#;
    bench
        .until("the metric says it", SOON, async || {
            (bench.metric(refused).await >= 1.0).then_some(())
        })
        .await;

    replace(&bench, &role).await;
    bench.until_ready_is(200, SOON).await;
    bench.space.until_at_rest("shop", SOON).await;
    bench.end();
}
