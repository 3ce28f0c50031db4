//! The revisions of a tree, the way back to one of them and the way on: what `kubectl coppice history`, `undo`, `promote`,
//! `pause` and `resume` say and write.
//!
//! Rule: nothing is asked of a cluster here; what is written is a change of the spec, as a person would make it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::api::v1alpha1::{RevisionMark, SupervisionTree};
use crate::model::revisions::StoredTemplate;

/// A question that cannot be answered, in words that say what to do instead.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct Refusal(pub String);

/// A revision that is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Revision {
    /// Its number.
    pub number: i64,
    /// What is known of it.
    pub mark: RevisionMark,
    /// Why it failed; empty where it did not.
    pub failed: String,
    /// Whether the tree is on it, or on its way to it.
    pub is_current: bool,
    /// Its templates, by worker.
    templates: BTreeMap<String, StoredTemplate>,
}

/// The revisions of a tree, the oldest first: `stored` are the `ControllerRevision`s that belong to it.
pub fn revisions(tree: &SupervisionTree, stored: &[Value]) -> Vec<Revision> {
    let status = tree.status.clone().unwrap_or_default();
    let current = status.revision;
    let known = status.revisions.into_iter().map(|known| {
        let mut stored = stored.iter();
        let stored = stored.find(|one| one["metadata"]["name"] == known.name.as_str());
        Revision {
            number: known.number,
            mark: known.mark,
            failed: known
                .failed
                .map_or_else(String::new, |failed| failed.message),
            is_current: known.number == current,
            templates: stored
                .map_or_else(BTreeMap::new, |one| StoredTemplate::all_in(&one["data"])),
        }
    });
    known.collect()
}

/// The revisions as a table.
pub fn table(revisions: &[Revision]) -> String {
    let mut rows = vec![["REVISION", "MARK", "CHANGES", "WHY"].map(str::to_owned)];
    let mut before: Option<&Revision> = None;
    for revision in revisions {
        let star = if revision.is_current { "*" } else { "" };
        rows.push([
            format!("{}{star}", revision.number),
            format!("{:?}", revision.mark),
            before.map_or_else(String::new, |before| changes(before, revision)),
            revision.failed.clone(),
        ]);
        before = Some(revision);
    }
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let widths = [width(0), width(1), width(2)];
    let line = |row: &[String; 4]| {
        let line = format!(
            "{:<a$}   {:<b$}   {:<c$}   {}",
            row[0],
            row[1],
            row[2],
            row[3],
            a = widths[0],
            b = widths[1],
            c = widths[2]
        );
        format!("{}\n", line.trim_end())
    };
    rows.iter().map(line).collect()
}

/// The workers whose templates differ, with their images where those are what differs.
fn changes(before: &Revision, after: &Revision) -> String {
    let mut all = Vec::new();
    for (child, template) in &after.templates {
        match before.templates.get(child) {
            None => all.push(format!("+{child}")),
            Some(old) if old.revision != template.revision => {
                let (old, new) = (images(&old.template.0), images(&template.template.0));
                let mut new_images = new.iter().filter(|image| !old.contains(image));
                all.push(
                    new_images
                        .next()
                        .map_or_else(|| child.clone(), |image| format!("{child} ({image})")),
                );
            }
            Some(_) => {}
        }
    }
    let gone = before.templates.keys();
    let gone = gone.filter(|child| !after.templates.contains_key(*child));
    all.extend(gone.map(|child| format!("-{child}")));
    all.join(", ")
}

fn images(template: &Value) -> Vec<String> {
    let containers = template
        .pointer("/spec/containers")
        .and_then(Value::as_array);
    let containers = containers.into_iter().flatten();
    containers
        .filter_map(|container| Some(container["image"].as_str()?.to_owned()))
        .collect()
}

/// The merge patch that gives the workers of a tree the templates of that revision; left out, of the last good one that the
/// spec does not ask for. `tree` is as the API server gave it.
pub fn undo(
    tree: &Value,
    revisions: &[Revision],
    to: Option<i64>,
) -> Result<(i64, Value), Refusal> {
    let asked = revisions.last().map(|newest| newest.number);
    let target = to.map_or_else(
        || last_good(revisions, asked),
        |number| numbered(revisions, number),
    )?;
    if target.templates.is_empty() {
        let number = target.number;
        return Err(Refusal(format!(
            "the templates of revision {number} are not stored any more"
        )));
    }
    let mut children = tree["spec"]["children"].clone();
    let mut is_changed = false;
    for child in children.as_array_mut().into_iter().flatten() {
        let name = child["name"].as_str().unwrap_or_default().to_owned();
        let Some(stored) = target.templates.get(&name) else {
            continue;
        };
        if child["worker"].is_object() {
            is_changed |= stored.give_to(&mut child["worker"]);
        }
    }
    if !is_changed {
        return Err(Refusal(nothing_to_write(target, &children)));
    }
    let version = &tree["metadata"]["resourceVersion"];
    let patch = json!({"metadata": {"resourceVersion": version}, "spec": {"children": children}});
    Ok((target.number, patch))
}

