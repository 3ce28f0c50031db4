//! What lies between an operator and the API server: requests, answers, watches, and all that happens to them.
//!
//! Rule: what an operator that has died had asked for is never answered; the rest is as the plan says.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body as Stream;
use axum::http;
use futures::StreamExt;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::kind::{Call, Kind, Verb};
use super::plan::{Blow, HELD_AT_MOST, Mistake};
use super::server::{Actor, Answer, Change, Refusal, code_of, selects};
use super::world::Shared;
use crate::controller::throttle;

/// How long a request and an answer take, each.
const WAY: Duration = Duration::from_millis(2);
/// How much later than a change its news are told, at least.
const NEWS: Duration = Duration::from_millis(1);

/// The connection of one operator.
#[derive(Clone)]
pub(super) struct Link {
    shared: Shared,
    operator: usize,
    dead: Arc<AtomicBool>,
}

type Response = http::Response<Stream>;

impl Link {
    pub(super) fn new(shared: Shared, operator: usize) -> Self {
        Self {
            shared,
            operator,
            dead: Arc::default(),
        }
    }

    /// From now on nothing goes through.
    pub(super) fn cut(&self) {
        self.dead.store(true, Ordering::Relaxed);
    }

    /// A client over this connection.
    pub(super) fn client(&self) -> Client {
        let link = self.clone();
        let service = tower::service_fn(move |request| {
            let link = link.clone();
            // As in the client that goes over a network.
            async move { throttle::keep(link.serve(request).await).await }
        });
        Client::new(service, "default")
    }

    fn makes_pod_in_rollout(&self, call: &Call) -> bool {
        let shared = self.shared.lock();
        let mut trees = shared.server.all(Kind::Tree);
        call.verb == Verb::Create
            && call.kind == Kind::Pod
            && trees.any(|(_, tree)| !tree["status"]["rollout"].is_null())
    }

    async fn serve(self, request: http::Request<Body>) -> Response {
        let (parts, body) = request.into_parts();
        let bytes = body.collect_bytes().await.unwrap_or_default();
        let body = serde_json::from_slice(&bytes).unwrap_or_default();
        let target = parts
            .uri
            .path_and_query()
            .map_or("", http::uri::PathAndQuery::as_str);
        let mut call = Call::parse(&parts.method, target, body)
            .unwrap_or_else(|| panic!("the simulation has no path {target}"));
        self.mistake(&mut call);
        self.alive(tokio::time::sleep(WAY)).await;
        let blow = self.shared.lock().next_blow(self.operator, &call);
        // To refuse what is only tried says something about a template, as it does to refuse a Pod while one is rolled out, and
        // then the tree ends otherwise.
        let blow = match blow {
            Some(Blow::Fails(_) | Blow::FailsAfter(_)) if call.query("dryRun").is_some() => {
                Some(Blow::Fails(503))
            }
            Some(Blow::Fails(403 | 422)) if self.makes_pod_in_rollout(&call) => {
                Some(Blow::Fails(503))
            }
            blow => blow,
        };
        let before = match blow {
            Some(Blow::CrashBefore) => self.die().await,
            Some(Blow::Fails(code)) => Some(failure(code)),
            Some(Blow::Hangs) => std::future::pending().await,
            Some(Blow::Delayed(seconds)) if call.verb == Verb::Watch => {
                self.alive(tokio::time::sleep(Duration::from_secs(seconds)))
                    .await;
                None
            }
            Some(Blow::Delayed(seconds)) => return self.delayed(call, seconds).await,
            _ => None,
        };
        if let Some(refusal) = before {
            self.alive(tokio::time::sleep(WAY)).await;
            return answer(&call, &Err(refusal));
        }
        if call.verb == Verb::Watch {
            return self.watch(call);
        }
        let mut result = self.shared.call(&Actor::Operator(self.operator), &call);
        match blow {
            Some(Blow::CrashAfter) => self.die().await,
            Some(Blow::FailsAfter(code)) => result = Err(failure(code)),
            Some(Blow::HangsAfter) => std::future::pending().await,
            Some(Blow::Late(seconds)) => {
                self.alive(tokio::time::sleep(Duration::from_secs(seconds)))
                    .await;
            }
            _ => {}
        }
        if self.is_mistaken(Mistake::BelieveEmptyStore)
            && call.verb == Verb::List
            && call.kind == Kind::Pod
            && let Ok(list) = &mut result
        {
            list["items"] = json!([]);
        }
        self.alive(tokio::time::sleep(WAY)).await;
        answer(&call, &result)
    }

