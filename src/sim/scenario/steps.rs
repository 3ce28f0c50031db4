//! How each step of a scenario is made: through the API server where a person would ask it, behind it where something
//! befalls the cluster.
//!
//! Rule: what a step changes is judged like every other change.

use serde_json::{Value, json};

use super::Step;
use super::tree::{ask_for_restart, at, change_spec, create_tree, spec, tree_address};
use crate::sim::cluster::{nodes, register_node};
use crate::sim::kind::{Call, Kind, Part, Verb};
use crate::sim::objects::{child_of, controller_uid, is_live, slot_of, uid_of};
use crate::sim::run::{NAMESPACE, TREE};
use crate::sim::server::{Actor, Address, Refusal};
use crate::sim::world::World;

impl Step {
    /// Does it. Returns what there was to act on, when there was nothing.
    pub(in crate::sim) fn make(&self, world: &mut World) -> Result<(), &'static str> {
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
            Self::EditBudget(_)
            | Self::DeleteBudget(_)
            | Self::AddBudget(..)
            | Self::RemoveBudget(_) => {
                self.protect(world)?;
            }
            Self::Retry => {
                let now = crate::sim::server::time(world.server.now);
                change_spec(world, |spec| {
                    spec["retryAt"] = now.clone().into();
                    spec["rollout"]["retryAt"] = now.into();
                })?;
            }
            Self::RestartIn(child, seconds) => ask_for_restart(world, child, *seconds)?,
            other => other.befall(world),
        }
        Ok(())
    }

    /// Steps of people who meddle with disruption budgets.
    fn protect(&self, world: &mut World) -> Result<(), &'static str> {
        let (verb, address, body) = match self {
            Self::EditBudget(child) => {
                let body = json!({"spec": {"minAvailable": null, "maxUnavailable": "100%",
                    "selector": {"matchLabels": {"app": "another"}}}});
                (Verb::Patch, budget(&format!("{TREE}-{child}")), body)
            }
            Self::DeleteBudget(child) => {
                let address = budget(&format!("{TREE}-{child}"));
                (Verb::Delete, address, json!({}))
            }
            Self::AddBudget(name, child) => {
                let body = json!({"metadata": {"name": name, "namespace": NAMESPACE},
                    "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"coppice.dev/child": child}}}});
                (Verb::Create, budget(name), body)
            }
            Self::RemoveBudget(name) => (Verb::Delete, budget(name), json!({})),
            _ => return Ok(()),
        };
        let call = request(verb, &address, body);
        let made = world.call(&Actor::User, &call);
        made.map(drop).map_err(|_| "no such disruption budget")
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

pub(super) fn edit(world: &mut World, change: impl FnOnce(&mut World)) {
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

pub(super) fn ask(world: &mut World, actor: &Actor, verb: Verb, address: &Address, body: Value) {
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

fn budget(name: &str) -> Address {
    (
        Kind::DisruptionBudget,
        NAMESPACE.to_owned(),
        name.to_owned(),
    )
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
