//! Metrics of the process itself, under the names that every Prometheus client library uses.
//!
//! Rule: read from `/proc` at each scrape; what cannot be read is left out, never guessed.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Writes the figures of this process at each scrape.
#[derive(Debug)]
pub(super) struct ProcessMetrics;

struct Figure {
    name: &'static str,
    help: &'static str,
    grows_only: bool,
    read: fn() -> Option<f64>,
}

const FIGURES: [Figure; 6] = [
    Figure {
        name: "process_start_time_seconds",
        help: "When the process started, in seconds since 1970",
        grows_only: false,
        read: start_time,
    },
    Figure {
        name: "process_cpu_seconds",
        help: "CPU time spent, in user and system mode",
        grows_only: true,
        read: cpu_time,
    },
    Figure {
        name: "process_resident_memory_bytes",
        help: "Memory that is resident",
        grows_only: false,
        read: || status_bytes("VmRSS"),
    },
    Figure {
        name: "process_virtual_memory_bytes",
        help: "Memory that is mapped",
        grows_only: false,
        read: || status_bytes("VmSize"),
    },
    Figure {
        name: "process_open_fds",
        help: "File descriptors that are open",
        grows_only: false,
        read: open_fds,
    },
    Figure {
        name: "process_max_fds",
        help: "File descriptors that may be open",
        grows_only: false,
        read: max_fds,
    },
];

/// The unit of times in `/proc`, per second. It is part of the kernel's interface and 100 on every
/// architecture that Kubernetes runs on.
const TICKS_PER_SECOND: f64 = 100.0;

impl Collector for ProcessMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for figure in &FIGURES {
            let Some(value) = (figure.read)() else {
                continue;
            };
            if figure.grows_only {
                encode(&mut encoder, figure, &ConstCounter::new(value))?;
            } else {
                encode(&mut encoder, figure, &ConstGauge::new(value))?;
            }
        }
        Ok(())
    }
}

fn encode(
    encoder: &mut DescriptorEncoder<'_>,
    figure: &Figure,
    metric: &impl EncodeMetric,
) -> Result<(), fmt::Error> {
    let kind = metric.metric_type();
    metric.encode(encoder.encode_descriptor(figure.name, figure.help, None, kind)?)
}

fn start_time() -> Option<f64> {
    let system = fs::read_to_string("/proc/stat").ok()?;
    let booted: f64 = system
        .lines()
        .find_map(|line| line.strip_prefix("btime "))?
        .parse()
        .ok()?;
    Some(booted + stat_fields(&own_stat()?).nth(19)? / TICKS_PER_SECOND)
}

fn cpu_time() -> Option<f64> {
    let ticks: f64 = stat_fields(&own_stat()?).skip(11).take(2).sum();
    Some(ticks / TICKS_PER_SECOND)
}

fn own_stat() -> Option<String> {
    fs::read_to_string("/proc/self/stat").ok()
}

/// The fields of `/proc/self/stat` from the third on. The second, the name of the program, is skipped
/// by its closing bracket, because it may contain blanks and brackets itself.
fn stat_fields(stat: &str) -> impl Iterator<Item = f64> {
    let after_name = stat.rfind(')').map_or("", |end| &stat[end + 1..]);
    // The third field is a letter; the fields looked at are numbers.
    after_name
        .split_whitespace()
        .map(|field| field.parse().unwrap_or(f64::NAN))
}

fn status_bytes(field: &str) -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    let kibibytes: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024.0)
}

fn open_fds() -> Option<f64> {
    let open = fs::read_dir("/proc/self/fd").ok()?.count();
    // The directory was open itself while it was read.
    u32::try_from(open.saturating_sub(1)).ok().map(f64::from)
}

fn max_fds() -> Option<f64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    // "unlimited" is no number, and then there is no limit to report.
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::*;

    #[test]
    fn every_figure_of_this_process_is_plausible() {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs_f64();
        let started = start_time().unwrap();
        assert!(
            started < now + 2.0 && started > now - 86_400.0,
            "{started} {now}"
        );
        let (resident, mapped) = (
            status_bytes("VmRSS").unwrap(),
            status_bytes("VmSize").unwrap(),
        );
        assert!(
            resident > 100_000.0 && resident < mapped,
            "{resident} {mapped}"
        );
        assert!(open_fds().unwrap() >= 3.0);
        assert!(max_fds().is_none_or(|limit| limit >= open_fds().unwrap()));
    }

    #[test]
    fn cpu_time_grows_with_work() {
        let before = cpu_time().unwrap();
        let mut sum = 0_u64;
        while cpu_time().unwrap() < before + 0.05 {
            sum = std::hint::black_box((0..100_000_u64).sum::<u64>() ^ sum);
        }
    }

    #[test]
    fn a_program_name_with_brackets_does_not_shift_the_fields() {
        let stat = "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 1 0 4200 9";
        let fields: Vec<f64> = stat_fields(stat).collect();
        assert_eq!(fields[11..13], [150.0, 50.0]);
        assert!((fields[19] - 4200.0).abs() < f64::EPSILON);
    }

    #[test]
    fn counters_and_gauges_are_written_as_such() {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(ProcessMetrics));
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        assert!(
            text.contains("# TYPE process_cpu_seconds counter\nprocess_cpu_seconds_total "),
            "{text}"
        );
        assert!(
            text.contains("# TYPE process_open_fds gauge\nprocess_open_fds "),
            "{text}"
        );
    }
}
