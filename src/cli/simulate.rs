//! The options of `coppice simulate`.
//!
//! Rule: files are read here; what they say is judged in the library.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use coppice::simulate::{Fault, Plan, Target, parse_time};

/// What the command is, at length.
pub(super) const LONG_ABOUT: &str = "\
Show what would happen to a tree, step by step, without a cluster.

The decisions are those of the operator itself; only the cluster around it and its clock are virtual. In this cluster a
Pod starts a second after it was created and is Ready a second later, has a node of its own, and takes a second to stop;
a worker with `ready: Completed` completes after three seconds. Without --fault and --crash-loop the start alone is shown.

Each line says when something happened, to whom, what and why, what it was charged (`2/3 in 300s at web` is the second
of three restarts that the window of `web` allows in 300 seconds, `4/3` is one too many, so that `web` gives up; `none`
could have been charged and was not), and what is next. The last line says how the tree stands in the end, and how many
restarts are left in its scarcest window. Steps that happen again are one line, which says what they were charged. The
simulation ends when nothing more happens by itself, when everything is as it was before and so repeats, or after an
hour of its time, and not before ten minutes after the last fault.";

/// Examples for the end of the help.
pub(super) const EXAMPLES: &str = "\
Examples:
  coppice simulate -f tree.yaml
  coppice simulate -f tree.yaml --fault api=OomKilled --fault db=exit:1@30s
  coppice simulate -f tree.yaml --fault api/2=NodeUnreachable@1m30s --for 10m
  coppice simulate -f tree.yaml --crash-loop mailer
  kubectl get stree shop -o yaml | coppice simulate -f - --crash-loop db -o json";

/// Show what would happen to a tree.
#[derive(Debug, Args)]
pub(crate) struct Simulate {
    /// A file with trees; may be repeated, and - is standard input
    ///
    /// Every SupervisionTree in it is simulated by itself; objects of other kinds are skipped.
    #[arg(short, long = "filename", value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// Something that befalls a replica: CHILD[/SLOT]=(CLASS|exit:N|signal:N)[@TIME]; may be repeated
    ///
    /// SLOT is the number of the replica, 0 when left out. CLASS is a class of fault, for example `OomKilled`,
    /// `PodDeleted`, `NodeUnreachable` or `ImageNotFound`; a wrong one is answered with one like it, or with all names. exit:N and signal:N end the program with
    /// that exit code or by that signal.
    ///
    /// TIME counts from the start of the simulation, for example 30s, 2m or 1m30s; the fault happens then, or as soon as the
    /// replica runs. Left out, it happens a second after the tree has become Ready for the first time, and not before the
    /// replica has started (again).
    ///
    /// A class that keeps a Pod from starting (images, configuration, capacity, refused creates) befalls the first Pod
    /// of the replica that starts at TIME or later, without TIME the very first one: `--fault api=PodDeleted@1m --fault
    /// api=ImageNotFound@1m` deletes a Pod whose successor does not find its image. Missing capacity and troubles of
    /// nodes and registries pass after two minutes; what somebody would have to repair stays.
    #[arg(long = "fault", value_name = "FAULT")]
    faults: Vec<Fault>,

    /// A child, or one replica of it, that crashes for ever, a second after each start; may be repeated
    #[arg(long = "crash-loop", value_name = "CHILD[/SLOT]")]
    crash_loops: Vec<Target>,

    /// How long to go on, for example 30m; at most 168h [default: until nothing new comes, at most 1h, or 10m after the last fault]
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_time)]
    seconds: Option<i64>,

    /// How to print the timeline
    #[arg(
        short = 'o',
        long = "output",
        value_name = "FORMAT",
        value_enum,
        default_value_t = Format::Table
    )]
    format: Format,
}

/// How to print a timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A table; what happened to several in the same way is one line
    Table,
    /// An array of {"tree", "at", "subject", "event", "why", "charges", "next"}, one for each event; "at" is in seconds
    Json,
}

impl Simulate {
    /// The files by name, with their text.
    pub(crate) fn sources(&self) -> anyhow::Result<Vec<(String, String)>> {
        super::sources(&self.files)
    }

    /// What is to happen.
    pub(crate) fn plan(&self) -> Plan {
        Plan {
            faults: self.faults.clone(),
            crash_loops: self.crash_loops.clone(),
            seconds: self.seconds,
        }
    }

    /// How to print it.
    pub(crate) fn format(&self) -> Format {
        self.format
    }
}
