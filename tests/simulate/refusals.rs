//! What is refused, with which exit code, and in which words.
//!
//! Rule: a refusal names the field and the fix, and prints no timeline.

use super::{ONE, simulate};

#[track_caller]
fn refused(words: &str, input: &str) -> String {
    let output = simulate(words, input);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{words}: {errors}");
    assert_eq!(output.stdout, b"", "{words}");
    errors
}

#[test]
fn a_wrong_plan_is_refused() {
    let table = [
        (
            "--fault ap=exit:1",
            "--fault ap=exit:1: 'ap' is no child; the workers are: app",
        ),
        (
            "--fault app/1=exit:1",
            "'app' has no slot 1; its last one is 0",
        ),
        (
            "--fault app=Oom",
            "'Oom' is no fault; did you mean `OomKilled`?",
        ),
        (
            "--fault app=xyzzy",
            "'xyzzy' is no fault: expected exit:N, signal:N or one of AppExitedNonZero",
        ),
        ("--fault app=exit:999", "expected a number from 0 to 255"),
        (
            "--fault app=exit:1@soon",
            "'soon' is not a time: expected something like 30s, 2m, 1m30s or 1h",
        ),
        ("--fault app", "expected CHILD[/SLOT]=FAULT[@TIME]"),
        ("--crash-loop ap", "--crash-loop ap: 'ap' is no child"),
        ("--crash-loop app/7", "'app' has no slot 7"),
        ("--for 1y", "'1y' is not a time"),
        ("--for 200h", "at most 168h"),
        ("-o yaml", "possible values: table, json"),
    ];
    for (words, message) in table {
        let errors = refused(&format!("-f - {words}"), ONE);
        assert!(errors.contains(message), "{words}: {errors}");
    }
    assert!(refused("", "").contains("--filename"));
}

#[test]
fn a_supervisor_has_no_pods_that_could_fail() {
    let words = "-f manifests/samples/nested-shop.yaml --crash-loop web";
    let errors = refused(words, "");
    let expected = "'web' is a supervisor, and has no Pods of its own; the workers are: db, api, frontend, mailer";
    assert!(errors.contains(expected), "{errors}");
}

#[test]
fn a_wrong_tree_is_refused_with_field_and_fix() {
    let table = [
        (
            "replicas: 1",
            "replica: 1",
            "spec.children[app].worker.replica: there is no such field; did you mean `replicas`?",
        ),
        (
            "replicas: 1",
            "replicas: many",
            "spec.children[app].worker.replicas: expected a whole number, found the text 'many'",
        ),
        (
            "replicas: 1",
            "replicas: 2000",
            "spec.children[app].worker.replicas: expected from 0 to 1000, found 2000",
        ),
        (
            "image:",
            "imgae:",
            "spec.children[app].worker.template.spec.containers[main].imgae: there is no such field; did you mean `image`?",
        ),
        (
            "replicas: 1",
            "restart: Always",
            "spec.children[app].worker.restart: expected one of Permanent, Transient, Temporary, found 'Always'",
        ),
        (
            "children:",
            "strategy: AllForOne\n  children:",
            "spec.strategy: expected one of OneForOne, OneForAll, RestForOne",
        ),
        (
            "name: app",
            "name: App",
            "spec.children[App].name: 'App' does not have the form",
        ),
        (
            "name: app",
            "name: app\n    parent: web",
            "spec.children[app].parent: the `parent` of child 'app' must name a supervisor declared earlier",
        ),
        (
            "replicas: 1",
            "ready: Completed",
            "spec.children[app].worker.ready: worker 'app' has `ready: Completed`, which needs `restart: Transient`",
        ),
        (
            "replicas: 1",
            "significant: true",
            "spec.children[app].worker.significant: child 'app' is `significant`, which needs",
        ),
        (
            "    worker: {",
            "    supervisor: {}\n    worker: {",
            "spec.children[app]: child 'app' must have either `supervisor` or `worker`, but has both",
        ),
        (
            "  children:",
            "  intensity: {maxRestarts: 10, periodSeconds: 5}\n  children:",
            "spec.backoff: the `backoff` of the root delays 10 restarts by 151 seconds",
        ),
        (
            "name: one",
            "name: my.tree",
            "metadata.name: must not contain dots, because Pods are named after the tree",
        ),
        (
            "name: one",
            "labels: {}",
            "metadata.name: a tree needs a name",
        ),
        (
            "v1alpha1",
            "v1",
            "apiVersion: expected coppice.dev/v1alpha1",
        ),
        (
            "children:",
            "children: {}\n  x:",
            "spec.children: expected a list, found fields",
        ),
        ("metadata:", "metadata: [", "this is not YAML"),
        (
            "kind: SupervisionTree",
            "kind: Tree",
            "there is no SupervisionTree to simulate",
        ),
    ];
    refuse_each(&table);
}

#[test]
fn what_is_there_twice_or_is_no_field_is_refused() {
    let table = [
        (
            "containers: [{",
            "containers: [{name: main, image: a}, {",
            "spec.children[app].worker.template.spec.containers: two elements have the name 'main'",
        ),
        (
            "  children:",
            "  children:\n  - {name: app, supervisor: {}}",
            "spec.children: two elements have the name 'app'",
        ),
        (
            "spec:",
            "specs:",
            "specs: there is no such field; did you mean `spec`?",
        ),
        (
            "{name: one}",
            "{nme: one}",
            "metadata.nme: there is no such field; did you mean `name`?",
        ),
        (
            "replicas: 1",
            "replicas: 1, replicas: 2",
            "this is not YAML: ",
        ),
    ];
    refuse_each(&table);
}

/// What is put in the place of something in a sound tree is refused with that message.
#[track_caller]
fn refuse_each(table: &[(&str, &str, &str)]) {
    for (from, to, message) in table {
        let tree = ONE.replacen(from, to, 1);
        assert_ne!(tree, ONE);
        let errors = refused("-f -", &tree);
        assert!(errors.contains(message), "{to}: {errors}");
    }
}

#[test]
fn a_file_that_is_not_there_is_another_failure() {
    let output = simulate("-f no/such/file.yaml", "");
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(
        errors.contains("could not read no/such/file.yaml"),
        "{errors}"
    );
}

#[test]
fn anything_at_all_is_answered_without_a_panic() {
    let inputs = [
        "",
        "---",
        "[]",
        "42",
        "a: [",
        "\u{0}",
        "kind: List",
        "kind: List\nitems: 1",
        "kind: SupervisionTree",
        "apiVersion: coppice.dev/v1alpha1\nkind: SupervisionTree\nmetadata: {name: x}\nspec: null",
        "apiVersion: coppice.dev/v1alpha1\nkind: SupervisionTree\nmetadata: x",
    ];
    for input in inputs {
        let errors = refused("-f -", input);
        assert!(!errors.contains("panicked"), "{input}: {errors}");
    }
}
