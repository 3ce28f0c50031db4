//! Twenty faults beside each other: what kubectl, a Deployment and Coppice say of each, as a page of the documentation.
//!
//! Rule: the page is what a real cluster said; `UPDATE=1` writes it, and otherwise what it says must be said again.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use e2e::{current, operator};
use serde_json::{Value, json};

use super::support::{Space, merge};
use super::{MEASURING, shared};

/// How long it may take until all of it has been said, also where other tests start many Pods.
const SOON: Duration = Duration::from_mins(6);
/// How long is looked before the page is written, so that what is said most of the time is what stands there.
const LOOKED_FOR: Duration = Duration::from_secs(90);
/// The label of all Pods of the Deployments; its value is the fault.
const LABEL: &str = "coppice.test/beside";

/// A fault: what it is called here, what is wrong, how the container and the Pod are made so, and its class.
struct Fault {
    name: &'static str,
    wrong: &'static str,
    container: &'static str,
    pod: &'static str,
    class: &'static str,
}

const fn fault(
    name: &'static str,
    wrong: &'static str,
    container: &'static str,
    class: &'static str,
) -> Fault {
    Fault {
        name,
        wrong,
        container,
        pod: "{}",
        class,
    }
}

impl Fault {
    const fn and_pod(mut self, fields: &'static str) -> Self {
        self.pod = fields;
        self
    }

    /// The template of its Pods.
    fn template(&self) -> Value {
        let read = |text: &str| -> Value { serde_json::from_str(text).expect(text) };
        let mut container = json!({
            "name": "app",
            "image": current::workload_image(),
            "command": ["/bin/sh", "-c", "while :; do sleep 1; done"],
        });
        merge(&mut container, read(self.container));
        let mut spec = json!({"containers": [container], "terminationGracePeriodSeconds": 1});
        merge(&mut spec, read(self.pod));
        json!({"spec": spec})
    }

    fn deployment(&self) -> Value {
        let mut template = self.template();
        template["metadata"] = json!({"labels": {LABEL: self.name}});
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": self.name},
            "spec": {"selector": {"matchLabels": {LABEL: self.name}}, "template": template},
        })
    }
}

