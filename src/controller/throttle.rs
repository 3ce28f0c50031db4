//! What the API server says when it says no, put where the rest of the controller can read it: the header `Retry-After`,
//! and a Status in protobuf.
//!
//! Rule: the answer stays an error; nothing is repeated here, because whoever decided on the request must look again.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use kube::core::Status;
use tower::BoxError;

use super::wire::protobuf;

/// What is read of an answer that says no, in bytes.
const LONGEST: usize = 64 * 1024;

/// An answer that says no, as a Status in JSON: with the seconds that the header `Retry-After` asks for. The limits of the
/// API server itself answer in plain text; that becomes the message of a Status.
pub(crate) async fn keep(answer: Response<Body>) -> Result<Response<Body>, BoxError> {
    let seconds = asked_for(&answer);
    let code = answer.status();
    let is_error = code.is_client_error() || code.is_server_error();
    if !is_error || (seconds.is_none() && !is_protobuf(&answer)) {
        return Ok(answer);
    }
    let (mut parts, body) = answer.into_parts();
    let text = axum::body::to_bytes(body, LONGEST).await?;
    let mut status = serde_json::from_slice(&text)
        .or_else(|_| protobuf::status(text.clone()))
        .unwrap_or_else(|_| plain(code, &text));
    if let Some(seconds) = seconds {
        let details = status
            .details
            .get_or_insert_with(|| protobuf::details_of(seconds));
        details.retry_after_seconds = seconds;
    }
    parts.headers.remove(header::CONTENT_LENGTH);
    let json = HeaderValue::from_static("application/json");
    parts.headers.insert(header::CONTENT_TYPE, json);
    Ok(Response::from_parts(
        parts,
        serde_json::to_vec(&status)?.into(),
    ))
}

fn asked_for<B>(answer: &Response<B>) -> Option<u32> {
    let header = answer.headers().get(header::RETRY_AFTER)?;
    let seconds = header.to_str().ok()?.trim().parse().ok()?;
    (seconds > 0).then_some(seconds)
}

fn is_protobuf<B>(answer: &Response<B>) -> bool {
    let header = answer.headers().get(header::CONTENT_TYPE);
    header.is_some_and(|kind| {
        kind.as_bytes()
            .starts_with(protobuf::CONTENT_TYPE.as_bytes())
    })
}

fn plain(code: StatusCode, text: &[u8]) -> Status {
    let reason = code.canonical_reason().unwrap_or_default();
    Status::failure(String::from_utf8_lossy(text).trim(), reason).with_code(code.as_u16())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    async fn kept(code: u16, retry_after: &str, body: String) -> Status {
        let mut answer = Response::new(Body::from(body));
        *answer.status_mut() = StatusCode::from_u16(code).unwrap();
        let value = retry_after.parse().unwrap();
        answer.headers_mut().insert(header::RETRY_AFTER, value);
        let answer = keep(answer).await.unwrap();
        assert_eq!(answer.status(), code);
        let text = axum::body::to_bytes(answer.into_body(), LONGEST).await;
        serde_json::from_slice(&text.unwrap()).unwrap_or_default()
    }

    #[tokio::test]
    async fn the_seconds_become_a_part_of_the_status() {
        let plain = kept(429, "7", "Too many requests\n".to_owned()).await;
        assert_eq!(
            (plain.code, plain.message.as_str()),
            (429, "Too many requests")
        );
        assert_eq!(plain.details.unwrap().retry_after_seconds, 7);
        let worded = json!({"kind": "Status", "status": "Failure", "code": 503, "message": "m",
            "details": {"name": "n"}});
        let worded = kept(503, "2", worded.to_string()).await;
        let details = worded.details.unwrap();
        assert_eq!(
            (details.name.as_str(), details.retry_after_seconds),
            ("n", 2)
        );
    }

    #[tokio::test]
    async fn what_is_no_number_or_no_error_stays_as_it_is() {
        for (code, retry_after) in [
            (429, "Wed, 21 Oct 2026 07:28:00 GMT"),
            (200, "7"),
            (503, "0"),
        ] {
            let body = json!({"status": "Failure", "code": 1}).to_string();
            assert_eq!(kept(code, retry_after, body).await.details, None);
        }
    }

    #[tokio::test]
    async fn what_is_said_in_protobuf_is_said_again_in_json() {
        let body = include_bytes!("watches/recorded/not-found.protobuf");
        let mut answer = Response::new(Body::from(&body[..]));
        *answer.status_mut() = StatusCode::NOT_FOUND;
        let kind = protobuf::CONTENT_TYPE.parse().unwrap();
        answer.headers_mut().insert(header::CONTENT_TYPE, kind);
        let text = axum::body::to_bytes(keep(answer).await.unwrap().into_body(), LONGEST).await;
        let status: Status = serde_json::from_slice(&text.unwrap()).unwrap();
        assert_eq!((status.code, status.reason.as_str()), (404, "NotFound"));
        assert_eq!(status.message, "pods \"none\" not found");
    }
}