/// Why nothing is to be written for a revision: what is said of a worker that only it or only the spec has, no template says.
fn nothing_to_write(target: &Revision, children: &Value) -> String {
    let children = children.as_array().into_iter().flatten();
    let workers = children.filter(|child| child["worker"].is_object());
    let workers: BTreeSet<&str> = workers.filter_map(|child| child["name"].as_str()).collect();
    let number = target.number;
    let is_added = |name: &&&str| !target.templates.contains_key(**name);
    let added = workers.iter().filter(is_added).map(|name| {
        format!("`{name}` is not in revision {number}: remove it from the spec to go back there")
    });
    let is_dropped = |name: &&String| !workers.contains(name.as_str());
    let dropped = target.templates.keys().filter(is_dropped).map(|name| {
        format!("`{name}` of revision {number} is not in the spec: add it again to go back there")
    });
    let differences: Vec<String> = added.chain(dropped).collect();
    if differences.is_empty() {
        return format!("the spec has the templates of revision {number} already");
    }
    differences.join("; ")
}

fn numbered(revisions: &[Revision], number: i64) -> Result<&Revision, Refusal> {
    let found = revisions.iter().find(|one| one.number == number);
    found.ok_or_else(|| {
        let numbers: Vec<String> = revisions.iter().map(|one| one.number.to_string()).collect();
        Refusal(format!(
            "there is no revision {number}: there are {}",
            numbers.join(", ")
        ))
    })
}

fn last_good(revisions: &[Revision], asked: Option<i64>) -> Result<&Revision, Refusal> {
    let mut newest_first = revisions.iter().rev();
    let good = newest_first.find(|one| one.mark == RevisionMark::Good && Some(one.number) != asked);
    good.ok_or_else(|| {
        Refusal("no other revision has been proved good; name one with --to-revision".to_owned())
    })
}

/// The merge patch that lets the canary of a tree go on past the step where it stands, and that step: for the revision that
/// is rolled out and no other. `tree` is as the API server gave it.
pub fn promote(tree: &Value) -> Result<(String, Value), Refusal> {
    let rollout = &tree["status"]["rollout"];
    let (revision, step) = (&rollout["to"], &rollout["step"]);
    if !revision.is_i64() {
        return Err(Refusal(
            "no revision is being rolled out, so there is nothing to promote".to_owned(),
        ));
    }
    if rollout["failed"].is_object() || tree["spec"]["rollout"]["paused"] == true {
        return Err(Refusal(
            "the rollout is paused as a whole: `kubectl coppice resume`, or `rollout.retryAt` where it has failed, come first".to_owned(),
        ));
    }
    let Some(number) = step["number"].as_i64() else {
        return Err(Refusal(format!(
            "the rollout of revision {revision} is at no step of a canary (`update.steps`), so there is nothing to promote"
        )));
    };
    let child = step["child"].as_str().unwrap_or_default();
    let of = &step["of"];
    if step["paused"] != true {
        let message = step["message"].as_str().unwrap_or_default();
        return Err(Refusal(format!(
            "{child} is at step {number} of {of}, which is no pause that is waited for: {message}"
        )));
    }
    let told =
        format!("past step {number} of {of} ({child}) of the rollout of revision {revision}");
    let promotion = json!({"revision": revision, "step": number});
    let mut known = tree["status"]["revisions"].as_array().into_iter().flatten();
    let is_early = |one: &Value| one["number"] == *revision && one["promotedBefore"] == number;
    if tree["spec"]["rollout"]["promote"] == promotion && known.any(is_early) {
        return Err(Refusal(format!(
            "`rollout.promote` has named step {number} since before there was revision {revision}, which ends no pause: take it out of the spec, and promote again"
        )));
    }
    Ok((told, json!({"spec": {"rollout": {"promote": promotion}}})))
}

