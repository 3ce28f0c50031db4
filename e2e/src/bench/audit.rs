//! What the API server noted of each request: the clock of all benchmarks.
//!
//! Rule: a line is read once, in the order in which the requests were answered.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::Deserialize;

use crate::cluster::Cluster;

/// The log from some moment on.
pub(super) struct AuditLog {
    reader: BufReader<File>,
    /// The beginning of a line that was not whole yet.
    rest: String,
}

/// A request that was answered.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) user: String,
    pub(super) verb: String,
    /// With a subresource after a slash: `pods`, `supervisiontrees/status`.
    pub(super) resource: String,
    pub(super) namespace: String,
    pub(super) name: String,
    /// The HTTP status of the answer.
    pub(super) code: u16,
    pub(super) received: Timestamp,
    pub(super) answered: Timestamp,
}

impl AuditLog {
    /// The log from now on.
    pub(super) fn from_now(cluster: &Cluster) -> Result<Self> {
        let path = cluster.audit_log().context("a cluster of our own")?;
        let mut file = File::open(path).with_context(|| format!("open {}", path.display()))?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self {
            reader: BufReader::with_capacity(1 << 20, file),
            rest: String::new(),
        })
    }

    /// What was answered since it was last asked.
    pub(super) fn read(&mut self) -> Result<Vec<Request>> {
        let mut requests = Vec::new();
        while self.reader.read_line(&mut self.rest)? > 0 {
            // The last line may be half written.
            if !self.rest.ends_with('\n') {
                break;
            }
            let event: Event =
                serde_json::from_str(&self.rest).context("understand the audit log")?;
            self.rest.clear();
            requests.extend(event.request());
        }
        Ok(requests)
    }
}

impl Request {
    /// Whether it changed something.
    pub(super) fn is_write(&self) -> bool {
        self.succeeded() && self.would_write()
    }

    /// Whether it was to change something, whatever came of it.
    pub(super) fn would_write(&self) -> bool {
        let writes = ["create", "update", "patch", "delete", "deletecollection"];
        writes.contains(&self.verb.as_str())
    }

    /// Whether this user did that, with success.
    pub(super) fn is(&self, user: &str, verb: &str, resource: &str) -> bool {
        self.user == user && self.verb == verb && self.resource == resource && self.succeeded()
    }

    fn succeeded(&self) -> bool {
        (200..300).contains(&self.code)
    }
}

/// Milliseconds from one moment to another; negative when the other was earlier.
pub(super) fn milliseconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64() * 1e3
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    stage: String,
    verb: String,
    user: User,
    #[serde(default)]
    object_ref: ObjectRef,
    #[serde(default)]
    response_status: Status,
    request_received_timestamp: Timestamp,
    stage_timestamp: Timestamp,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ObjectRef {
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Deserialize, Default)]
struct Status {
    #[serde(default)]
    code: u16,
}

impl Event {
    fn request(self) -> Option<Request> {
        let object = self.object_ref;
        let parts = [object.resource.as_str(), &object.subresource];
        (self.stage == "ResponseComplete").then(|| Request {
            resource: parts.join("/").trim_end_matches('/').to_owned(),
            user: self.user.username,
            verb: self.verb,
            namespace: object.namespace,
            name: object.name,
            code: self.response_status.code,
            received: self.request_received_timestamp,
            answered: self.stage_timestamp,
        })
    }
}
