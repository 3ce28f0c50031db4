//! The connection to the API server.
//!
//! Rule: what is sent goes out at once and ends in time, and is never repeated behind our back: a write that is repeated
//! later may find another world.

use std::time::Duration;

use axum::body::Body;
use axum::http::Response;
use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::{ClientBuilder, ConfigExt};
use kube::{Client, Config};
use tower::{BoxError, ServiceBuilder};

use super::throttle;

/// How long the client waits for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection may be silent. Longer than a watch stays open, which has its own limit.
const READ_TIMEOUT: Duration = Duration::from_mins(1);
/// How long sending a request may take.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// A client whose requests end in time and are never repeated.
///
/// It is put together here and not by kube, whose own one leaves Nagle's algorithm on: the end of a request that does
/// not fit into one segment then waits until the API server has confirmed its beginning, for which the API server has
/// 40 ms.
///
/// # Errors
/// The configuration names certificates or credentials that cannot be read, or a proxy, which is not supported.
pub fn client(config: Config) -> Result<Client, kube::Error> {
    if let Some(proxy) = config.proxy_url {
        return Err(kube::Error::ProxyProtocolDisabled {
            proxy_url: Box::new(proxy),
            protocol_feature: "kube/http-proxy",
        });
    }
    let https = config.rustls_https_connector_with_connector(tcp())?;
    let mut connector = TimeoutConnector::new(https);
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    connector.set_read_timeout(Some(READ_TIMEOUT));
    connector.set_write_timeout(Some(WRITE_TIMEOUT));
    connector.set_reset_reader_on_write(true);
    let keep = |answer: Response<_>| async move { throttle::keep(answer.map(Body::new)).await };
    let service = ServiceBuilder::new()
        .and_then(keep)
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(legacy::Client::builder(TokioExecutor::new()).build(connector));
    Ok(ClientBuilder::new(service, config.default_namespace).build())
}

fn tcp() -> HttpConnector {
    let mut tcp = HttpConnector::new();
    // The layer around it speaks TLS.
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn nothing_that_is_sent_waits_for_a_confirmation() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let uri = format!("http://{address}").parse().unwrap();
        let stream = tcp().oneshot(uri).await.unwrap();
        assert!(stream.inner().nodelay().unwrap());
    }

    #[tokio::test]
    async fn what_an_overloaded_server_asks_for_is_kept() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let read = stream.read(&mut request).await.unwrap();
            let answer =
                "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nbusy";
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8_lossy(&request[..read]).into_owned()
        });
        let config = Config::new(format!("http://{address}").parse().unwrap());
        let version = client(config).unwrap().apiserver_version().await;
        assert!(server.await.unwrap().starts_with("GET /version HTTP/1.1"));
        let Err(kube::Error::Api(status)) = version else {
            panic!("{version:?}");
        };
        let details = status.details.unwrap();
        assert_eq!((status.code, details.retry_after_seconds), (429, 7));
    }

    #[tokio::test]
    async fn a_proxy_is_refused_and_not_passed_by() {
        let mut config = Config::new("https://127.0.0.1:1".parse().unwrap());
        config.proxy_url = Some("http://127.0.0.1:2".parse().unwrap());
        let error = client(config).err().map(|error| error.to_string());
        assert!(error.unwrap().contains("127.0.0.1:2"));
    }
}
