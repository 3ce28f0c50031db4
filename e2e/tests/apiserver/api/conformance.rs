//! What Erlang/OTP's own tests of its supervisor expect to be refused, and what the API server refuses.
//!
//! Rule: a row of the page `docs/conformance.md` is the comment of its test; a comment without a result belongs to a test of
//! the same name that needs no API server.

use e2e::cluster::Cluster;
use serde_json::{Value, json};

use super::{Kubectl, below, server, supervisor, tree, worker};

/// What kubectl says when the tree is to be created.
async fn refusal(tree: &Value) -> String {
    Kubectl::on(server().await)
        .words("create --dry-run=server")
        .object(tree)
        .complained()
}

/// Asserts that each of these specs is refused, with that text about it.
async fn assert_refused(specs: impl IntoIterator<Item = (Value, &str)>) {
    for (spec, expected) in specs {
        let mut object = tree("shop", []);
        object["spec"] = spec.clone();
        let complaint = refusal(&object).await;
        assert!(complaint.contains(expected), "{spec}: {complaint}");
    }
}

/// Whether the tree is accepted.
async fn is_accepted(tree: &Value) -> bool {
    let created = Kubectl::on(server().await)
        .words("create --dry-run=server")
        .object(tree)
        .output();
    created.status.success()
}

fn with(mut child: Value, fields: &Value) -> Value {
    let kind = if child.get("worker").is_some() {
        "worker"
    } else {
        "supervisor"
    };
    for (field, value) in fields.as_object().expect("fields") {
        child[kind][field] = value.clone();
    }
    child
}

/// Same: Something that is no spec is refused, and nothing is there afterwards.
#[tokio::test]
async fn case_08_sup_start_error_return() {
    let cluster = server().await;
    let namespace = cluster.namespace("no-spec").await.expect("a namespace");
    for spec in [
        json!("nonsense"),
        json!([]),
        json!({"children": "nonsense"}),
    ] {
        let mut object = tree("shop", []);
        object["spec"] = spec;
        let complaint = Kubectl::within(cluster, &namespace)
            .words("create")
            .object(&object)
            .complained();
        assert!(complaint.contains("must be of type"), "{complaint}");
    }
    let listed = Kubectl::within(cluster, &namespace)
        .words("get stree,wkr,pods -o name")
        .said();
    assert_eq!(listed, "");
}

/// Same: A child needs its name and what it is; a field that is not known is dropped with a warning, unless it is to be
/// refused.
#[tokio::test]
async fn case_15_sup_start_map_faulty_specs() {
    let mut nameless = worker("child1");
    nameless.as_object_mut().expect("a child").remove("name");
    assert_refused([
        (
            json!({"children": [nameless]}),
            "spec.children[0].name: Required value",
        ),
        (
            json!({"children": [{"name": "child1"}]}),
            "child 'child1' must have either `supervisor` or `worker`, but has neither",
        ),
        (
            json!({"children": ["child1"]}),
            "spec.children[0] in body must be of type object",
        ),
    ])
    .await;
    let unknown = tree("shop", [with(worker("child1"), &json!({"silly": 1}))]);
    let complaint = refusal(&unknown).await;
    assert!(
        complaint.contains("unknown field \"spec.children[0].worker.silly\""),
        "{complaint}"
    );
    let output = Kubectl::on(server().await)
        .words("create --dry-run=server --validate=warn -o yaml")
        .object(&unknown)
        .output();
    let (said, warned) = (super::text(&output.stdout), super::text(&output.stderr));
    assert!(output.status.success() && !said.contains("silly"), "{said}");
    assert!(warned.contains("unknown field"), "{warned}");
}

