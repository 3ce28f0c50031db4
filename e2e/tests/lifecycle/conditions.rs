//! Situations and the conditions that they must show. The table as a whole is checked over everything that was seen.

use std::sync::Arc;

use e2e::kstatus::{Status, compute, condition, is_waited_for};
use serde_json::{Value, json};

use super::kit::{Kit, SOON, tree, worker};

/// Which of Ready, Reconciling and Stalled are true, and why; nothing while the last edit has not been judged.
fn shown(tree: &Value) -> Option<(String, String)> {
    if tree["status"]["observedGeneration"] != tree["metadata"]["generation"] {
        return None;
    }
    let letters = [("Ready", 'R'), ("Reconciling", 'W'), ("Stalled", 'S')];
    let shown = letters
        .into_iter()
        .filter(|(type_, _)| is_waited_for(tree, type_, "True"));
    let reason = condition(tree, "Ready")?["reason"].as_str()?;
    Some((shown.map(|(_, letter)| letter).collect(), reason.to_owned()))
}

/// Waits until exactly these conditions are true, for that reason.
async fn shows(kit: &Kit, namespace: &str, name: &str, letters: &str, reason: &str) -> Value {
    let what = format!("{name} shows {letters} {reason}");
    kit.until(namespace, &what, SOON, async || {
        let tree = kit.tree(namespace, name).await;
        let expected = (letters.to_owned(), reason.to_owned());
        (shown(&tree) == Some(expected)).then_some(tree)
    })
    .await
}

fn message(tree: &Value) -> &str {
    condition(tree, "Ready")
        .and_then(|ready| ready["message"].as_str())
        .unwrap_or_default()
}

/// What a Pod names is missing: work in progress for half a minute, then a person should look.
pub async fn of_a_hold(kit: Arc<Kit>) {
    let namespace = kit.namespace("hold").await;
    let mut held = worker("app", 1, &[]);
    held["worker"]["template"]["spec"]["containers"][0]["envFrom"] =
        json!([{"configMapRef": {"name": "settings"}}]);
    kit.apply(
        &namespace,
        &tree("held", &[held, worker("sibling", 1, &[])]),
    )
    .await;
    shows(&kit, &namespace, "held", "W", "Held").await;
    let stalled = shows(&kit, &namespace, "held", "S", "Held").await;
    assert!(message(&stalled).contains("settings"), "{stalled}");
    assert_eq!(compute(&stalled), Status::Failed);
    assert_eq!(stalled["status"]["restarts"], 0);

    let settings =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}});
    kit.apply(&namespace, &settings).await;
    let current = shows(&kit, &namespace, "held", "R", "AllUp").await;
    assert_eq!(compute(&current), Status::Current);
}

/// Waiting for capacity is no fault, and what is up is up.
pub async fn without_capacity(kit: Arc<Kit>) {
    let namespace = kit.namespace("capacity").await;
    let mut large = worker("large", 1, &[]);
    large["worker"]["template"]["spec"]["containers"][0]["resources"] =
        json!({"requests": {"cpu": "1k"}});
    kit.apply(&namespace, &tree("wide", &[large, worker("small", 1, &[])]))
        .await;
    let waiting = shows(&kit, &namespace, "wide", "W", "WaitingForCapacity").await;
    assert!(message(&waiting).contains("large/0"), "{waiting}");
    assert_eq!(compute(&waiting), Status::InProgress);
    kit.until(&namespace, "the small one is up", SOON, async || {
        (kit.tree(&namespace, "wide").await["status"]["up"] == 1).then_some(())
    })
    .await;
    kit.apply(
        &namespace,
        &tree("wide", &[worker("large", 1, &[]), worker("small", 1, &[])]),
    )
    .await;
    shows(&kit, &namespace, "wide", "R", "AllUp").await;
}

/// A crash loop spends the window: the root gives up on that child alone, and an edit ends the wait.
pub async fn of_giving_up(kit: Arc<Kit>) {
    let namespace = kit.namespace("giveup").await;
    let of = |steps: &[&str]| {
        let mut tree = tree(
            "crash",
            &[worker("app", 1, steps), worker("sibling", 1, &[])],
        );
        tree["spec"]["intensity"] = json!({"maxRestarts": 1, "periodSeconds": 300});
        tree
    };
    kit.apply(&namespace, &of(&["wait 1", "exit 3"])).await;
    let given_up = shows(&kit, &namespace, "crash", "S", "GaveUp").await;
    assert_eq!(compute(&given_up), Status::Failed);
    for part in ["(root) gave up on app", "tried again at"] {
        assert!(message(&given_up).contains(part), "{given_up}");
    }
    assert!(
        given_up["status"]["restarts"].as_i64() >= Some(2),
        "{given_up}"
    );
    kit.until(&namespace, "the sibling is up", SOON, async || {
        (kit.tree(&namespace, "crash").await["status"]["up"] == 1).then_some(())
    })
    .await;

    kit.apply(&namespace, &of(&[])).await;
    kit.ready(&namespace, "crash").await;
    shows(&kit, &namespace, "crash", "R", "AllUp").await;
}

/// Runs, but does not become ready in time: charged, and a person should look.
pub async fn of_a_missed_start_deadline(kit: Arc<Kit>) {
    let namespace = kit.namespace("deadline").await;
    let mut late = worker("app", 1, &["unready"]);
    late["worker"]["startDeadlineSeconds"] = json!(4);
    kit.apply(&namespace, &tree("late", &[late])).await;
    kit.until(&namespace, "the tree is stalled", SOON, async || {
        let (letters, reason) = shown(&kit.tree(&namespace, "late").await)?;
        (letters == "S" && ["StartDeadlineExceeded", "NotUp"].contains(&reason.as_str()))
            .then_some(())
    })
    .await;
    kit.apply(&namespace, &tree("late", &[worker("app", 1, &[])]))
        .await;
    kit.ready(&namespace, "late").await;
}

/// Trees without children, and with all of them disabled, are as their spec asks.
pub async fn with_nothing_to_do(kit: Arc<Kit>) {
    let namespace = kit.namespace("nothing").await;
    kit.apply(&namespace, &tree("empty", &[])).await;
    shows(&kit, &namespace, "empty", "R", "NoChildren").await;
    let mut child = worker("app", 1, &[]);
    kit.apply(&namespace, &tree("disabled", std::slice::from_ref(&child)))
        .await;
    shows(&kit, &namespace, "disabled", "R", "AllUp").await;
    child["enabled"] = json!(false);
    kit.apply(&namespace, &tree("disabled", &[child])).await;
    shows(&kit, &namespace, "disabled", "R", "AllDisabled").await;
    assert!(kit.pods(&namespace).await.is_empty());
}
