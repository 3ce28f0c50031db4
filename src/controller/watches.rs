//! One watch per kind and namespace, each on its own feet.
//!
//! Rule: a watch that fails waits, retries and reports by itself; no other watch notices. A list or an
//! event becomes knowledge only here and in the answers to our own requests.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::http::header::{ACCEPT, HeaderValue};
use futures::TryStreamExt;
use kube::api::{Api, ListParams, WatchParams};
use kube::core::{ObjectList, Request, WatchEvent};
use kube::{Client, Resource};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::driver::Wake;
use super::error::{Error, bounded, chain};
use super::kinds::{
    ClaimEvents, Claims, ConfigMaps, DisruptionBudgets, Kind, Need, NodeEvents, Nodes, PodEvents,
    Pods, Quotas, Revisions, Trees, Workers,
};
use super::store::{ObjectKey, Source, Version};
use super::views::{Listing, SharedViews};
use super::wire::protobuf::Read;
use crate::runtime::metrics::ApiMetrics;

mod events;
mod scope;
mod trouble;

pub(super) use scope::Scoped;
pub(super) use trouble::Troubles;

/// How long the API server keeps one watch open. Its end is the only word that is certain to come: a kind may have no
/// events, and bookmarks come when the API server likes. So it is short: a connection that is dead without anybody
/// saying so is found when the end is overdue, and no view is older than that without our knowing.
const WATCH_SECONDS: u32 = 20;
/// How much later than that the end may come.
const MARGIN: Duration = Duration::from_secs(4);
/// A watch that lasted this long worked, however it ended.
const PROVEN: Duration = Duration::from_secs(15);
/// How many objects are listed at once.
const PAGE: u32 = 250;
/// The first and the longest delay before a watch that failed is begun again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));
/// The longest delay of what only makes answers better: an API server that comes back has enough to do.
const PATIENT_BACKOFF: Duration = Duration::from_secs(20);
/// How often it is looked whether the kind has been listed that another one waits for.
const ORDER_INTERVAL: Duration = Duration::from_millis(20);
/// How long decisions wait for the first list of what is only hoped for, all its pages together.
const HOPED_FOR: Duration = Duration::from_secs(5);
/// How long after a refusal what can be done without is asked for again. Mostly only an administrator can change that, but an API
/// server that has just started refuses everybody for a moment.
const FORBIDDEN_RETRY: Duration = Duration::from_secs(30);

/// What every watch needs.
#[derive(Clone)]
pub(super) struct Surroundings {
    pub(super) client: Client,
    pub(super) views: SharedViews,
    pub(super) wake: Wake,
    pub(super) metrics: ApiMetrics,
    pub(super) troubles: Troubles,
    /// Whether `ConfigMaps` are watched.
    pub(super) config_maps: bool,
}

/// Starts every watch: trees, Workers, Pods, Events and what Pods wait for of these namespaces (all, when none is named),
/// nodes, and what is told of nodes where everything may be watched.
/// They run until the set is dropped.
pub(super) fn start(surroundings: &Surroundings, namespaces: &[String]) -> JoinSet<()> {
    let mut watches = JoinSet::new();
    let scopes = match namespaces {
        [] => vec![None],
        some => some.iter().cloned().map(Some).collect(),
    };
    for scope in scopes {
        spawn::<Trees>(&mut watches, surroundings, scope.clone());
        spawn::<Workers>(&mut watches, surroundings, scope.clone());
        spawn::<Revisions>(&mut watches, surroundings, scope.clone());
        spawn::<DisruptionBudgets>(&mut watches, surroundings, scope.clone());
        spawn::<Pods>(&mut watches, surroundings, scope.clone());
        spawn::<PodEvents>(&mut watches, surroundings, scope.clone());
        spawn::<ClaimEvents>(&mut watches, surroundings, scope.clone());
        spawn::<Claims>(&mut watches, surroundings, scope.clone());
        spawn::<Quotas>(&mut watches, surroundings, scope.clone());
        if surroundings.config_maps {
            spawn::<ConfigMaps>(&mut watches, surroundings, scope);
        }
    }
    spawn::<Nodes>(&mut watches, surroundings, None);
    if namespaces.is_empty() {
        spawn::<NodeEvents>(&mut watches, surroundings, None);
    } else {
        // They are in a namespace that is not ours.
        surroundings.views.lock().forgo::<NodeEvents>(None);
    }
    watches
}

fn spawn<K: Kind>(watches: &mut JoinSet<()>, surroundings: &Surroundings, scope: Option<String>)
where
    <K::Wire as Resource>::Scope: Scoped<K::Wire>,
{
    surroundings.troubles.begin(K::NAME, scope.as_deref());
    let api = <K::Wire as Resource>::Scope::api(surroundings.client.clone(), scope.as_deref());
    let watch = Watch::<K> {
        api,
        scope,
        around: surroundings.clone(),
        protobuf: K::PROTOBUF,
    };
    watches.spawn(watch.run());
}

