//! The page that says how far Coppice does what Erlang/OTP does: one row for each of OTP's own tests of its supervisor, and
//! one for each trace of a real one.
//!
//! Rule: a row is the comment of its test, so that neither is there without the other. The comment begins with the result,
//! `Same:` or `Differs (rule):`; a test of the same name elsewhere, without a result, belongs to the same row.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use syn::{Attribute, Expr, Item, Lit, Meta};

/// The tests in `supervisor_SUITE`, in its order.
const CASES: [&str; 93] = [
    "sup_start_normal",
    "sup_start_ignore_init",
    "sup_start_ignore_child",
    "sup_start_ignore_temporary_child",
    "sup_start_ignore_temporary_child_start_child",
    "sup_start_ignore_temporary_child_start_child_simple",
    "sup_start_ignore_permanent_child_start_child_simple",
    "sup_start_error_return",
    "sup_start_fail",
    "sup_start_child_returns_error",
    "sup_start_restart_child_returns_error",
    "sup_start_child_returns_error_simple",
    "sup_start_map",
    "sup_start_map_simple",
    "sup_start_map_faulty_specs",
    "sup_stop_infinity",
    "sup_stop_timeout",
    "sup_stop_timeout_dynamic",
    "sup_stop_brutal_kill",
    "sup_stop_brutal_kill_dynamic",
    "sup_stop_race",
    "sup_stop_non_shutdown_exit_dynamic",
    "child_adm",
    "child_adm_simple",
    "extra_return",
    "child_specs",
    "child_specs_map",
    "sup_flags",
    "multiple_restarts",
    "one_for_one",
    "one_for_one_escalation",
    "one_for_all",
    "one_for_all_escalation",
    "one_for_all_other_child_fails_restart",
    "simple_one_for_one",
    "simple_one_for_one_shutdown",
    "simple_one_for_one_extra",
    "simple_one_for_one_escalation",
    "simple_one_for_one_corruption",
    "simple_one_for_one_restart_ignore",
    "rest_for_one",
    "rest_for_one_escalation",
    "rest_for_one_other_child_fails_restart",
    "external_start_no_progress_log",
    "permanent_normal",
    "transient_normal",
    "temporary_normal",
    "permanent_shutdown",
    "transient_shutdown",
    "temporary_shutdown",
    "faulty_application_shutdown",
    "permanent_abnormal",
    "transient_abnormal",
    "temporary_abnormal",
    "child_unlink",
    "tree",
    "nonsignificant_temporary",
    "nonsignificant_transient",
    "significant_temporary",
    "significant_transient",
    "significant_simple",
    "significant_bystander",
    "significant_escalation",
    "significant_upgrade_never_any",
    "significant_upgrade_any_never",
    "significant_upgrade_never_all",
    "significant_upgrade_all_never",
    "significant_upgrade_any_all",
    "significant_upgrade_all_any",
    "significant_upgrade_child",
    "count_children",
    "count_children_supervisor",
    "count_restarting_children",
    "get_callback_module",
    "do_not_save_start_parameters_for_temporary_children",
    "do_not_save_child_specs_for_temporary_children",
    "simple_one_for_one_scale_many_temporary_children",
    "temporary_bystander",
    "simple_global_supervisor",
    "hanging_restart_loop",
    "hanging_restart_loop_rest_for_one",
    "hanging_restart_loop_simple",
    "code_change",
    "code_change_map",
    "code_change_simple",
    "code_change_simple_map",
    "order_of_children",
    "scale_start_stop_many_children",
    "format_log_1",
    "format_log_2",
    "already_started_outside_supervisor",
    "which_children",
    "which_children_simple_one_for_one",
];

/// How many traces of a real supervisor there are.
const TRACES: usize = 28;

/// Tests of OTP that ask for something that Coppice does not have, and why.
const NO_COUNTERPART: [(usize, &str, &str); 3] = [
    (
        25,
        "A start may answer with more than that it succeeded.",
        "a Pod says that it is Ready, and nothing else that could be passed on",
    ),
    (
        37,
        "The same with children that are started one by one.",
        "as in 25; the rest of it is 35",
    ),
    (
        74,
        "A supervisor names the module that holds its code.",
        "a supervisor is data, and has no code of its own",
    ),
];

