//! Short commands of the machine, such as `ip`.
//!
//! Rule: each has 20 seconds, and an error shows what it printed.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::Error;

const WITHIN: Duration = Duration::from_secs(20);

/// Runs `command` with `input`, and gives back what it printed to its standard output.
pub(super) async fn output(command: &[&str], input: &str) -> Result<String, Error> {
    let failed = |reason: String| Error::Command {
        command: command.join(" "),
        reason,
    };
    let mut child = Command::new(command[0])
        .args(&command[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let mut stdin = child.stdin.take();
    let run = async {
        if let Some(stdin) = &mut stdin {
            stdin.write_all(input.as_bytes()).await?;
        }
        drop(stdin);
        child.wait_with_output().await
    };
    match tokio::time::timeout(WITHIN, run).await {
        Ok(Ok(output)) if output.status.success() => {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        }
        Ok(Ok(output)) => Err(failed(
            String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        )),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(_) => Err(failed(format!("not done within {} s", WITHIN.as_secs()))),
    }
}
