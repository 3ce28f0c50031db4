//! Tells early that a Lease has another holder, so that nobody waits for the next look.
//!
//! Rule: a hint decides nothing and may be missed; whoever hears it reads the Lease.

use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::WatchParams;
use kube::core::WatchEvent;
use tokio::sync::Notify;

use super::lease::holder;

/// How long the API server keeps the watch open, and how much later than that its end may come.
const WATCH_SECONDS: u32 = 30;
const MARGIN: Duration = Duration::from_secs(5);
/// How long after a watch has ended, or failed, the next one begins.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(10);

/// Rings the bell whenever the Lease gets another holder, for ever.
pub(super) async fn ring(api: Api<Lease>, name: String, bell: Arc<Notify>) {
    let mut last = None;
    loop {
        let limit = Duration::from_secs(u64::from(WATCH_SECONDS)) + MARGIN;
        let followed = tokio::time::timeout(limit, follow(&api, &name, &bell, &mut last)).await;
        let pause = match followed {
            Ok(Ok(())) => PAUSE,
            Ok(Err(_)) | Err(_) => PAUSE_AFTER_FAILURE,
        };
        tokio::time::sleep(pause).await;
    }
}

async fn follow(
    api: &Api<Lease>,
    name: &str,
    bell: &Notify,
    last: &mut Option<String>,
) -> Result<(), kube::Error> {
    let params = WatchParams::default()
        .fields(&format!("metadata.name={name}"))
        .timeout(WATCH_SECONDS);
    let events = api.watch(&params, "0").await?;
    futures::pin_mut!(events);
    while let Some(event) = events.try_next().await? {
        let now = match event {
            WatchEvent::Added(lease) | WatchEvent::Modified(lease) => holder(&lease).to_owned(),
            WatchEvent::Deleted(_) => String::new(),
            WatchEvent::Bookmark(_) => continue,
            WatchEvent::Error(_) => return Ok(()),
        };
        if last.as_ref() != Some(&now) {
            *last = Some(now);
            bell.notify_one();
        }
    }
    Ok(())
}
