//! The operator of a story: a process with the rights of its real service account, and a trap that kills it.
//!
//! Rule: when the trap has sprung, it is started again with the same arguments, and that is all.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use e2e::cluster::Cluster;
use e2e::operator;
use e2e::process::{Process, Program};
use e2e::proxy::Proxy;
use e2e::proxy::rule::{Fault, Filter, Rule, RuleId};
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;

use crate::support;

/// The operator's program.
pub(crate) fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| operator::program().expect("the operator compiles"))
}

/// The credentials of the operator's service account, made once.
pub(crate) async fn kubeconfig(cluster: &Cluster) -> &'static Path {
    static KUBECONFIG: OnceCell<PathBuf> = OnceCell::const_new();
    let make = async || {
        let lifetime = Duration::from_hours(2);
        let made = cluster.kubeconfig_for_service_account(support::SYSTEM, "coppice", lifetime);
        made.await.expect("a token")
    };
    KUBECONFIG.get_or_init(make).await
}

/// Applies the service account and the roles of the chart.
pub(crate) fn grant_rights(cluster: &Cluster) {
    support::ok(cluster, &["create", "namespace", support::SYSTEM], "");
    let templates = ["serviceaccount.yaml", "rbac.yaml"];
    operator::apply_from_chart(cluster, support::SYSTEM, &[], &templates).expect("rights");
}

/// The operator as a process that is started again when its trap has sprung.
pub(crate) struct Operator {
    cluster: &'static Cluster,
    /// Its name in logs and files.
    name: String,
    arguments: [String; 4],
    proxy: Proxy,
    lives: Arc<Mutex<Vec<Process>>>,
    trap: Mutex<Option<RuleId>>,
}

impl Operator {
    pub(crate) fn start(cluster: &'static Cluster, namespace: &str, proxy: Proxy) -> Arc<Self> {
        let operator = Self {
            cluster,
            name: format!("operator-{namespace}"),
            arguments: [
                "controller".to_owned(),
                "--leader-elect=false".to_owned(),
                "--listen=127.0.0.1:0".to_owned(),
                format!("--watch-namespace={namespace}"),
            ],
            proxy,
            lives: Arc::default(),
            trap: Mutex::default(),
        };
        let written = operator.proxy.write_kubeconfig(&operator.kubeconfig());
        written.expect("a kubeconfig");
        operator.begin_life();
        Arc::new(operator)
    }

    fn kubeconfig(&self) -> PathBuf {
        let name = format!("{}.kubeconfig", self.name);
        self.cluster.run().dir().join(name)
    }

    /// Starts it, again when it has ended.
    pub(crate) fn begin_life(&self) {
        let log = self.cluster.run().log(&self.name);
        let program = Program::new(&self.name, program(), log)
            .env("KUBECONFIG", self.kubeconfig())
            .args(&self.arguments);
        let life = self.cluster.run().spawn(program);
        let life = life.expect("the operator starts");
        self.lives.lock().unwrap().push(life);
    }

    /// Kills the operator right after its `n`-th write from now, before it hears that the write was stored, and starts
    /// it again; what is given back ends then.
    pub(crate) fn die_after(self: &Arc<Self>, n: u64) -> JoinHandle<()> {
        let victim = self.lives.lock().unwrap().last().unwrap().pid();
        let rule = Rule::after(Filter::writes(), Fault::Kill(victim));
        let trap = self.proxy.add(rule.skip(n - 1).times(1));
        *self.trap.lock().unwrap() = Some(trap);
        let this = Arc::clone(self);
        tokio::spawn(async move {
            this.proxy.until_hits(trap, 1).await;
            this.begin_life();
        })
    }

    /// Takes the trap away; whether it was still set.
    pub(crate) fn remove_trap(&self) -> bool {
        let trap = self.trap.lock().unwrap().take();
        trap.is_some_and(|trap| self.proxy.remove(trap) == 0)
    }

    pub(crate) fn deaths(&self) -> usize {
        let lives = self.lives.lock().unwrap();
        lives.iter().filter(|life| life.ended().is_some()).count()
    }

    pub(crate) fn end(&self) {
        for life in self.lives.lock().unwrap().iter() {
            life.kill();
        }
    }
}
