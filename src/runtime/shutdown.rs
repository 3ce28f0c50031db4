//! The end of the process: TERM or INT ask for it, and it comes in bounded time.
//!
//! Rule: a stop is asked for once and obeyed by everybody; who asks twice, or waits too long, gets
//! an end without manners.

use std::io;
use std::task::Context;
use std::time::Duration;

use futures::stream::{self, Stream, StreamExt};
use thiserror::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Exit code when the process had to be ended without manners.
const EXIT_ABORTED: i32 = 1;

/// The signals cannot be listened to.
#[derive(Debug, Error)]
#[error("could not listen for the signal {signal}")]
pub struct ShutdownError {
    signal: &'static str,
    source: io::Error,
}

/// Returns a token that is cancelled by the first TERM or INT. From then on (also when somebody else
/// cancels the token) the process has `grace` to end by itself; when that is over, or at a second
/// signal, it is ended with exit code 1. Must be called on a tokio runtime, once.
pub fn install(grace: Duration) -> Result<CancellationToken, ShutdownError> {
    let stop = CancellationToken::new();
    let signals = stream::select(
        listen(SignalKind::terminate(), "TERM")?,
        listen(SignalKind::interrupt(), "INT")?,
    );
    let watched = stop.clone();
    tokio::spawn(async move {
        match overstayed(signals, watched, grace).await {
            Overstayed::SecondSignal(signal) => {
                tracing::error!(signal, "second signal while stopping; ending at once");
            }
            Overstayed::Grace => {
                tracing::error!(
                    grace_seconds = grace.as_secs(),
                    "could not stop in time; ending at once"
                );
            }
        }
        std::process::exit(EXIT_ABORTED);
    });
    Ok(stop)
}

/// Why the process must be ended.
#[derive(Debug, PartialEq, Eq)]
enum Overstayed {
    SecondSignal(&'static str),
    Grace,
}

async fn overstayed(
    mut signals: impl Stream<Item = &'static str> + Unpin,
    stop: CancellationToken,
    grace: Duration,
) -> Overstayed {
    tokio::select! {
        Some(signal) = signals.next() => {
            tracing::info!(signal, "stopping");
            stop.cancel();
        }
        () = stop.cancelled() => {}
    }
    tokio::select! {
        Some(signal) = signals.next() => Overstayed::SecondSignal(signal),
        () = tokio::time::sleep(grace) => Overstayed::Grace,
    }
}

fn listen(
    kind: SignalKind,
    name: &'static str,
) -> Result<impl Stream<Item = &'static str> + Unpin, ShutdownError> {
    let mut received: Signal = signal(kind).map_err(|source| ShutdownError {
        signal: name,
        source,
    })?;
    let next = move |context: &mut Context<'_>| received.poll_recv(context);
    Ok(stream::poll_fn(next).map(move |()| name))
}

#[cfg(test)]
mod tests {
    use futures::channel::mpsc;
    use tokio::task::JoinHandle;

    use super::*;

    struct Watched {
        signals: mpsc::UnboundedSender<&'static str>,
        stop: CancellationToken,
        ended: JoinHandle<Overstayed>,
    }

    fn watch() -> Watched {
        let (signals, received) = mpsc::unbounded();
        let stop = CancellationToken::new();
        let ended = tokio::spawn(overstayed(received, stop.clone(), Duration::from_secs(20)));
        Watched {
            signals,
            stop,
            ended,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_signal_asks_and_the_second_ends() {
        let watched = watch();
        watched.signals.unbounded_send("TERM").unwrap();
        watched.stop.cancelled().await;
        tokio::time::sleep(Duration::from_secs(19)).await;
        assert!(!watched.ended.is_finished());
        watched.signals.unbounded_send("INT").unwrap();
        assert_eq!(
            watched.ended.await.unwrap(),
            Overstayed::SecondSignal("INT")
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_grace_is_bounded() {
        let watched = watch();
        watched.signals.unbounded_send("TERM").unwrap();
        assert_eq!(watched.ended.await.unwrap(), Overstayed::Grace);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_from_inside_has_the_same_grace() {
        let watched = watch();
        tokio::time::sleep(Duration::from_hours(1)).await;
        assert!(!watched.ended.is_finished());
        watched.stop.cancel();
        assert_eq!(watched.ended.await.unwrap(), Overstayed::Grace);
    }
}
