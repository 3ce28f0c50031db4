//! The words of the page: the rules by which Coppice differs, and what stands between the tables.
//!
//! Rule: a rule is one of those that `docs/from-erlang.md` explains, said so that it can be read alone.

/// The rules by which Coppice differs: the name, which is that of a heading of `docs/from-erlang.md` (the number there is its
/// number here); what OTP does, and what
/// Coppice does.
pub(super) const RULES: [(&str, &str, &str); 11] = [
    (
        "edits converge",
        "`code_change` takes over flags and specs at once, but starts and stops nothing: a new child is listed and not \
         started, one that is not named any more runs on, a changed one keeps its process. `start_child` and \
         `restart_child` answer with an error when a start fails, which is neither tried again nor counted; a temporary \
         child that has ended is forgotten.",
        "A spec says how the tree should be; it is not a list of calls. What is added is started at its place, what is left out \
         is stopped and forgotten, a changed template replaces the Pods, other changes count from the next death on, and the \
         window is kept. What fails to start is started again, which is charged. What the spec names is not forgotten. A call \
         that OTP refuses because of the state of the child (`running`, `already_present`) has no counterpart.",
    ),
    (
        "replicas",
        "the children of a `simple_one_for_one` supervisor are started one by one, each with arguments of its own, share \
         its one window, and are stopped by their pid; they may be supervisors. Automatic shutdown is refused there.",
        "`simple_one_for_one` is a worker of several replicas: all are made from one template, have a slot each, start and stop \
         together, and are supervised one for one. While a quorum of them is alive, a death is charged to its slot, and a slot \
         that has spent its window is parked and tried again later. A death that leaves less than a quorum is charged to the \
         supervisor; with a quorum of all replicas, each death is.",
    ),
    (
        "no ignore",
        "a start function may answer `ignore`: the child is listed without a process (a temporary one is forgotten), the \
         next one starts, nothing is counted, and no supervisor shuts itself down.",
        "A child cannot answer `ignore` to its start. A program that has nothing to do ends; `restart: Transient` or `Temporary`, \
         and `ready: Completed`, say that this is right.",
    ),
    (
        "no dynamic children",
        "a supervisor that is restarted starts what its `init` names: a child that `start_child` added is lost, one that \
         `delete_child` removed is back.",
        "Every child is in the spec, so a supervisor that is restarted starts what the spec names: nothing that was added is \
         lost, and nothing that was removed comes back.",
    ),
    (
        "disabled children",
        "a child that `terminate_child` stopped is started again with its group, or with its supervisor.",
        "`enabled: false` is part of the spec: it keeps a child down through restarts of its group, until it is taken back.",
    ),
    (
        "stops",
        "the default is 5 s; 0 is legal, and `brutal_kill` ends a child without a word; one that does not end with `shutdown` \
         when it is told to is reported.",
        "A stop has the grace of the template, 30 s where it says nothing, and at least 1 s: with 0, Kubernetes would forget the \
         Pod before it has ended. How a Pod ends that was told to is neither judged nor reported.",
    ),
    (
        "two tiers",
        "the supervisor alone makes every restart.",
        "Under `OneForOne` the kubelet makes the first restart of a Pod in place, without asking, and Coppice counts it.",
    ),
    (
        "deaths seen together",
        "exits are judged as they arrive, in any order; under `rest_for_one` two of them may be counted once or twice.",
        "Deaths that are seen together are judged in start order. OTP judges them as they arrive, in any order.",
    ),
    (
        "giving up is no end",
        "a supervisor that gives up exits with `shutdown`, a clean end, so that a transient one stays down as if it had \
         finished.",
        "A supervisor that gave up has not finished. Where OTP leaves it down, it stays given up, which the conditions of the \
         tree say, until `retryAt` or an edit of a template asks for it.",
    ),
    (
        "refused combinations",
        "an edit of the supervisor to `never` is accepted while it has significant children, whose ends then count for \
         nothing; a new significant child is refused.",
        "The API server refuses a significant child whose supervisor has `autoShutdown: Never`, whichever of the two is edited. \
         OTP refuses it in a child that is new, and lets it be in one that is there.",
    ),
    (
        "a supervisor is a record",
        "a supervisor is a process; when it is killed its children die with it, and its parent restarts it as its type says.",
        "A supervisor is a record in the status of the tree and not a process, so it cannot be killed.",
    ),
];

pub(super) const INTRODUCTION: &str = "\
# Conformance with Erlang/OTP

<!-- Generated: `UPDATE=1 cargo test` writes this page. -->

Coppice supervises Pods by the rules by which Erlang/OTP supervises processes. OTP has a test suite for its supervisor; this page
has a row for each of its tests, and one for each of 28 further histories that a real supervisor of OTP 25 was seen to go through. A
row says what Coppice does (or what is asked, where there is no counterpart), whether OTP does the same, and which test of Coppice
shows it. The numbers are those of the [differences from Erlang](from-erlang.md#differences).

Calls and their counterparts: `start_child` and `delete_child` are a child that is added to the spec or taken out of it,
`terminate_child` and `restart_child` are `enabled: false` and `true`, `simple_one_for_one` is a worker with replicas. An exit
with `normal`, `shutdown` or `{shutdown, _}` is an exit code that `cleanExitCodes` names; `kill` is 137. The supervisors under
test have no delays (`backoff: {initialSeconds: 0}`), start their children one after another (`startup: Ordered`) and do not try a
first start again (`onStartFailure: Fail`), as in OTP, and the root does not either (`onGiveUp: Stop`). Answers of OTP's calls are compared by what is so afterwards.
";

pub(super) const CASES_HEAD: &str = "\
## The tests of OTP

| | test of OTP | what Coppice does | result | shown by |
|---|---|---|---|---|
";

pub(super) const TRACES_HEAD: &str = "
## Histories of a real supervisor

| | what Coppice does | result | shown by |
|---|---|---|---|
";
