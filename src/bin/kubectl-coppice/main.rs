//! The `kubectl-coppice` binary, which kubectl runs as `kubectl coppice`: parse, read, print, exit code.
//!
//! Rule: it changes nothing but a tree, and only when a person asks for that; what there is to tell or to write is said in the
//! library.

#![forbid(unsafe_code)]

mod cluster;
mod needed;

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand, ValueEnum};
use coppice::why::{self, Account, Ask, Refusal, Told};
use coppice::{history, identify};
use jiff::Timestamp;

use cluster::{Connection, Whence};

/// The exit code for a question that has no answer: no such tree or child, or a file with something else in it.
const REFUSED: u8 = 2;

/// Ask Coppice about supervision trees.
#[derive(Debug, Parser)]
#[command(
    name = "kubectl-coppice",
    bin_name = "kubectl coppice",
    version,
    about,
    propagate_version = true
)]
struct Cli {
    #[command(flatten)]
    cluster: Cluster,

    #[command(subcommand)]
    command: Command,
}

/// Which cluster, as kubectl takes it.
#[derive(Debug, Args)]
struct Cluster {
    /// The namespace of the tree [default: that of the context]
    #[arg(short, long, global = true, value_name = "NAMESPACE")]
    namespace: Option<String>,

    /// The context of the kubeconfig [default: the current one]
    #[arg(long, global = true, value_name = "CONTEXT")]
    context: Option<String>,

    /// The kubeconfig [default: as kubectl finds it]
    #[arg(long, global = true, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,

    /// The user to act for, where the one of the context may
    #[arg(long = "as", global = true, value_name = "USER")]
    user: Option<String>,

    /// A group to act for, with --as; may be given several times
    #[arg(
        long = "as-group",
        global = true,
        value_name = "GROUP",
        requires = "user"
    )]
    groups: Vec<String>,
}

/// What to do.
#[derive(Debug, Subcommand)]
enum Command {
    /// Say what is wrong with a tree, what proves it, what was decided, what happens next, and what to do
    #[command(long_about = LONG_ABOUT, after_long_help = EXAMPLES)]
    Why(Why),

    /// Show the revisions of the templates of a tree: what each changed, and whether it proved good
    History(OfTree),

    /// Give a tree the templates of an earlier revision again, in its spec
    #[command(long_about = UNDO)]
    Undo(Undo),

    /// Let a canary go on past the step at which it waits, for the revision that is rolled out and no other
    Promote(OfTree),

    /// Freeze the rollout of a tree at once: no replica gets another template, and what dies is started as it was
    Pause(OfTree),

    /// Let a rollout that was paused go on
    Resume(OfTree),
}

const UNDO: &str = "\
Give a tree the templates of an earlier revision again, in its spec.

Without --to-revision of the last one that was proved good and that the spec does not ask for. Only templates of workers that the spec and the
revision have are written; everything else of the spec stays. Where a tool such as Argo CD or Flux owns the tree, change it there instead.";

/// A tree.
#[derive(Debug, Args)]
struct OfTree {
    /// The tree
    #[arg(value_name = "TREE", value_parser = tree)]
    tree: String,
}

/// Which revision to go back to.
#[derive(Debug, Args)]
struct Undo {
    /// The tree
    #[arg(value_name = "TREE", value_parser = tree)]
    tree: String,

    /// Number of the revision, as `kubectl coppice history` shows it
    #[arg(long, value_name = "NUMBER")]
    to_revision: Option<i64>,
}

const LONG_ABOUT: &str = "\
Say what is wrong with a tree, what proves it, what was decided, what happens next, and what to do.

Each child is told of that is not well or had a fault in the last hour; with CHILD that one, whatever it is, and what is
below it. Only reads: the tree, its Workers and Pods, the Events of its namespace, and of Pods that are not ready their claims
and nodes. With -f nothing is read but the file,
which holds the same as `kubectl get -o yaml` prints it; without a tree in it, each object is answered for as
`coppice identify -f` does.";

const EXAMPLES: &str = "\
Examples:
  kubectl coppice why shop
  kubectl coppice why shop api -n production
  kubectl get stree,wkr,pods,events -o yaml | kubectl coppice why -f -

