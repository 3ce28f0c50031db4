//! `make test`: the layers of tests, from cheap to dear, with the time and the result of each.
//!
//! Rule: a layer that could not be compiled or did not finish is a failure, never a silence.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::current;

/// Why the tests could not be run at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Cargo could not be started or read.
    #[error("run cargo for {layer}")]
    Cargo {
        /// The layer.
        layer: &'static str,
        /// What the system answered.
        source: std::io::Error,
    },
    /// Some tests failed.
    #[error("{failed} failed")]
    Failed {
        /// What failed.
        failed: String,
    },
}

struct Layer {
    name: &'static str,
    /// The test programs that need a cluster; none: everything that needs none.
    programs: &'static [&'static str],
    /// Which of their tests; none: all.
    only: &'static [&'static str],
    /// How many tests run at once; `None`: as many as there are processors.
    at_once: Option<&'static str>,
}

impl Layer {
    const fn all(name: &'static str, programs: &'static [&'static str]) -> Self {
        Self {
            name,
            programs,
            only: &[],
            at_once: None,
        }
    }

    /// Tests that wait most of the time need no processor each.
    const fn at_once(mut self, count: &'static str) -> Self {
        self.at_once = Some(count);
        self
    }

    /// What Cargo is told.
    fn arguments(&self) -> Vec<&'static str> {
        if self.programs.is_empty() {
            return vec!["--workspace"];
        }
        let mut arguments = vec!["-p", "e2e", "--features", "cluster"];
        arguments.extend(self.programs.iter().flat_map(|program| ["--test", program]));
        if !self.only.is_empty() || self.at_once.is_some() {
            arguments.push("--");
            arguments.extend(self.only);
        }
        if let Some(count) = self.at_once {
            arguments.extend(["--test-threads", count]);
        }
        arguments
    }
}

const WITHOUT_CLUSTER: Layer = Layer::all("without a cluster", &[]);
const LAYERS: [Layer; 9] = [
    WITHOUT_CLUSTER,
    Layer::all(
        "API server",
        &["apiserver", "authority", "chart", "install"],
    ),
    Layer::all("machine and nodes", &["machine", "nodes"]),
    Layer::all("cluster", &["cluster", "loss"]).at_once("4"),
    Layer::all("classes of faults", &["identify"]).at_once("128"),
    Layer::all("crash", &["crash"]),
    Layer::all("two operators", &["leaders"]),
    Layer::all("faults", &["faults"]).at_once("8"),
    Layer::all("lifecycle", &["lifecycle"]),
];
/// On a cluster that somebody else runs: what needs no more of it than kubectl does.
const LAYERS_OF_CURRENT: [Layer; 2] = [
    WITHOUT_CLUSTER,
    Layer {
        name: "current cluster",
        programs: &["cluster"],
        only: &["harness::", "heal::"],
        at_once: None,
    },
];

/// What came out of one layer.
struct Outcome {
    name: &'static str,
    passed: u64,
    failed: u64,
    finished: bool,
    took: Duration,
}

/// Runs all layers, prints a table, and fails when a test did.
pub fn run() -> Result<(), Error> {
    let layers: &[Layer] = if current::is_wanted() {
        &LAYERS_OF_CURRENT
    } else {
        &LAYERS
    };
    let outcomes = layers
        .iter()
        .map(run_layer)
        .collect::<Result<Vec<_>, _>>()?;
    report(&outcomes);
    let failed: Vec<&str> = outcomes
        .iter()
        .filter(|one| one.failed > 0 || !one.finished)
        .map(|one| one.name)
        .collect();
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Error::Failed {
            failed: failed.join(", "),
        })
    }
}

fn run_layer(layer: &Layer) -> Result<Outcome, Error> {
    let name = layer.name;
    let failed = |source| Error::Cargo {
        layer: name,
        source,
    };
    say(&format!("\n== Layer: {name}\n"));
    let begun = Instant::now();
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or_else(|| Path::new("."));
    let mut cargo = Command::new("cargo");
    cargo
        .current_dir(checkout)
        .args(["test", "--locked", "--no-fail-fast"])
        .args(layer.arguments());
    let mut child = cargo
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let (mut passed, mut failures) = (0, 0);
    let output = child
        .stdout
        .take()
        .into_iter()
        .flat_map(|output| BufReader::new(output).lines());
    for line in output {
        let line = line.map_err(failed)?;
        if let Some((more_passed, more_failed)) = counts(&line) {
            passed += more_passed;
            failures += more_failed;
        }
        say(&format!("{line}\n"));
    }
    let status = child.wait().map_err(failed)?;
    let finished = status.success() || failures > 0;
    Ok(Outcome {
        name,
        passed,
        failed: failures,
        finished,
        took: begun.elapsed(),
    })
}

fn report(outcomes: &[Outcome]) {
    say("\n");
    for Outcome {
        name,
        passed,
        failed,
        finished,
        took,
    } in outcomes
    {
        let note = if *finished { "" } else { ", did not finish" };
        say(&format!(
            "{name:<20} {:>7.1} s  {passed} passed, {failed} failed{note}\n",
            took.as_secs_f64()
        ));
    }
    let sum = |count: fn(&Outcome) -> u64| outcomes.iter().map(count).sum::<u64>();
    let unfinished = sum(|one| u64::from(!one.finished));
    let took: Duration = outcomes.iter().map(|one| one.took).sum();
    let (passed, failed) = (sum(|one| one.passed), sum(|one| one.failed) + unfinished);
    say(&format!(
        "{:<20} {:>7.1} s\n{passed} passed, {failed} failed\n",
        "all",
        took.as_secs_f64()
    ));
}

/// The counts in a line such as `test result: ok. 12 passed; 0 failed; 0 ignored; …`.
fn counts(line: &str) -> Option<(u64, u64)> {
    let result = line.strip_prefix("test result: ")?.split_once(". ")?.1;
    let count = |word: &str| {
        result
            .split("; ")
            .find_map(|part| part.strip_suffix(word)?.trim().parse().ok())
    };
    Some((count("passed")?, count("failed")?))
}

fn say(text: &str) {
    let mut out = std::io::stdout();
    // A reader that went away is no reason to stop testing.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_is_told_which_programs_and_which_tests() {
        let [without, current] = &LAYERS_OF_CURRENT;
        assert_eq!(without.arguments(), ["--workspace"]);
        assert_eq!(
            current.arguments().join(" "),
            "-p e2e --features cluster --test cluster -- harness:: heal::"
        );
        let waiting = Layer::all("waiting", &["faults"]).at_once("8");
        assert_eq!(
            waiting.arguments().join(" "),
            "-p e2e --features cluster --test faults -- --test-threads 8"
        );
    }

    #[test]
    fn results_are_counted() {
        let line = "test result: FAILED. 12 passed; 3 failed; 0 ignored; 0 measured; 1 filtered out; finished in 0.01s";
        assert_eq!(counts(line), Some((12, 3)));
        assert_eq!(counts("running 3 tests"), None);
    }
}