const FAULTS: [Fault; 20] = [
    fault(
        "exits",
        "the program ends with exit code 3",
        r#"{"command": ["/bin/sh", "-c", "sleep 2; exit 3"]}"#,
        "AppExitedNonZero",
    ),
    fault(
        "finishes",
        "a server ends with exit code 0",
        r#"{"command": ["/bin/sh", "-c", "sleep 2"]}"#,
        "AppExitedZero",
    ),
    fault(
        "crashes",
        "the program crashes with a segmentation fault",
        r#"{"command": ["/bin/sh", "-c", "sleep 2; exit 139"]}"#,
        "AppSegfault",
    ),
    fault(
        "hungry",
        "the program needs more memory than its limit",
        r#"{"command": ["/bin/sh", "-c", "h=0123456789abcdef; while :; do h=$h$h; done"], "resources": {"limits": {"memory": "24Mi"}}}"#,
        "OomKilled",
    ),
    fault(
        "killed",
        "somebody kills the program, and nobody tells who",
        r#"{"command": ["/bin/sh", "-c", "sleep 2; exit 137"]}"#,
        "SigkillUnattributed",
    ),
    fault(
        "command",
        "the command is not in the image",
        r#"{"command": ["/no/such/program"]}"#,
        "CommandNotFound",
    ),
    fault(
        "hangs",
        "the liveness probe fails",
        r#"{"livenessProbe": {"exec": {"command": ["/bin/sh", "-c", "exit 1"]}, "periodSeconds": 1, "failureThreshold": 2}}"#,
        "LivenessProbeKilled",
    ),
    fault(
        "slow",
        "the startup probe never succeeds",
        r#"{"startupProbe": {"exec": {"command": ["/bin/sh", "-c", "exit 1"]}, "periodSeconds": 1, "failureThreshold": 2}}"#,
        "StartupProbeKilled",
    ),
    fault(
        "hook",
        "the hook after the start fails",
        r#"{"lifecycle": {"postStart": {"exec": {"command": ["/bin/sh", "-c", "exit 5"]}}}}"#,
        "PostStartHookFailed",
    ),
    fault(
        "settings",
        "a ConfigMap does not exist",
        r#"{"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "nowhere", "key": "a"}}}]}"#,
        "ConfigMapMissing",
    ),
    fault(
        "key",
        "a ConfigMap lacks a key",
        r#"{"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "kube-root-ca.crt", "key": "nowhere"}}}]}"#,
        "ConfigKeyMissing",
    ),
    fault(
        "password",
        "a Secret does not exist, and is mounted",
        r#"{"volumeMounts": [{"name": "v", "mountPath": "/v"}]}"#,
        "SecretMissing",
    )
    .and_pod(r#"{"volumes": [{"name": "v", "secret": {"secretName": "nowhere"}}]}"#),
    fault(
        "never",
        "the image is not on the node and may not be pulled",
        r#"{"image": "coppice.test/none:1", "imagePullPolicy": "Never"}"#,
        "ImageNeverPull",
    ),
    fault(
        "registry",
        "the registry cannot be reached",
        r#"{"image": "127.0.0.1:9/x:1"}"#,
        "RegistryUnavailable",
    ),
    fault(
        "name",
        "the name of the image is none",
        r#"{"image": "Not:an:image"}"#,
        "ImageNameInvalid",
    ),
    fault(
        "root",
        "the program runs as root and may not",
        r#"{"securityContext": {"runAsNonRoot": true, "runAsUser": 0}}"#,
        "RunAsNonRootViolation",
    ),
    fault(
        "nowhere",
        "no node has the labels that are asked for",
        "{}",
        "NodeSelectorMismatch",
    )
    .and_pod(
        r#"{"nodeSelector": {"disk": "none-has-this"}, "tolerations": [{"operator": "Exists"}]}"#,
    ),
    fault(
        "large",
        "no node has so much CPU",
        r#"{"resources": {"requests": {"cpu": "900"}}}"#,
        "InsufficientCpu",
    )
    .and_pod(r#"{"tolerations": [{"operator": "Exists"}]}"#),
    fault(
        "claim",
        "a claim does not exist",
        r#"{"volumeMounts": [{"name": "v", "mountPath": "/v"}]}"#,
        "PvcMissing",
    )
    .and_pod(r#"{"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "nowhere"}}]}"#),
    fault(
        "quota",
        "the quota of the namespace is used up",
        r#"{"resources": {"limits": {"coppice.test/thing": "1"}}}"#,
        "QuotaExceeded",
    ),
];

/// Each fault twice: as a child of a tree, and as a Deployment.
fn objects() -> Value {
    let children: Vec<Value> = FAULTS
        .iter()
        .map(|fault| json!({"name": fault.name, "worker": {"template": fault.template()}}))
        .collect();
    let tree = json!({
        "apiVersion": "coppice.dev/v1alpha1",
        "kind": "SupervisionTree",
        "metadata": {"name": "beside"},
        "spec": {
            "intensity": {"maxRestarts": 100, "periodSeconds": 600},
            "backoff": {"initialSeconds": 1, "maxSeconds": 1},
            "children": children,
        },
    });
    let quota = json!({
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "things"},
        "spec": {"hard": {"requests.coppice.test/thing": "0"}},
    });
    let mut items = vec![quota, tree];
    items.extend(FAULTS.iter().map(Fault::deployment));
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}

/// How often something was said.
type Counts = BTreeMap<String, usize>;

/// What was said of a fault so far.
#[derive(Default)]
struct Said {
    statuses: Counts,
    conditions: Counts,
    coppice: Option<String>,
}

impl Said {
    fn most(counts: &Counts) -> &str {
        let most = counts.iter().max_by_key(|(_, count)| **count);
        most.map_or("", |(text, _)| text)
    }

    /// The cells of a row of the page that follow what is wrong.
    fn cells(&self) -> [String; 3] {
        let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
        [
            format!("`{}`", Self::most(&self.statuses)),
            cell(Self::most(&self.conditions)),
            cell(self.coppice.as_deref().unwrap_or_default()),
        ]
    }

    /// Whether what the page says was said, too. What Coppice says has names and times in it.
    fn agrees(&self, fault: &Fault, cells: &[&str]) -> bool {
        let [status, conditions, coppice] = cells else {
            return false;
        };
        self.statuses.contains_key(status.trim_matches('`'))
            && self.conditions.contains_key(*conditions)
            && coppice.starts_with(&format!("`Child{}`: ", fault.class))
            && self.coppice.is_some()
    }
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// Looks once at what kubectl shows.
fn look(space: &Space<'_>, said: &mut BTreeMap<&str, Said>) {
    let pods = space.kubectl(&["get", "pods", "--no-headers", "-l", LABEL, "-L", LABEL]);
    let mut statuses: BTreeMap<&str, &str> = BTreeMap::new();
    for line in pods.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let (Some(status), Some(name)) = (words.get(2), words.last()) {
            statuses.insert(name, status);
        }
    }
    let deployments = parse(&space.kubectl(&["get", "deployments", "-o", "json"]));
    let events = parse(&space.kubectl(&["get", "events", "-o", "json"]));
    let list = |list: &Value| list["items"].as_array().cloned().unwrap_or_default();
    let (deployments, events) = (list(&deployments), list(&events));
    for fault in &FAULTS {
        let said = said.entry(fault.name).or_default();
        let status = statuses.get(fault.name).copied().unwrap_or("no Pod");
        *said.statuses.entry(status.to_owned()).or_default() += 1;
        let is_it = |deployment: &&Value| deployment["metadata"]["name"] == fault.name;
        if let Some(conditions) = deployments.iter().find(is_it).and_then(conditions) {
            *said.conditions.entry(conditions).or_default() += 1;
        }
        let field = format!("spec.children{{{}}}", fault.name);
        let reason = format!("Child{}", fault.class);
        let of_fault = |event: &&Value| {
            event["reason"] == *reason && event["involvedObject"]["fieldPath"] == *field
        };
        if let Some(event) = events.iter().find(of_fault) {
            let message = event["message"].as_str().unwrap_or_default();
            said.coppice = Some(format!("`{reason}`: {message}"));
        }
    }
}

/// The conditions of a Deployment, once it has some.
fn conditions(deployment: &Value) -> Option<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut all: Vec<String> = deployment["status"]["conditions"]
        .as_array()?
        .iter()
        .map(|one| {
            format!(
                "{}={} ({})",
                text(&one["type"]),
                text(&one["status"]),
                text(&one["reason"])
            )
        })
        .collect();
    all.sort();
    Some(all.join(", "))
}

const INTRODUCTION: &str = "\
# Twenty faults, and what is said of them

<!-- Written from a real cluster: `UPDATE=1 cargo test -p e2e --features cluster --test cluster beside`. -->

Each fault was there twice, in one namespace of a real cluster: as the template of a Deployment, and of a worker of a tree. The
table has what `kubectl get pod` shows as STATUS most of the time, the conditions of the Deployment, and what Coppice says in an
Event (`kubectl events --for stree/beside`). [faults.md](faults.md) has what each class means, and what to do.

| what is wrong | `kubectl get pod` | the Deployment | Coppice |
|---|---|---|---|
";

fn path() -> PathBuf {
    operator::checkout().join("docs/beside.md")
}

fn write(said: &BTreeMap<&str, Said>) {
    let mut page = INTRODUCTION.to_owned();
    for fault in &FAULTS {
        let [status, conditions, coppice] = said[fault.name].cells();
        let _ = writeln!(
            page,
            "| {} | {status} | {conditions} | {coppice} |",
            fault.wrong
        );
    }
    std::fs::write(path(), page).expect("the page can be written");
}

/// What the page says of a fault.
fn row<'p>(page: &'p str, fault: &Fault) -> Vec<&'p str> {
    let begin = format!("| {} | ", fault.wrong);
    let row = page.lines().find_map(|line| line.strip_prefix(&begin));
    let row = row.unwrap_or_else(|| panic!("the page has no row about {}", fault.name));
    row.trim_end_matches(" |").splitn(3, " | ").collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_of_twenty_faults_stands_in_the_documentation() {
    let space = Space::new(shared().await, "beside").await;
    let _turn = MEASURING.lock().await;
    space.apply(&objects().to_string());
    let updates = std::env::var_os("UPDATE").is_some();
    let page = std::fs::read_to_string(path()).unwrap_or_default();
    let mut said = BTreeMap::new();
    let begun = Instant::now();
    loop {
        look(&space, &mut said);
        let differs = |fault: &&Fault| {
            let said = &said[fault.name];
            if updates {
                said.coppice.is_none()
            } else {
                !said.agrees(fault, &row(&page, fault))
            }
        };
        let open: Vec<&Fault> = FAULTS.iter().filter(differs).collect();
        if open.is_empty() && (!updates || begun.elapsed() >= LOOKED_FOR) {
            break;
        }
        let tells = |fault: &&Fault| format!("{}: {:?}", fault.name, said[fault.name].cells());
        assert!(
            begun.elapsed() < SOON,
            "not said as docs/beside.md has it (UPDATE=1 writes it again): {:#?}",
            open.iter().map(tells).collect::<Vec<_>>()
        );
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    if updates {
        write(&said);
    }
    space.kubectl(&["delete", "stree", "beside", "--timeout=60s"]);
    space.kubectl(&["delete", "deployments", "--all", "--timeout=60s"]);
}
