//! Waiting until something is so.
//!
//! Rule: every wait has a deadline, and a long one tells what it sees.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::progress::say;

/// How long anything may take that is waited for, unless a benchmark says otherwise.
pub(super) const PATIENCE: Duration = Duration::from_mins(2);
const POLL: Duration = Duration::from_millis(50);
/// How often a long wait says what it sees.
const TOLD_EVERY: Duration = Duration::from_secs(30);

/// Waits until `found` finds something.
pub(super) async fn until<T>(
    within: Duration,
    what: &str,
    mut found: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let begun = Instant::now();
    loop {
        if let Some(value) = found().await? {
            return Ok(value);
        }
        if begun.elapsed() > within {
            bail!("waited for {what} for {} s", within.as_secs());
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Says something every half minute, and nothing in between.
pub(super) struct Teller {
    last: Instant,
}

impl Teller {
    /// One that has just spoken.
    pub(super) fn begin() -> Self {
        let last = Instant::now();
        Self { last }
    }

    /// Says what `seen` gives, when it is time.
    pub(super) fn tell(&mut self, seen: impl FnOnce() -> String) {
        if self.last.elapsed() >= TOLD_EVERY {
            say(seen());
            self.last = Instant::now();
        }
    }
}
