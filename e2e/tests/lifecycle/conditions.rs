//! Situations and the conditions that they must show. The table as a whole is checked over everything that was seen.

use std::sync::Arc;

use e2e::kstatus::{Status, compute, condition, is_waited_for};
use serde_json::{Value, json};

use super::kit::{Kit, SOON, complaint, names, ok, tree, uids, worker};

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

/// A quorum that is left keeps the tree Ready while it is at work.
pub async fn with_a_quorum_left(kit: Arc<Kit>) {
    let namespace = kit.namespace("quorum").await;
    let mut app = worker("app", 2, &["wait 4"]);
    app["worker"]["quorum"] = json!(1);
    kit.apply(&namespace, &tree("half", &[app])).await;
    shows(&kit, &namespace, "half", "R", "AllUp").await;
    let victim = names(&kit.pods(&namespace).await).remove(0);
    kit.kubectl(&format!("delete pod {victim} -n {namespace} --wait=false"))
        .await;
    let healing = shows(&kit, &namespace, "half", "RW", "Restarting").await;
    assert_eq!(compute(&healing), Status::InProgress);
    shows(&kit, &namespace, "half", "R", "AllUp").await;
}

/// Three ways to fail, each told by its name, as a fault and as an Event of the child; one of them is no death.
pub async fn of_named_faults(kit: Arc<Kit>) {
    let namespace = kit.namespace("faults").await;
    let mut image = worker("image", 1, &[]);
    let container = &mut image["worker"]["template"]["spec"]["containers"][0];
    container["image"] = json!("coppice.local/nowhere:1");
    container["imagePullPolicy"] = json!("Never");
    let mut hungry = worker("hungry", 1, &["ready", "wait 2", "allocate"]);
    hungry["worker"]["template"]["spec"]["containers"][0]["resources"] =
        json!({"limits": {"memory": "32Mi"}});
    let mut setup = worker("setup", 1, &[]);
    let init = json!({"name": "prepare", "image": e2e::current::workload_image(), "args": ["run", "exit 3"]});
    setup["worker"]["template"]["spec"]["initContainers"] = json!([init]);
    kit.apply(&namespace, &tree("faulty", &[image, hungry, setup]))
        .await;

    let expected = [
        ("image", "ImageNeverPull", "coppice.local/nowhere:1"),
        ("hungry", "OomKilled", "memory limit"),
        (
            "setup",
            "AppExitedNonZero",
            "init container prepare ended with exit code 3",
        ),
    ];
    let mut told = std::collections::BTreeMap::new();
    kit.until(&namespace, "all three faults", SOON, async || {
        let tree = kit.tree(&namespace, "faulty").await;
        for fault in tree["status"]["recentFaults"].as_array()? {
            let text = |key: &str| fault[key].as_str().unwrap_or_default().to_owned();
            told.insert((text("child"), text("class")), text("message"));
        }
        let is_told = |(child, class, _): &(&str, &str, &str)| {
            told.contains_key(&((*child).to_owned(), (*class).to_owned()))
        };
        expected.iter().all(is_told).then_some(())
    })
    .await;
    for (child, class, part) in expected {
        let message = &told[&(child.to_owned(), class.to_owned())];
        assert!(message.contains(part), "{child}: {message}");
    }
    shows(&kit, &namespace, "faulty", "S", "GaveUp").await;

    let words = format!("why faulty -n {namespace}");
    let told = ok(&words, &kit.try_plugin(&words).await);
    for (child, class, part) in expected {
        for text in [child, class, part, "DECIDED"] {
            assert!(told.contains(text), "{text} in\n{told}");
        }
    }
    let words = format!("why faulty -n {namespace} --as nobody");
    let refused = complaint(&words, &kit.try_plugin(&words).await);
    assert!(refused.contains("User \"nobody\" cannot get"), "{refused}");

    let events = kit
        .list(&format!("events.events.k8s.io -n {namespace}"))
        .await;
    for (child, class, part) in expected {
        let is_it = |event: &&Value| {
            event["reason"] == format!("Child{class}")
                && event["regarding"]["kind"] == "SupervisionTree"
                && event["regarding"]["fieldPath"] == format!("spec.children{{{child}}}")
                && event["note"]
                    .as_str()
                    .is_some_and(|note| note.contains(part))
        };
        assert!(
            events.iter().any(|event| is_it(&event)),
            "{child}: {events:#?}"
        );
    }
    let given_up = |event: &&Value| event["reason"] == "ChildGivenUp";
    assert!(events.iter().any(|event| given_up(&event)), "{events:#?}");
    // What comes later asks every tree that is left to be Ready.
    kit.kubectl(&format!("delete stree faulty -n {namespace} --timeout=60s"))
        .await;
}

