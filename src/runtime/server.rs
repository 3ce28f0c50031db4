//! The HTTP server for probes and metrics: `/livez`, `/readyz`, `/metrics`.
//!
//! Rule: every answer comes from memory; no request makes the process call anybody.

use std::fmt::Write as _;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::health::Health;
use super::metrics::Metrics;

/// How long requests in flight may take once the server stops. A scrape takes milliseconds; a client
/// that reads no further must not hold up the end of the process.
const DRAIN: Duration = Duration::from_secs(2);

/// What `/metrics` is written in.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Why there is no server.
#[derive(Debug, Error)]
pub enum ServerError {
    /// The address cannot be listened on.
    #[error("could not listen on {address} for probes and metrics")]
    Bind {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Accepting connections failed for good.
    #[error("could not go on serving probes and metrics")]
    Serve(#[source] io::Error),
}

/// Opens the port. The unspecified IPv6 address, which also takes IPv4 connections, falls back to the
/// IPv4 one on a machine without IPv6.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, ServerError> {
    let listener = match TcpListener::bind(address).await {
        Err(error) if address.is_ipv6() && address.ip().is_unspecified() && lacks_ipv6(&error) => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        other => other,
    };
    listener.map_err(|source| ServerError::Bind { address, source })
}

/// Serves until `stop` is cancelled, then finishes the requests in flight, for at most 2 s.
pub async fn serve(
    listener: TcpListener,
    health: Health,
    metrics: Metrics,
    stop: CancellationToken,
) -> Result<(), ServerError> {
    let server = axum::serve(listener, router(health, metrics))
        .with_graceful_shutdown(stop.clone().cancelled_owned());
    let overdue = async {
        stop.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        ended = async { server.await } => ended.map_err(ServerError::Serve),
        () = overdue => Ok(()),
    }
}

fn router(health: Health, metrics: Metrics) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .with_state(health)
        .route("/metrics", get(render_metrics).with_state(metrics))
}

async fn livez(State(health): State<Health>) -> Response {
    match health.liveness_trouble() {
        None => (StatusCode::OK, "ok\n").into_response(),
        Some(trouble) => unavailable(format!("{trouble}\n")),
    }
}

/// Answers as the API server's own `/readyz` does: `ok`, or one line per component when asked with
/// `?verbose` or when something is amiss.
async fn readyz(State(health): State<Health>, RawQuery(query): RawQuery) -> Response {
    let components = health.components();
    let ready = !components.is_empty() && components.iter().all(|c| c.trouble.is_none());
    if ready && !asks_verbose(query.as_deref()) {
        return (StatusCode::OK, "ok\n").into_response();
    }
    let mut text = String::new();
    for component in &components {
        // Writing to a String cannot fail.
        let _ = match &component.trouble {
            None => writeln!(text, "[+]{} ok", component.component),
            Some(trouble) => writeln!(text, "[-]{} not ready: {trouble}", component.component),
        };
    }
    if ready {
        text.push_str("readyz check passed\n");
        (StatusCode::OK, text).into_response()
    } else {
        text.push_str("readyz check failed\n");
        unavailable(text)
    }
}

async fn render_metrics(State(metrics): State<Metrics>) -> Response {
    match metrics.render() {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("could not write the metrics: {error}\n"),
        )
            .into_response(),
    }
}

fn unavailable(text: String) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

fn asks_verbose(query: Option<&str>) -> bool {
    query.is_some_and(|q| {
        q.split('&')
            .any(|part| part.split('=').next().is_some_and(|key| key == "verbose"))
    })
}

fn lacks_ipv6(error: &io::Error) -> bool {
    // `EAFNOSUPPORT` has no stable `ErrorKind`; its number is the same on every Linux architecture
    // that Kubernetes runs on.
    const EAFNOSUPPORT: i32 = 97;
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(EAFNOSUPPORT)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::task::JoinHandle;

    use super::*;

    struct Running {
        address: SocketAddr,
        health: Health,
        stop: CancellationToken,
        task: JoinHandle<Result<(), ServerError>>,
    }

    async fn start(max_silence: Duration) -> Running {
        let listener = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
            .await
            .unwrap();
        let address = listener.local_addr().unwrap();
        let health = Health::new(max_silence);
        let stop = CancellationToken::new();
        let served = serve(listener, health.clone(), Metrics::new("test"), stop.clone());
        Running {
            address,
            health,
            stop,
            task: tokio::spawn(served),
        }
    }

    async fn fetch(address: SocketAddr, path: &str) -> String {
        let mut connection = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn answers_probes_from_the_health_of_the_process() {
        let running = start(Duration::from_secs(30)).await;
        let nothing_registered = fetch(running.address, "/readyz").await;
        assert!(
            nothing_registered.starts_with("HTTP/1.1 503"),
            "{nothing_registered}"
        );

        let crds = running.health.component("crds");
        let failed = fetch(running.address, "/readyz").await;
        assert!(failed.starts_with("HTTP/1.1 503"), "{failed}");
        assert!(
            failed.ends_with("[-]crds not ready: not started yet\nreadyz check failed\n"),
            "{failed}"
        );

        crds.ready();
        let passed = fetch(running.address, "/readyz").await;
        assert!(
            passed.starts_with("HTTP/1.1 200") && passed.ends_with("\r\n\r\nok\n"),
            "{passed}"
        );
        let verbose = fetch(running.address, "/readyz?verbose").await;
        assert!(
            verbose.ends_with("[+]crds ok\nreadyz check passed\n"),
            "{verbose}"
        );

        let live = fetch(running.address, "/livez").await;
        assert!(
            live.starts_with("HTTP/1.1 200") && live.ends_with("\r\n\r\nok\n"),
            "{live}"
        );
    }

    #[tokio::test]
    async fn a_silent_main_loop_is_not_live() {
        let running = start(Duration::ZERO).await;
        let answer = fetch(running.address, "/livez").await;
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(
            answer.contains("the main loop has not turned for 0 s"),
            "{answer}"
        );
    }

    #[tokio::test]
    async fn serves_open_metrics() {
        let running = start(Duration::from_secs(30)).await;
        let answer = fetch(running.address, "/metrics").await;
        assert!(
            answer.contains("content-type: application/openmetrics-text; version=1.0.0"),
            "{answer}"
        );
        assert!(answer.contains("\nprocess_start_time_seconds "), "{answer}");
        assert!(answer.contains("# EOF\n"), "{answer}");
    }

    #[tokio::test]
    async fn stops_although_a_connection_is_open() {
        let running = start(Duration::from_secs(30)).await;
        let mut half_a_request = TcpStream::connect(running.address).await.unwrap();
        half_a_request
            .write_all(b"GET /livez HTTP/1.1\r\n")
            .await
            .unwrap();
        running.stop.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(10), running.task).await;
        ended.unwrap().unwrap().unwrap();
        TcpStream::connect(running.address).await.unwrap_err();
    }

    #[tokio::test]
    async fn a_taken_port_is_named() {
        let taken = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
            .await
            .unwrap();
        let address = taken.local_addr().unwrap();
        let error = bind(address).await.unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("could not listen on {address} for probes")),
            "{error}"
        );
    }
}
