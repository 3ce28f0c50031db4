//! The script of calls that the simulation's API server answers, asked of a real one.
//!
//! Rule: both must answer the same, so that what the simulation shows is so on a cluster.

use http::header::CONTENT_TYPE;
use http::{Method, Request};
use kube::client::Body;

#[path = "../../../src/sim/script.rs"]
mod script;

use script::Dialogue;

/// The script, which belongs to the simulation.
const CALLS: &str = include_str!("../../../tests/api-calls.yaml");

#[tokio::test]
async fn a_real_server_answers_the_script_of_the_simulation() {
    let cluster = crate::api::server().await;
    let client = cluster.client();
    let namespace = cluster.namespace("calls").await.expect("a namespace");
    let mut dialogue = Dialogue::new(CALLS, &namespace);
    while let Some(asked) = dialogue.next() {
        let method: Method = asked.method.parse().expect("a method");
        let kind = if method == Method::PATCH {
            "application/merge-patch+json"
        } else {
            "application/json"
        };
        let body = if asked.body.is_null() {
            Vec::new()
        } else {
            asked.body.to_string().into_bytes()
        };
        let request = Request::builder()
            .method(method)
            .uri(asked.target)
            .header(CONTENT_TYPE, kind)
            .body(Body::from(body))
            .expect("a request");
        let response = client.send(request).await.expect("an answer");
        let code = response.status().as_u16();
        let bytes = response.into_body().collect_bytes().await;
        let answer = serde_json::from_slice(&bytes.expect("a whole answer"));
        let answer = answer.expect("an answer is JSON");
        dialogue.answered(code, &answer);
    }
}
