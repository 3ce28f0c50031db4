//! A door in front of the API server through which faults come: refusals, silence, late answers, dead watches.
//!
//! Rule: what goes wrong is said by rules and a seed, both printed, and everything that went through is on record. What
//! no rule speaks of goes through as it is.
//!
//! ```text
//! client ── HTTP on loopback ── [`Proxy`] ── TLS, with somebody's credentials ── API server
//! ```
//!
//! In reading order: [`call`] says what a request is, [`rule`] what is to go wrong with it, `forward` carries it out, and
//! `stream` lets a watch through or not.

pub mod call;
mod forward;
pub mod rule;
mod stream;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use hyper_util::rt::TokioIo;
use kube::Client;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::progress;
use call::Call;
use rule::{Filter, Rule, RuleId, Rules};
use stream::{How, Silence};

/// The door. Clones are the same door; it closes with the runtime that it was opened in.
#[derive(Clone)]
pub struct Proxy {
    address: SocketAddr,
    inner: Arc<Inner>,
}

/// One request that came, and what became of it.
#[derive(Debug, Clone)]
pub struct Seen {
    /// What was asked.
    pub call: Call,
    /// When it came.
    pub at: Instant,
    /// The HTTP status that the API server answered; `None` when it was not asked or has not answered.
    pub stored: Option<u16>,
    /// The HTTP status that the client was told; `None` when it was told nothing (yet).
    pub told: Option<u16>,
    /// Whether a rule applied.
    pub faulty: bool,
}

struct Inner {
    client: Client,
    seen: Mutex<Vec<Seen>>,
    rules: watch::Sender<Rules>,
    silences: watch::Sender<Vec<Silence>>,
}

impl Proxy {
    /// Opens a door on loopback; everybody who comes through is who `client` is. The seed decides where rules leave a
    /// choice; it is printed.
    pub async fn open(client: Client, seed: u64) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        progress::say(format!("the door {address} has the seed {seed}"));
        let inner = Arc::new(Inner {
            client,
            seen: Mutex::default(),
            rules: watch::Sender::new(Rules::new(seed)),
            silences: watch::Sender::default(),
        });
        tokio::spawn(serve(listener, Arc::clone(&inner)));
        Ok(Self { address, inner })
    }

    /// Writes a kubeconfig that leads here, without credentials.
    pub fn write_kubeconfig(&self, path: &Path) -> std::io::Result<()> {
        let address = self.address;
        let text = format!(
            "{{apiVersion: v1, kind: Config, current-context: door,
              clusters: [{{name: door, cluster: {{server: 'http://{address}'}}}}],
              users: [{{name: nobody, user: {{}}}}],
              contexts: [{{name: door, context: {{cluster: door, user: nobody}}}}]}}"
        );
        std::fs::write(path, text)
    }

    /// Adds a rule; of several that apply to a request the oldest wins.
    pub fn add(&self, rule: Rule) -> RuleId {
        let mut id = RuleId::default();
        self.inner.rules.send_modify(|rules| id = rules.add(rule));
        id
    }

    /// Takes a rule away; what it holds back goes on. Returns how often it has applied.
    pub fn remove(&self, id: RuleId) -> u64 {
        let mut hits = 0;
        self.inner
            .rules
            .send_modify(|rules| hits = rules.remove(id));
        hits
    }

    /// How often a rule has applied.
    pub fn hits(&self, id: RuleId) -> u64 {
        self.inner.rules.borrow().hits(id)
    }

    /// Waits until a rule has applied that often.
    pub async fn until_hits(&self, id: RuleId, count: u64) {
        let mut rules = self.inner.rules.subscribe();
        // The sender lives in this door, so it cannot be gone.
        let _ = rules.wait_for(|rules| rules.hits(id) >= count).await;
    }

    /// From now on the watches that the filter names are dead, those that run and new ones: nothing comes any more, and
    /// the connection stays open. [`Proxy::speak`] lets new ones live; those that went dead stay so.
    pub fn go_dark(&self, filter: Filter) -> RuleId {
        self.silence(filter, How::Dark)
    }

    /// The watches that the filter names and that run now are dead; new ones live.
    pub fn leave_for_dead(&self, filter: Filter) {
        self.silence(filter, How::Dead);
    }

    /// The connections of the watches that the filter names and that run now are closed.
    pub fn cut(&self, filter: Filter) {
        self.silence(filter, How::Cut);
    }

    /// From now on the watches that the filter names are held back; nothing is lost.
    pub fn hold(&self, filter: Filter) -> RuleId {
        self.silence(filter, How::Held)
    }

    /// Ends a silence.
    pub fn speak(&self, id: RuleId) {
        let silences = &self.inner.silences;
        silences.send_modify(|all| all.retain(|silence| silence.id != id));
    }

    fn silence(&self, filter: Filter, how: How) -> RuleId {
        let id = RuleId::fresh();
        let silence = Silence { id, filter, how };
        self.inner.silences.send_modify(|all| all.push(silence));
        id
    }

    /// Everything that came so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.inner.seen().clone()
    }

    /// How many writes were stored so far; Events do not count, because nothing depends on them.
    pub fn writes(&self) -> u64 {
        let seen = self.inner.seen();
        let writes = seen
            .iter()
            .filter(|seen| seen.call.is_write() && !seen.call.is_event() && seen.was_stored());
        writes.count().try_into().unwrap_or(u64::MAX)
    }
}

impl Seen {
    /// Whether the API server did what was asked.
    pub fn was_stored(&self) -> bool {
        self.stored.is_some_and(|code| (200..300).contains(&code))
    }
}

impl Inner {
    fn seen(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a request on record; its place there.
    fn note(&self, call: Call) -> usize {
        let mut seen = self.seen();
        seen.push(Seen {
            call,
            at: Instant::now(),
            stored: None,
            told: None,
            faulty: false,
        });
        seen.len() - 1
    }

    fn amend(&self, place: usize, change: impl FnOnce(&mut Seen)) {
        if let Some(seen) = self.seen().get_mut(place) {
            change(seen);
        }
    }
}

async fn serve(listener: TcpListener, inner: Arc<Inner>) {
    loop {
        let Ok((connection, _)) = listener.accept().await else {
            // Out of file descriptors, most likely; the next moment may be better.
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            continue;
        };
        let inner = Arc::clone(&inner);
        tokio::spawn(async move {
            let service =
                hyper::service::service_fn(|request| forward::forward(Arc::clone(&inner), request));
            // A connection that ends by a fault is meant to.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(connection), service)
                .await;
        });
    }
}