struct Watch<K: Kind> {
    api: Api<K::Wire>,
    scope: Option<String>,
    around: Surroundings,
    /// How its objects are read from protobuf, as long as all that came so could be read.
    protobuf: Option<Read<K::Wire>>,
}

/// Where the next watch begins: after this version, or with a list.
type Resume = Option<String>;

impl<K: Kind> Watch<K> {
    async fn run(mut self) {
        let mut resume: Resume = None;
        let mut delay = BACKOFF.0;
        self.wait_for_its_turn().await;
        loop {
            let begun = Instant::now();
            let follows = resume.is_some();
            let result = match resume.take() {
                None => {
                    let listed = self.list_in_time().await;
                    listed.map(Some).map_err(|error| (error, None))
                }
                Some(version) => self.follow_for_a_while(version).await,
            };
            match result {
                Ok(next) => {
                    resume = next;
                    // A list that works is no sign that the watch will: what may be listed may not be watched.
                    if follows {
                        delay = BACKOFF.0;
                    }
                }
                Err((error, next)) => {
                    self.around.metrics.watch_error(K::NAME);
                    if error.is_unreadable() && self.protobuf.take().is_some() {
                        // Whoever makes a Pod may write into it what only JSON can tell of: text that is none.
                        tracing::warn!(
                            kind = K::NAME,
                            "what came cannot be read; going on in JSON"
                        );
                    }
                    if let Some(pause) = self.does_without(&error) {
                        tokio::time::sleep(pause).await;
                        continue;
                    }
                    if K::NEED == Need::Hoped {
                        self.around
                            .troubles
                            .tolerated(K::NAME, self.scope.as_deref());
                    } else {
                        self.failed(&error);
                    }
                    if begun.elapsed() > PROVEN {
                        delay = BACKOFF.0;
                    }
                    // After two failures in a row only a list can tell what happened meanwhile.
                    resume = next.filter(|_| delay == BACKOFF.0);
                    tokio::time::sleep(delay.max(error.retry_after().unwrap_or_default())).await;
                    delay = (delay * 2).min(longest_delay::<K>());
                }
            }
        }
    }

    /// Takes in that the watch failed, and tells the trees when it is refused for long.
    fn failed(&self, error: &Error) {
        let scope = self.scope.as_deref();
        if let Some(reason) = self.around.troubles.failed(K::NAME, scope, error) {
            let woken = self.around.views.lock().unsee::<K>(scope, Some(reason));
            self.wake(woken);
        }
    }

    /// Whether there was a complete list once.
    fn is_listed(&self) -> bool {
        let views = self.around.views.lock();
        views.has_listed(K::NAME, self.scope.as_deref())
    }

    /// Waits until what says which objects of this kind are kept has been listed.
    async fn wait_for_its_turn(&self) {
        let Some(earlier) = K::AFTER else {
            return;
        };
        let scope = self.scope.as_deref();
        while !self.around.views.lock().has_listed(earlier, scope) {
            tokio::time::sleep(ORDER_INTERVAL).await;
        }
    }

    /// Whether the process does without this watch after such a failure: how long until it is listed again.
    fn does_without(&self, error: &Error) -> Option<Duration> {
        let pause = match K::NEED {
            Need::WhereAllowed | Need::Hoped if error.is_forbidden() => FORBIDDEN_RETRY,
            // What was listed once is followed like everything else.
            Need::Hoped if !self.is_listed() => {
                error.retry_after().unwrap_or_default().max(BACKOFF.1)
            }
            _ => return None,
        };
        self.forgo(&chain(error));
        Some(pause)
    }

    /// The process does without this watch for now.
    fn forgo(&self, reason: &str) {
        let scope = self.scope.as_deref();
        if self.around.troubles.tolerated(K::NAME, scope) {
            tracing::info!(
                kind = K::NAME,
                namespace = scope,
                reason,
                "done without: {}",
                K::WITHOUT
            );
        }
        let woken = self.around.views.lock().forgo::<K>(scope);
        self.wake(woken);
    }

    /// Lists everything. What is only hoped for is done without when that takes long, until the list has come.
    async fn list_in_time(&self) -> Result<String, Error> {
        let list = self.list();
        futures::pin_mut!(list);
        if K::NEED == Need::Hoped && !self.is_listed() {
            match tokio::time::timeout(HOPED_FOR, &mut list).await {
                Ok(listed) => return listed,
                Err(_) => self.forgo("the first list takes long"),
            }
        }
        list.await
    }

    /// Lists everything, page by page, and believes it in one step.
    async fn list(&self) -> Result<String, Error> {
        let mut params = ListParams::default()
            .labels(K::SELECTOR)
            .fields(K::FIELDS)
            .limit(PAGE);
        let mut listing = Listing::<K>::default();
        loop {
            let page = bounded("list", K::NAME, "", self.page(&params)).await?;
            listing.add(&self.around.views, page.items);
            params.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
            if params.continue_token.is_none() {
                let version = page.metadata.resource_version.unwrap_or_default();
                let objects = listing.objects();
                let count = objects.len();
                let scope = self.scope.as_deref();
                let woken = self
                    .around
                    .views
                    .lock()
                    .replace::<K>(scope, &version, objects);
                self.wake(woken);
                self.around.troubles.listed(K::NAME, scope);
                tracing::debug!(kind = K::NAME, namespace = scope, count, "listed");
                return Ok(version);
            }
        }
    }

