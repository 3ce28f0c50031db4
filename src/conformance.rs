//! The page that says how far Coppice does what Erlang/OTP does: one row for each of OTP's own tests of its supervisor, and
//! one for each trace of a real one.
//!
//! Rule: a row is the comment of its test, so that neither is there without the other. The comment begins with the result,
//! `Same:` or `Differs (rule):`, and a rule has the number that `docs/from-erlang.md` gives it; a test of the same name elsewhere, without a result, belongs to the same row.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use syn::{Attribute, Expr, Item, Lit, Meta};

mod suite;
mod words;

use crate::pages::assert_current;
use suite::{CASES, NO_COUNTERPART, TRACES};
use words::{CASES_HEAD, INTRODUCTION, RULES, TRACES_HEAD};

/// Where the tests are: folders and files, and how the page calls the place.
const PLACES: [(&str, &str); 2] = [
    ("src/model/conformance", "model::conformance"),
    (
        "e2e/tests/apiserver/api/conformance",
        "e2e: apiserver, api::conformance",
    ),
];

/// A test with its comment.
struct Test {
    name: String,
    place: String,
    comment: String,
}

/// What a row says.
#[derive(Default)]
struct Row {
    about: String,
    /// Empty when it is the same; else the rule.
    rule: String,
    tests: Vec<String>,
}

#[test]
fn the_page_is_current() {
    assert_current("docs/conformance.md", &page());
}

#[test]
fn each_rule_is_a_heading_of_the_page_for_those_who_come_from_erlang() {
    for (name, _, _) in RULES {
        assert!(number_of(name).is_some(), "{name}");
    }
}

#[test]
fn the_differences_are_numbered_one_after_the_other() {
    let numbers: Vec<usize> = differences().map(|(number, _)| number).collect();
    assert_eq!(numbers, (1..=numbers.len()).collect::<Vec<_>>());
}

/// `Difference 8 (two tiers)`, says the comparison with a real supervisor where it leaves something out.
#[test]
fn the_comparison_names_differences_by_their_numbers() {
    let mut named = 0;
    for file in files("src/otp") {
        let text = fs::read_to_string(&file).unwrap_or_default();
        for said in text.to_lowercase().split("difference ").skip(1) {
            let Some((number, rest)) = said.split_once(" (") else {
                continue;
            };
            let Ok(number) = number.parse() else {
                continue;
            };
            let name = rest.split(')').next().unwrap_or_default();
            assert_eq!(Some(number), number_of(name), "{}: {name}", file.display());
            named += 1;
        }
    }
    assert!(named > 5, "only {named} differences are named");
}

#[test]
fn a_comment_without_a_test_is_no_row() {
    let source = "
        /// Same: A helper.
        fn case_01_sup_start_normal() {}
        /// Same: A test,
        /// in two lines.
        #[test]
        fn x01_revival() {}
        /// Nothing of the kind.
        #[test]
        fn others() {}";
    let found = tests_in(source, "here");
    let found: Vec<_> = found.iter().map(|t| (&*t.name, &*t.comment)).collect();
    assert_eq!(found, [("x01_revival", "Same: A test, in two lines.")]);
}

#[test]
fn a_test_that_does_not_run_shows_nothing() {
    let source = "
        /// Same: Nobody runs it.
        #[test]
        #[ignore = \"slow\"]
        fn case_01_sup_start_normal() {}
        /// Same: Somebody may not.
        #[test]
        #[cfg_attr(debug_assertions, ignore)]
        fn x01_revival() {}";
    assert!(tests_in(source, "here").is_empty());
}

