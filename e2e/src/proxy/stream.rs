//! The bodies of watches: let through, held back, or dead with the connection open.
//!
//! Rule: a stream that went dead never speaks again, whatever is done for new ones.

use http_body::Frame;
use http_body_util::BodyExt;
use hyper::body::Bytes;
use tokio::sync::watch;

use super::call::Call;
use super::rule::{Filter, RuleId};

/// Watches that are to be silent.
#[derive(Debug, Clone)]
pub(super) struct Silence {
    filter: Filter,
    for_ever: bool,
}

/// All silences.
pub(super) type Silences = Vec<(RuleId, Silence)>;

/// What silence there is for a watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sound {
    Speaks,
    Held,
    Dead,
}

impl Silence {
    pub(super) fn dark(filter: Filter) -> Self {
        Self {
            filter,
            for_ever: true,
        }
    }

    pub(super) fn held(filter: Filter) -> Self {
        Self {
            filter,
            for_ever: false,
        }
    }
}

pub(super) fn sound(silences: &Silences, call: &Call) -> Sound {
    let of_call = silences
        .iter()
        .filter(|(_, silence)| call.verb == "watch" && silence.filter.matches(call));
    let heaviest = of_call.map(|(_, silence)| silence.for_ever).max();
    match heaviest {
        None => Sound::Speaks,
        Some(true) => Sound::Dead,
        Some(false) => Sound::Held,
    }
}

/// The next frame of a body, when the watch may speak; never, once it is dead.
pub(super) async fn next_frame(
    body: &mut kube::client::Body,
    call: &Call,
    silences: &mut watch::Receiver<Silences>,
) -> Option<Result<Frame<Bytes>, kube::Error>> {
    loop {
        let sound = sound(&silences.borrow_and_update(), call);
        match sound {
            Sound::Dead => std::future::pending().await,
            Sound::Held => {
                // The sender lives as long as the door.
                let _ = silences.changed().await;
            }
            Sound::Speaks => tokio::select! {
                frame = body.frame() => return frame,
                _ = silences.changed() => {}
            },
        }
    }
}