    /// One page of a list.
    async fn page(&self, params: &ListParams) -> Result<ObjectList<K::Wire>, kube::Error> {
        let Some([accepted, _]) = K::ACCEPT else {
            return self.api.list(params).await;
        };
        let request = Request::new(self.api.resource_url()).list(params);
        let mut request = request.map_err(kube::Error::BuildRequest)?;
        let accepted = HeaderValue::from_static(accepted);
        request.headers_mut().insert(ACCEPT, accepted);
        self.around.client.request(request).await
    }

    /// Follows, and takes a breath when the watch was over at once, as when an API server shuts down.
    async fn follow_for_a_while(&self, version: String) -> Result<Resume, (Error, Resume)> {
        let earliest = Instant::now() + BACKOFF.0;
        let result = self.follow(version).await;
        tokio::time::sleep_until(earliest).await;
        result
    }

    /// Follows the changes after a version until the watch ends, as it does three times a minute.
    async fn follow(&self, mut version: String) -> Result<Resume, (Error, Resume)> {
        let params = WatchParams::default()
            .labels(K::SELECTOR)
            .fields(K::FIELDS)
            .timeout(WATCH_SECONDS);
        let begun = bounded(
            "watch",
            K::NAME,
            "",
            events::events(&self.api, &params, &version, self.protobuf, K::ACCEPT),
        )
        .await;
        let events = begun.map_err(|error| resumable(error, &version))?;
        self.around.troubles.works(K::NAME, self.scope.as_deref());
        let woken = {
            let mut views = self.around.views.lock();
            K::store(&mut views).sweep();
            views.unsee::<K>(self.scope.as_deref(), None)
        };
        self.wake(woken);
        futures::pin_mut!(events);
        let overdue = Instant::now() + Duration::from_secs(u64::from(WATCH_SECONDS)) + MARGIN;
        loop {
            let Ok(next) = tokio::time::timeout_at(overdue, events.try_next()).await else {
                let error = Error::Timeout {
                    verb: "watch",
                    kind: K::NAME,
                    object: String::new(),
                };
                return Err((error, Some(version)));
            };
            match next
                .map_err(|source| resumable(Error::api("watch", K::NAME, "", source), &version))?
            {
                None => {
                    self.around.troubles.works(K::NAME, self.scope.as_deref());
                    return Ok(Some(version));
                }
                Some(WatchEvent::Error(status)) => {
                    let source = kube::Error::Api(status);
                    return Err(resumable(
                        Error::api("watch", K::NAME, "", source),
                        &version,
                    ));
                }
                Some(WatchEvent::Bookmark(bookmark)) => {
                    version = bookmark.metadata.resource_version;
                    let scope = self.scope.as_deref();
                    let seen = Version::parse(&version);
                    let woken = self.around.views.lock().advance::<K>(scope, seen);
                    self.wake(woken);
                }
                Some(WatchEvent::Added(object) | WatchEvent::Modified(object)) => {
                    version = version_of(&object).unwrap_or(version);
                    let scope = self.scope.as_deref();
                    let woken = self
                        .around
                        .views
                        .lock()
                        .put::<K>(object, Source::Watch, scope);
                    self.wake(woken);
                }
                Some(WatchEvent::Deleted(object)) => {
                    version = version_of(&object).unwrap_or(version);
                    let scope = self.scope.as_deref();
                    let woken = self.around.views.lock().remove::<K>(&object, scope);
                    self.wake(woken);
                }
            }
        }
    }

    /// Wakes the trees that what was taken in concerns, and counts what was not taken in.
    fn wake(&self, trees: BTreeSet<ObjectKey>) {
        let unbelieved = self.around.views.lock().take_unbelieved::<K>();
        let metrics = &self.around.metrics;
        metrics.not_believed(K::NAME, "watch", unbelieved.by_watch);
        metrics.not_believed(K::NAME, "list", unbelieved.by_list);
        for tree in trees {
            self.around.wake.wake(tree);
        }
    }
}

fn longest_delay<K: Kind>() -> Duration {
    match K::NEED {
        Need::Always | Need::WhereAllowed => BACKOFF.1,
        Need::Hoped => PATIENT_BACKOFF,
    }
}

/// Where to go on after that error: not at a version that the API server no longer has.
fn resumable(error: Error, version: &str) -> (Error, Resume) {
    let resume = (!error.is_gone()).then(|| version.to_owned());
    (error, resume)
}

fn version_of<W: Resource>(object: &W) -> Option<String> {
    object.meta().resource_version.clone()
}

#[cfg(test)]
mod tests;
