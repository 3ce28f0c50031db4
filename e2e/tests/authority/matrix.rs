//! Everybody against every Pod: what a tree gives is what making the Pod by hand would give.
//!
//! Rule: both sides are asked of the API server; a tree may give less than the hand only where the documentation says
//! so (who may not write trees, and who may not `use` the account), and never more.

use std::fmt::Write as _;

use e2e::cluster::Cluster;
use futures::stream::{self, StreamExt};
use k8s_openapi::api::core::v1::{LimitRange, Namespace, ServiceAccount};
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::kit::{
    PODS, Right, TREES, api, bind, client_as, create, dry, eventually, grant, grant_everywhere,
    installed, may, operate, pod_spec, tree, trees, until_may, worker,
};

/// How many pairs are tried side by side.
const PARALLEL: usize = 8;
const USE_ROBOT: Right = Right("", "serviceaccounts", "use", "robot");
const USE_ALL: Right = Right("", "serviceaccounts", "use", "");

struct Person {
    name: &'static str,
    client: Client,
}

/// What somebody wants to run: the specs of Pods, one for each child.
struct Wish {
    name: &'static str,
    pods: Vec<Value>,
}

impl Wish {
    fn one(name: &'static str, fields: &Value) -> Self {
        Self {
            name,
            pods: vec![pod_spec(fields)],
        }
    }

    /// One container with these fields.
    fn container(name: &'static str, fields: &Value) -> Self {
        let mut pod = pod_spec(&json!({}));
        for (field, value) in fields.as_object().unwrap() {
            pod["containers"][0][field] = value.clone();
        }
        Self {
            name,
            pods: vec![pod],
        }
    }

    /// The names of accounts other than `default`.
    fn accounts(&self) -> impl Iterator<Item = &str> {
        self.pods.iter().filter_map(|pod| {
            let field = |name: &str| pod[name].as_str().filter(|account| !account.is_empty());
            field("serviceAccountName")
                .or_else(|| field("serviceAccount"))
                .filter(|account| *account != "default")
        })
    }
}

fn wishes() -> Vec<Wish> {
    let host_path = json!({"volumes": [{"name": "host", "hostPath": {"path": "/etc"}}]});
    let two = ["robot", "king"].map(|account| pod_spec(&json!({"serviceAccountName": account})));
    vec![
        Wish::one("plain", &json!({})),
        Wish::one("default-account", &json!({"serviceAccountName": "default"})),
        Wish::one("robot", &json!({"serviceAccountName": "robot"})),
        Wish::one("robot-deprecated", &json!({"serviceAccount": "robot"})),
        Wish::one("king", &json!({"serviceAccountName": "king"})),
        Wish {
            name: "robot-and-king",
            pods: two.to_vec(),
        },
        Wish::one("missing-account", &json!({"serviceAccountName": "ghost"})),
        Wish::container(
            "privileged",
            &json!({"securityContext": {"privileged": true}}),
        ),
        Wish::one("host-network", &json!({"hostNetwork": true})),
        Wish::one("host-path", &host_path),
        Wish::container(
            "capability",
            &json!({"securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}),
        ),
        Wish::container(
            "too-large",
            &json!({"resources": {"limits": {"memory": "2Gi"}}}),
        ),
        Wish::one("missing-priority", &json!({"priorityClassName": "nowhere"})),
        Wish::container(
            "malformed",
            &json!({"volumeMounts": [{"name": "nowhere", "mountPath": "/x"}]}),
        ),
    ]
}

/// A namespace with a Pod Security standard, a limit and accounts.
async fn guarded(cluster: &Cluster) -> String {
    let name = cluster.namespace("matrix").await.unwrap();
    let client = cluster.client();
    let label = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "baseline"}}});
    Api::<Namespace>::all(client.clone())
        .patch(&name, &PatchParams::default(), &Patch::Merge(label))
        .await
        .unwrap();
    let limit: LimitRange = serde_json::from_value(json!({"metadata": {"name": "limit"},
        "spec": {"limits": [{"type": "Container", "max": {"memory": "1Gi"}, "default": {"memory": "64Mi"}}]}}))
    .unwrap();
    Api::<LimitRange>::namespaced(client.clone(), &name)
        .create(&PostParams::default(), &limit)
        .await
        .unwrap();
    for account in ["robot", "king"] {
        let account: ServiceAccount =
            serde_json::from_value(json!({"metadata": {"name": account}})).unwrap();
        Api::<ServiceAccount>::namespaced(client.clone(), &name)
            .create(&PostParams::default(), &account)
            .await
            .unwrap();
    }
    // All of it is in force when the last of it is.
    for wish in ["privileged", "too-large", "king"] {
        let wish = wishes().into_iter().find(|one| one.name == wish).unwrap();
        let expected = wish.name == "king";
        eventually(&format!("{} is judged", wish.name), async || {
            (by_hand(&client, &name, &wish).await.is_ok() == expected).then_some(())
        })
        .await;
    }
    name
}

