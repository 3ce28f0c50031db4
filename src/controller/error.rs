//! What can go wrong between us and the API server.
//!
//! Rule: every error names verb, kind and object; waiting for something is not an error.

use std::error::Error as _;
use std::fmt;
use std::future::Future;
use std::io::ErrorKind;
use std::time::Duration;

use kube::core::Status;
use kube::core::response::StatusCause;
use thiserror::Error;

/// How long one request may take. A request that takes longer may or may not have had its effect.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// For how long the API server is left alone at most when it asks for that.
const LONGEST_RETRY_AFTER: Duration = Duration::from_mins(1);

/// A request that failed.
#[derive(Debug, Error)]
pub enum Error {
    /// The API server refused, or could not be reached.
    #[error("could not {}", Request(verb, kind, object))]
    Api {
        /// Verb of the request.
        verb: &'static str,
        /// Kind of the object.
        kind: &'static str,
        /// Namespace and name of the object; empty for a list or watch.
        object: String,
        /// What the client says.
        #[source]
        source: Box<kube::Error>,
    },
    /// There was no answer in time.
    #[error("could not {} in time", Request(verb, kind, object))]
    Timeout {
        /// Verb of the request.
        verb: &'static str,
        /// Kind of the object.
        kind: &'static str,
        /// Namespace and name of the object; empty for a list or watch.
        object: String,
    },
    /// Somebody else may lead by now, so the request was not sent. Nothing failed.
    #[error("did not {}: not leading", Request(verb, kind, object))]
    NotLeading {
        /// Verb of the request.
        verb: &'static str,
        /// Kind of the object.
        kind: &'static str,
        /// Namespace and name of the object.
        object: String,
    },
}

struct Request<'a>(&'a str, &'a str, &'a str);

impl fmt::Display for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(verb, kind, object) = self;
        write!(f, "{verb} {kind}")?;
        if object.is_empty() {
            Ok(())
        } else {
            write!(f, " {object}")
        }
    }
}

impl Error {
    /// The error of that request.
    pub(super) fn api(
        verb: &'static str,
        kind: &'static str,
        object: impl Into<String>,
        source: kube::Error,
    ) -> Self {
        Self::Api {
            verb,
            kind,
            object: object.into(),
            source: Box::new(source),
        }
    }

    /// The answer of the API server, when there was one.
    pub(super) fn status(&self) -> Option<&Status> {
        match self {
            Self::Api { source, .. } => match source.as_ref() {
                kube::Error::Api(status) => Some(status),
                _ => None,
            },
            Self::Timeout { .. } | Self::NotLeading { .. } => None,
        }
    }

    /// The HTTP status code of the answer; 0 when there was none.
    pub(super) fn code(&self) -> u16 {
        self.status().map_or(0, |status| status.code)
    }

    /// Whether the request was sent at all.
    pub(super) fn was_sent(&self) -> bool {
        !matches!(self, Self::NotLeading { .. })
    }

    /// Whether it is open what became of the request: no answer came, or one that the server could not finish.
    pub(super) fn is_unclear(&self) -> bool {
        self.was_sent() && (self.code() == 0 || self.code() >= 500)
    }

    /// How long the API server asks us to leave it alone; never longer than a minute, whatever it says.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        let seconds = self.status()?.details.as_ref()?.retry_after_seconds;
        let asked = Duration::from_secs(seconds.into());
        (seconds > 0).then_some(asked.min(LONGEST_RETRY_AFTER))
    }

    /// Whether the object, or its kind, does not exist.
    pub(super) fn is_not_found(&self) -> bool {
        self.code() == 404
    }

    /// Whether we are not allowed to.
    pub(super) fn is_forbidden(&self) -> bool {
        self.code() == 403
    }

    /// Whether the same request would be refused again: somebody must change something first. A conflict about a quota,
    /// throttling, a lost login and what is not found are not of that kind.
    pub(super) fn is_refusal(&self) -> bool {
        let Some(status) = self.status() else {
            return false;
        };
        // A webhook may answer with any code it likes.
        let by_webhook = status.message.starts_with("admission webhook ");
        match status.code {
            400..=499 if by_webhook => true,
            401 | 404 | 408 | 409 | 410 | 429 => false,
            400..=499 => true,
            // The one server error that is an answer: an admission webhook did not work, so nothing was stored.
            500 => status.message.contains("failed calling webhook"),
            _ => false,
        }
    }

    /// Whether the API server no longer has the version that was asked for.
    pub(super) fn is_gone(&self) -> bool {
        self.code() == 410
    }

    /// Whether an answer came that cannot be read.
    pub(super) fn is_unreadable(&self) -> bool {
        let Self::Api { source, .. } = self else {
            return false;
        };
        matches!(source.as_ref(), kube::Error::ReadEvents(error) if error.kind() == ErrorKind::InvalidData)
    }

    /// Whether the object is not what the request assumed: a precondition or version did not hold.
    pub(super) fn is_conflict(&self) -> bool {
        self.code() == 409
    }

    /// Whether the namespace is gone or being deleted.
    pub(super) fn is_ending(&self) -> bool {
        let Some(details) = self.status().and_then(|status| status.details.as_ref()) else {
            return false;
        };
        let is_terminating = |cause: &StatusCause| cause.reason == "NamespaceTerminating";
        self.is_not_found() && details.kind == "namespaces"
            || details.causes.iter().any(is_terminating)
    }

    /// One word for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Timeout { .. } => "timeout",
            Self::NotLeading { .. } => "not_leading",
            Self::Api { .. } => match self.code() {
                0 => "unreachable",
                401 | 403 => "forbidden",
                404 => "not_found",
                409 => "conflict",
                410 => "gone",
                429 => "throttled",
                400..=499 => "refused",
                _ => "server_error",
            },
        }
    }
}

