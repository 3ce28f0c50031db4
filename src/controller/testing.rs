//! An API server for unit tests: a function from request to answer.
//!
//! Rule: it knows no semantics; what the API server makes of a request is tested against a real one.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http;
use futures::stream::{self, StreamExt};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use super::context::{Clock, Context};
use super::memory::Memories;
use super::store::ObjectKey;
use super::views::SharedViews;
use super::{kinds, notify};
use crate::runtime::leader::Leadership;
use crate::runtime::metrics::Metrics;

/// A request as it went over the wire.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Seen {
    /// Method and path, for example `GET /api/v1/pods`.
    pub(super) target: String,
    /// Query parameters, sorted.
    pub(super) query: Vec<String>,
    /// The header `Accept`, empty when there is none.
    pub(super) accept: String,
    pub(super) body: Value,
}

/// An answer.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// One JSON object.
    Json(u16, Value),
    /// One JSON object, after a while.
    Late(Duration, Value),
    /// A watch that sends these events and ends.
    Events(Vec<Value>),
    /// A watch that sends these bytes and ends.
    Stream(Vec<u8>),
    /// A watch that sends these events, and then nothing, with the connection open.
    Dark(Vec<Value>),
    /// None at all.
    Never,
}

/// What was asked so far.
pub(super) type Log = Arc<Mutex<Vec<Seen>>>;

impl Answer {
    /// An error as the API server words it.
    pub(super) fn error(code: u16, reason: &str, message: &str) -> Self {
        Self::Json(
            code,
            json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
                "reason": reason, "message": message}),
        )
    }
}

/// A client of a server that answers so, and what it was asked.
pub(super) fn client(answer: impl Fn(&Seen) -> Answer + Send + 'static) -> (Client, Log) {
    let (service, mut handle) =
        tower_test::mock::pair::<http::Request<Body>, http::Response<axum::body::Body>>();
    let log = Log::default();
    let seen_log = Arc::clone(&log);
    tokio::spawn(async move {
        // Requests without an answer are kept: dropped, they would fail at once.
        let mut unanswered = Vec::new();
        while let Some((request, respond)) = handle.next_request().await {
            let seen = read(request).await;
            let answer = answer(&seen);
            seen_log.lock().unwrap().push(seen);
            match answer {
                Answer::Json(code, body) => respond.send_response(response(code, body.to_string())),
                Answer::Late(after, body) => {
                    tokio::spawn(async move {
                        tokio::time::sleep(after).await;
                        respond.send_response(response(200, body.to_string()));
                    });
                }
                Answer::Events(events) => respond.send_response(response(200, lines(&events))),
                Answer::Stream(bytes) => {
                    respond.send_response(http::Response::new(bytes.into()));
                }
                Answer::Dark(events) => {
                    let begin = stream::iter([Ok::<_, Infallible>(lines(&events))]);
                    let body = axum::body::Body::from_stream(begin.chain(stream::pending()));
                    respond.send_response(http::Response::new(body));
                }
                Answer::Never => unanswered.push(respond),
            }
        }
    });
    (Client::new(service, "default"), log)
}

fn lines(events: &[Value]) -> String {
    let lines: Vec<String> = events.iter().map(Value::to_string).collect();
    lines.join("\n") + "\n"
}

async fn read(request: http::Request<Body>) -> Seen {
    let (parts, body) = request.into_parts();
    let bytes = body.collect_bytes().await.unwrap();
    let mut query: Vec<String> = parts
        .uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter(|q| !q.is_empty())
        .map(str::to_owned)
        .collect();
    query.sort();
    Seen {
        target: format!("{} {}", parts.method, parts.uri.path()),
        query,
        accept: parts
            .headers
            .get(http::header::ACCEPT)
            .map_or_else(String::new, |accept| accept.to_str().unwrap().to_owned()),
        body: serde_json::from_slice(&bytes).unwrap_or_default(),
    }
}

fn response(code: u16, body: String) -> http::Response<axum::body::Body> {
    http::Response::builder()
        .status(code)
        .body(body.into())
        .unwrap()
}

/// A context over that client at a fixed time, with trees, Workers, revisions, disruption budgets, Pods and nodes listed and empty.
pub(super) fn context(client: Client) -> Context {
    let clock: Clock = Arc::new(|| "2026-01-01T00:00:00Z".parse().unwrap());
    let views = SharedViews::default();
    {
        let mut views = views.lock();
        views.replace::<kinds::Trees>(None, "1", vec![]);
        views.replace::<kinds::Workers>(None, "1", vec![]);
        views.replace::<kinds::Revisions>(None, "1", vec![]);
        views.replace::<kinds::DisruptionBudgets>(None, "1", vec![]);
        views.replace::<kinds::Pods>(None, "1", vec![]);
        views.replace::<kinds::Nodes>(None, "1", vec![]);
        views.replace::<kinds::PodEvents>(None, "1", vec![]);
        views.replace::<kinds::ClaimEvents>(None, "1", vec![]);
        views.replace::<kinds::NodeEvents>(None, "1", vec![]);
    }
    let (notices, publisher) = notify::channel(client.clone(), clock.clone(), Leadership::alone());
    tokio::spawn(publisher.run());
    Context {
        client,
        clock,
        views,
        memories: Memories::default(),
        notices,
        leadership: Leadership::alone(),
        metrics: Metrics::new("test"),
        decide: crate::model::decide,
        opt_in_role: None,
    }
}

/// The tree that tests work on.
pub(super) fn tree() -> ObjectKey {
    ObjectKey::new("ns", "t")
}