async fn people(cluster: &Cluster, here: &str, elsewhere: &str) -> Vec<Person> {
    let mut people = Vec::new();
    let mut add = async |name: &'static str, groups: &[&str]| {
        let client = client_as(cluster, name, groups).await;
        people.push(Person { name, client });
    };
    add("administrator", &["system:masters"]).await;
    // No controller fills the roles `edit` and `view` here, so their parts are bound.
    let gitops = "system:serviceaccount:gitops:syncer";
    for (user, part) in [("editor", "edit"), (gitops, "edit"), ("viewer", "view")] {
        for role in [
            format!("system:aggregate-to-{part}"),
            format!("coppice-{part}"),
        ] {
            bind(cluster, here, user, "ClusterRole", &role).await;
        }
        add(user, &[]).await;
    }
    for (user, rights) in [
        ("author", &[TREES][..]),
        ("maker", &[TREES, PODS]),
        ("robots-maker", &[TREES, PODS, USE_ROBOT]),
        ("chief", &[TREES, PODS, USE_ALL]),
        ("podder", &[PODS]),
        ("podder-of-robots", &[PODS, USE_ROBOT]),
        ("account-holder", &[TREES, USE_ALL]),
    ] {
        grant(cluster, here, user, rights).await;
        add(user, &[]).await;
    }
    grant(cluster, elsewhere, "neighbour", &[TREES, PODS, USE_ALL]).await;
    grant(cluster, here, "half", &[TREES]).await;
    grant(cluster, elsewhere, "half", &[PODS, USE_ALL]).await;
    for user in ["neighbour", "half", "stranger"] {
        add(user, &[]).await;
    }
    grant_everywhere(cluster, "platform", &[TREES, PODS, USE_ROBOT]).await;
    add("platform", &[]).await;
    for person in &people {
        if ["editor", gitops].contains(&person.name) {
            until_may(&person.client, here, ["", "serviceaccounts", "use", ""]).await;
            until_may(&person.client, here, ["", "pods", "create", ""]).await;
        }
    }
    people
}

/// What becomes of the Pods when somebody makes them himself.
async fn by_hand(client: &Client, namespace: &str, wish: &Wish) -> Result<(), String> {
    for spec in &wish.pods {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "by-hand-"}, "spec": spec});
        create(client, namespace, &pod, &dry()).await?;
    }
    Ok(())
}

/// What becomes of them when he writes a tree. The administrator looks, because not everybody may.
async fn by_tree(
    person: &Person,
    admin: &Client,
    namespace: &str,
    name: &str,
    wish: &Wish,
) -> Result<(), String> {
    let children = wish.pods.iter().enumerate().map(|(number, spec)| {
        let mut child = worker(&format!("c{number}"), &json!({}));
        child["worker"]["template"]["spec"] = spec.clone();
        child
    });
    let object = tree(name, children);
    create(&person.client, namespace, &object, &PostParams::default()).await?;
    let (pods, trees) = (api(admin, namespace, "v1", "Pod"), trees(admin, namespace));
    let of_tree = ListParams::default().labels(&format!("coppice.dev/tree={name}"));
    eventually(&format!("{name} has Pods, or says why not"), async || {
        let made = pods.list(&of_tree).await.unwrap().items.len();
        if made == wish.pods.len() {
            return Some(Ok(()));
        }
        let tree = trees.get(name).await.unwrap();
        let ready = tree.data["status"]["conditions"]
            .as_array()?
            .iter()
            .find(|one| one["type"] == "Ready")?;
        (ready["reason"] == "CreateRefused").then(|| Err(ready["message"].to_string()))
    })
    .await
}

/// How one pair came out.
struct Cell {
    hand: Result<(), String>,
    tree: Result<(), String>,
    may_write: bool,
    may_use: bool,
}

impl Cell {
    async fn of(person: &Person, admin: &Client, namespace: &str, name: &str, wish: &Wish) -> Self {
        let mut may_use = true;
        for account in wish.accounts() {
            may_use &= may(
                &person.client,
                namespace,
                ["", "serviceaccounts", "use", account],
            )
            .await;
        }
        let create_trees = ["coppice.dev", "supervisiontrees", "create", ""];
        Self {
            hand: by_hand(&person.client, namespace, wish).await,
            tree: by_tree(person, admin, namespace, name, wish).await,
            may_write: may(&person.client, namespace, create_trees).await,
            may_use,
        }
    }

