//! The options of `coppice identify` and `coppice faults`.
//!
//! Rule: files are read here; what they say is judged in the library.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// What the command is, at length.
pub(super) const LONG_ABOUT: &str = "\
Say what is wrong with objects in a file, how sure that is, what proves it, and what to do. No cluster is needed.

The file, YAML or JSON, holds what `kubectl get -o yaml` prints: objects of any kind, lists of them, and Events, several
documents if you like. Each Pod is answered for, and each object that has no Pod in the file; Events, nodes and their
Leases, claims and owners are evidence. Or it is an evidence document about one object:

  pod: {...}           the Pod
  events: [...]        its Events, and those of what it refers to
  node: {...}          its node
  pvc: {...}           its claim
  related: [...]       anything else
  createError: {...}   what the API server answered to a create: a Status, or its message

Any part may be missing: then less is known, and the answer says how sure it is. CrashLoopBackOff, ImagePullBackOff,
Error and Pending are never an answer; what is beneath them is. `coppice faults` lists all answers that there are.";

/// Examples for the end of the help.
pub(super) const EXAMPLES: &str = "\
Examples:
  kubectl get pods,events -o yaml | coppice identify -f -
  kubectl get pods,events,nodes,pvc -A -o json | coppice identify -f - -o json
  coppice identify -f evidence.yaml";

/// Say what is wrong with objects in a file.
#[derive(Debug, Args)]
pub(crate) struct Identify {
    /// A file with objects; may be repeated, and - is standard input
    #[arg(short, long = "filename", value_name = "FILE", required = true)]
    pub(super) files: Vec<PathBuf>,

    /// How to print the answers
    #[arg(short = 'o', long = "output", value_name = "FORMAT", value_enum, default_value_t = Answers::Text)]
    format: Answers,
}

/// How to print answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Answers {
    /// A paragraph for each object that something is wrong with
    Text,
    /// An array, the worst first, of {"object", "class", "verdict", "confidence", "overlay", "proximate", "contributing",
    /// "evidence", "container", "since", "message", "advice"}
    Json,
}

/// List the classes of faults, or explain one.
#[derive(Debug, Args)]
pub(crate) struct Faults {
    /// The class to explain [default: all, in a table]
    #[arg(value_name = "CLASS", value_parser = class)]
    pub(crate) class: Option<coppice::model::fault::Class>,

    /// Print what is done about each verdict where no rule of `faultPolicy` matches
    #[arg(long, conflicts_with = "class")]
    pub(crate) policy: bool,
}

impl Identify {
    /// The files by name, with their text.
    pub(crate) fn sources(&self) -> anyhow::Result<Vec<(String, String)>> {
        super::sources(&self.files)
    }

    /// Whether JSON is wanted.
    pub(crate) fn is_json(&self) -> bool {
        self.format == Answers::Json
    }
}

fn class(text: &str) -> Result<coppice::model::fault::Class, String> {
    use coppice::model::fault::Class;
    let found = Class::ALL
        .iter()
        .find(|class| class.as_str().eq_ignore_ascii_case(text));
    found.copied().ok_or_else(|| {
        let like = |class: &&Class| strsim::normalized_damerau_levenshtein(class.as_str(), text);
        let nearest = Class::ALL.iter().max_by(|a, b| like(a).total_cmp(&like(b)));
        let nearest = nearest.map_or("", |class| class.as_str());
        format!("there is no class '{text}'; did you mean {nearest}? `coppice faults` lists all")
    })
}
