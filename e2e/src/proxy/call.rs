//! What a request asks of the API server, in the words of its audit log.
//!
//! Rule: it is read off method and path alone; no body is looked at.

use http::Method;

/// What is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Call {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete` or `deletecollection`.
    pub verb: &'static str,
    /// The resource, with a subresource after a slash: `pods`, `supervisiontrees/status`.
    pub resource: String,
    /// The namespace, empty for what has none.
    pub namespace: String,
    /// The object's name, empty for collections; a create names none.
    pub name: String,
    /// The query, as it was written.
    pub query: String,
}

impl Call {
    /// The call that this request makes.
    pub fn of(method: &Method, uri: &http::Uri) -> Self {
        let query = uri.query().unwrap_or_default();
        let mut parts = uri.path().split('/').filter(|part| !part.is_empty());
        let mut next = || parts.next().unwrap_or_default().to_owned();
        // /api/VERSION/… or /apis/GROUP/VERSION/…
        let prefixes = if next() == "apis" { 2 } else { 1 };
        for _ in 0..prefixes {
            next();
        }
        let mut resource = next();
        let mut namespace = String::new();
        let mut name = next();
        let mut subresource = next();
        if resource == "namespaces" && !subresource.is_empty() {
            namespace = name;
            resource = subresource;
            name = next();
            subresource = next();
        }
        if !subresource.is_empty() {
            resource = format!("{resource}/{subresource}");
        }
        let verb = match (method, name.is_empty()) {
            (&Method::GET, _) if query.split('&').any(|part| part == "watch=true") => "watch",
            (&Method::GET, true) => "list",
            (&Method::POST, _) => "create",
            (&Method::PUT, _) => "update",
            (&Method::PATCH, _) => "patch",
            (&Method::DELETE, true) => "deletecollection",
            (&Method::DELETE, false) => "delete",
            _ => "get",
        };
        Self {
            verb,
            resource,
            namespace,
            name,
            query: query.to_owned(),
        }
    }

    /// Whether it changes something, or tries to.
    pub fn is_write(&self) -> bool {
        !["get", "list", "watch"].contains(&self.verb)
    }

    /// Whether it is about an Event.
    pub fn is_event(&self) -> bool {
        self.resource == "events"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_read_off_the_path() {
        let table = [
            (Method::GET, "/api/v1/nodes?limit=1", "list nodes  "),
            (
                Method::GET,
                "/api/v1/namespaces/a/pods?watch=true&x=y",
                "watch pods a ",
            ),
            (
                Method::POST,
                "/api/v1/namespaces/a/pods?x=y",
                "create pods a ",
            ),
            (Method::GET, "/api/v1/namespaces/a", "get namespaces  a"),
            (
                Method::DELETE,
                "/api/v1/namespaces/a/pods/p",
                "delete pods a p",
            ),
            (
                Method::PATCH,
                "/apis/coppice.dev/v1alpha1/namespaces/a/supervisiontrees/t/status",
                "patch supervisiontrees/status a t",
            ),
            (
                Method::GET,
                "/apis/coppice.dev/v1alpha1/workers",
                "list workers  ",
            ),
        ];
        for (method, uri, expected) in table {
            let call = Call::of(&method, &uri.parse().expect("a URI"));
            let Call {
                verb,
                resource,
                namespace,
                name,
                ..
            } = &call;
            assert_eq!(
                format!("{verb} {resource} {namespace} {name}"),
                expected,
                "{uri}"
            );
            assert_eq!(
                call.is_write(),
                !["get", "list", "watch"].contains(verb),
                "{uri}"
            );
        }
    }
}