    fn is_right(&self) -> bool {
        self.tree.is_ok() == (self.hand.is_ok() && self.may_write && self.may_use)
    }

    fn word(&self) -> &'static str {
        match (self.hand.is_ok(), self.tree.is_ok()) {
            (true, true) => "yes",
            (false, false) => "no",
            (false, true) => "MORE",
            (true, false) if self.is_right() && self.may_write => "use",
            (true, false) if self.is_right() => "trees",
            (true, false) => "LESS",
        }
    }
}

const LEGEND: &str = "yes: both by hand and by a tree; no: neither; use: only by hand, because he may not use the account; \
                      trees: only by hand, because he may not write trees; MORE, LESS: wrong";

/// All pairs on a cluster with the chart, installed with these values.
struct Matrix {
    people: Vec<Person>,
    wishes: Vec<Wish>,
    cells: Vec<Cell>,
}

impl Matrix {
    async fn of(values: &[&str]) -> Self {
        let cluster = installed(values).await;
        let _operator = operate(&cluster, &[]).await;
        let namespace = guarded(&cluster).await;
        let elsewhere = cluster.namespace("elsewhere").await.unwrap();
        let people = people(&cluster, &namespace, &elsewhere).await;
        let (wishes, admin) = (wishes(), cluster.client());
        let pairs = people.iter().enumerate().flat_map(|(row, person)| {
            let wishes = wishes.iter().enumerate();
            wishes.map(move |(column, wish)| (format!("t-{row}-{column}"), person, wish))
        });
        let cells = stream::iter(pairs)
            .map(|(name, person, wish)| {
                let (admin, namespace) = (&admin, &namespace);
                async move { Cell::of(person, admin, namespace, &name, wish).await }
            })
            .buffered(PARALLEL)
            .collect()
            .await;
        Self {
            people,
            wishes,
            cells,
        }
    }

    /// The table, and below it what was said where the two differ and should not.
    fn table(&self) -> String {
        let (people, wishes, cells) = (&self.people, &self.wishes, &self.cells);
        let mut page = format!("{LEGEND}\n\n{:<36}", "");
        for number in 1..=wishes.len() {
            write!(page, "{number:>6}").unwrap();
        }
        for (person, row) in people.iter().zip(cells.chunks(wishes.len())) {
            write!(page, "\n{:<36}", person.name).unwrap();
            for cell in row {
                write!(page, "{:>6}", cell.word()).unwrap();
            }
        }
        page.push('\n');
        for (number, wish) in wishes.iter().enumerate() {
            write!(page, "\n{:>2} {}", number + 1, wish.name).unwrap();
        }
        for (index, cell) in cells
            .iter()
            .enumerate()
            .filter(|(_, cell)| !cell.is_right())
        {
            let (person, wish) = (&people[index / wishes.len()], &wishes[index % wishes.len()]);
            write!(
                page,
                "\n\n{} and {}:\n  by hand: {:?}\n  by tree: {:?}",
                person.name, wish.name, cell.hand, cell.tree
            )
            .unwrap();
        }
        page
    }

    fn has(&self, person: &str, wish: &str, word: &str) -> bool {
        let row = self
            .people
            .iter()
            .position(|one| one.name == person)
            .unwrap();
        let column = self.wishes.iter().position(|one| one.name == wish).unwrap();
        self.cells[row * self.wishes.len() + column].word() == word
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_gives_the_pods_that_its_author_could_make_by_hand_and_no_others() {
    let matrix = Matrix::of(&[]).await;
    let table = matrix.table();
    let (people, wishes) = (matrix.people.len(), matrix.wishes.len());
    println!("{table}\n\n{people} people, {wishes} Pods");
    assert!(people >= 10 && wishes >= 10);
    assert!(matrix.cells.iter().all(Cell::is_right), "{table}");
    // Every answer that can be right is given to somebody.
    for word in ["yes", "no", "use", "trees"] {
        assert!(
            matrix.cells.iter().any(|cell| cell.word() == word),
            "no {word}\n{table}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_policies_a_tree_gives_more_and_the_table_shows_it() {
    let matrix = Matrix::of(&["authority.policy=false"]).await;
    let table = matrix.table();
    for (person, wish) in [
        ("author", "plain"),
        ("author", "king"),
        ("half", "plain"),
        ("account-holder", "robot"),
    ] {
        assert!(
            matrix.has(person, wish, "MORE"),
            "{person}, {wish}\n{table}"
        );
        assert!(
            table.contains(&format!("{person} and {wish}:\n  by hand: Err(")),
            "{table}"
        );
    }
    // Pod Security and limits hold all the same.
    for wish in ["privileged", "host-network", "too-large"] {
        assert!(matrix.has("author", wish, "no"), "{wish}\n{table}");
    }
}
