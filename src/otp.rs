//! The differential test: random trees and histories, run on the supervisor of Erlang/OTP and on our engine.
//!
//! `history` says what a history is and `generate` draws one from a seed; `oracle` runs it on OTP (`oracle.erl`), `engine`
//! on ours, in OTP's profile (`spec`); both answer with a `trace`, and `compare` finds where they differ. `shrink` makes a
//! history that differs as small as it can. OTP comes from the Debian package `erlang-base`.
//!
//! What no history has, and why:
//! - A child that is added, or enabled, and cannot start. OTP answers who asked with an error; here nobody waits for an
//!   answer, and it is tried again and charged: difference 1 (edits converge).
//! - A death, a stop or an edit while a supervisor starts or stops others. OTP hears of it afterwards; here it is judged at
//!   once, which is difference 10 (restarts under way). So each step comes when the one before it has come to rest.
//! - An exit by SIGKILL. `kill` in OTP stands here for the exit code 9 (`spec::exit_code`): with 137 a judgement may wait 3 s
//!   for Events that say who sent the signal, and OTP always knows. The judgement of 137 itself has tests of its own
//!   (`src/model/scenarios/witnesses.rs`).
//! - A child that moves or becomes of another kind, which OTP does not have: difference 1 (edits converge).
//!
//! Rule: nothing is left out of the comparison but what is not as in OTP by the list of differences in
//! `docs/from-erlang.md`; each such place names the number.

mod compare;
mod engine;
mod generate;
mod golden;
mod history;
mod mistakes;
mod oracle;
mod pods;
mod shrink;
mod spec;
mod terms;
mod tests;
mod trace;
