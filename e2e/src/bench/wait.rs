//! Waiting until something is so.
//!
//! Rule: every wait has a deadline.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long anything may take that is waited for, unless a benchmark says otherwise.
pub(super) const PATIENCE: Duration = Duration::from_mins(2);
const POLL: Duration = Duration::from_millis(50);

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
