//! The other side: a real Erlang/OTP, in which `oracle.erl` runs histories on `supervisor`, thousands at a time.
//!
//! Rule: it is ended with us, whatever becomes of us: by `Drop`, and by the end of its standard input.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use super::history::History;
use super::terms;
use super::trace::{End, Event, Followed, Trace};

/// How often a history is run again when the machine was too busy for its seconds.
const ATTEMPTS: u32 = 8;
/// How many histories begin in one second. Each attempt halves it.
const RATE: usize = 256;
/// How many do at least.
const SLOWEST: usize = 16;
/// How long the report of a batch may take; each history in it has a shorter patience of its own.
const PATIENCE: Duration = Duration::from_mins(20);
const MISSING: &str =
    "The differential test needs Erlang/OTP: install the Debian package erlang-base";

/// The Erlang side.
const SOURCES: [(&str, &str); 2] = [
    ("oracle.erl", include_str!("oracle.erl")),
    ("oracle_tree.erl", include_str!("oracle_tree.erl")),
];

/// Why there is no trace of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoTrace {
    /// The machine was too busy for the seconds of the history, again and again.
    TooBusy,
    /// It did not end, again and again.
    Hung,
    /// The oracle broke.
    Broken(String),
}

/// A VM that waits for histories.
pub(super) struct Oracle {
    folder: PathBuf,
    vm: Child,
    input: ChildStdin,
    answers: Receiver<String>,
    batches: usize,
}

impl Oracle {
    /// Compiles the Erlang side, and starts a VM with it.
    pub(super) fn start() -> Self {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let name = format!("coppice-otp-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).expect("the folder for temporary files is writable");
        for (name, source) in SOURCES {
            fs::write(folder.join(name), source).expect("the folder is writable");
        }
        let compiled = Command::new("erlc")
            .current_dir(&folder)
            .arg("-Werror")
            .args(SOURCES.map(|(name, _)| name))
            .env("ERL_CRASH_DUMP_SECONDS", "0")
            .status();
        let compiled = compiled.unwrap_or_else(|why| panic!("{MISSING} (erlc: {why})"));
        assert!(compiled.success(), "oracle.erl and oracle_tree.erl compile");
        let mut vm = Command::new("erl")
            // Schedulers that have nothing to do leave the processor to others.
            .args(["-noshell", "+sbwt", "none", "+P", "1000000", "-pa"])
            .arg(&folder)
            .args(["-eval", "oracle:main()."])
            .env("ERL_CRASH_DUMP_SECONDS", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|why| panic!("{MISSING} (erl: {why})"));
        let input = vm.stdin.take().unwrap();
        let output = BufReader::new(vm.stdout.take().unwrap());
        let (send, answers) = channel();
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                // Nobody may be listening any more.
                let _ = send.send(line);
            }
        });
        Self {
            folder,
            vm,
            input,
            answers,
            batches: 0,
        }
    }

    /// The traces of these histories, or what went wrong.
    pub(super) fn run(&mut self, histories: &[History]) -> Vec<Result<Trace, NoTrace>> {
        let mut found: BTreeMap<usize, Result<Trace, NoTrace>> = BTreeMap::new();
        for attempt in 0..ATTEMPTS {
            // Where the machine is very busy, one that goes on may look as if it hung.
            let is_open = |number: &usize| match found.get(number) {
                None | Some(Err(NoTrace::Hung | NoTrace::TooBusy)) => true,
                Some(_) => false,
            };
            let left: Vec<usize> = (0..histories.len()).filter(is_open).collect();
            if left.is_empty() {
                break;
            }
            let report = self.run_once(histories, &left, (RATE >> attempt).max(SLOWEST));
            found.extend(parse(&report));
        }
        let numbers = 0..histories.len();
        let missing = || Err(NoTrace::Broken("it is not in the report".to_owned()));
        let traces = numbers.map(|number| found.remove(&number).unwrap_or_else(missing));
        traces.collect()
    }

    fn run_once(&mut self, histories: &[History], numbers: &[usize], rate: usize) -> String {
        self.batches += 1;
        let file = self.folder.join(format!("batch-{}", self.batches));
        let terms = numbers
            .iter()
            .map(|number| terms::history(*number, &histories[*number]));
        fs::write(&file, terms.collect::<String>()).expect("the folder is writable");
        writeln!(self.input, "{rate} {}", file.display()).expect("the VM reads");
        let answer = self.answers.recv_timeout(PATIENCE);
        assert_eq!(
            answer.as_deref(),
            Ok("done"),
            "the Erlang VM does not answer"
        );
        let report = file.with_extension("report");
        let text = fs::read_to_string(&report).expect("the VM wrote a report");
        for old in [file, report] {
            fs::remove_file(old).expect("the folder is ours");
        }
        text
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let _ = self.vm.kill();
        let _ = self.vm.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The traces in a report, by number.
fn parse(report: &str) -> BTreeMap<usize, Result<Trace, NoTrace>> {
    let mut found = BTreeMap::new();
    let mut number = 0;
    let mut trace = Trace::new();
    let mut over = false;
    for line in report.lines() {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match (word, trace.last_mut()) {
            ("history", _) => {
                number = rest.parse().expect("a number");
                trace = Trace::new();
                over = false;
            }
            ("step", _) => trace.push(Followed::default()),
            ("end", _) => match rest {
                "ok" => {
                    found.insert(number, Ok(std::mem::take(&mut trace)));
                }
                "overrun" => {
                    found.insert(number, Err(NoTrace::TooBusy));
                }
                "hung" => {
                    found.insert(number, Err(NoTrace::Hung));
                }
                other => {
                    found.insert(number, Err(NoTrace::Broken(other.to_owned())));
                }
            },
            // What follows is the end of the supervisors that the history left.
            ("over", _) => over = true,
            _ if over => {}
            ("skipped", Some(followed)) => followed.skipped = true,
            ("several", Some(followed)) => followed.several = true,
            ("excluded", Some(followed)) => followed.excluded = true,
            ("up", Some(followed)) => followed.up = rest.split(' ').map(str::to_owned).collect(),
            (_, Some(followed)) => followed.events.push(event(word, rest)),
            _ => panic!("an event before the first step: {line}"),
        }
    }
    found
}

fn event(word: &str, rest: &str) -> Event {
    let name = rest.to_owned();
    match (word, rest.split_once(' ')) {
        ("start", None) => Event::Start(name),
        ("failed", None) => Event::Failed(name),
        ("stopped", None) => Event::Stopped(name),
        ("exited", Some((name, "gave_up"))) => Event::Exited(name.to_owned(), End::GaveUp),
        ("exited", Some((name, "auto_shutdown"))) => {
            Event::Exited(name.to_owned(), End::AutoShutdown)
        }
        _ => panic!("the oracle tells what nobody knows: {word} {rest}"),
    }
}
