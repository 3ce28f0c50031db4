//! What happens in a scenario, besides what goes wrong: the words that scenarios are written in.
//!
//! Rule: a step is made at its time, whatever the operators do; one that finds nothing to act on says so in the timeline.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::cluster::{Behaviour, nodes, register_node};
use super::kind::{Call, Kind, Part, Verb};
use super::objects::{child_of, controller_uid, is_live, slot_of, uid_of};
use super::run::{NAMESPACE, TREE};
use super::server::{Actor, Address, Refusal};
use super::world::World;

/// A named story.
#[derive(Clone, Debug)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    /// The spec of the tree, in YAML.
    pub(super) tree: &'static str,
    /// Steps, by the second at which they are made.
    pub(super) steps: Vec<(u64, Step)>,
    /// How many seconds it takes until all is quiet.
    pub(super) seconds: u64,
    /// What must be so in the end: letters of Ready, Reconciling, Stalled and the reason; empty: there is no tree.
    pub(super) ends: &'static str,
    /// What it must have cost in the end, whatever goes wrong; empty where that depends on which deaths are seen together.
    /// See `account`.
    pub(super) cost: &'static str,
}

impl Scenario {
    /// A story of that name: a tree, the seconds until all is quiet, how it ends, and the steps.
    pub(super) fn new(
        name: &'static str,
        tree: &'static str,
        seconds: u64,
        ends: &'static str,
        steps: Vec<(u64, Step)>,
    ) -> Self {
        Self {
            name,
            tree,
            steps,
            seconds,
            ends,
            cost: "",
        }
    }

