//! `kubectl coppice why`: what is wrong with a tree, what proves it, what was decided, what happens next, and what to do.
//!
//! Rule: it tells and decides nothing. What went wrong with a Pod is identified as everywhere, what was decided stands in
//! the statuses, and what is left of a window is counted by the model.

mod account;
mod findings;
mod known;
mod next;
#[cfg(test)]
mod page;
#[cfg(test)]
mod testing;
mod text;

use jiff::Timestamp;
use serde_json::Value;

use crate::identify::{self, Answers, NotKubernetes};
use crate::model::tree::Tree;

pub use account::{Account, ChildAccount, Decided, Finding, Left, Step};
pub use text::text;

use known::Known;

/// What is asked.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    /// The namespace of the tree; any, when it is left out.
    pub namespace: Option<String>,
    /// The name of the tree; every one, when it is left out.
    pub tree: Option<String>,
    /// A child of it, of which everything is told, also when it is well; `(root)` is the root.
    pub child: Option<String>,
}

/// What there is to tell of a file.
#[derive(Debug)]
pub enum Told {
    /// Of each tree in it.
    Trees(Vec<Account>),
    /// Of the objects in it, because there is no tree.
    Objects(Answers),
}

/// A question that has no answer, in words that say why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is about a tree or child that is not there.
    #[error("{0}")]
    Unknown(String),
    /// An object is not what its kind says.
    #[error("{0}")]
    Unreadable(String),
    /// A file holds something else.
    #[error(transparent)]
    NotKubernetes(#[from] NotKubernetes),
}

/// What there is to tell of a file. `source` is what messages call it. `clock` is the present, which counts only for a file
/// that is fresh.
pub fn of_file(source: &str, text: &str, clock: Timestamp, ask: &Ask) -> Result<Told, Refusal> {
    let (objects, now) = identify::objects(source, text, clock)?;
    if ask.tree.is_none() && !objects.iter().any(known::is_tree) {
        let answers = identify::identify(source, text, clock)?;
        return Ok(Told::Objects(answers));
    }
    accounts(source, &objects, now, ask).map(Told::Trees)
}

/// What there is to tell of objects that were read just now: a tree, its Workers, its Pods, and Events.
pub fn of_objects(
    source: &str,
    values: Vec<Value>,
    now: Timestamp,
    ask: &Ask,
) -> Result<Vec<Account>, Refusal> {
    let objects = identify::listed(source, values)?;
    accounts(source, &objects, now, ask)
}

/// Of each tree that is asked for.
fn accounts(
    source: &str,
    objects: &[Value],
    now: Timestamp,
    ask: &Ask,
) -> Result<Vec<Account>, Refusal> {
    let all = known::all(source, objects, now)?;
    let is_asked = |known: &&Known| {
        let is = |asked: &Option<String>, name: &str| asked.as_ref().is_none_or(|one| one == name);
        is(&ask.namespace, &known.namespace) && is(&ask.tree, &known.name)
    };
    let asked: Vec<&Known> = all.iter().filter(is_asked).collect();
    if asked.is_empty() {
        let names = all.iter().map(Known::to_string);
        let names = names.collect::<Vec<_>>().join(", ");
        let there = if names.is_empty() {
            "there is none".to_owned()
        } else {
            format!("there are {names}")
        };
        let wanted = ask.tree.as_deref().unwrap_or("of that namespace");
        return Err(Refusal::Unknown(format!(
            "there is no tree {wanted} in {source}; {there}"
        )));
    }
    let accounts = asked.into_iter().map(|known| account(known, now, ask));
    accounts.collect()
}

fn account(known: &Known, now: Timestamp, ask: &Ask) -> Result<Account, Refusal> {
    let spec = &known.tree.spec;
    match Tree::parse(&known.name, spec) {
        Ok(tree) => {
            let child = match &ask.child {
                None => None,
                Some(child) => Some(
                    tree.find(child)
                        .ok_or_else(|| unknown(&tree, known, child))?,
                ),
            };
            Ok(account::of(known, &tree, child, now))
        }
        // Its conditions say so, too, once Coppice has seen it.
        Err(error) => Ok(account::of_refused(known, &error.to_string(), now)),
    }
}

/// There is no such child.
fn unknown(tree: &Tree<'_>, known: &Known, child: &str) -> Refusal {
    let names = || tree.nodes.iter().map(|node| node.name);
    let like = |name: &&str| strsim::normalized_damerau_levenshtein(name, child);
    let nearest = names().max_by(|a, b| like(a).total_cmp(&like(b)));
    Refusal::Unknown(format!(
        "{known} has no child {child}; did you mean {}? Its children are {}",
        nearest.unwrap_or_default(),
        names().skip(1).collect::<Vec<_>>().join(", ")
    ))
}

#[cfg(test)]
mod tests;
