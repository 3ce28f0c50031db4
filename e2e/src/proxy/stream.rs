//! The bodies of watches: let through, held back, cut, or dead with the connection open.
//!
//! Rule: a stream that went dead never speaks again, whatever is done for new ones.

use http_body::Frame;
use http_body_util::BodyExt;
use hyper::body::Bytes;
use tokio::sync::watch;

use super::call::Call;
use super::forward::BoxError;
use super::rule::{Filter, RuleId};

/// How watches are to be silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum How {
    /// What they have to say comes later.
    Held,
    /// Those that run end.
    Cut,
    /// Those that run say nothing more.
    Dead,
    /// Nor do new ones.
    Dark,
}

/// Watches that are to be silent, and how.
#[derive(Debug, Clone)]
pub(super) struct Silence {
    pub(super) id: RuleId,
    pub(super) filter: Filter,
    pub(super) how: How,
}

/// What silence there is for a watch that began at that moment.
pub(super) fn silence(silences: &[Silence], call: &Call, born: RuleId) -> Option<How> {
    let meant = |silence: &&Silence| {
        let only_running = matches!(silence.how, How::Cut | How::Dead);
        call.verb == "watch" && silence.filter.matches(call) && (!only_running || born < silence.id)
    };
    silences.iter().filter(meant).map(|one| one.how).max()
}

/// The next frame of a body, when the watch may speak; never, once it is dead.
pub(super) async fn next_frame(
    body: &mut kube::client::Body,
    call: &Call,
    born: RuleId,
    silences: &mut watch::Receiver<Vec<Silence>>,
) -> Option<Result<Frame<Bytes>, BoxError>> {
    loop {
        let silence = silence(&silences.borrow_and_update(), call, born);
        match silence {
            Some(How::Dead | How::Dark) => std::future::pending().await,
            Some(How::Cut) => return Some(Err("cut by the test".into())),
            Some(How::Held) => {
                // The sender lives as long as the door.
                let _ = silences.changed().await;
            }
            None => tokio::select! {
                frame = body.frame() => return frame.map(|frame| frame.map_err(BoxError::from)),
                _ = silences.changed() => {}
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_running_watches_is_not_said_of_new_ones() {
        let watch = Call {
            verb: "watch",
            resource: "pods".to_owned(),
            ..Call::default()
        };
        let (early, id) = (RuleId::fresh(), RuleId::fresh());
        let late = RuleId::fresh();
        let silences = |how| {
            let filter = Filter::of(&[], &["pods"]);
            vec![Silence { id, filter, how }]
        };
        for (how, of_new) in [
            (How::Cut, None),
            (How::Dead, None),
            (How::Dark, Some(How::Dark)),
            (How::Held, Some(How::Held)),
        ] {
            assert_eq!(silence(&silences(how), &watch, early), Some(how));
            assert_eq!(silence(&silences(how), &watch, late), of_new);
        }
        let list = Call {
            verb: "list",
            ..watch
        };
        assert_eq!(silence(&silences(How::Dark), &list, early), None);
    }
}