    /// The same story, with what it must cost.
    pub(super) fn costs(self, cost: &'static str) -> Self {
        Self { cost, ..self }
    }
}

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Step {
    /// A child behaves so from now on.
    Behave(&'static str, Behaviour),
    /// The program of a replica ends with that code.
    Kill(&'static str, i64, i32),
    /// Somebody deletes the Pod of a replica.
    DeletePod(&'static str, i64),
    /// The Pod of a replica is gone without a trace.
    Vanish(&'static str, i64),
    /// The Pod of a replica is evicted through the API.
    Evict(&'static str, i64),
    /// The kubelet evicts a Pod for want of memory.
    Pressure(&'static str, i64),
    /// Somebody takes the labels off a Pod.
    Unlabel(&'static str, i64),
    /// Somebody takes the owner off a Pod.
    Disown(&'static str, i64),
    /// A stranger's Pod with our labels, and no owner.
    Bait(&'static str),
    /// A stranger's Pod that holds the name.
    Squat(&'static str),
    /// Somebody takes the stranger's Pod away.
    Unsquat(&'static str),
    /// Somebody takes away every Pod that is no tree's, or whose labels are gone: whatever may hold a name.
    TidyUp,
    /// A field of the spec, by its path in the tree's spec, is set; `null` removes it.
    Set(&'static str, &'static str),
    /// The spec is replaced.
    Apply(&'static str),
    /// The tree is deleted, with that propagation policy.
    Delete(&'static str),
    /// The tree is created again.
    Create(&'static str),
    /// Somebody scales a Worker.
    Scale(&'static str, i64),
    /// Somebody deletes a Worker.
    DeleteWorker(&'static str),
    /// The tree is asked to try again, now.
    Retry,
    /// A child, or with an empty name the tree, is asked to restart, in that many seconds.
    RestartIn(&'static str, i64),
    /// The machine of a replica goes off; comes back; its Node is deleted; is said to be out of service when it is off.
    PowerOff(&'static str),
    PowerOn(&'static str),
    DeleteNode(&'static str),
    OutOfService(&'static str),
    /// Creates of Pods are refused from now on, with that message; or not any more.
    Refuse(&'static str),
    Allow,
    /// The operators die.
    Crash,
    /// The operators are stopped in order and start again.
    Restart,
}

impl Step {
    /// Does it. Returns what there was to act on, when there was nothing.
    pub(super) fn make(&self, world: &mut World) -> Result<(), &'static str> {
        let user = Actor::User;
        match self {
            Self::Behave(child, behaviour) => {
                world
                    .cluster
                    .behaviours
                    .insert((*child).to_owned(), *behaviour);
            }
            Self::Kill(child, slot, code) => {
                let (_, pod) = live(world, child, *slot)?;
                world.cluster.kill(uid_of(&pod), *code);
            }
            Self::DeletePod(child, slot) => {
                let (address, _) = live(world, child, *slot)?;
                ask(world, &user, Verb::Delete, &address, json!({}));
            }
            Self::Vanish(child, slot) => {
                let (address, _) = live(world, child, *slot)?;
                edit(world, |world| world.server.remove(&user, &address));
            }
            Self::Evict(child, slot) => {
                let (address, _) = live(world, child, *slot)?;
                disrupt(world, &address, "EvictionByEvictionAPI");
                ask(world, &user, Verb::Delete, &address, json!({}));
            }
            Self::Pressure(child, slot) => {
                let (address, _) = live(world, child, *slot)?;
                edit(world, |world| {
                    world
                        .server
                        .edit(&Actor::System("kubelet"), &address, |pod| {
                            pod["status"]["phase"] = "Failed".into();
                            pod["status"]["reason"] = "Evicted".into();
                            pod["status"]["message"] =
                                "The node was low on resource: memory.".into();
                            pod["status"]["containerStatuses"] = json!([]);
                            pod["status"]["conditions"] =
                                json!([{"type": "Ready", "status": "False"}]);
                        });
                });
            }
            Self::Crash | Self::Restart => {}
            other => other.meddle(world)?,
        }
        Ok(())
    }

    /// Steps of people who meddle with Pods, and of those who edit the tree.
    fn meddle(&self, world: &mut World) -> Result<(), &'static str> {
        let user = Actor::User;
        match self {
            Self::Unlabel(child, slot) => {
                let (address, _) = live(world, child, *slot)?;
                edit(world, |world| {
                    world.server.edit(&user, &address, |pod| {
                        pod["metadata"]["labels"] = json!({"mine": "now"});
                    });
                });
            }
            Self::Disown(child, slot) => {
                let (address, _) = live(world, child, *slot)?;
                edit(world, |world| {
                    world.server.edit(&user, &address, |pod| {
                        drop(
                            pod["metadata"]
                                .as_object_mut()
                                .map(|meta| meta.remove("ownerReferences")),
                        );
                    });
                });
            }
            Self::Bait(child) => {
                let labels = json!({"coppice.dev/tree": TREE, "coppice.dev/child": child, "coppice.dev/slot": "0"});
                stranger(world, &format!("bait-{child}"), &labels);
            }
            Self::Squat(name) => stranger(world, name, &json!({})),
            Self::Unsquat(name) => {
                let address = (Kind::Pod, NAMESPACE.to_owned(), (*name).to_owned());
                ask(
                    world,
                    &user,
                    Verb::Delete,
                    &address,
                    json!({"gracePeriodSeconds": 0}),
                );
            }
            Self::TidyUp => {
                let pods = world.server.all(Kind::Pod);
                let strangers = pods
                    .filter(|(_, pod)| controller_uid(pod).is_empty() || child_of(pod).is_empty());
                let addresses: Vec<Address> =
                    strangers.map(|(address, _)| address.clone()).collect();
                for address in addresses {
                    let body = json!({"gracePeriodSeconds": 0});
                    ask(world, &user, Verb::Delete, &address, body);
                }
            }
            Self::Set(path, value) => {
                let value: Value =
                    serde_yaml::from_str(value).expect("the value of a scenario is YAML");
                change_spec(world, |spec| *at(spec, path) = value)?;
            }
            Self::Apply(tree) => {
                let tree = spec(tree);
                change_spec(world, |spec| *spec = tree)?;
            }
            Self::Delete(policy) => {
                ask(
                    world,
                    &user,
                    Verb::Delete,
                    &tree_address(),
                    json!({"propagationPolicy": policy}),
                );
            }
            Self::Create(tree) => create_tree(world, tree),
            Self::Scale(child, replicas) => {
                let address = worker(child);
                let body = json!({"spec": {"replicas": replicas}});
                let mut call = request(Verb::Patch, &address, body);
                call.part = Part::Scale;
                world.call(&user, &call).map_err(|_| "no such Worker")?;
            }
            Self::DeleteWorker(child) => {
                ask(
                    world,
                    &user,
                    Verb::Delete,
                    &worker(child),
                    json!({"propagationPolicy": "Background"}),
                );
            }
            Self::Retry => {
                let now = crate::sim::server::time(world.server.now);
                change_spec(world, |spec| spec["retryAt"] = now.into())?;
            }
            Self::RestartIn(child, seconds) => ask_for_restart(world, child, *seconds)?,
            other => other.befall(world),
        }
        Ok(())
    }

    /// Steps that befall the cluster.
    fn befall(&self, world: &mut World) {
        let user = Actor::User;
        match self {
            Self::PowerOff(node) => {
                let now = world.server.now;
                world.cluster.power_off(node, now);
            }
            Self::PowerOn(node) => {
                world.cluster.power_on(&world.server, node);
                // A kubelet registers its node when that is gone.
                edit(world, |world| register_node(&mut world.server, node));
                let address = (Kind::Node, String::new(), (*node).to_owned());
                edit(world, |world| {
                    world.server.edit(&user, &address, |node| {
                        nodes::untaint(node, nodes::OUT_OF_SERVICE);
                    });
                });
            }
            Self::DeleteNode(node) => {
                let address = (Kind::Node, String::new(), (*node).to_owned());
                ask(world, &user, Verb::Delete, &address, json!({}));
            }
            // Whoever says so has looked.
            Self::OutOfService(node) if !world.cluster.is_off(node) => {}
            Self::OutOfService(node) => {
                let address = (Kind::Node, String::new(), (*node).to_owned());
                edit(world, |world| {
                    world.server.edit(&user, &address, |node| {
                        nodes::taint(node, nodes::OUT_OF_SERVICE);
                    });
                });
            }
            Self::Refuse(message) => {
                world.server.refuses = Some((Kind::Pod, Refusal::new(403, "Forbidden", *message)));
            }
            Self::Allow => world.server.refuses = None,
            _ => {}
        }
    }
}

/// Creates the tree of the scenario.
pub(super) fn create_tree(world: &mut World, tree: &str) {
    let body = json!({"metadata": {"name": TREE, "namespace": NAMESPACE}, "spec": spec(tree)});
    ask(world, &Actor::User, Verb::Create, &tree_address(), body);
}

/// The spec that a text says; a worker whose template is left out has one container.
fn spec(text: &str) -> Value {
    let mut spec: Value = serde_yaml::from_str(text).expect("the tree of a scenario is YAML");
    for child in spec["children"].as_array_mut().into_iter().flatten() {
        let worker = &mut child["worker"];
        if worker.is_object() && worker["template"].is_null() {
            worker["template"] = json!({"spec": {"containers": [{"name": "app", "image": "one"}]}});
        }
    }
    let parsed: crate::api::v1alpha1::SupervisionTreeSpec =
        serde_json::from_value(spec.clone()).expect("the tree of a scenario can be read");
    crate::model::tree::Tree::parse(TREE, &parsed).expect("the tree of a scenario is legal");
    spec
}

/// The place in the spec that a path such as `children.web.worker.replicas` names.
fn at<'a>(spec: &'a mut Value, path: &str) -> &'a mut Value {
    path.split('.').fold(spec, |value, part| match value {
        Value::Array(list) => list
            .iter_mut()
            .find(|item| item["name"] == part)
            .expect("the path of a scenario names a child"),
        other => &mut other[part],
    })
}

/// Asks a child, or with an empty name the tree, to restart in that many seconds.
fn ask_for_restart(world: &mut World, child: &str, seconds: i64) -> Result<(), &'static str> {
    let then = world.server.now + SignedDuration::from_secs(seconds);
    let then = crate::sim::server::time(then);
    change_spec(world, |spec| {
        let place = if child.is_empty() {
            spec
        } else {
            at(spec, &format!("children.{child}"))
        };
        place["restartAt"] = then.into();
    })
}

fn change_spec(world: &mut World, change: impl FnOnce(&mut Value)) -> Result<(), &'static str> {
    let address = tree_address();
    if world
        .server
        .get(address.0, &address.1, &address.2)
        .is_none()
    {
        return Err("no tree");
    }
    edit(world, |world| {
        world
            .server
            .edit(&Actor::User, &address, |tree| change(&mut tree["spec"]));
    });
    Ok(())
}

fn edit(world: &mut World, change: impl FnOnce(&mut World)) {
    let before = world.server.changes.len();
    change(world);
    world.judge(before);
}

fn stranger(world: &mut World, name: &str, labels: &Value) {
    let body = json!({"metadata": {"name": name, "namespace": NAMESPACE, "labels": labels},
        "spec": {"restartPolicy": "Always", "containers": [{"name": "theirs", "image": "x"}]}});
    let address = (Kind::Pod, NAMESPACE.to_owned(), name.to_owned());
    ask(world, &Actor::User, Verb::Create, &address, body);
}

fn disrupt(world: &mut World, address: &Address, reason: &str) {
    edit(world, |world| {
        world.server.edit(&Actor::User, address, |pod| {
            let condition = json!({"type": "DisruptionTarget", "status": "True", "reason": reason});
            if let Some(list) = pod["status"]["conditions"].as_array_mut() {
                list.push(condition);
            }
        });
    });
}

fn ask(world: &mut World, actor: &Actor, verb: Verb, address: &Address, body: Value) {
    if let Err(refusal) = world.call(actor, &request(verb, address, body)) {
        world.note(format!("refused: {}", refusal.message));
    }
}

fn request(verb: Verb, address: &Address, body: Value) -> Call {
    let (kind, namespace, name) = address.clone();
    let name = if verb == Verb::Create {
        String::new()
    } else {
        name
    };
    Call {
        verb,
        kind,
        namespace,
        name,
        part: Part::Main,
        query: Vec::new(),
        body,
    }
}

/// Where the tree is.
pub(super) fn tree_address() -> Address {
    (Kind::Tree, NAMESPACE.to_owned(), TREE.to_owned())
}

fn worker(child: &str) -> Address {
    (
        Kind::Worker,
        NAMESPACE.to_owned(),
        format!("{TREE}-{child}"),
    )
}

fn live(world: &World, child: &str, slot: i64) -> Result<(Address, Value), &'static str> {
    world
        .server
        .all(Kind::Pod)
        .find(|(_, pod)| child_of(pod) == child && slot_of(pod) == slot && is_live(pod))
        .map(|(address, pod)| (address.clone(), (**pod).clone()))
        .ok_or("no live Pod")
}