/// The rules by which Coppice differs, in the words of the page.
const RULES: [(&str, &str); 11] = [
    (
        "edits converge",
        "A spec says how the tree should be; it is not a list of calls. What is added is started at its place, what is left out \
         is stopped and forgotten, a changed template replaces the Pods, other changes count from the next death on, and the \
         window is kept. What fails to start is started again, which is charged. What the spec names is not forgotten. A call \
         that OTP refuses because of the state of the child (`running`, `already_present`) has no counterpart.",
    ),
    (
        "replicas",
        "`simple_one_for_one` is a worker of several replicas: all are made from one template, have a slot each, start and stop \
         together, and are supervised one for one. While a quorum of them is alive, a death is charged to its slot, and a slot \
         that has spent its window is parked and tried again later. A death that leaves less than a quorum is charged to the \
         supervisor; with a quorum of all replicas, each death is.",
    ),
    (
        "no ignore",
        "A child cannot answer `ignore` to its start. A program that has nothing to do ends; `restart: Transient` or `Temporary`, \
         and `ready: Completed`, say that this is right.",
    ),
    (
        "no dynamic children",
        "Every child is in the spec, so a supervisor that is restarted starts what the spec names: nothing that was added is \
         lost, and nothing that was removed comes back.",
    ),
    (
        "disabled children",
        "`enabled: false` is part of the spec: it keeps a child down through restarts of its group, until it is taken back.",
    ),
    (
        "stops",
        "A stop has the grace of the template, 30 s where it says nothing, and at least 1 s: with 0, Kubernetes would forget the \
         Pod before it has ended. How a Pod ends that was told to is neither judged nor reported.",
    ),
    (
        "two tiers",
        "Under `OneForOne` the kubelet makes the first restart of a Pod in place, without asking, and Coppice counts it.",
    ),
    (
        "deaths seen together",
        "Deaths that are seen together are judged in start order. OTP judges them as they arrive, in any order.",
    ),
    (
        "giving up is no end",
        "A supervisor that gave up has not finished. Where OTP leaves it down, it stays given up, which the conditions of the \
         tree say, until `retryAt` or an edit of a template asks for it.",
    ),
    (
        "refused combinations",
        "The API server refuses a significant child whose supervisor has `autoShutdown: Never`, whichever of the two is edited. \
         OTP refuses it in a child that is new, and lets it be in one that is there.",
    ),
    (
        "a supervisor is a record",
        "A supervisor is a record in the status of the tree and not a process, so it cannot be killed.",
    ),
];

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
    let file = root().join("docs/conformance.md");
    let expected = page();
    if env::var_os("UPDATE").is_some() {
        fs::write(&file, &expected).unwrap();
    }
    let current = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        current == expected,
        "{} is stale: run `UPDATE=1 cargo test`",
        file.display()
    );
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
        RULES.iter().any(|(name, _)| *name == rule),
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
    for (name, rule) in RULES {
        let rows = all().filter(|row| row.rule == name).count();
        assert!(rows > 0, "nothing differs by the rule '{name}'");
        writeln!(page, "### {name}\n\n{rule} Rows: {rows}.\n").unwrap();
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

fn write_row(page: &mut String, number: &str, name: &str, row: &Row) {
    let result = match row.rule.as_str() {
        "" => "same".to_owned(),
        none if none.starts_with("no counterpart") => none.to_owned(),
        rule => format!("differs: [{rule}](#{})", rule.replace(' ', "-")),
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

const INTRODUCTION: &str = "\
# Conformance with Erlang/OTP

<!-- Generated: `UPDATE=1 cargo test` writes this page. -->

Coppice supervises Pods by the rules by which Erlang/OTP supervises processes. OTP has a test suite for its supervisor; this page
has a row for each of its tests, and one for each of 28 further histories that a real supervisor of OTP 25 was seen to go through. A
row says what is asked, whether Coppice does the same, and which test of Coppice shows it.

Calls and their counterparts: `start_child` and `delete_child` are a child that is added to the spec or taken out of it,
`terminate_child` and `restart_child` are `enabled: false` and `true`, `simple_one_for_one` is a worker with replicas. An exit
with `normal`, `shutdown` or `{shutdown, _}` is an exit code that `cleanExitCodes` names; `kill` is 137. The supervisors under
test have no delays (`backoff: {initialSeconds: 0}`), start their children one after another (`startup: Ordered`) and do not try a
first start again (`onStartFailure: Fail`), as in OTP, and the root does not either (`onGiveUp: Stop`). Answers of OTP's calls are compared by what is so afterwards.
";

const CASES_HEAD: &str = "\
## The tests of OTP

| | test of OTP | what is asked | result | shown by |
|---|---|---|---|---|
";

const TRACES_HEAD: &str = "
## Histories of a real supervisor

| | what is asked | result | shown by |
|---|---|---|---|
";
