//! Random stories: deaths, evictions, deletions, edits and crashes of the operator, in any order.
//!
//! Rule: a failure prints its seed and its story, and the seed alone tells the story again.

use crate::api::v1alpha1::{GiveUp, Identity, RootGiveUp, Startup};
use crate::dice::Dice;
use crate::model::lab::{Behaviour, Lab};
use crate::model::tree::Tree;
use crate::model::window::api_time;

const SPEC: &str = "
startup: Ordered
intensity: {maxRestarts: 2, periodSeconds: 120}
children:
- {name: db, worker: {identity: Stable, replicas: 2, template: {spec: {containers: [{name: app, image: one}]}}}}
- name: web
  supervisor: {startup: Ordered, intensity: {maxRestarts: 1, periodSeconds: 100}}
- {name: api, parent: web, worker: {replicas: 3, quorum: 2, template: {spec: {containers: [{name: app, image: one}]}}}}
- name: core
  parent: web
  supervisor: {onGiveUp: Stop, intensity: {maxRestarts: 1, periodSeconds: 100}}
- {name: x, parent: core, worker: {template: {spec: {containers: [{name: app, image: one}]}}}}
- {name: y, parent: core, worker: {template: {spec: {containers: [{name: app, image: one}]}}}}
- {name: ui, worker: {startDeadlineSeconds: 20, template: {spec: {containers: [{name: app, image: one}]}}}}
";
const WORKERS: [&str; 5] = ["db", "api", "x", "y", "ui"];
const SEEDS: u64 = 60;

struct Story {
    lab: Lab,
    dice: Dice,
    told: Vec<String>,
    crashes: bool,
}

impl Story {
    fn new(seed: u64, crashes: bool) -> Self {
        Self {
            lab: Lab::new(SPEC),
            dice: Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
            told: Vec::new(),
            crashes,
        }
    }

    fn tell(&mut self) {
        self.lab.run(20);
        for _ in 0..4 + self.dice.below(10) {
            if self.crashes && self.dice.below(3) == 0 {
                self.lab.crash_in = Some(usize::try_from(self.dice.below(6)).unwrap());
            }
            let what = self.happen();
            let now = self.lab.now.as_second() - 1_800_000_000;
            self.told.push(format!("{now} s: {what}"));
            let pause = self.dice.below(80);
            self.lab.run(i64::try_from(pause).unwrap());
        }
    }

    /// Lets one thing happen, and says what.
    fn happen(&mut self) -> String {
        let child = self.dice.one_of(&WORKERS);
        let live = self.lab.live(child);
        let slot = (!live.is_empty()).then(|| self.dice.one_of(&live));
        let lab = &mut self.lab;
        match (self.dice.below(16), slot) {
            (0 | 1, Some(slot)) if lab.pod_mut(child, slot).containers[0].is_running() => {
                lab.kill(child, slot, 1);
                format!("{child}/{slot} exits with 1")
            }
            (2, Some(slot)) => {
                lab.delete_by_hand(child, slot);
                format!("{child}/{slot} is deleted")
            }
            (3, Some(slot)) => {
                lab.vanish(child, slot);
                format!("{child}/{slot} vanishes")
            }
            (4, Some(slot)) => {
                lab.evict(child, slot);
                format!("{child}/{slot} is evicted")
            }
            (5 | 6, _) => {
                let bad = [
                    Behaviour::Crash(1, 1),
                    Behaviour::Crash(3, 127),
                    Behaviour::Hang,
                    Behaviour::NoImage,
                    Behaviour::NoCapacity,
                ];
                let behaviour = self.dice.one_of(&bad);
                lab.behave(child, behaviour);
                format!("{child} from now on: {behaviour:?}")
            }
            (7 | 8, _) => {
                lab.behave(child, Behaviour::Healthy);
                format!("{child} is healthy")
            }
            (9, _) => {
                let seconds = i64::try_from(self.dice.below(60)).unwrap();
                lab.go_by(seconds);
                format!("the operator is away for {seconds} s")
            }
            (10, _) => {
                let now = lab.now;
                lab.edit(|spec| {
                    spec.retry_at = Some(api_time(now));
                    spec.rollout.retry_at = Some(api_time(now));
                });
                "retryAt".to_owned()
            }
            _ => self.edit(),
        }
    }