/// The error in one line with what caused it.
pub(super) fn chain(error: &Error) -> String {
    if let Some(status) = error.status() {
        return format!("{error}: {} ({})", status.message.trim(), status.code);
    }
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        // Some texts include what caused them, and some do not.
        if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
        cause = error.source();
    }
    line
}

/// Makes a request that ends in time.
pub(super) async fn bounded<T>(
    verb: &'static str,
    kind: &'static str,
    object: impl Into<String>,
    request: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, Error> {
    match tokio::time::timeout(REQUEST_TIMEOUT, request).await {
        Ok(answer) => answer.map_err(|source| Error::api(verb, kind, object, source)),
        Err(_) => Err(Error::Timeout {
            verb,
            kind,
            object: object.into(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(code: u16) -> Error {
        let status = Status {
            code,
            message: "no such thing".to_owned(),
            ..Status::default()
        };
        Error::api("delete", "Pod", "ns/p", kube::Error::Api(Box::new(status)))
    }

    #[test]
    fn says_what_was_tried_and_what_came_of_it() {
        assert_eq!(
            chain(&answered(404)),
            "could not delete Pod ns/p: no such thing (404)"
        );
        let late = Error::Timeout {
            verb: "list",
            kind: "Pod",
            object: String::new(),
        };
        assert_eq!(chain(&late), "could not list Pod in time");
        let broken = Error::api("get", "Pod", "ns/p", kube::Error::TlsRequired);
        assert_eq!(
            chain(&broken),
            "could not get Pod ns/p: TLS required but no TLS stack selected"
        );
        assert_eq!(broken.reason(), "unreachable");
    }

    #[test]
    fn reasons_are_few_words() {
        let reasons: Vec<_> = [401, 403, 404, 409, 410, 422, 429, 500, 503]
            .map(|c| answered(c).reason())
            .into();
        assert_eq!(
            reasons,
            [
                "forbidden",
                "forbidden",
                "not_found",
                "conflict",
                "gone",
                "refused",
                "throttled",
                "server_error",
                "server_error"
            ]
        );
    }

    #[test]
    fn the_api_server_is_left_alone_for_as_long_as_it_asks_up_to_a_minute() {
        let asked = |retry_after_seconds: u32| {
            let status = serde_json::json!({"status": "Failure",
                "details": {"retryAfterSeconds": retry_after_seconds}});
            let status = serde_json::from_value(status).unwrap();
            let error = kube::Error::Api(Box::new(status));
            Error::api("get", "Pod", "ns/p", error).retry_after()
        };
        assert_eq!(asked(0), None);
        assert_eq!(asked(7), Some(Duration::from_secs(7)));
        assert_eq!(asked(u32::MAX), Some(LONGEST_RETRY_AFTER));
        assert_eq!(answered(429).retry_after(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn no_request_hangs() {
        let error = bounded(
            "get",
            "Pod",
            "ns/p",
            std::future::pending::<Result<(), _>>(),
        )
        .await
        .unwrap_err();
        assert!(
            matches!(
                error,
                Error::Timeout {
                    verb: "get",
                    kind: "Pod",
                    ..
                }
            ),
            "{error}"
        );
    }
}
