//! Candidates over an API server that knows one Lease, in virtual time.
//!
//! Rule: what is asserted is what the rest of the process sees: [`Leadership`], the Lease, readiness and metrics.

use std::sync::Mutex;

use axum::http;
use kube::client::Body;
use serde_json::{Value, json};

use super::super::{Term, Timing};
use super::*;
use crate::runtime::health::Health;
use crate::runtime::metrics::Metrics;

/// What the API server does with requests.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mood {
    Serves,
    Forbids,
    IsSilent,
}

struct Server {
    mood: Mood,
    lease: Option<Value>,
    version: u64,
    requests: u64,
    /// Every spec that was stored.
    history: Vec<Value>,
    /// Those who wait for an answer that may never come; a watch is answered by the next change by hand.
    unanswered: Vec<Respond>,
    watchers: Vec<Respond>,
}

type Shared = Arc<Mutex<Server>>;
type Respond = tower_test::mock::SendResponse<http::Response<Body>>;

fn server() -> (Client, Shared) {
    let server = Arc::new(Mutex::new(Server {
        mood: Mood::Serves,
        lease: None,
        version: 0,
        requests: 0,
        history: Vec::new(),
        unanswered: Vec::new(),
        watchers: Vec::new(),
    }));
    let (service, mut handle) =
        tower_test::mock::pair::<http::Request<Body>, http::Response<Body>>();
    let shared = Arc::clone(&server);
    tokio::spawn(async move {
        while let Some((request, respond)) = handle.next_request().await {
            let (parts, body) = request.into_parts();
            let body = body.collect_bytes().await.unwrap();
            let body = serde_json::from_slice(&body).unwrap_or_default();
            let mut server = shared.lock().unwrap();
            if parts.uri.query().unwrap_or_default().contains("watch") {
                server.watchers.push(respond);
                continue;
            }
            match server.answer(parts.method.as_str(), body) {
                Some((code, body)) => send(respond, code, &body),
                // Dropped, it would fail at once.
                None => server.unanswered.push(respond),
            }
        }
    });
    (Client::new(service, "ns"), server)
}

fn send(respond: Respond, code: u16, body: &Value) {
    let response = http::Response::builder().status(code);
    let body = Body::from(body.to_string().into_bytes());
    respond.send_response(response.body(body).unwrap());
}

impl Server {
    fn answer(&mut self, method: &str, body: Value) -> Option<(u16, Value)> {
        self.requests += 1;
        match self.mood {
            Mood::Serves => {}
            Mood::Forbids => return Some(status(403, "Forbidden")),
            Mood::IsSilent => return None,
        }
        let stored = self
            .lease
            .as_ref()
            .map(|lease| lease["metadata"]["resourceVersion"].clone());
        match (method, stored) {
            ("GET" | "PUT", None) => Some(status(404, "NotFound")),
            ("GET", Some(_)) => Some((200, self.lease.clone().unwrap())),
            ("POST", Some(_)) => Some(status(409, "AlreadyExists")),
            ("PUT", Some(version)) if body["metadata"]["resourceVersion"] != version => {
                Some(status(409, "Conflict"))
            }
            _ => Some((200, self.store(body))),
        }
    }

    fn store(&mut self, mut lease: Value) -> Value {
        self.version += 1;
        lease["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.history.push(lease["spec"].clone());
        self.lease = Some(lease.clone());
        lease
    }

    fn overwrite(&mut self, holder: &str) {
        let mut lease = self.lease.clone().unwrap();
        lease["spec"]["holderIdentity"] = holder.into();
        let stored = self.store(lease);
        for watcher in self.watchers.drain(..) {
            send(watcher, 200, &json!({"type": "MODIFIED", "object": stored}));
        }
    }

    fn spec(&self) -> Value {
        self.lease.as_ref().unwrap()["spec"].clone()
    }
}

fn status(code: u16, reason: &str) -> (u16, Value) {
    let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason,
        "message": reason});
    (code, body)
}

struct Candidate {
    leadership: Leadership,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
    health: Health,
    metrics: Metrics,
}

