//! Carries one request to the API server and its answer back, with what the rules add.
//!
//! Rule: a request that was sent arrives, whatever becomes of who sent it.

use std::convert::Infallible;
use std::sync::Arc;

use futures::stream;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Bytes, Incoming};
use serde_json::json;

use super::Inner;
use super::call::Call;
use super::rule::{Fault, RuleId, When};
use super::stream::{How, next_frame, silence};

/// What the API server itself takes at most, in bytes.
const LARGEST: usize = 3 * 1024 * 1024;

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Answer = Response<UnsyncBoxBody<Bytes, BoxError>>;

/// Answers one request; an error closes the connection without an answer.
pub(super) async fn forward(
    inner: Arc<Inner>,
    request: Request<Incoming>,
) -> Result<Answer, BoxError> {
    let call = Call::of(request.method(), request.uri());
    let place = inner.note(call.clone());
    let answer = carry(&inner, &call, place, request).await?;
    inner.amend(place, |seen| seen.told = Some(answer.status().as_u16()));
    Ok(answer)
}

async fn carry(
    inner: &Arc<Inner>,
    call: &Call,
    place: usize,
    request: Request<Incoming>,
) -> Result<Answer, BoxError> {
    let born = RuleId::fresh();
    let silence = silence(&inner.silences.borrow(), call, born);
    if silence == Some(How::Dark) {
        std::future::pending::<()>().await;
    }
    let (mut parts, body) = request.into_parts();
    let body = Limited::new(body, LARGEST).collect().await?.to_bytes();
    if let Some((id, fault)) = decide(inner, call, place, When::Before) {
        if fault == Fault::OldVersion {
            parts.uri = at_an_old_version(&parts.uri)?;
        } else if let Some(answer) = befall(inner, id, fault).await? {
            return Ok(answer);
        }
    }
    // What concerns this connection only, and who the API server is.
    remove(&mut parts.headers, &[header::HOST, header::CONNECTION]);
    let request = Request::from_parts(parts, kube::client::Body::from(body));
    // A task of its own, because a request that is on its way when the client dies arrives all the same.
    let task = {
        let (inner, call) = (Arc::clone(inner), call.clone());
        tokio::spawn(async move { send(&inner, &call, place, born, request).await })
    };
    task.await?
}

/// Sends a request, and does what the rules say once it is answered.
async fn send(
    inner: &Arc<Inner>,
    call: &Call,
    place: usize,
    born: RuleId,
    request: Request<kube::client::Body>,
) -> Result<Answer, BoxError> {
    let answer = inner.client.send(request).await?;
    inner.amend(place, |seen| seen.stored = Some(answer.status().as_u16()));
    if answer.status().is_success()
        && let Some((id, fault)) = decide(inner, call, place, When::After)
        && let Some(answer) = befall(inner, id, fault).await?
    {
        return Ok(answer);
    }
    let (mut parts, body) = answer.into_parts();
    remove(
        &mut parts.headers,
        &[header::CONNECTION, header::TRANSFER_ENCODING],
    );
    let silences = inner.silences.subscribe();
    let state = (body, call.clone(), silences);
    let frames = stream::unfold(state, move |(mut body, call, mut silences)| async move {
        let frame = next_frame(&mut body, &call, born, &mut silences).await?;
        Some((frame, (body, call, silences)))
    });
    Ok(Response::from_parts(
        parts,
        StreamBody::new(frames).boxed_unsync(),
    ))
}

fn decide(inner: &Inner, call: &Call, place: usize, when: When) -> Option<(RuleId, Fault)> {
    let mut decided = None;
    inner.rules.send_if_modified(|rules| {
        decided = rules.decide(call, when);
        decided.is_some()
    });
    if decided.is_some() {
        inner.amend(place, |seen| seen.faulty = true);
    }
    decided
}

/// Lets a fault happen. `None`: the request goes on.
async fn befall(inner: &Inner, id: RuleId, fault: Fault) -> Result<Option<Answer>, BoxError> {
    match fault {
        Fault::Answer(code, retry_after) => Ok(Some(refusal(code, retry_after)?)),
        Fault::InStream(code) => {
            let event = json!({"type": "ERROR", "object": status(code)});
            Ok(Some(text(200, format!("{event}\n"))?))
        }
        Fault::Hang => std::future::pending().await,
        Fault::Close => Err("closed by a rule".into()),
        Fault::Delay(time) => {
            tokio::time::sleep(time).await;
            Ok(None)
        }
        Fault::Hold => {
            let mut rules = inner.rules.subscribe();
            // The sender lives as long as the door.
            let _ = rules.wait_for(|rules| !rules.is_there(id)).await;
            Ok(None)
        }
        Fault::Kill(victim) => {
            victim.kill();
            Err("its sender was killed by a rule".into())
        }
        Fault::OldVersion => Ok(None),
    }
}

/// The API server words its refusals as a Status, but for those that its own limits bring.
fn refusal(code: u16, retry_after: Option<u32>) -> Result<Answer, BoxError> {
    let mut answer = if code == 429 {
        text(code, "Too many requests, please try again later.\n".into())?
    } else {
        text(code, status(code).to_string())?
    };
    if let Some(seconds) = retry_after {
        answer
            .headers_mut()
            .insert(header::RETRY_AFTER, seconds.into());
    }
    Ok(answer)
}

fn status(code: u16) -> serde_json::Value {
    let reason = match code {
        403 => "Forbidden",
        410 => "Expired",
        429 => "TooManyRequests",
        500 => "InternalError",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "",
    };
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code,
        "reason": reason, "message": format!("{code} by a rule of the test")})
}

fn text(code: u16, text: String) -> Result<Answer, BoxError> {
    let body = Full::new(Bytes::from(text)).map_err(|never: Infallible| match never {});
    let mut answer = Response::new(body.boxed_unsync());
    *answer.status_mut() = StatusCode::from_u16(code)?;
    answer.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("application/json"),
    );
    Ok(answer)
}

/// The same, from the first version that there ever was.
fn at_an_old_version(uri: &http::Uri) -> Result<http::Uri, BoxError> {
    let old = |part: &str| {
        let is_version = part.starts_with("resourceVersion=");
        if is_version {
            "resourceVersion=1".to_owned()
        } else {
            part.to_owned()
        }
    };
    let query: Vec<String> = uri
        .query()
        .unwrap_or_default()
        .split('&')
        .map(old)
        .collect();
    Ok(format!("{}?{}", uri.path(), query.join("&")).parse()?)
}

fn remove(headers: &mut HeaderMap, names: &[header::HeaderName]) {
    for name in names {
        headers.remove(name);
    }
}
