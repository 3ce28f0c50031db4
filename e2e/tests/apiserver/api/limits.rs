//! The largest trees: what is accepted there is checked there too.

use serde_json::{Value, json};

use super::{Kubectl, below, longest_name, server, supervisor, tree, worker};

/// A tree of 256 children with the longest names: a chain of supervisors, and workers below its end.
fn largest_tree() -> Value {
    let chain =
        (1..128).map(|number| below(&longest_name(number - 1), supervisor(&longest_name(number))));
    let workers = (128..256).map(|number| below(&longest_name(127), worker(&longest_name(number))));
    tree(
        "s",
        std::iter::once(supervisor(&longest_name(0)))
            .chain(chain)
            .chain(workers),
    )
}

/// What kubectl says when the tree is to be created.
async fn refusal(tree: &Value) -> String {
    Kubectl::on(server().await)
        .words("create --dry-run=server")
        .object(tree)
        .complained()
}

#[tokio::test]
async fn the_largest_tree_is_accepted() {
    let created = Kubectl::on(server().await)
        .words("create --dry-run=server")
        .object(&largest_tree())
        .said();
    assert_eq!(
        created,
        "supervisiontree.coppice.dev/s created (server dry run)"
    );
}

#[tokio::test]
async fn one_child_more_is_refused() {
    let complaint = refusal(&tree(
        "s",
        (0..257).map(|number| worker(&format!("c{number}"))),
    ))
    .await;
    assert!(
        complaint.contains("spec.children: Too many: 257: must have at most 256 items"),
        "{complaint}"
    );
}

#[tokio::test]
async fn rules_are_evaluated_at_the_limits() {
    let mut tree_with_late_parent = largest_tree();
    let children = tree_with_late_parent["spec"]["children"]
        .as_array_mut()
        .expect("children");
    children.swap(127, 255);
    assert_eq!(
        refusal(&tree_with_late_parent).await,
        format!(
            "The SupervisionTree \"s\" is invalid: spec.children: Invalid value: the `parent` of child '{}' \
             must name a supervisor declared earlier in `children`, but is '{}'",
            longest_name(255),
            longest_name(127)
        )
    );

    let mut orphans = largest_tree();
    for child in orphans["spec"]["children"]
        .as_array_mut()
        .expect("children")
    {
        child["parent"] = json!("p".repeat(49));
    }
    let complaint = refusal(&orphans).await;
    assert!(
        complaint.contains(&format!(
            "the `parent` of child '{}' must name",
            longest_name(0)
        )),
        "{complaint}"
    );

    let mut of_longer_name = largest_tree();
    of_longer_name["metadata"]["name"] = json!("shop");
    let expected = format!(
        "`metadata.name` and the `name` of child '{}' must not be longer than 50 characters together",
        longest_name(0)
    );
    let complaint = refusal(&of_longer_name).await;
    assert!(complaint.ends_with(&expected), "{complaint}");
}

#[tokio::test]
async fn significance_is_checked_at_the_limits() {
    let mut all_significant = largest_tree();
    all_significant["spec"]["autoShutdown"] = json!("AnySignificant");
    let children = all_significant["spec"]["children"]
        .as_array_mut()
        .expect("children");
    for child in children {
        let kind = if child.get("worker").is_some() {
            "worker"
        } else {
            child["supervisor"]["autoShutdown"] = json!("AllSignificant");
            "supervisor"
        };
        child[kind]["restart"] = json!("Transient");
        child[kind]["significant"] = json!(true);
    }
    let created = Kubectl::on(server().await)
        .words("create --dry-run=server")
        .object(&all_significant)
        .said();
    assert_eq!(
        created,
        "supervisiontree.coppice.dev/s created (server dry run)"
    );
    all_significant["spec"]["children"][127]["supervisor"]["autoShutdown"] = json!("Never");
    let expected = format!(
        "child '{}' is `significant`, which needs `autoShutdown: AnySignificant` or `AllSignificant` on its supervisor '{}'",
        longest_name(128),
        longest_name(127)
    );
    let complaint = refusal(&all_significant).await;
    assert!(complaint.ends_with(&expected), "{complaint}");
}

#[tokio::test]
async fn labels_are_checked_at_the_limits() {
    let labels: serde_json::Map<String, Value> = (0..63)
        .map(|number| (format!("k{number:02}/{}", "v".repeat(59)), json!("x")))
        .collect();
    let mut labelled = largest_tree();
    for child in labelled["spec"]["children"]
        .as_array_mut()
        .expect("children")
        .iter_mut()
        .skip(128)
    {
        child["worker"]["template"]["metadata"] = json!({"labels": labels});
    }
    let server = server().await;
    Kubectl::on(server)
        .words("create --dry-run=server")
        .object(&labelled)
        .said();
    let last = &mut labelled["spec"]["children"][255]["worker"]["template"]["metadata"]["labels"];
    last["coppice.dev/slot"] = json!("0");
    let complaint = refusal(&labelled).await;
    let expected = format!(
        "child '{}' must not set the label 'coppice.dev/slot' in `template.metadata.labels`: Coppice sets it",
        longest_name(255)
    );
    assert!(complaint.ends_with(&expected), "{complaint}");
}

/// A tree of about this many bytes.
fn heavy(bytes: usize) -> Value {
    tree(
        "heavy",
        (0..10).map(|number| {
            let mut child = worker(&format!("c{number}"));
            child["worker"]["template"]["metadata"] =
                json!({"annotations": {"big": "x".repeat(bytes / 10)}});
            child
        }),
    )
}

#[tokio::test]
async fn large_specs_need_server_side_apply_and_end_where_etcd_does() {
    let server = server().await;
    let namespace = server.namespace("heavy").await.expect("a namespace");
    let apply = |words: &str, bytes| {
        Kubectl::within(server, &namespace)
            .words(words)
            .object(&heavy(bytes))
    };
    // Client-side apply keeps a copy in an annotation, and annotations have a limit of their own.
    let complaint = apply("apply", 600_000).complained();
    assert!(
        complaint.contains("metadata.annotations: Too long: may not be more than 262144 bytes"),
        "{complaint}"
    );
    assert_eq!(
        apply("apply --server-side", 600_000).said(),
        "supervisiontree.coppice.dev/heavy serverside-applied"
    );
    assert_eq!(
        apply("apply --server-side", 2_000_000).complained(),
        "Error from server: etcdserver: request is too large"
    );
}