impl Candidate {
    fn start(client: &Client, identity: &str) -> Self {
        let settings = LeaderElection {
            namespace: "ns".to_owned(),
            name: "l".to_owned(),
            identity: identity.to_owned(),
            timing: Timing::default(),
        };
        let clock: Clock = Arc::new(|| "2026-01-01T00:00:00Z".parse().unwrap());
        let health = Health::new(Duration::from_mins(1));
        let metrics = Metrics::new("test");
        let (elector, leadership) = Elector::new(
            settings,
            client.clone(),
            clock,
            metrics.leader.clone(),
            health.component("election"),
        );
        let stop = CancellationToken::new();
        let task = tokio::spawn(elector.run(stop.clone()));
        Self {
            leadership,
            stop,
            task,
            health,
            metrics,
        }
    }

    async fn leads(&mut self, last: Option<Term>) -> (Term, Duration) {
        let begun = Instant::now();
        (self.leadership.next_term(last).await, begun.elapsed())
    }

    fn trouble(&self) -> Option<String> {
        self.health.components().remove(0).trouble
    }

    #[track_caller]
    fn assert_metric(&self, line: &str) {
        let text = self.metrics.render().unwrap();
        assert!(text.lines().any(|one| one == line), "no {line} in {text}");
    }
}

async fn seconds(number: u64) {
    tokio::time::sleep(Duration::from_secs(number)).await;
}

