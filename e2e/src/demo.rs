//! The demonstration: a tree that heals on a real cluster, told step by step with the time of each.
//!
//! Rule: it does what a user would do, with `kubectl` and Helm, and shows what a user would see.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::cluster::{Cluster, Full, Profile};
use crate::current;
use crate::operator::{self, said};

/// How long any step may take.
const PATIENCE: Duration = Duration::from_mins(2);
const NAMESPACE: &str = "coppice-demo";

/// Why the demonstration ended early.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cluster.
    #[error(transparent)]
    Cluster(#[from] crate::cluster::Error),
    /// A program failed, or Coppice could not be installed.
    #[error(transparent)]
    Operator(#[from] operator::Error),
    /// A node.
    #[error("reach into the node")]
    Node(#[source] crate::node::Error),
    /// Something did not come to pass.
    #[error("{what} did not happen within {} s; what is there:\n{seen}", PATIENCE.as_secs())]
    Late {
        /// What was waited for.
        what: String,
        /// What there is instead.
        seen: String,
    },
}

/// Tells the whole story. On a cluster of our own everything is left running at the end.
pub async fn run() -> Result<(), Error> {
    let begun = Instant::now();
    let own = !current::is_wanted();
    let cluster = if own {
        own_cluster().await?
    } else {
        borrowed_cluster().await?
    };
    let demo = Demo {
        cluster: &cluster,
        step: std::cell::Cell::new(0),
    };
    {
        let _guest = (!own).then_some(Guest(&demo));
        demo.tell().await?;
        println!("\nAll of it took {:.0} s.", begun.elapsed().as_secs_f64());
    }
    if own {
        let kubeconfig = cluster.keep()?;
        println!(
            "The cluster is left running. Go on playing:\n\n    export KUBECONFIG={}\n    kubectl get stree,wkr,pods -n {NAMESPACE}\n    kubectl describe stree shop -n {NAMESPACE}\n\n`make down` ends it.",
            kubeconfig.display()
        );
    } else {
        println!(
            "The namespace {NAMESPACE} is deleted again and the operator ends; the CRDs stay."
        );
        cluster.stop()?;
    }
    Ok(())
}

async fn own_cluster() -> Result<Cluster, Error> {
    let archive = operator::archive()?;
    let profile = Profile::Full(Full {
        images: vec![archive],
        ..Full::one_node()
    });
    let cluster = Cluster::start(profile).await?;
    say("A real cluster: API server, scheduler, controllers, kubelet, containerd.");
    run_shown(&cluster, &["get", "nodes"])?;
    say("Coppice is installed with Helm.");
    operator::install(&cluster, &[])?;
    run_shown(&cluster, &["get", "pods", "-n", operator::NAMESPACE])?;
    Ok(cluster)
}

async fn borrowed_cluster() -> Result<Cluster, Error> {
    let cluster = Cluster::current().await?;
    say("The current cluster; Coppice runs as a local process.");
    operator::apply_definitions(&cluster)?;
    let kubeconfig = cluster.kubeconfig().to_owned();
    operator::start_local(&cluster, &kubeconfig, &["--watch-namespace", NAMESPACE]).await?;
    Ok(cluster)
}

/// On a cluster that somebody else runs, the demonstration leaves nothing in anybody's way, however it ends: what it
/// made is deleted while its operator is there to let go of it.
struct Guest<'demo>(&'demo Demo<'demo>);

impl Drop for Guest<'_> {
    fn drop(&mut self) {
        for what in [["stree", "--all"], ["namespace", NAMESPACE]] {
            let delete = [
                &["delete", "--ignore-not-found", "--timeout=60s"][..],
                &what,
            ]
            .concat();
            if let Err(error) = said(self.0.kubectl(&delete)) {
                crate::progress::say(error.to_string());
            }
        }
    }
}

struct Demo<'cluster> {
    cluster: &'cluster Cluster,
    step: std::cell::Cell<u32>,
}

