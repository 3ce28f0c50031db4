//! Answers of the API server, in its words.
//!
//! Rule: code, reason and the form of the message are those of Kubernetes.

use serde_json::{Value, json};

use crate::sim::kind::{Call, Kind, Verb};

/// The object that a request led to, or why it was refused.
pub(in crate::sim) type Answer = Result<Value, Refusal>;

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sim) struct Refusal {
    pub(in crate::sim) code: u16,
    pub(in crate::sim) reason: &'static str,
    pub(in crate::sim) message: String,
    pub(in crate::sim) name: String,
}

impl Refusal {
    pub(in crate::sim) fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            name: String::new(),
        }
    }

    pub(super) fn not_found(kind: Kind, name: &str) -> Self {
        Self::new(
            404,
            "NotFound",
            format!("{} {name:?} not found", kind.resource()),
        )
    }

    pub(super) fn already_exists(kind: Kind, name: &str) -> Self {
        Self::new(
            409,
            "AlreadyExists",
            format!("{} {name:?} already exists", kind.resource()),
        )
    }

    pub(super) fn conflict(kind: Kind, name: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} {name:?}: the object has been modified; please apply your changes to the latest version and try again",
            kind.resource()
        );
        Self::new(409, "Conflict", message)
    }

    pub(super) fn precondition(
        kind: Kind,
        name: &str,
        what: &str,
        wanted: &str,
        found: &str,
    ) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} {name:?}: the {what} in the precondition ({wanted}) does not match the {what} in record ({found}). The object might have been deleted and then recreated",
            kind.resource()
        );
        Self::new(409, "Conflict", message)
    }

    pub(super) fn invalid(message: &str) -> Self {
        Self::new(422, "Invalid", message)
    }

    /// The version that a watch or a page asks for is no longer there.
    pub(in crate::sim) fn expired() -> Self {
        Self::new(
            410,
            "Expired",
            "The resourceVersion for the provided watch is too old.",
        )
    }

    /// As it goes over the wire.
    pub(in crate::sim) fn status(&self) -> Value {
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": self.message,
            "reason": self.reason, "code": self.code, "details": {"name": self.name}})
    }
}

/// The HTTP status code of an answer.
pub(in crate::sim) fn code_of(call: &Call, answer: &Answer) -> u16 {
    match answer {
        Ok(_) if call.verb == Verb::Create => 201,
        Ok(_) => 200,
        Err(refusal) => refusal.code,
    }
}