    /// Makes a request after a while, whether or not anybody still waits for the answer; even when the operator has died.
    async fn delayed(self, call: Call, seconds: u64) -> Response {
        let (shared, actor, late) = (
            self.shared.clone(),
            Actor::Operator(self.operator),
            call.clone(),
        );
        let on_its_way = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            shared.call(&actor, &late)
        });
        let result = on_its_way.await.expect("a request does not panic");
        self.alive(tokio::time::sleep(WAY)).await;
        answer(&call, &result)
    }

    async fn die<T>(&self) -> T {
        self.cut();
        self.shared.crash(self.operator);
        std::future::pending().await
    }

    /// Goes on only while the operator lives.
    async fn alive(&self, wait: impl Future<Output = ()>) {
        wait.await;
        if self.dead.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    }

    fn is_mistaken(&self, mistake: Mistake) -> bool {
        self.shared.lock().plan.mistake == Some(mistake)
    }

    /// Makes the mistakes that show in what goes over the wire.
    fn mistake(&self, call: &mut Call) {
        if call.verb == Verb::Delete && self.is_mistaken(Mistake::NoUidPrecondition) {
            drop(
                call.body
                    .as_object_mut()
                    .map(|body| body.remove("preconditions")),
            );
        }
        if call.verb == Verb::Patch && self.is_mistaken(Mistake::OverwriteNewer) {
            drop(
                call.body["metadata"]
                    .as_object_mut()
                    .map(|meta| meta.remove("resourceVersion")),
            );
        }
    }

    fn watch(self, call: Call) -> Response {
        let from: u64 = call
            .query("resourceVersion")
            .and_then(|v| v.parse().ok())
            .unwrap_or(0);
        let seconds: u64 = call
            .query("timeoutSeconds")
            .and_then(|s| s.parse().ok())
            .unwrap_or(300);
        let next = {
            let world = self.shared.lock();
            if from < world.server.compacted {
                return answer(&call, &Err(Refusal::expired()));
            }
            world
                .server
                .changes
                .partition_point(|change| change.version <= from)
        };
        let until = Instant::now() + Duration::from_secs(seconds);
        let watching = Watching {
            link: self,
            call,
            next,
            told: from,
            until,
            untold: 0,
            over: false,
        };
        let lines = futures::stream::unfold(watching, |mut watching| async {
            let line = watching.line().await?;
            Some((
                Ok::<_, std::convert::Infallible>(line.to_string() + "\n"),
                watching,
            ))
        });
        http::Response::new(Stream::from_stream(lines.boxed()))
    }
}

/// A watch that is open.
struct Watching {
    link: Link,
    call: Call,
    /// Number of the next change.
    next: usize,
    /// The version up to which all has been told.
    told: u64,
    until: Instant,
    /// How many changes were told since the last bookmark.
    untold: usize,
    over: bool,
}

/// After how many changes a watch says how far it has got, when it does so in between.
const BOOKMARK_EVERY: usize = 3;

impl Watching {
    /// The next event, when there is one. `None` ends the watch.
    async fn line(&mut self) -> Option<Value> {
        let mut bell = self.link.shared.listen();
        loop {
            if self.over {
                return None;
            }
            self.link.alive(std::future::ready(())).await;
            if self.untold >= BOOKMARK_EVERY && self.sends_bookmarks() {
                return Some(self.bookmark());
            }
            let wait = match self.look() {
                Look::Event(event) => {
                    self.untold += 1;
                    return Some(event);
                }
                Look::End => return None,
                Look::Wait(wait) => wait,
            };
            let now = Instant::now();
            if now >= self.until {
                // As the API server does, right before it ends a watch.
                self.over = true;
                return Some(self.bookmark());
            }
            let end = wait.map_or(self.until, |wait| (now + wait).min(self.until));
            tokio::select! {
                biased;
                changed = bell.changed() => changed.ok()?,
                () = tokio::time::sleep_until(end) => {}
            }
        }
    }