/// Differs (stops): A wrong value in a field of a child is refused, with its name; all right combinations are accepted,
/// but a grace of 0 is not.
#[tokio::test]
async fn case_26_child_specs() {
    let child = |fields: Value| json!({"children": [with(worker("child1"), &fields)]});
    let grace = |seconds: Value| {
        let mut child = worker("child1");
        child["worker"]["template"]["spec"]["terminationGracePeriodSeconds"] = seconds;
        json!({"children": [child]})
    };
    let worker_path = "spec.children[0].worker";
    assert_refused([
        (
            child(json!({"template": "mfa"})),
            "template in body must be of type object",
        ),
        (
            child(json!({"restart": "prmanent"})),
            "restart: Unsupported value: \"prmanent\"",
        ),
        (
            grace(json!(-10)),
            "terminationGracePeriodSeconds: Invalid value: -10",
        ),
        (
            grace(json!(0)),
            "terminationGracePeriodSeconds: Invalid value: 0",
        ),
        (
            grace(json!("infinity")),
            "terminationGracePeriodSeconds in body must be of type integer",
        ),
        (
            json!({"children": [{"name": "child1", "wrker": {}}]}),
            "wrker",
        ),
        (
            json!({"children": [worker("child1"), worker("child1")]}),
            "spec.children[1]: Duplicate value: {\"name\":\"child1\"}",
        ),
        (child(json!({"cleanExitCodes": [256]})), worker_path),
    ])
    .await;
    for restart in ["Permanent", "Transient", "Temporary"] {
        for seconds in [1, 5, 86_400] {
            let mut spec = grace(json!(seconds));
            spec["children"][0]["worker"]["restart"] = json!(restart);
            let supervisor = with(supervisor("child2"), &json!({"restart": restart}));
            let children = [spec["children"][0].clone(), supervisor];
            assert!(
                is_accepted(&tree("shop", children)).await,
                "{restart} {seconds}"
            );
        }
    }
}

/// Same: Of all combinations of automatic shutdown, type and significance, those are refused in which significance
/// could have no effect.
#[tokio::test]
async fn case_27_child_specs_map() {
    for auto_shutdown in ["Never", "AnySignificant", "AllSignificant"] {
        for restart in ["Permanent", "Transient", "Temporary"] {
            for significant in [true, false] {
                for child in [worker("c"), supervisor("c")] {
                    let fields = json!({"restart": restart, "significant": significant});
                    let mut tree = tree("shop", [with(child, &fields)]);
                    tree["spec"]["autoShutdown"] = json!(auto_shutdown);
                    let sound =
                        !significant || (auto_shutdown != "Never" && restart != "Permanent");
                    assert_eq!(is_accepted(&tree).await, sound, "{tree}");
                }
            }
        }
    }
    let by_default = with(worker("c"), &json!({"significant": true}));
    let sometimes = with(worker("c"), &json!({"significant": "sometimes"}));
    assert_refused([
        (
            json!({"autoShutdown": "AnySignificant", "children": [by_default]}),
            "child 'c' is `significant`, which needs `restart: Transient` or `restart: Temporary`",
        ),
        (
            json!({"children": [sometimes]}),
            "significant in body must be of type boolean",
        ),
    ])
    .await;
}

/// Same: A wrong value in a setting of a supervisor is refused, with the name of the field.
#[tokio::test]
async fn case_28_sup_flags() {
    assert_refused([
        (
            json!({"strategy": "NoneForOne"}),
            "spec.strategy: Unsupported value: \"NoneForOne\"",
        ),
        (
            json!({"intensity": {"maxRestarts": "infinity"}}),
            "spec.intensity.maxRestarts in body must be of type integer",
        ),
        (
            json!({"intensity": {"maxRestarts": -1}}),
            "spec.intensity.maxRestarts: Invalid value: -1",
        ),
        (
            json!({"intensity": {"periodSeconds": 0}}),
            "spec.intensity.periodSeconds: Invalid value: 0",
        ),
        (
            json!({"intensity": {"periodSeconds": "infinity"}}),
            "spec.intensity.periodSeconds in body must be of type integer",
        ),
        (
            json!({"autoShutdown": "Sometimes"}),
            "spec.autoShutdown: Unsupported value: \"Sometimes\"",
        ),
        (
            json!({"intensity": 5}),
            "spec.intensity in body must be of type object",
        ),
        (json!({"flag": true}), "unknown field \"spec.flag\""),
    ])
    .await;
}

/// A tree that is stored: a supervisor `s` with the worker `c`, both as told, and `n`.
struct Stored<'a> {
    cluster: &'a Cluster,
    namespace: String,
    auto_shutdown: &'static str,
    significant: bool,
}

