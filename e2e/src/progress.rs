//! Progress on standard error: one line as each step begins and ends, with the time since the program started.
//!
//! Rule: a step that takes long is always announced before it begins, so that nobody watches a silent terminal.

use std::io::Write;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

fn begun() -> Instant {
    static BEGUN: OnceLock<Instant> = OnceLock::new();
    *BEGUN.get_or_init(Instant::now)
}

/// Says one thing, with the elapsed time in front.
pub fn say(message: impl AsRef<str>) {
    let elapsed = begun().elapsed().as_secs_f64();
    // A closed standard error is no reason to fail.
    let _ = writeln!(std::io::stderr(), "[{elapsed:7.1} s] {}", message.as_ref());
}

/// A step that has begun; it reports its own duration when it is done.
#[derive(Debug)]
pub struct Step {
    what: String,
    begun: Instant,
}

impl Step {
    /// Announces the step `what`.
    pub fn begin(what: impl Into<String>) -> Self {
        let what = what.into();
        say(format!("{what} …"));
        Self {
            what,
            begun: Instant::now(),
        }
    }

    /// Reports that the step is done, and how long it took.
    pub fn done(self) -> Duration {
        let took = self.begun.elapsed();
        say(format!(
            "{}: done in {:.1} s",
            self.what,
            took.as_secs_f64()
        ));
        took
    }
}
