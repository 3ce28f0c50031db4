//! Logs: one line of JSON per event in the cluster, readable ones on a terminal.
//!
//! Rule: everything that the process says goes through `tracing`, panics included, so that a log
//! collector never meets a line it cannot parse.

use std::env::{self, VarError};
use std::io::{self, IsTerminal};
use std::panic::{self, PanicHookInfo};

use thiserror::Error;
use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// The environment variable that filters the log, in the syntax of `EnvFilter`.
const FILTER_VARIABLE: &str = "RUST_LOG";

/// What is logged when nothing else is asked for.
const DEFAULT_FILTER: &str = "info";

/// Why there is no log.
#[derive(Debug, Error)]
pub enum TelemetryError {
    /// The filter is not text.
    #[error("the value of {FILTER_VARIABLE} is not valid Unicode")]
    NotUnicode,
    /// The filter cannot be understood.
    #[error("could not read {FILTER_VARIABLE}={value:?} as a log filter")]
    Filter {
        /// The value of the variable.
        value: String,
        /// What is wrong with it.
        source: ParseError,
    },
    /// Somebody else has started logging in this process.
    #[error("could not start logging")]
    Init(#[source] TryInitError),
}

/// Starts logging to standard error: compact lines on a terminal, JSON otherwise. `RUST_LOG` filters;
/// left out, `info` and worse are logged.
pub fn init() -> Result<(), TelemetryError> {
    let filter = filter(env::var(FILTER_VARIABLE))?;
    if io::stderr().is_terminal() {
        readable(filter, io::stderr)
            .try_init()
            .map_err(TelemetryError::Init)?;
    } else {
        json(filter, io::stderr)
            .try_init()
            .map_err(TelemetryError::Init)?;
    }
    panic::set_hook(Box::new(log_panic));
    Ok(())
}

fn filter(variable: Result<String, VarError>) -> Result<EnvFilter, TelemetryError> {
    let value = match variable {
        Ok(value) if !value.trim().is_empty() => value,
        Ok(_) | Err(VarError::NotPresent) => DEFAULT_FILTER.to_owned(),
        Err(VarError::NotUnicode(_)) => return Err(TelemetryError::NotUnicode),
    };
    EnvFilter::try_new(&value).map_err(|source| TelemetryError::Filter { value, source })
}

fn readable<W>(filter: EnvFilter, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    tracing_subscriber::fmt()
        .compact()
        .with_env_filter(filter)
        .with_writer(writer)
        .finish()
}

fn json<W>(filter: EnvFilter, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_env_filter(filter)
        .with_writer(writer)
        .finish()
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let message = panic
        .payload_as_str()
        .unwrap_or("a panic without a message");
    let location = panic.location().map(ToString::to_string);
    tracing::error!(panic = message, location, "panicked");
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Captured {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn without_a_filter_info_and_worse_are_logged() {
        for nothing in [Err(VarError::NotPresent), Ok(String::new()), Ok(" ".into())] {
            assert_eq!(filter(nothing).unwrap().to_string(), "info");
        }
        let asked = filter(Ok("warn,coppice=debug".into())).unwrap().to_string();
        assert!(asked.contains("coppice=debug"), "{asked}");
    }

    #[test]
    fn a_wrong_filter_is_refused_with_its_value() {
        let error = filter(Ok("coppice=loud".into())).unwrap_err().to_string();
        assert!(
            error.starts_with("could not read RUST_LOG=\"coppice=loud\" as a log filter"),
            "{error}"
        );
    }

    #[test]
    fn in_the_cluster_each_event_is_one_json_object() {
        let captured = Captured::default();
        let writer = captured.clone();
        let subscriber = json(EnvFilter::new("info"), move || writer.clone());
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!("reconcile", tree = "default/shop");
            let _entered = span.enter();
            tracing::debug!("not logged");
            tracing::warn!(attempt = 2, "will retry\nlater");
        });
        let text = captured.text();
        assert_eq!(text.lines().count(), 1, "{text}");
        let event: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(event["level"], "WARN");
        assert_eq!(event["message"], "will retry\nlater");
        assert_eq!(event["attempt"], 2);
        assert_eq!(event["span"]["tree"], "default/shop");
    }

    #[test]
    fn on_a_terminal_lines_are_readable() {
        let captured = Captured::default();
        let writer = captured.clone();
        let subscriber = readable(EnvFilter::new("info"), move || writer.clone());
        tracing::subscriber::with_default(subscriber, || tracing::info!(pods = 3, "up"));
        let text = captured.text();
        assert!(text.contains("INFO") && text.contains("up"), "{text}");
        serde_json::from_str::<serde_json::Value>(&text).unwrap_err();
    }
}
