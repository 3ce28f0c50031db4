//! The pages about faults: one of all families, and one for each.
//!
//! Rule: what is said of a class comes from where it is declared.

use std::fmt::Write as _;

use super::{Class, Confidence, Family, Shown, Verdict};
use crate::pages::assert_current;

#[test]
fn the_overview_is_current() {
    assert_current("docs/faults.md", &overview());
}

#[test]
fn the_page_of_each_family_is_current() {
    for family in Family::ALL {
        let file = format!("docs/{}", page_of(*family));
        assert_current(&file, &page(*family));
    }
}

#[test]
fn what_is_said_are_sentences() {
    for class in Class::ALL {
        assert!(class.meaning().ends_with('.'), "{class}");
        assert!(class.advice().ends_with('.'), "{class}");
    }
    for family in Family::ALL {
        assert!(family.about().ends_with('.'), "{family:?}");
    }
}

#[test]
fn a_class_names_the_place_where_it_is_explained() {
    for class in Class::ALL {
        let (file, anchor) = class
            .page()
            .split_once('#')
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .unwrap();
        let page = page(class.family());
        assert_eq!(file, page_of(class.family()));
        let heading = page.lines().find(|line| {
            line.strip_prefix("## ")
                .is_some_and(|title| title.to_lowercase() == anchor)
        });
        assert!(heading.is_some(), "{class}");
    }
}

fn page_of(family: Family) -> String {
    format!("faults/{}.md", family.as_str().to_lowercase())
}

fn classes(family: Family) -> impl Iterator<Item = Class> {
    Class::ALL
        .iter()
        .copied()
        .filter(move |class| class.family() == family)
}

fn overview() -> String {
    let mut page = format!("{INTRODUCTION}\n| verdict | what a tree does |\n|---|---|\n");
    let verdicts = [
        Verdict::Application,
        Verdict::Unknown,
        Verdict::Infrastructure,
        Verdict::Hold,
        Verdict::Wait,
    ];
    for verdict in verdicts {
        writeln!(page, "| `{}` | {} |", verdict.as_str(), verdict.reaction()).unwrap();
    }
    write!(
        page,
        "\n{CONFIDENCE}\n| confidence | what it rests on |\n|---|---|\n"
    )
    .unwrap();
    for (confidence, meaning) in [
        (Confidence::Proved, "a field of the API says so"),
        (
            Confidence::Witnessed,
            "a component said so, in an Event or in its own words",
        ),
        (
            Confidence::Inferred,
            "it follows from the spec and from times",
        ),
        (Confidence::Rest, "nothing else fits"),
    ] {
        writeln!(page, "| `{}` | {meaning} |", confidence.as_str()).unwrap();
    }
    write!(
        page,
        "\n{FAMILIES}\n| family | classes | |\n|---|---|---|\n"
    )
    .unwrap();
    for family in Family::ALL {
        let count = classes(*family).count();
        let about = family.about();
        let first = about
            .split_inclusive(". ")
            .next()
            .unwrap_or(about)
            .trim_end();
        writeln!(
            page,
            "| [{}]({}) | {count} | {first} |",
            family.as_str(),
            page_of(*family)
        )
        .unwrap();
    }
    page
}

fn page(family: Family) -> String {
    let mut page = format!(
        "# Faults: {}\n\n<!-- Generated: `UPDATE=1 cargo test` writes this page. -->\n\n{} [All families](../faults.md).\n",
        family.as_str(),
        family.about(),
    );
    for class in classes(family) {
        let verdict = class.verdict().map_or_else(
            || "none: it only explains or sums up, or is no fault".to_owned(),
            |verdict| format!("`{}`: {}", verdict.as_str(), verdict.reaction()),
        );
        let shown = match class.shown() {
            Shown::Cluster => "provoked on a real cluster in the tests",
            Shown::Sample => "a sample that somebody has seen",
            Shown::Source => "texts after the source of the component that says it",
        };
        let (name, meaning, advice, event) = (
            class.as_str(),
            class.meaning(),
            class.advice(),
            class.event_reason(),
        );
        write!(
            page,
            "\n## {name}\n\n{meaning}\n\n* Verdict: {verdict}.\n* What to do: {advice}\n* Event: `{event}`. Shown by {shown}.\n"
        )
        .unwrap();
    }
    page
}

const INTRODUCTION: &str = "\
# Faults: knowing why

<!-- Generated: `UPDATE=1 cargo test` writes this page. -->

When something fails, Coppice finds out what it was before it acts. The answer is a *class*, one of those below, and its *verdict* decides what
the tree does. `CrashLoopBackOff`, `ImagePullBackOff`, `Error` and `Pending` are never an answer: they are states that `kubectl get` shows, and what
is beneath them is the class.

The operator looks at Pods, the Events of Pods and their claims, nodes, and the answers to creates that were refused. A program that was ended
by SIGKILL or SIGTERM is judged three seconds later where nobody waits for that, because the Event that says who sent the signal may come after
the status. [fault-policy.md](fault-policy.md) says how to have some faults treated otherwise than by their verdict.

`coppice identify -f FILE` judges by the same rules without a cluster, for anything that `kubectl get -o yaml` prints, and looks at other objects
around a Pod, too:

```sh
kubectl get pods,events -o yaml | coppice identify -f -
```

A file may hold Events alone; then each object that they name is answered for. The Lease of a node (`kubectl get leases -n kube-node-lease`) shows
that the node is silent before its conditions say so. The operator does not watch Leases: the control plane says the same with the node's condition
`Ready` some ten seconds later, and acts by it, too.

`coppice faults` lists all classes, `coppice faults OomKilled` explains one.

## Verdicts
";

const CONFIDENCE: &str = "\
## How sure an answer is

An answer names the fields that prove it. How sure it is depends on what they are:
";

const FAMILIES: &str = "\
## Families

Who ended the Pod from outside is asked first, because a program that is told to stop may end politely with 0. Then comes what the kubelet says of
the Pod as a whole; its deletion; its scheduling; its node; its containers, where a reason of the kubelet or the runtime beats an exit code; whether
it is Ready; and in the end the clocks. Of several Events the most specific one counts and not the newest, and none that a later success has cured.
";