impl Stored<'_> {
    async fn new(auto_shutdown: &'static str, significant: bool) -> Self {
        let cluster = server().await;
        let namespace = cluster.namespace("significant").await;
        let stored = Self {
            cluster,
            namespace: namespace.expect("a namespace"),
            auto_shutdown,
            significant,
        };
        stored.call("create").said();
        stored
    }

    fn call(&self, words: &str) -> Kubectl {
        let s = with(
            supervisor("s"),
            &json!({"autoShutdown": self.auto_shutdown}),
        );
        let c = json!({"restart": "Transient", "significant": self.significant});
        let children = [
            s,
            below("s", with(worker("c"), &c)),
            below("s", worker("n")),
        ];
        Kubectl::within(self.cluster, &self.namespace)
            .words(words)
            .object(&tree("shop", children))
    }

    /// An edit that is accepted.
    #[track_caller]
    fn becomes(&mut self, auto_shutdown: &'static str, significant: bool) {
        (self.auto_shutdown, self.significant) = (auto_shutdown, significant);
        self.call("replace").said();
    }

    /// An edit that is refused, and changes nothing.
    #[track_caller]
    fn may_not_become(&mut self, auto_shutdown: &'static str, significant: bool) {
        let before = (self.auto_shutdown, self.significant);
        let stored = self.stored();
        (self.auto_shutdown, self.significant) = (auto_shutdown, significant);
        assert_eq!(
            self.call("replace").complained(),
            "The SupervisionTree \"shop\" is invalid: spec.children: Invalid value: child 'c' is `significant`, which needs \
             `autoShutdown: AnySignificant` or `AllSignificant` on its supervisor 's'"
        );
        (self.auto_shutdown, self.significant) = before;
        assert_eq!(self.stored(), stored);
    }

    fn stored(&self) -> String {
        Kubectl::within(self.cluster, &self.namespace)
            .words("get stree shop -o jsonpath={.metadata.generation}{.spec}")
            .said()
    }
}

/// What the API server refuses of it.
#[tokio::test]
async fn case_64_significant_upgrade_never_any() {
    let mut stored = Stored::new("Never", false).await;
    stored.may_not_become("Never", true);
    stored.becomes("AnySignificant", false);
    stored.becomes("AnySignificant", true);
}

/// What the API server refuses of it.
#[tokio::test]
async fn case_65_significant_upgrade_any_never() {
    let mut stored = Stored::new("AnySignificant", true).await;
    stored.may_not_become("Never", true);
    stored.becomes("Never", false);
    stored.may_not_become("Never", true);
}

/// What the API server refuses of it.
#[tokio::test]
async fn case_66_significant_upgrade_never_all() {
    let mut stored = Stored::new("Never", false).await;
    stored.may_not_become("Never", true);
    stored.becomes("AllSignificant", true);
}

/// What the API server refuses of it.
#[tokio::test]
async fn case_67_significant_upgrade_all_never() {
    let mut stored = Stored::new("AllSignificant", true).await;
    stored.may_not_become("Never", true);
    stored.becomes("AllSignificant", false);
    stored.becomes("Never", false);
}

/// What the API server accepts of it.
#[tokio::test]
async fn case_68_significant_upgrade_any_all() {
    Stored::new("AnySignificant", true)
        .await
        .becomes("AllSignificant", true);
}

/// What the API server accepts of it.
#[tokio::test]
async fn case_69_significant_upgrade_all_any() {
    Stored::new("AllSignificant", true)
        .await
        .becomes("AnySignificant", true);
}

/// What the API server refuses of it.
#[tokio::test]
async fn case_70_significant_upgrade_child() {
    Stored::new("Never", false)
        .await
        .may_not_become("Never", true);
    let mut stored = Stored::new("AnySignificant", false).await;
    stored.becomes("AnySignificant", true);
    stored.becomes("AnySignificant", false);
    // Of the root, the message says so.
    let mut child = with(
        worker("c"),
        &json!({"restart": "Temporary", "significant": true}),
    );
    assert_eq!(
        refusal(&tree("shop", [supervisor("s"), child.clone()])).await,
        "The SupervisionTree \"shop\" is invalid: spec.children: Invalid value: child 'c' is `significant`, which needs \
         `autoShutdown: AnySignificant` or `AllSignificant` on its supervisor, the root"
    );
    child["parent"] = json!("s");
    let above = with(supervisor("s"), &json!({"autoShutdown": "AllSignificant"}));
    assert!(is_accepted(&tree("shop", [above, child])).await);
}