/// An init container that fails once, as one that waits for something does: one failed start, and then the same Pod.
pub async fn of_an_init_container_that_fails_once(kit: Arc<Kit>) {
    let namespace = kit.namespace("init").await;
    let mut app = worker("app", 1, &[]);
    let spec = &mut app["worker"]["template"]["spec"];
    spec["initContainers"] = json!([{
        "name": "wait", "image": e2e::current::workload_image(),
        "command": ["sh", "-c", "test -e /state/seen || { touch /state/seen; exit 1; }"],
        "volumeMounts": [{"name": "state", "mountPath": "/state"}],
    }]);
    spec["volumes"] = json!([{"name": "state", "emptyDir": {}}]);
    kit.apply(&namespace, &tree("patient", &[app])).await;
    let ready = shows(&kit, &namespace, "patient", "R", "AllUp").await;
    assert_eq!(ready["status"]["restarts"], 1, "{ready}");
    let before = uids(&kit.pods(&namespace).await);
    let faults = &ready["status"]["recentFaults"];
    let told = faults[0]["message"].as_str().unwrap_or_default();
    assert!(
        told.starts_with("init container wait ended with exit code 1"),
        "{faults}"
    );
    let pods = kit.pods(&namespace).await;
    assert_eq!(
        pods[0]["status"]["initContainerStatuses"][0]["restartCount"],
        1
    );

    // Its next death is its own, although the init container has been restarted before.
    let pod = names(&pods).remove(0);
    kit.kubectl(&format!(
        "exec {pod} -n {namespace} -c app -- workload exit 4"
    ))
    .await;
    kit.until(&namespace, "the death is counted", SOON, async || {
        (kit.tree(&namespace, "patient").await["status"]["restarts"] == 2).then_some(())
    })
    .await;
    let again = shows(&kit, &namespace, "patient", "R", "AllUp").await;
    assert_eq!(again["status"]["restarts"], 2, "{again}");
    assert_eq!(uids(&kit.pods(&namespace).await), before);
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

/// Rollouts that do not go on by themselves: a canary that waits is work in progress, and what it is or the quorum of another
/// worker decides whether the tree is Ready; a version that failed is for a person to look at, whether it was taken back or not.
pub async fn of_rollouts(kit: Arc<Kit>) {
    let namespace = kit.namespace("rollout").await;
    let apply = async |on_failure: &str, app: (&str, &[&str]), last: &str| {
        let [mut first, mut second] = [worker("app", 2, app.1), worker("last", 1, &[])];
        for (child, edit) in [(&mut first, app.0), (&mut second, last)] {
            child["worker"]["template"]["metadata"] = json!({"labels": {"edit": edit}});
        }
        first["worker"]["quorum"] = json!(1);
        first["worker"]["update"] = json!({"steps": [{"updated": 1}, {"pause": {}}]});
        let mut tree = tree("rolled", &[first, second]);
        tree["spec"]["rollout"] = json!({"probationSeconds": 1, "onFailure": on_failure});
        kit.apply(&namespace, &tree).await;
    };
    let until_good = async || {
        let is_good = async || {
            let tree = kit.tree(&namespace, "rolled").await;
            let newest = tree["status"]["revisions"].as_array()?.last()?.clone();
            (newest["mark"] == "Good" && shown(&tree)?.0 == "R").then_some(())
        };
        kit.until(&namespace, "proved good", SOON, is_good).await;
    };
    apply("RollBack", ("a", &[]), "a").await;
    until_good().await;

    // The quorum of the one worker that changes has the new version. Then there is another one, which waits for it.
    apply("RollBack", ("b", &[]), "a").await;
    shows(&kit, &namespace, "rolled", "RW", "RolloutPaused").await;
    apply("RollBack", ("b", &[]), "b").await;
    let waiting = shows(&kit, &namespace, "rolled", "W", "RolloutPaused").await;
    assert_eq!(compute(&waiting), Status::InProgress);
    let words = format!("promote rolled -n {namespace}");
    ok(&words, &kit.try_plugin(&words).await);
    until_good().await;

    for (on_failure, edit, reason) in [
        ("RollBack", "c", "RolledBack"),
        ("Pause", "d", "RolloutFailed"),
    ] {
        apply(on_failure, (edit, &["exit 3"]), "b").await;
        let failed = shows(&kit, &namespace, "rolled", "S", reason).await;
        assert_eq!(compute(&failed), Status::Failed);
        assert!(message(&failed).contains("exit code 3"), "{failed}");
        let is_back = is_waited_for(&failed, "RolledBack", "True");
        assert_eq!(is_back, reason == "RolledBack", "{failed}");
    }
    apply("RollBack", ("b", &[]), "b").await;
    shows(&kit, &namespace, "rolled", "R", "AllUp").await;
}