#[tokio::test(start_paused = true)]
async fn one_leads_and_renews_and_the_other_stands_by() {
    let (client, server) = server();
    let mut first = Candidate::start(&client, "a");
    let (term, _) = first.leads(None).await;
    let second = Candidate::start(&client, "b");
    let before = server.lock().unwrap().version;
    seconds(60).await;
    assert!(first.leadership.holds(term), "one term, without a gap");
    assert_eq!(second.leadership.term(), None);
    let renewals = server.lock().unwrap().version - before;
    assert!((59..=60).contains(&renewals), "{renewals}");
    assert_eq!(
        server.lock().unwrap().spec(),
        json!({"holderIdentity": "a", "leaseDurationSeconds": 6, "leaseTransitions": 0,
            "acquireTime": "2026-01-01T00:00:00.000000Z", "renewTime": "2026-01-01T00:00:00.000000Z"})
    );
    assert_eq!((first.trouble(), second.trouble()), (None, None));
    first.assert_metric(r#"leader_election_master_status{name="coppice"} 1"#);
    first.assert_metric(r#"coppice_leadership_changes_total{change="acquired"} 1"#);
    second.assert_metric(r#"leader_election_master_status{name="coppice"} 0"#);
}

#[tokio::test(start_paused = true)]
async fn whoever_stops_gives_the_lease_back_and_the_other_takes_it() {
    let (client, server) = server();
    let mut first = Candidate::start(&client, "a");
    first.leads(None).await;
    let mut second = Candidate::start(&client, "b");
    seconds(10).await;
    first.stop.cancel();
    first.task.await.unwrap();
    assert_eq!(first.leadership.term(), None);
    let is_free = |spec: &Value| spec["holderIdentity"] == "" && spec["leaseDurationSeconds"] == 1;
    assert!(server.lock().unwrap().history.iter().any(is_free));
    let (_, took) = second.leads(None).await;
    assert!(took <= Duration::from_secs(1), "{took:?}");
    assert_eq!(server.lock().unwrap().spec()["leaseTransitions"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_hint_saves_the_wait() {
    let (client, server) = server();
    server.lock().unwrap().store(
        json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "l"}, "spec": {"holderIdentity": "a"}}),
    );
    let mut one = Candidate::start(&client, "b");
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    server.lock().unwrap().overwrite("");
    let (_, took) = one.leads(None).await;
    assert!(took < Duration::from_millis(500), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn the_other_takes_over_from_one_that_died() {
    let (client, _server) = server();
    let mut first = Candidate::start(&client, "a");
    first.leads(None).await;
    let mut second = Candidate::start(&client, "b");
    tokio::time::sleep(Duration::from_millis(10_500)).await;
    first.task.abort();
    let (_, took) = second.leads(None).await;
    assert!(
        took > Duration::from_secs(5) && took <= Duration::from_secs(7),
        "{took:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_overwritten_stands_by_and_comes_back() {
    let (client, server) = server();
    let mut one = Candidate::start(&client, "a");
    let (term, _) = one.leads(None).await;
    seconds(3).await;
    server.lock().unwrap().overwrite("somebody");
    seconds(2).await;
    assert_eq!(one.leadership.term(), None);
    one.assert_metric(r#"coppice_leadership_changes_total{change="lost"} 1"#);
    let (next, took) = one.leads(Some(term)).await;
    assert!(next > term && took <= Duration::from_secs(6), "{took:?}");
    assert_eq!(server.lock().unwrap().spec()["leaseTransitions"], 1);
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_is_silent_ends_belief_before_the_lease() {
    let (client, server) = server();
    let mut one = Candidate::start(&client, "a");
    let (term, _) = one.leads(None).await;
    seconds(10).await;
    server.lock().unwrap().mood = Mood::IsSilent;
    tokio::time::sleep(Duration::from_millis(4_001)).await;
    assert_eq!(one.leadership.term(), None);
    one.assert_metric(r#"leader_election_master_status{name="coppice"} 0"#);
    assert_eq!(
        one.trouble(),
        None,
        "a short silence is no reason to be not ready"
    );
    seconds(40).await;
    let trouble = one.trouble().unwrap();
    assert!(
        trouble.starts_with("the Lease ns/l is out of reach"),
        "{trouble}"
    );
    server.lock().unwrap().mood = Mood::Serves;
    let (next, _) = one.leads(Some(term)).await;
    assert!(next > term);
    assert_eq!(one.trouble(), None);
}

#[tokio::test(start_paused = true)]
async fn without_rights_it_is_not_ready_and_asks_once_a_second() {
    let (client, server) = server();
    server.lock().unwrap().mood = Mood::Forbids;
    let one = Candidate::start(&client, "a");
    tokio::time::sleep(Duration::from_millis(59_500)).await;
    assert_eq!(one.leadership.term(), None);
    assert!(one.trouble().unwrap().contains("Forbidden"));
    assert_eq!(server.lock().unwrap().requests, 60);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_deleted_is_made_again() {
    let (client, server) = server();
    let mut one = Candidate::start(&client, "a");
    let (term, _) = one.leads(None).await;
    server.lock().unwrap().lease = None;
    let (next, took) = one.leads(Some(term)).await;
    assert!(next > term && took <= Duration::from_secs(3), "{took:?}");
    assert_eq!(server.lock().unwrap().spec()["holderIdentity"], "a");
}

/// Who asked in the moment between has put its work away until the next term.
#[tokio::test(start_paused = true)]
async fn a_renewal_that_is_told_too_late_makes_another_term() {
    let settings = LeaderElection {
        namespace: "ns".to_owned(),
        name: "l".to_owned(),
        identity: "a".to_owned(),
        timing: Timing::default(),
    };
    let readiness = Health::new(Duration::from_mins(1)).component("election");
    let clock: Clock = Arc::new(|| "2026-01-01T00:00:00Z".parse().unwrap());
    let metrics = Metrics::new("test").leader.clone();
    let (mut elector, leadership) = Elector::new(settings, server().0, clock, metrics, readiness);
    let renewed = |elector: &mut Elector, claim, version: &str| {
        let now = Instant::now();
        elector.election.stored(claim, version.to_owned(), now, now);
    };
    renewed(&mut elector, Claim::Acquire, "1");
    elector.publish();
    let first = leadership.term().unwrap();

    tokio::time::advance(Duration::from_millis(3_999)).await;
    renewed(&mut elector, Claim::Renew, "2");
    elector.publish();
    assert!(leadership.holds(first), "told in time, it is the same term");

    tokio::time::advance(Duration::from_millis(3_999)).await;
    renewed(&mut elector, Claim::Renew, "3");
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(
        leadership.term(),
        None,
        "nobody has told of the renewal yet"
    );
    elector.publish();
    let second = leadership.term().unwrap();
    assert!(second > first);
    elector.publish();
    assert!(leadership.holds(second));
}