impl Demo<'_> {
    async fn tell(&self) -> Result<(), Error> {
        let exists = said(self.kubectl(&["get", "namespace", NAMESPACE])).is_ok();
        if !exists {
            said(self.kubectl(&["create", "namespace", NAMESPACE]))?;
        }
        self.becomes_ready()?;
        self.process_killed().await?;
        self.pod_deleted().await?;
        self.crash_loop()?;
        self.fixed()
    }

    fn becomes_ready(&self) -> Result<(), Error> {
        self.title("A tree is applied and becomes Ready");
        println!("{}", indent(&tree("run")));
        let begun = Instant::now();
        self.apply("run")?;
        self.wait_ready("the tree Ready")?;
        Self::took("Ready", begun);
        self.show()
    }

    async fn process_killed(&self) -> Result<(), Error> {
        self.title("A process of a replica is killed: the kubelet restarts it at once, and Coppice counts it");
        let pod = self.newest_pod("api")?;
        let uid = self.get(&["get", "pod", &pod, "-o", "jsonpath={.metadata.uid}"])?;
        let begun = Instant::now();
        match self.cluster.nodes().first() {
            Some(node) => node
                .kill_container(&uid, "app", Signal::KILL)
                .map_err(Error::Node)?,
            None => drop(said(
                self.kubectl(&["exec", &pod, "--", "workload", "exit", "137"]),
            )?),
        }
        self.until("the container running again", || {
            let restarts = self.get(&[
                "get", "pod", &pod, "-o",
                "jsonpath={.status.containerStatuses[0].restartCount} {.status.conditions[?(@.type==\"Ready\")].status}",
            ])?;
            Ok(restarts == "1 True")
        })
        .await?;
        Self::took("back in the same Pod", begun);
        self.until("the death counted", || {
            Ok(self.get(&["get", "stree", "shop", "-o", "jsonpath={.status.restarts}"])? == "1")
        })
        .await?;
        self.faults(1)
    }

    async fn pod_deleted(&self) -> Result<(), Error> {
        self.title("A Pod is deleted: it is replaced at once, and nobody is charged");
        let pod = self.newest_pod("db")?;
        let begun = Instant::now();
        said(self.kubectl(&["delete", "pod", &pod, "--wait=false"]))?;
        self.until("another Pod Ready", || {
            let line = self.get(&[
                "get", "pods", "-l", "coppice.dev/child=db", "-o",
                "jsonpath={range .items[*]}{.metadata.name}={.status.conditions[?(@.type==\"Ready\")].status} {end}",
            ])?;
            Ok(line.split_whitespace().any(|one| one.ends_with("=True") && !one.starts_with(&pod)))
        })
        .await?;
        Self::took("replaced", begun);
        self.faults(1)
    }

    fn crash_loop(&self) -> Result<(), Error> {
        self.title("A bad version of `cart` exits with 1 each time: charged, escalated, given up");
        let db = self.live_uids("db")?;
        let begun = Instant::now();
        self.apply("[run, wait 1, exit 1]")?;
        said(self.kubectl(&[
            "wait",
            "stree/shop",
            "--for=condition=Stalled",
            "--timeout=120s",
        ]))?;
        Self::took("Stalled", begun);
        println!("\n  Why, and what happens next:\n");
        println!(
            "{}",
            wrap(&self.get(&[
                "get",
                "stree",
                "shop",
                "-o",
                "jsonpath={.status.conditions[?(@.type==\"Stalled\")].message}"
            ])?)
        );
        self.faults(4)?;
        let after = self.live_uids("db")?;
        if db != after {
            return Err(self.late("the sibling `db` left untouched"));
        }
        println!("  Its sibling `db` in the root is untouched: the same Pod.\n");
        self.show()
    }

    fn fixed(&self) -> Result<(), Error> {
        self.title("The version is fixed with `kubectl apply`: the wait ends at once");
        let begun = Instant::now();
        self.apply("run")?;
        self.wait_ready("the tree Ready again")?;
        Self::took("Ready", begun);
        self.show()?;
        println!("  What Coppice said:\n");
        self.shown(&[
            "get",
            "events",
            "--field-selector=involvedObject.kind=SupervisionTree",
            "-o",
            "custom-columns=TYPE:.type,REASON:.reason,MESSAGE:.message",
        ])
    }

    fn title(&self, text: &str) {
        self.step.set(self.step.get() + 1);
        println!("\n=== {}. {text}\n", self.step.get());
    }

    fn took(what: &str, begun: Instant) {
        println!("  → {what} after {:.1} s\n", begun.elapsed().as_secs_f64());
    }

    fn apply(&self, cart: &str) -> Result<(), Error> {
        let mut command = self.kubectl(&["apply", "-f", "-"]);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        println!("  $ kubectl apply -f shop.yaml     # cart: args {cart}");
        let failed = |output: String| operator::Error::Command {
            command: "kubectl apply".into(),
            output,
        };
        let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
        if let Some(mut input) = child.stdin.take() {
            input
                .write_all(tree(cart).as_bytes())
                .map_err(|error| failed(error.to_string()))?;
        }
        let output = child
            .wait_with_output()
            .map_err(|error| failed(error.to_string()))?;
        if output.status.success() {
            return Ok(());
        }
        Err(failed(String::from_utf8_lossy(&output.stderr).into_owned()).into())
    }

    fn wait_ready(&self, what: &str) -> Result<(), Error> {
        println!("  $ kubectl wait stree/shop --for=condition=Ready");
        said(self.kubectl(&[
            "wait",
            "stree/shop",
            "--for=condition=Ready",
            "--timeout=120s",
        ]))
        .map_err(|_| self.late(what))?;
        Ok(())
    }

    async fn until(
        &self,
        what: &str,
        holds: impl Fn() -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if holds()? {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(self.late(what))
    }

    fn late(&self, what: &str) -> Error {
        let seen = said(self.kubectl(&["describe", "stree,pods"]))
            .unwrap_or_else(|error| error.to_string());
        Error::Late {
            what: what.to_owned(),
            seen,
        }
    }

    /// The tree, its workers and their Pods, as a user sees them.
    fn show(&self) -> Result<(), Error> {
        self.shown(&["get", "stree"])?;
        self.shown(&["get", "wkr"])?;
        self.shown(&["get", "pods"])
    }

    fn faults(&self, how_many: usize) -> Result<(), Error> {
        let lines = self.get(&[
            "get", "stree", "shop", "-o",
            "jsonpath={range .status.recentFaults[*]}{.child}/{.slot}: {.message} → {.decision}{\"\\n\"}{end}",
        ])?;
        println!("  What Coppice found and decided, newest first:\n");
        for line in lines.lines().take(how_many) {
            println!("{}", wrap(line));
        }
        Ok(())
    }

    /// The Pods of a child that nobody has asked to stop.
    fn live_uids(&self, child: &str) -> Result<String, Error> {
        let label = format!("coppice.dev/child={child}");
        let live = "go-template={{range .items}}{{if not .metadata.deletionTimestamp}}{{.metadata.uid}} {{end}}{{end}}";
        self.get(&["get", "pods", "-l", &label, "-o", live])
    }

    fn newest_pod(&self, child: &str) -> Result<String, Error> {
        let label = format!("coppice.dev/child={child}");
        let names = self.get(&[
            "get",
            "pods",
            "-l",
            &label,
            "--sort-by=.metadata.creationTimestamp",
            "-o",
            "jsonpath={.items[*].metadata.name}",
        ])?;
        Ok(names
            .split_whitespace()
            .last()
            .unwrap_or_default()
            .to_owned())
    }

    fn get(&self, arguments: &[&str]) -> Result<String, Error> {
        Ok(said(self.kubectl(arguments))?)
    }

    fn shown(&self, arguments: &[&str]) -> Result<(), Error> {
        println!(
            "  $ kubectl {}",
            arguments
                .iter()
                .take(2)
                .copied()
                .collect::<Vec<_>>()
                .join(" ")
        );
        println!("{}\n", indent(&self.get(arguments)?));
        Ok(())
    }

    fn kubectl(&self, arguments: &[&str]) -> Command {
        let mut command = self.cluster.command("kubectl");
        command.args(["--namespace", NAMESPACE]).args(arguments);
        command
    }
}

