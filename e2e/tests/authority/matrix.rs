//! Everybody against every Pod: what a tree gives is what making the Pod by hand would give.
//!
//! Rule: both sides are asked of the API server; a tree may give less than the hand only where the documentation says
//! so (who may not write trees, and who may not `use` the account), and never more.

mod scene;

use std::fmt::Write as _;

use futures::stream::{self, StreamExt};
use kube::Client;
use kube::api::{ListParams, PostParams};
use serde_json::{Value, json};

use super::kit::{api, change, create, eventually, installed, may, operate, tree, trees, worker};
use scene::{Person, Wish, by_hand, guarded, people, wishes};

/// How many pairs are tried side by side.
const PARALLEL: usize = 8;

/// Where trees are written, and who looks, because not everybody may.
struct Place {
    namespace: String,
    admin: Client,
}

impl Place {
    /// What becomes of the Pods when somebody writes a new tree.
    async fn by_tree(&self, person: &Person, name: &str, wish: &Wish) -> Result<(), String> {
        let object = tree(name, children(wish));
        let params = PostParams::default();
        create(&person.client, &self.namespace, &object, &params).await?;
        self.outcome(name, wish).await
    }

    /// What becomes of them when he writes them into a tree of somebody else.
    async fn by_edit(&self, person: &Person, name: &str, wish: &Wish) -> Result<(), String> {
        let empty = tree(name, []);
        let params = PostParams::default();
        create(&self.admin, &self.namespace, &empty, &params)
            .await
            .unwrap();
        let theirs = trees(&person.client, &self.namespace);
        change(&theirs, name, json!({"spec": {"children": children(wish)}})).await?;
        self.outcome(name, wish).await
    }

    /// Whether all Pods of a tree were made; else what its condition says.
    async fn outcome(&self, name: &str, wish: &Wish) -> Result<(), String> {
        let pods = api(&self.admin, &self.namespace, "v1", "Pod");
        let trees = trees(&self.admin, &self.namespace);
        let of_tree = ListParams::default().labels(&format!("coppice.dev/tree={name}"));
        eventually(&format!("{name} has Pods, or says why not"), async || {
            if pods.list(&of_tree).await.unwrap().items.len() == wish.pods.len() {
                return Some(Ok(()));
            }
            let tree = trees.get(name).await.unwrap();
            let conditions = tree.data["status"]["conditions"].as_array()?;
            let ready = conditions.iter().find(|one| one["type"] == "Ready")?;
            // A tree that had none before is taken back to that.
            let is_refused = ["CreateRefused", "RolledBack"].contains(&ready["reason"].as_str()?);
            is_refused.then(|| Err(ready["message"].to_string()))
        })
        .await
    }
}

fn children(wish: &Wish) -> Vec<Value> {
    let child = |(number, spec): (usize, &Value)| {
        let mut child = worker(&format!("c{number}"), &json!({}));
        child["worker"]["template"]["spec"] = spec.clone();
        child
    };
    wish.pods.iter().enumerate().map(child).collect()
}

/// How one pair came out.
struct Cell {
    hand: Result<(), String>,
    tree: Result<(), String>,
    edit: Result<(), String>,
    may_write: bool,
    may_use: bool,
}

impl Cell {
    async fn of(place: &Place, person: &Person, name: &str, wish: &Wish) -> Self {
        let allowed = async |asked| may(&person.client, &place.namespace, asked).await;
        let mut may_use = true;
        for account in wish.accounts() {
            may_use &= allowed(["", "serviceaccounts", "use", account]).await;
        }
        Self {
            hand: by_hand(&person.client, &place.namespace, wish).await,
            tree: place.by_tree(person, &format!("new-{name}"), wish).await,
            edit: place.by_edit(person, &format!("old-{name}"), wish).await,
            may_write: allowed(["coppice.dev", "supervisiontrees", "create", ""]).await,
            may_use,
        }
    }

    fn is_right(&self) -> bool {
        let expected = self.hand.is_ok() && self.may_write && self.may_use;
        [&self.tree, &self.edit].map(Result::is_ok) == [expected; 2]
    }

    fn word(&self) -> &'static str {
        let [hand, tree, edit] = [&self.hand, &self.tree, &self.edit].map(Result::is_ok);
        match (hand, tree || edit) {
            (true, true) if tree && edit => "yes",
            (false, false) => "no",
            (false, true) => "MORE",
            (true, false) if self.is_right() && self.may_write => "use",
            (true, false) if self.is_right() => "trees",
            (true, _) => "LESS",
        }
    }
}

const LEGEND: &str = "yes: both by hand and by a tree, new or edited; no: neither; use: only by hand, because he may not \
                      use the account; trees: only by hand, because he may not write trees; MORE, LESS: wrong";

/// Pairs on a cluster with the chart.
struct Matrix {
    people: Vec<Person>,
    wishes: Vec<Wish>,
    cells: Vec<Cell>,
}

impl Matrix {
    /// The chart is installed with these values; of people, those are asked whose names are wanted.
    async fn of(values: &[&str], wanted: impl Fn(&str) -> bool) -> Self {
        let cluster = installed(values).await;
        let _operator = operate(&cluster, &[]).await;
        let namespace = guarded(&cluster).await;
        let elsewhere = cluster.namespace("elsewhere").await.unwrap();
        let mut people = people(&cluster, &namespace, &elsewhere).await;
        people.retain(|person| wanted(person.name));
        let wishes = wishes();
        let place = Place {
            namespace,
            admin: cluster.client(),
        };
        let pairs = people.iter().enumerate().flat_map(|(row, person)| {
            let wishes = wishes.iter().enumerate();
            wishes.map(move |(column, wish)| (format!("{row}-{column}"), person, wish))
        });
        let cells = stream::iter(pairs)
            .map(|(name, person, wish)| {
                let place = &place;
                async move { Cell::of(place, person, &name, wish).await }
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
                "\n\n{} and {}:\n  by hand: {:?}\n  by tree: {:?}\n  by edit: {:?}",
                person.name, wish.name, cell.hand, cell.tree, cell.edit
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
    let matrix = Matrix::of(&[], |_| true).await;
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
    let matrix = Matrix::of(&["authority.policy=false"], |name| {
        ["author", "half", "account-holder"].contains(&name)
    })
    .await;
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