/// The merge patch that pauses the rollouts of a tree, or lets them go on.
pub fn pause(paused: bool) -> Value {
    json!({"spec": {"rollout": {"paused": paused}}})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(image: &str) -> Value {
        json!({"spec": {"containers": [{"name": "app", "image": image}]}})
    }

    fn child(name: &str, image: &str) -> Value {
        json!({"name": name, "worker": {"template": template(image)}})
    }

    /// A tree that asks for image two of `api`, which failed, and was taken back.
    fn taken_back() -> (Value, Vec<Value>) {
        let tree = json!({
            "apiVersion": "coppice.dev/v1alpha1",
            "kind": "SupervisionTree",
            "metadata": {"name": "shop", "resourceVersion": "7"},
            "spec": {"children": [child("db", "db:1"), child("api", "api:2"), child("new", "new:1")]},
            "status": {"revision": 1, "revisions": [
                {"name": "shop-a", "number": 1, "mark": "Good"},
                {"name": "shop-b", "number": 2, "mark": "Bad",
                    "failed": {"time": "2026-01-01T00:00:00Z", "message": "api/0: no such image"}},
            ]},
        });
        let stored = |name: &str, templates: Value| json!({"metadata": {"name": name}, "data": {"templates": templates}});
        let stored = vec![
            stored(
                "shop-a",
                json!({"db": template("db:1"), "api": template("api:1"), "old": template("old:1")}),
            ),
            stored(
                "shop-b",
                json!({"db": template("db:1"), "api": template("api:2"), "new": template("new:1")}),
            ),
        ];
        (tree, stored)
    }

    fn read(tree: &Value, stored: &[Value]) -> Vec<Revision> {
        revisions(&serde_json::from_value(tree.clone()).unwrap(), stored)
    }

    #[test]
    fn revisions_are_shown_with_what_they_change() {
        let (tree, stored) = taken_back();
        let expected = "\
REVISION   MARK   CHANGES                    WHY
1*         Good
2          Bad    api (api:2), +new, -old   api/0: no such image
";
        let shown = table(&read(&tree, &stored));
        let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(squeezed(&shown), squeezed(expected), "{shown}");
    }

    #[test]
    fn the_templates_of_the_last_good_revision_come_back_and_nothing_else_changes() {
        let (tree, stored) = taken_back();
        let (number, patch) = undo(&tree, &read(&tree, &stored), None).unwrap();
        assert_eq!(number, 1);
        assert_eq!(patch["metadata"]["resourceVersion"], "7");
        let mut expected = tree["spec"]["children"].clone();
        expected[1] = child("api", "api:1");
        assert_eq!(patch["spec"]["children"], expected);
    }

    #[test]
    fn the_step_at_which_a_canary_stands_is_promoted_and_nothing_else() {
        let mut tree = json!({"status": {}});
        assert!(promote(&tree).unwrap_err().0.contains("no revision"));
        tree["status"]["rollout"] = json!({"from": 1, "to": 2});
        assert!(promote(&tree).unwrap_err().0.contains("at no step"));
        tree["status"]["rollout"]["step"] = json!({"number": 3, "of": 4, "child": "api"});
        assert!(promote(&tree).unwrap_err().0.contains("no pause"));
        tree["status"]["rollout"]["step"]["paused"] = true.into();
        tree["spec"]["rollout"]["paused"] = true.into();
        assert!(promote(&tree).unwrap_err().0.contains("resume"));
        tree["spec"]["rollout"]["paused"] = false.into();
        let (told, patch) = promote(&tree).unwrap();
        assert_eq!(told, "past step 3 of 4 (api) of the rollout of revision 2");
        let expected = json!({"spec": {"rollout": {"promote": {"revision": 2, "step": 3}}}});
        assert_eq!(patch, expected);
        tree["spec"]["rollout"]["promote"] = json!({"revision": 2, "step": 3});
        assert!(promote(&tree).is_ok());
        tree["status"]["revisions"] = json!([{"number": 2, "promotedBefore": 3}]);
        assert!(promote(&tree).unwrap_err().0.contains("take it out"));
    }

    #[test]
    fn a_service_name_comes_back_with_its_template() {
        let mut stored = template("db:1");
        stored["spec"]["subdomain"] = "db".into();
        let data = json!({"templates": {"db": stored}});
        let stored = StoredTemplate::all_in(&data).remove("db").unwrap();
        let former = json!({"serviceName": "db", "template": template("db:1")});
        for changed in [
            json!({"template": template("db:1")}),
            json!({"serviceName": "other", "template": template("db:1")}),
            json!({"serviceName": "db", "template": template("db:2")}),
        ] {
            let mut worker = changed;
            assert!(stored.give_to(&mut worker));
            assert_eq!(worker, former);
            assert!(!stored.give_to(&mut worker), "it has it by now");
        }
    }

    #[test]
    fn what_cannot_be_gone_back_to_is_refused_in_words() {
        let (mut tree, mut stored) = taken_back();
        let refused =
            |tree: &Value, stored: &[Value], to| undo(tree, &read(tree, stored), to).unwrap_err().0;
        assert_eq!(
            refused(&tree, &stored, Some(9)),
            "there is no revision 9: there are 1, 2"
        );
        assert_eq!(
            refused(&tree, &stored, Some(2)),
            "the spec has the templates of revision 2 already"
        );
        // Where templates are the same, the workers may be others.
        tree["spec"]["children"][1] = child("api", "api:1");
        assert_eq!(
            refused(&tree, &stored, Some(1)),
            "`new` is not in revision 1: remove it from the spec to go back there; `old` of revision 1 is not in the spec: add it again to go back there"
        );
        let group = json!({"name": "old", "supervisor": {}});
        tree["spec"]["children"][2] = group;
        assert_eq!(
            refused(&tree, &stored, None),
            "`old` of revision 1 is not in the spec: add it again to go back there"
        );
        stored.remove(0);
        assert_eq!(
            refused(&tree, &stored, Some(1)),
            "the templates of revision 1 are not stored any more"
        );
        tree["status"]["revisions"][0]["mark"] = "Unproven".into();
        assert!(refused(&tree, &stored, None).contains("--to-revision"));
    }
}