    fn edit(&mut self) -> String {
        let before = self.lab.world.tree.spec.clone();
        let index = usize::try_from(self.dice.below(before.children.len() as u64)).unwrap();
        let (kind, number) = (self.dice.below(9), self.dice.below(4));
        let number = i32::try_from(number).unwrap();
        self.lab.edit(|spec| {
            let child = &mut spec.children[index];
            match (kind, &mut child.worker, &mut child.supervisor) {
                (0, ..) => child.enabled = !child.enabled,
                (1, Some(worker), _) => worker.replicas = Some(number),
                (2, Some(worker), _) => worker.quorum = number.max(1),
                (3, Some(worker), _) => {
                    worker.identity = match worker.identity {
                        Identity::Stable => Identity::Interchangeable,
                        Identity::Interchangeable => Identity::Stable,
                    };
                }
                (4, Some(worker), _) => {
                    let image = format!("image-{}", self.told.len());
                    worker.template.0["spec"]["containers"][0]["image"] = image.into();
                }
                (5, _, Some(supervisor)) => {
                    let all = [GiveUp::Escalate, GiveUp::Retry, GiveUp::Stop];
                    supervisor.on_give_up = all[usize::try_from(number % 3).unwrap()];
                    supervisor.intensity.max_restarts = number;
                    let all = [None, Some(Startup::Ordered), Some(Startup::Parallel)];
                    supervisor.startup = all[usize::try_from(number % 3).unwrap()];
                }
                (6, ..) => {
                    let all = [None, Some("web".to_owned()), Some("core".to_owned())];
                    child
                        .parent
                        .clone_from(&all[usize::try_from(number % 3).unwrap()]);
                }
                (7, ..) => {
                    spec.on_give_up =
                        [RootGiveUp::Retry, RootGiveUp::Stop][usize::try_from(number % 2).unwrap()];
                }
                (8, ..) => drop(spec.children.remove(index)),
                _ => {}
            }
        });
        let legal = Tree::parse("t", &self.lab.world.tree.spec).is_ok();
        if !legal {
            self.lab.tree_mut().spec = before.clone();
        }
        let name = &before.children[index].name;
        format!(
            "edit {kind} of {name} ({number}){}",
            if legal { "" } else { ", not legal" }
        )
    }

    /// When nothing bad happens any more and somebody has asked for a retry, everything comes back and then nothing
    /// is written; and the tree can be deleted.
    fn end(&mut self) -> Result<(), String> {
        let lab = &mut self.lab;
        lab.crash_in = None;
        for child in WORKERS {
            lab.behave(child, Behaviour::Healthy);
        }
        // What has begun to die goes on with that, and may still take a new revision back.
        lab.run(60);
        let now = lab.now;
        lab.edit(|spec| {
            spec.retry_at = Some(api_time(now));
            spec.rollout.retry_at = Some(api_time(now));
        });
        lab.run(1200);
        if !lab.state().starts_with("TFF") {
            return Err(format!("{}: {}", lab.state(), lab.message()));
        }
        lab.run(3700);
        let writes = lab.writes;
        lab.run(700);
        if lab.writes != writes {
            return Err(format!("{} writes while idle", lab.writes - writes));
        }
        let supervisors = &lab.world.tree.status.supervisors;
        let mut charges = supervisors.iter().map(|record| lab.charges(&record.name));
        if let Some(left) = charges.find(|charges| !charges.is_empty()) {
            return Err(format!("charges are left in a window: {left:?}"));
        }
        lab.tree_mut().deleting = true;
        lab.run(60);
        if !lab.world.tree.finalizers.is_empty() || lab.pods().any(|pod| !pod.is_terminal()) {
            return Err("it was not deleted".to_owned());
        }
        Ok(())
    }
}

#[test]
fn whatever_happened_a_tree_comes_back_when_it_has_ended() {
    for seed in 1..=SEEDS {
        let mut story = Story::new(seed, seed % 2 == 0);
        story.tell();
        if let Err(what) = story.end() {
            panic!("seed {seed}: {what}\n{}", story.told.join("\n"));
        }
    }
}