#[test]
#[should_panic(expected = "no rule is called 'whims'")]
fn a_rule_that_is_not_explained_is_no_reason() {
    result_of("Differs (whims): It does something else.");
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All tests of the conformance, by name.
fn tests() -> BTreeMap<String, Vec<Test>> {
    let mut tests: BTreeMap<String, Vec<Test>> = BTreeMap::new();
    for (path, place) in PLACES {
        for file in files(path) {
            let source = fs::read_to_string(&file).unwrap();
            let module = file.file_stem().unwrap().to_string_lossy();
            let place = if path.ends_with(&*module) {
                place.to_owned()
            } else {
                format!("{place}::{module}")
            };
            for test in tests_in(&source, &place) {
                tests.entry(test.name.clone()).or_default().push(test);
            }
        }
    }
    tests
}

/// The file of a module, and those of its folder.
fn files(module: &str) -> Vec<PathBuf> {
    let file = root().join(module).with_extension("rs");
    let below = fs::read_dir(root().join(module)).into_iter().flatten();
    let mut files: Vec<PathBuf> = below.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.push(file);
    files
}

/// The tests of the conformance in a source.
fn tests_in(source: &str, place: &str) -> Vec<Test> {
    let items = syn::parse_file(source).unwrap().items;
    let functions = items.into_iter().filter_map(|item| match item {
        Item::Fn(function) => Some(function),
        _ => None,
    });
    let tests = functions.filter(|function| {
        let name = function.sig.ident.to_string();
        let is_numbered = name
            .strip_prefix("case_")
            .or_else(|| name.strip_prefix('x'));
        is_numbered.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
            && function.attrs.iter().any(is_test)
            && !function.attrs.iter().any(is_ignored)
    });
    tests
        .map(|function| Test {
            name: function.sig.ident.to_string(),
            place: place.to_owned(),
            comment: comment(&function.attrs),
        })
        .collect()
}

fn is_test(attribute: &Attribute) -> bool {
    let last = attribute.path().segments.last();
    last.is_some_and(|segment| segment.ident == "test")
}

/// Whether a test with that attribute may be left out of a run.
fn is_ignored(attribute: &Attribute) -> bool {
    let path = attribute.path();
    let under_condition = match &attribute.meta {
        Meta::List(list) if path.is_ident("cfg_attr") => list.tokens.to_string(),
        _ => String::new(),
    };
    path.is_ident("ignore") || under_condition.contains("ignore")
}

/// The differences that `docs/from-erlang.md` explains: number, and name in lower case.
fn differences() -> impl Iterator<Item = (usize, String)> {
    let text = fs::read_to_string(root().join("docs/from-erlang.md")).unwrap();
    let headings = text.lines().filter_map(|line| line.strip_prefix("### "));
    let parse = |heading: &str| {
        let (number, name) = heading.split_once(". ")?;
        Some((number.parse().ok()?, name.to_lowercase()))
    };
    headings
        .map(|heading| parse(heading).unwrap_or_else(|| panic!("'{heading}' has no number")))
        .collect::<Vec<_>>()
        .into_iter()
}

/// The number of a difference.
fn number_of(name: &str) -> Option<usize> {
    let found = differences().find(|(_, known)| known == name);
    found.map(|(number, _)| number)
}

/// A difference with its number, as it is headed.
fn numbered(name: &str) -> String {
    let number = number_of(name).unwrap_or_else(|| panic!("'{name}' is no difference"));
    format!("{number}. {name}")
}

/// The comment above an item, as one line.
fn comment(attributes: &[Attribute]) -> String {
    let lines = attributes
        .iter()
        .filter_map(|attribute| match &attribute.meta {
            Meta::NameValue(doc) if doc.path.is_ident("doc") => match &doc.value {
                Expr::Lit(literal) => match &literal.lit {
                    Lit::Str(text) => Some(text.value().trim().to_owned()),
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        });
    lines.collect::<Vec<_>>().join(" ")
}

/// The rule that a comment names, empty when it is the same, and what follows; `None` when it says no result.
fn result_of(comment: &str) -> Option<(String, String)> {
    if let Some(about) = comment.strip_prefix("Same: ") {
        return Some((String::new(), about.to_owned()));
    }
    let (rule, about) = comment.strip_prefix("Differs (")?.split_once("): ")?;
    assert!(
        RULES.iter().any(|(name, _, _)| *name == rule),
        "no rule is called '{rule}'"
    );
    Some((rule.to_owned(), about.to_owned()))
}

/// The row of the tests of one name.
fn row(name: &str, tests: &[Test]) -> Row {
    let mut results = tests.iter().filter_map(|test| result_of(&test.comment));
    let (rule, about) = results
        .next()
        .unwrap_or_else(|| panic!("{name} does not say its result"));
    assert!(results.next().is_none(), "{name} has two results");
    let tests = tests
        .iter()
        .map(|test| format!("`{}` ({})", test.name, test.place));
    Row {
        about,
        rule,
        tests: tests.collect(),
    }
}

/// The row of each case of OTP, and of each trace, with its number and name.
fn rows() -> [Vec<(usize, String, Row)>; 2] {
    let mut tests = tests();
    let mut take = |name: &str| tests.remove(name).map(|found| row(name, &found));
    let cases = CASES.iter().enumerate().map(|(index, name)| {
        let number = index + 1;
        let found = take(&format!("case_{number:02}_{name}"));
        let none = NO_COUNTERPART.iter().find(|(of, _, _)| *of == number);
        let row = match (found, none) {
            (Some(row), None) => row,
            (None, Some((_, about, why))) => Row {
                about: (*about).to_owned(),
                rule: format!("no counterpart: {why}"),
                tests: Vec::new(),
            },
            (Some(_), Some(_)) => {
                panic!("case {number} has a test, and is said to have no counterpart")
            }
            (None, None) => panic!("case {number}, {name}, has no test"),
        };
        (number, (*name).to_owned(), row)
    });
    let cases: Vec<_> = cases.collect();
    let names: Vec<String> = tests.keys().cloned().collect();
    let traces = names.iter().map(|name| {
        let number = name
            .strip_prefix('x')
            .and_then(|rest| rest.get(..2)?.parse().ok());
        let number = number.unwrap_or_else(|| panic!("{name} is no case of OTP"));
        (number, name.clone(), row(name, &tests[name]))
    });
    let traces: Vec<_> = traces.collect();
    let numbers: Vec<usize> = traces.iter().map(|(number, _, _)| *number).collect();
    assert_eq!(
        numbers,
        (1..=TRACES).collect::<Vec<_>>(),
        "each trace is there once"
    );
    [cases, traces]
}

fn page() -> String {
    let [cases, traces] = rows();
    let all = || cases.iter().chain(&traces).map(|(_, _, row)| row);
    let none = NO_COUNTERPART.len();
    let same = all().filter(|row| row.rule.is_empty()).count();
    let differs = CASES.len() + TRACES - same - none;
    let mut page = format!(
        "{INTRODUCTION}\n\
         | | rows |\n|---|---|\n\
         | same | {same} |\n| differs | {differs} |\n| no counterpart | {none} |\n| all | {} |\n\n\
         ## Where Coppice differs\n\n",
        CASES.len() + TRACES
    );
    let mut rules = RULES;
    rules.sort_by_key(|(name, _, _)| number_of(name));
    for (name, otp, coppice) in rules {
        let rows = all().filter(|row| row.rule == name).count();
        assert!(rows > 0, "nothing differs by the rule '{name}'");
        let heading = numbered(name);
        writeln!(
            page,
            "### {heading}\n\nOTP: {otp}\n\nCoppice: {coppice} [More about it](from-erlang.md#{}). Rows: {rows}.\n",
            anchor(&heading)
        )
        .unwrap();
    }
    page += CASES_HEAD;
    for (number, name, row) in &cases {
        write_row(&mut page, &number.to_string(), &format!("`{name}`"), row);
    }
    page += TRACES_HEAD;
    for (number, _, row) in &traces {
        write_row(&mut page, &format!("X{number}"), "", row);
    }
    page
}

/// What a heading is linked by.
fn anchor(heading: &str) -> String {
    heading.to_lowercase().replace('.', "").replace(' ', "-")
}

fn write_row(page: &mut String, number: &str, name: &str, row: &Row) {
    let result = match row.rule.as_str() {
        "" => "same".to_owned(),
        none if none.starts_with("no counterpart") => none.to_owned(),
        rule => {
            let rule = numbered(rule);
            format!("differs: [{rule}](#{})", anchor(&rule))
        }
    };
    let name = if name.is_empty() {
        String::new()
    } else {
        format!(" {name} |")
    };
    let tests = row.tests.join(", ");
    writeln!(
        page,
        "| {number} |{name} {} | {result} | {tests} |",
        row.about
    )
    .unwrap();
}
