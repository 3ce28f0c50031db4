//! A process of this machine, named so that it cannot be confused with a later one.
//!
//! Rule: a signal is sent only through a handle that was opened *before* the start time was compared, so a process
//! number that the kernel has given to somebody else is never hit.

use rustix::process::{Pid as RawPid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

/// A process number together with the time the process started, which makes it unique until the machine reboots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Pid {
    /// The process number, as seen from the machine's own process namespace.
    pub number: u32,
    /// Clock ticks between boot and the start of the process: field 22 of `/proc/PID/stat`.
    pub start: u64,
}

impl Pid {
    /// The running process with this number, or `None` when there is none (a zombie counts as gone).
    pub fn of(number: u32) -> Option<Self> {
        let line = std::fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
        // The command's name stands in parentheses and may itself hold spaces and parentheses.
        let mut fields = line.rsplit_once(')')?.1.split_ascii_whitespace();
        let state = fields.next()?;
        let start = fields.nth(18)?.parse().ok()?;
        (state != "Z" && state != "X").then_some(Self { number, start })
    }

    /// This process itself.
    pub fn current() -> Self {
        let number = std::process::id();
        Self::of(number).unwrap_or(Self { number, start: 0 })
    }

    /// Whether exactly this process is still running.
    pub fn is_alive(self) -> bool {
        Self::of(self.number) == Some(self)
    }

    /// Sends `signal` to exactly this process; `false` when it is gone or may not be signalled.
    pub fn signal(self, signal: Signal) -> bool {
        let Some(raw) = i32::try_from(self.number).ok().and_then(RawPid::from_raw) else {
            return false;
        };
        let Ok(handle) = pidfd_open(raw, PidfdFlags::empty()) else {
            return false;
        };
        self.is_alive() && pidfd_send_signal(&handle, signal).is_ok()
    }

    /// Kills exactly this process; `false` when it was gone already.
    pub fn kill(self) -> bool {
        self.signal(Signal::KILL)
    }

    /// The children of this process at this moment.
    pub fn children(self) -> Vec<Self> {
        Self::all()
            .into_iter()
            .filter(|pid| pid.parent() == Some(self.number))
            .collect()
    }

    /// The number of the parent process.
    pub fn parent(self) -> Option<u32> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.number)).ok()?;
        stat.rsplit_once(')')?
            .1
            .split_ascii_whitespace()
            .nth(1)?
            .parse()
            .ok()
    }

    /// Whether the process was started with `NAME=VALUE` in its environment.
    pub fn has_environment(self, assignment: &str) -> bool {
        std::fs::read(format!("/proc/{}/environ", self.number)).is_ok_and(|environment| {
            environment
                .split(|byte| *byte == 0)
                .any(|entry| entry == assignment.as_bytes())
        })
    }

    /// Every process of the machine that is running at this moment.
    pub fn all() -> Vec<Self> {
        let Ok(entries) = std::fs::read_dir("/proc") else {
            return Vec::new();
        };
        entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter_map(Self::of)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reused_number_is_another_process() {
        let child = std::process::Command::new("sleep").arg("60").spawn();
        let mut child = child.expect("sleep starts");
        let pid = Pid::of(child.id()).expect("it runs");
        let earlier = Pid {
            start: pid.start - 1,
            ..pid
        };
        assert!(!earlier.kill(), "another life of the same number");
        assert!(pid.is_alive());
        assert_eq!(pid.parent(), Some(std::process::id()));
        assert!(pid.kill());
        child.wait().expect("it ends");
        assert!(!pid.is_alive() && !pid.kill());
    }
}
