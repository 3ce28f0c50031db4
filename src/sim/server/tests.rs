//! The API server in memory answers as a real one does.
//!
//! Rule: what the script shows is not shown here again; a real server answers it in the tests of `e2e`.

use axum::http::Method;
use jiff::Timestamp;
use serde_json::Value;

use super::answer::code_of;
use super::{Actor, Server};
use crate::sim::kind::Call;
use crate::sim::script::Dialogue;

/// The script, which a real server is asked, too.
const CALLS: &str = include_str!("../../../tests/api-calls.yaml");

#[test]
fn it_answers_the_script_as_a_real_one_does() {
    let mut server = Server::new(Timestamp::from_second(1_800_000_000).unwrap());
    let mut dialogue = Dialogue::new(CALLS, "ns");
    while let Some(asked) = dialogue.next() {
        let method = Method::from_bytes(asked.method.as_bytes()).unwrap();
        let call = Call::parse(&method, &asked.target, asked.body)
            .expect("a call that the simulation knows");
        let answer = server.call(&Actor::User, &call);
        let code = code_of(&call, &answer);
        let said: Value = answer.unwrap_or_else(|refusal| refusal.status());
        dialogue.answered(code, &said);
    }
}