    fn sends_bookmarks(&self) -> bool {
        let wanted = self.call.query("allowWatchBookmarks") == Some("true");
        wanted && self.link.shared.lock().plan.bookmarks
    }

    fn bookmark(&mut self) -> Value {
        self.untold = 0;
        let version = self.told.to_string();
        json!({"type": "BOOKMARK", "object": {"kind": self.call.kind.name(),
            "apiVersion": self.call.kind.api_version(), "metadata": {"resourceVersion": version}}})
    }

    fn look(&mut self) -> Look {
        let mut world = self.link.shared.lock();
        let world = &mut *world;
        let (server, plan) = (&world.server, &world.plan);
        while let Some(change) = server.changes.get(self.next) {
            let (kind, namespace, _) = &change.address;
            let in_scope = self.call.namespace.is_empty() || *namespace == self.call.namespace;
            let number = self.next;
            // Only what is told itself can tell of what came before it.
            let is_told = |later: &Change| {
                let mut sides = later.before.iter().chain(&later.after);
                sides.any(|object| selects(&self.call, object))
            };
            let overwritten = || {
                server.changes[number + 1..]
                    .iter()
                    .any(|later| later.address == change.address && is_told(later))
            };
            let is_dropped = plan.dropped.contains(&number);
            if *kind != self.call.kind || !in_scope || is_dropped && overwritten() {
                self.next += 1;
                self.told = change.version;
                continue;
            }
            let age = Duration::try_from(server.now.duration_since(change.at)).unwrap_or_default();
            let mut delay = NEWS + plan.lag_of(self.link.operator, *kind);
            if let Some(held) = plan.held.iter().find(|held| held.change == number) {
                let later = server.changes[number + 1..]
                    .iter()
                    .filter(|later| later.address.0 == *kind);
                if later.count() < held.versions {
                    delay = HELD_AT_MOST;
                }
            }
            if is_dropped {
                delay = HELD_AT_MOST;
            }
            if age < delay {
                return Look::Wait(Some(delay.saturating_sub(age)));
            }
            let (cut, expired) = (plan.cuts.contains(&number), plan.errors.contains(&number));
            if (cut || expired) && world.failed_watches.insert((self.link.operator, number)) {
                if cut {
                    return Look::End;
                }
                self.over = true;
                return Look::Event(
                    json!({"type": "ERROR", "object": Refusal::expired().status()}),
                );
            }
            let call = &self.call;
            let was = change
                .before
                .as_ref()
                .filter(|object| selects(call, object));
            let is = change.after.as_ref().filter(|object| selects(call, object));
            let event = match (was, is) {
                (None, Some(object)) => Some(("ADDED", (**object).clone())),
                (Some(_), Some(object)) => Some(("MODIFIED", (**object).clone())),
                (Some(object), None) => {
                    let mut last = (**object).clone();
                    last["metadata"]["resourceVersion"] = change.version.to_string().into();
                    Some(("DELETED", last))
                }
                (None, None) => None,
            };
            let again = plan.repeated.contains(&number) && self.told != change.version;
            self.told = change.version;
            if !again {
                self.next += 1;
            }
            if let Some((type_, object)) = event {
                return Look::Event(json!({"type": type_, "object": object}));
            }
        }
        Look::Wait(None)
    }
}

enum Look {
    Event(Value),
    /// The connection is gone.
    End,
    Wait(Option<Duration>),
}

fn failure(code: u16) -> Refusal {
    let reason = match code {
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        410 => "Expired",
        422 => "Invalid",
        429 => "TooManyRequests",
        500 => "InternalError",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "Unknown",
    };
    Refusal::new(code, reason, format!("on purpose ({code})"))
}

fn answer(call: &Call, result: &Answer) -> Response {
    let code = code_of(call, result);
    let body = match result {
        Ok(object) => object.to_string(),
        Err(refusal) => refusal.status().to_string(),
    };
    let mut response = http::Response::builder().status(code);
    if code == 429 {
        response = response.header("Retry-After", "1");
    }
    response
        .body(Stream::from(body))
        .expect("a response can be built")
}
