//! The page about `kubectl coppice why`, with what it prints of a tree in trouble, and that tree as a file.
//!
//! Rule: the tree is acted out by the model, and what is shown is what is printed.

use jiff::Timestamp;
use serde_json::json;

use super::testing::objects;
use super::{Ask, Told, of_file, text};
use crate::model::lab::{Behaviour, Lab};
use crate::pages::assert_current;

const SHOP: &str = "
children:
- {name: db, worker: {template: {spec: {containers: [{name: app, image: 'example.com/db:1'}]}}}}
- {name: web, supervisor: {intensity: {maxRestarts: 2, periodSeconds: 600}}}
- {name: api, parent: web, worker: {replicas: 2, quorum: 2, template: {spec: {containers: [{name: app, image: 'example.com/api:1'}]}}}}
- {name: mailer, parent: web, worker: {template: {spec: {containers: [{name: app, image: 'example.com/mailer:2'}]}}}}
";

/// The shop a minute after one of its programs crashed twice, with an image that nobody has pushed.
fn shop() -> String {
    let mut lab = Lab::new(SHOP);
    let tree = lab.tree_mut();
    tree.name = "shop".to_owned();
    tree.namespace = "prod".to_owned();
    lab.behave("mailer", Behaviour::NoImage);
    lab.run(30);
    lab.last_words = "could not connect to db:5432".to_owned();
    lab.kill("api", 1, 1);
    lab.run(8);
    lab.kill("api", 1, 1);
    lab.run(60);
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects(&lab)});
    serde_yaml::to_string(&list).unwrap()
}

fn told(file: &str, child: Option<&str>) -> String {
    let ask = Ask {
        tree: Some("shop".to_owned()),
        child: child.map(ToOwned::to_owned),
        ..Ask::default()
    };
    let Told::Trees(accounts) = of_file("shop.yaml", file, Timestamp::UNIX_EPOCH, &ask).unwrap()
    else {
        panic!("there is a tree")
    };
    accounts.iter().map(text).collect()
}

#[test]
fn the_page_and_its_tree_are_current() {
    let shop = shop();
    assert_current("tests/why/shop.yaml", &shop);
    assert_current("docs/why.md", &page(&shop));
}

fn page(shop: &str) -> String {
    format!(
        "{INTRODUCTION}\n```text\n$ kubectl coppice why shop\n{}```\n{SECTIONS}\n```text\n$ kubectl coppice why shop db\n{}```\n{FILES}",
        told(shop, None),
        told(shop, Some("db")),
    )
}

const INTRODUCTION: &str = "\
# Why

<!-- Generated: `UPDATE=1 cargo test` writes this page. -->

`kubectl coppice why TREE` says what is wrong with a tree: what happened, what proves it, what Coppice decided, what is left of the budget,
what happens next and when, and what you should do. It is a plugin: put the program `kubectl-coppice` into a folder of your `PATH`, and kubectl
finds it. It takes `-n`, `--context`, `--kubeconfig`, `--as` and
`--as-group` as kubectl does. From a checkout, `cargo install --locked --path . --bin kubectl-coppice` builds it.

Each child is told of that is not well, or had a fault within the last hour (or within the window of its supervisor, where that is longer). A tree
where all is well is one line.
";

const SECTIONS: &str = "
| word | what it says |
|---|---|
| WHAT | the slots, the class of the fault and what it stands for; the case at hand; since when, in which container, and how sure that is: `proved` by a field, `witnessed` by a component's words, `inferred`, or `rest` when nothing else fits |
| PROOF | object, field and value: of the Pods and Events that are there now, else what was kept of the fault in `status.recentFaults` |
| DECIDED | what was done, when, and by which rule: the built-in one of the verdict (`coppice faults --policy` prints these), or one of `faultPolicy` |
| BUDGET | restarts left in the window of the supervisor, and in that of the slot where the replicas of a worker die one by one; what follows when they are spent |
| NEXT | what happens next, and when; what waits for you says for what |
| DO | what to do, and where the documentation tells more |

A class is explained by `coppice faults CLASS` and in [faults.md](faults.md), a reason such as `GaveUp` in [conditions.md](conditions.md). One child,
whatever it is, and what is below it (`(root)` is the root supervisor):
";

const FILES: &str = "
## Without a cluster

`-f` reads a file instead, for example one that somebody sent you:

```sh
kubectl get stree,wkr,pods,events -n prod -o yaml > shop.yaml
kubectl coppice why -f shop.yaml
```

It tells of all trees in it, or of the one that you name. Relative times then count from when the file was made, as far as it tells. Without a tree
in it, each object is answered for as `coppice identify -f` does. `-o json` prints an array with the same for programs.

## What it may read

It only reads: the tree, its Workers and Pods, the Events of the namespace, and, of Pods that are not ready, their claims and up to 20 of their nodes.
What you may not read but the tree, and what is too much to read, it does without, and says so: then the proof is what the status of the tree has kept.
The exit code is 0 when there is an answer, whatever it is; 2 when there is no such tree or child, or
the file is no Kubernetes; 1 when the cluster cannot be asked.
";