fn run_shown(cluster: &Cluster, arguments: &[&str]) -> Result<(), Error> {
    let mut command = cluster.command("kubectl");
    command.args(arguments);
    println!(
        "  $ kubectl {}\n{}\n",
        arguments.join(" "),
        indent(&said(command)?)
    );
    Ok(())
}

fn say(text: &str) {
    println!("\n{text}\n");
}

fn indent(text: &str) -> String {
    text.trim_end()
        .lines()
        .map(|line| format!("    {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The text in lines of at most about a hundred characters.
fn wrap(text: &str) -> String {
    let mut lines = vec![String::from("   ")];
    for word in text.split_whitespace() {
        if lines
            .last()
            .is_some_and(|line| line.len() + word.len() > 100)
        {
            lines.push(String::from("     "));
        }
        if let Some(line) = lines.last_mut() {
            line.push(' ');
            line.push_str(word);
        }
    }
    lines.join("\n")
}

/// The tree of the demonstration; `cart` gets these arguments.
fn tree(cart: &str) -> String {
    let image = current::workload_image();
    let cart = if cart.starts_with('[') {
        cart.to_owned()
    } else {
        format!("[{cart}]")
    };
    let template = |args: &str| {
        format!(
            "{{spec: {{terminationGracePeriodSeconds: 2, containers: [{{name: app, image: \"{image}\", args: {args}, readinessProbe: {{httpGet: {{path: /ready, port: 8080}}, periodSeconds: 1}}}}]}}}}"
        )
    };
    format!(
        "apiVersion: coppice.dev/v1alpha1
kind: SupervisionTree
metadata: {{name: shop}}
spec:
  intensity: {{maxRestarts: 1, periodSeconds: 300}}
  children:
  - name: db
    worker:
      template: {db}
  - name: web
    supervisor:
      intensity: {{maxRestarts: 1, periodSeconds: 300}}
  - name: api
    parent: web
    worker:
      replicas: 2
      template: {api}
  - name: cart
    parent: web
    worker:
      template: {cart}
",
        db = template("[run]"),
        api = template("[run]"),
        cart = template(&cart),
    )
}
