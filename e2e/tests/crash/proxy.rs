//! A door in front of the API server that counts what goes through, and kills the operator behind a chosen write.
//!
//! Rule: the write is stored before the operator dies, and the operator never hears that it was.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use e2e::pid::Pid;
use kube::Client;
use tokio::sync::Notify;

/// What the API server itself takes at most, in bytes.
const LARGEST: usize = 3 * 1024 * 1024;

/// The door. It closes with the runtime that it was opened in.
#[derive(Clone)]
pub(crate) struct Proxy {
    address: SocketAddr,
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    state: Mutex<Counted>,
    sprung: Notify,
}

#[derive(Default)]
struct Counted {
    writes: u64,
    trap: Option<Trap>,
}

/// Which write kills whom.
struct Trap {
    at: u64,
    victim: Pid,
}

impl Proxy {
    /// Opens a door on loopback; everybody who comes through is who `client` is.
    pub(crate) async fn open(client: Client) -> Self {
        let inner = Arc::new(Inner {
            client,
            state: Mutex::default(),
            sprung: Notify::new(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .fallback(forward)
            .with_state(Arc::clone(&inner));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, inner }
    }

    /// Writes a kubeconfig that leads here, without credentials.
    pub(crate) fn write_kubeconfig(&self, path: &Path) {
        let address = self.address;
        let text = format!(
            "{{apiVersion: v1, kind: Config, current-context: door,
              clusters: [{{name: door, cluster: {{server: 'http://{address}'}}}}],
              users: [{{name: nobody, user: {{}}}}],
              contexts: [{{name: door, context: {{cluster: door, user: nobody}}}}]}}"
        );
        std::fs::write(path, text).unwrap();
    }

    /// How many writes were stored so far; Events do not count, because nothing depends on them.
    pub(crate) fn writes(&self) -> u64 {
        self.inner.lock().writes
    }

    /// Kills `victim` right after the `n`-th write from now.
    pub(crate) fn set_trap(&self, n: u64, victim: Pid) {
        let mut state = self.inner.lock();
        let at = state.writes + n;
        state.trap = Some(Trap { at, victim });
    }

    /// Takes the trap away again; whether it was still set.
    pub(crate) fn remove_trap(&self) -> bool {
        self.inner.lock().trap.take().is_some()
    }

    /// Waits until a trap has killed.
    pub(crate) async fn sprung(&self) {
        self.inner.sprung.notified().await;
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a write that was stored, and kills if it is the one.
    fn count(&self) {
        let mut state = self.lock();
        state.writes += 1;
        let writes = state.writes;
        if let Some(trap) = state.trap.take_if(|trap| trap.at <= writes) {
            trap.victim.kill();
            self.sprung.notify_one();
        }
    }
}

async fn forward(State(inner): State<Arc<Inner>>, request: Request) -> Response {
    let write = is_write(&request);
    let (mut parts, body) = request.into_parts();
    // What concerns this connection only, and who the API server is.
    remove(&mut parts.headers, &[header::HOST, header::CONNECTION]);
    let Ok(body) = to_bytes(body, LARGEST).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let request = http::Request::from_parts(parts, kube::client::Body::from(body));
    // A task of its own, because a request that is on its way when the operator dies arrives all the same.
    let answered = tokio::spawn(async move {
        let answer = inner.client.send(request).await;
        if write
            && answer
                .as_ref()
                .is_ok_and(|answer| answer.status().is_success())
        {
            inner.count();
        }
        answer
    });
    match answered.await {
        Ok(Ok(answer)) => {
            let mut answer = answer.map(Body::new);
            remove(
                answer.headers_mut(),
                &[header::CONNECTION, header::TRANSFER_ENCODING],
            );
            answer
        }
        Ok(Err(error)) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}

fn remove(headers: &mut HeaderMap, names: &[header::HeaderName]) {
    for name in names {
        headers.remove(name);
    }
}

fn is_write(request: &Request) -> bool {
    let reads = [Method::GET, Method::HEAD, Method::OPTIONS];
    !reads.contains(request.method()) && !request.uri().path().contains("/events")
}