Exit codes: 0 when there is an answer, whatever it is; 2 when there is no such tree or child, or the file is no Kubernetes;
1 when the cluster cannot be asked.";

/// What to tell.
#[derive(Debug, Args)]
struct Why {
    /// The tree; may be left out with -f, which tells of all in the file
    #[arg(value_name = "TREE", required_unless_present = "file", value_parser = tree)]
    tree: Option<String>,

    /// A child of it; (root) is the root supervisor
    #[arg(value_name = "CHILD")]
    child: Option<String>,

    /// A file instead of a cluster; - is standard input
    #[arg(short, long = "filename", value_name = "FILE", conflicts_with_all = ["context", "kubeconfig", "user"])]
    file: Option<PathBuf>,

    /// How to print it
    #[arg(short = 'o', long = "output", value_name = "FORMAT", value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// How to print it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A paragraph for each child
    Text,
    /// An array with an object for each tree
    Json,
}

/// A name, also as kubectl prints it: `stree/shop`.
fn tree(text: &str) -> Result<String, String> {
    let name = match text.split_once('/') {
        None => text,
        Some((kind, name)) => {
            let kind = kind.split('.').next().unwrap_or_default();
            if !["stree", "supervisiontree", "supervisiontrees"].contains(&kind) {
                return Err(format!("'{kind}' is no tree: give its name, or stree/NAME"));
            }
            name
        }
    };
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || !name.chars().all(legal) {
        return Err(format!("'{name}' is not the name of a tree"));
    }
    Ok(name.to_owned())
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(code) => code,
        Err(error) => {
            // A pipe that is closed hears nothing.
            let _ = writeln!(std::io::stderr(), "kubectl coppice: {error:#}");
            if error.is::<Refusal>() || error.is::<history::Refusal>() {
                ExitCode::from(REFUSED)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<ExitCode> {
    let on_cluster = |work| runtime()?.block_on(work);
    match &cli.command {
        Command::Why(options) => why(&cli.cluster, options),
        Command::History(of) => on_cluster(revise(&cli.cluster, &of.tree, Revise::Show)),
        Command::Undo(options) => {
            let to = Revise::Undo(options.to_revision);
            on_cluster(revise(&cli.cluster, &options.tree, to))
        }
        Command::Promote(of) => on_cluster(revise(&cli.cluster, &of.tree, Revise::Promote)),
        Command::Pause(of) => on_cluster(revise(&cli.cluster, &of.tree, Revise::Pause(true))),
        Command::Resume(of) => on_cluster(revise(&cli.cluster, &of.tree, Revise::Pause(false))),
    }
}

/// What to do about the revisions of a tree.
enum Revise {
    Show,
    Undo(Option<i64>),
    Promote,
    Pause(bool),
}

async fn revise(cluster: &Cluster, tree: &str, what: Revise) -> anyhow::Result<ExitCode> {
    let connection = connect(cluster).await?;
    let seen = connection.tree(tree).await?;
    if let Revise::Promote = what {
        let (past, patch) = history::promote(&seen)?;
        connection.patch(tree, &patch).await?;
        return print(&format!(
            "supervisiontree.coppice.dev/{tree} goes on {past}\n"
        ));
    }
    if let Revise::Pause(paused) = what {
        connection.patch(tree, &history::pause(paused)).await?;
        let done = if paused { "paused" } else { "resumed" };
        return print(&format!("supervisiontree.coppice.dev/{tree} {done}\n"));
    }
    let stored = connection.revisions(&seen).await?;
    let parsed = serde_json::from_value(seen.clone()).context("could not understand the tree")?;
    let revisions = history::revisions(&parsed, &stored);
    let Revise::Undo(to) = what else {
        return print(&history::table(&revisions));
    };
    let (number, patch) = history::undo(&seen, &revisions, to)?;
    connection.patch(tree, &patch).await?;
    print(&format!(
        "supervisiontree.coppice.dev/{tree} has the templates of revision {number} again\n"
    ))
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("could not start the runtime")
}

async fn connect(cluster: &Cluster) -> anyhow::Result<Connection> {
    Connection::open(&Whence {
        kubeconfig: cluster.kubeconfig.as_deref(),
        context: cluster.context.as_deref(),
        namespace: cluster.namespace.as_deref(),
        user: cluster.user.as_deref(),
        groups: &cluster.groups,
    })
    .await
}

fn why(cluster: &Cluster, options: &Why) -> anyhow::Result<ExitCode> {
    let mut ask = Ask {
        namespace: cluster.namespace.clone(),
        tree: options.tree.clone(),
        child: options.child.clone(),
    };
    if let Some(file) = &options.file {
        let source = match file.to_str() {
            Some("-") => "standard input".to_owned(),
            _ => file.display().to_string(),
        };
        // A file that cannot be read has nothing in it to tell of.
        let text = read(file).map_err(|error| Refusal::Unreadable(format!("{source}: {error}")))?;
        return match why::of_file(&source, &text, Timestamp::now(), &ask)? {
            Told::Trees(accounts) => print(&told(&accounts, options.format)?),
            Told::Objects(answers) => {
                for warning in answers.warnings {
                    let _ = writeln!(std::io::stderr(), "kubectl coppice: {warning}");
                }
                print(&match options.format {
                    Format::Text => identify::table(&answers.answers),
                    Format::Json => json(&answers.answers)?,
                })
            }
        };
    }
    let name = options.tree.as_deref().unwrap_or_default();
    let (source, objects) = runtime()?.block_on(async {
        let connection = connect(cluster).await?;
        let found = connection.read(name).await?;
        for warning in found.warnings {
            let _ = writeln!(std::io::stderr(), "kubectl coppice: {warning}");
        }
        anyhow::Ok((connection.source(), found.objects))
    })?;
    // It was asked for there.
    ask.namespace = None;
    let accounts = why::of_objects(&source, objects, Timestamp::now(), &ask)?;
    print(&told(&accounts, options.format)?)
}

fn read(path: &Path) -> std::io::Result<String> {
    if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text)?;
        return Ok(text);
    }
    fs::read_to_string(path)
}

fn told(accounts: &[Account], format: Format) -> anyhow::Result<String> {
    if format == Format::Json {
        return json(accounts);
    }
    let texts: Vec<String> = accounts.iter().map(why::text).collect();
    Ok(texts.join("\n"))
}

fn json<T: serde::Serialize>(all: &[T]) -> anyhow::Result<String> {
    let json = serde_json::to_string_pretty(all).context("could not print as JSON")?;
    Ok(format!("{json}\n"))
}

/// Prints to standard output. A reader that has seen enough is no error.
fn print(text: &str) -> anyhow::Result<ExitCode> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).context("could not write to standard output")
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(args: &str) -> Result<Cli, String> {
        let args = std::iter::once("kubectl-coppice").chain(args.split_whitespace());
        Cli::try_parse_from(args).map_err(|error| error.to_string())
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_stand_where_kubectl_takes_them() {
        for args in [
            "why shop api -n a --context c",
            "-n a --context c why stree/shop api",
            "why supervisiontree.coppice.dev/shop api --namespace=a --context=c",
        ] {
            let cli = parse(args).unwrap();
            let Command::Why(why) = cli.command else {
                panic!("{args}");
            };
            assert_eq!(why.tree.as_deref(), Some("shop"), "{args}");
            assert_eq!(why.child.as_deref(), Some("api"), "{args}");
            assert_eq!(cli.cluster.namespace.as_deref(), Some("a"), "{args}");
            assert_eq!(cli.cluster.context.as_deref(), Some("c"), "{args}");
        }
    }

    #[test]
    fn nonsense_is_refused_in_plain_words() {
        let table = [
            ("why", "<TREE>"),
            ("why pod/shop", "'pod' is no tree"),
            ("why Shop", "not the name of a tree"),
            ("undo shop --to-revision two", "invalid digit"),
            ("history", "<TREE>"),
            ("promote", "<TREE>"),
            ("why -f x --context c", "cannot be used with"),
        ];
        for (args, told) in table {
            let error = parse(args).unwrap_err();
            assert!(error.contains(told), "{args}: {error}");
        }
    }
}
