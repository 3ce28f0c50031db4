//! The situations of a tree, one row for each. Those of its supervisors are in the folder.
//!
//! Rule: a row says how a tree gets there, and what a person reads then.

mod supervisors;

pub(super) use supervisors::{given_up, operations};

use super::super::{ONE, lose, many, stable, worker};
use super::{NO_RESTART, Row, behave, end, one, ordered, refuse_worker};
use crate::api::v1alpha1::RolloutFailurePolicy;
use crate::model::lab::{Behaviour, Lab};
use crate::model::world::Unseen;

/// What is started or restarted.
pub(super) fn starting() -> Vec<Row> {
    vec![
        (
            ONE.into(),
            |lab| lab.run(0),
            "FTF Starting",
            "a/0 is starting (Pod t-a-090004af2d)",
        ),
        (
            ONE.into(),
            |lab| {
                lab.decide_once();
            },
            "FTF Starting",
            "a is being set up",
        ),
        (
            ordered(""),
            |lab| behave(lab, Behaviour::Hang, 5),
            "FTF Starting",
            "a/0 is starting (Pod t-a-090004af2d) (and 1 more)",
        ),
        (
            one("ready: Completed, restart: Transient"),
            |lab| lab.run(5),
            "FTF Starting",
            "a/0 has not completed yet (Pod t-a-090004af2d)",
        ),
        (
            ONE.into(),
            |lab| {
                lab.run(10);
                lab.kill("a", 0, 1);
                lab.run(5);
                lab.kill("a", 0, 1);
                lab.settle();
            },
            "FTF Restarting",
            "a/0 is being restarted: container app ended with exit code 1 after 5 s; the next restart is due at 2027-01-15T08:00:16Z",
        ),
    ]
}

/// What is changed or stopped.
pub(super) fn changing() -> Vec<Row> {
    vec![
        (
            many(2, 1),
            |lab| {
                lab.stopping.insert("a".into(), 8);
                lab.run(10);
                lab.edit_replicas("a", 1);
                lab.settle();
            },
            "TTF Scaling",
            "surplus replicas of a are being stopped",
        ),
        (
            many(2, 1),
            |lab| {
                lab.run(10);
                lab.edit_template("a", "two");
                lab.settle();
            },
            "FTF Updating",
            "a/0 still runs its former template (and 2 more)",
        ),
        (
            ONE.into(),
            |lab| {
                lab.stopping.insert("a".into(), 8);
                lab.run(10);
                lab.edit(|spec| spec.children[0].enabled = false);
                lab.settle();
            },
            "TTF Stopping",
            "a is disabled and being stopped",
        ),
        (
            ONE.into(),
            |lab| {
                lab.stopping.insert("a".into(), 8);
                lab.run(10);
                lab.edit(|spec| spec.suspend = true);
                lab.settle();
            },
            "FTF Stopping",
            "the tree is suspended; its Pods stop in order",
        ),
    ]
}

/// What is waited for.
pub(super) fn waiting() -> Vec<Row> {
    vec![
        (
            ONE.into(),
            |lab| behave(lab, Behaviour::NoCapacity, 90),
            "FTF WaitingForCapacity",
            "a/0: the Pod has no node: 0/1 nodes are available: 1 Insufficient cpu.",
        ),
        (
            ONE.into(),
            |lab| refuse_worker(lab, 403, "Forbidden", "exceeded quota: q", 90),
            "FTF WaitingForCapacity",
            "a: the Worker could not be created (403 Forbidden): exceeded quota: q",
        ),
        (
            format!("{NO_RESTART}{ONE}"),
            |lab| end(lab, "a", 137, 1),
            "FTF NotUp",
            "a/0 has ended with exit code 137 (Pod t-a-090004af2d); Coppice waits a few seconds to learn why",
        ),
        (
            ONE.into(),
            |lab| end(lab, "a", 143, 0),
            "FTF NotUp",
            "a/0 has ended with exit code 143 (Pod t-a-090004af2d); Coppice waits a few seconds to learn why",
        ),
        (
            ONE.into(),
            |lab| {
                lab.run(10);
                lab.set_ready("a", 0, false);
                behave(lab, Behaviour::Hang, 0);
            },
            "FTF NotUp",
            "a/0 was up and is not Ready now",
        ),
        (
            ONE.into(),
            |lab| {
                lab.run(10);
                let nodes = lab.world.nodes.as_mut().unwrap();
                nodes.get_mut("node-a").unwrap().not_ready_since = Some(lab.now);
                lab.settle();
            },
            "FTF NotUp",
            "a/0 is on node node-a, which has not been ready since 2027-01-15T08:00:10Z",
        ),
        (
            ONE.into(),
            |lab| behave(lab, Behaviour::NoImage, 20),
            "FTF Held",
            "a/0: the image of container app cannot be pulled: nope: not found",
        ),
        (
            ONE.into(),
            |lab| refuse_worker(lab, 422, "Invalid", "no", 20),
            "FTF CreateRefused",
            "a: the Worker could not be created (422 Invalid): no",
        ),
    ]
}

/// What is held or refused for so long that a person should look at it.
pub(super) fn held() -> Vec<Row> {
    vec![
        (
            ONE.into(),
            |lab| behave(lab, Behaviour::NoImage, 40),
            "FFT Held",
            "a/0: the image of container app cannot be pulled: nope: not found",
        ),
        (
            ONE.into(),
            |lab| refuse_worker(lab, 422, "Invalid", "no", 40),
            "FFT CreateRefused",
            "a: the Worker could not be created (422 Invalid): no",
        ),
        (
            ONE.into(),
            |lab| {
                refuse_worker(lab, 409, "NameCollision", "the name is held by another", 1);
            },
            "FFT NameCollision",
            "a: the Worker could not be created (409 NameCollision): the name is held by another",
        ),
    ]
}

/// What else a person should look at.
pub(super) fn faults() -> Vec<Row> {
    vec![
        (
            one("startDeadlineSeconds: 5"),
            |lab| behave(lab, Behaviour::Hang, 10),
            "FFT StartDeadlineExceeded",
            "a/0: the Pod ran for 5 s (`startDeadlineSeconds`) without becoming Ready",
        ),
        (
            one("startDeadlineSeconds: 5"),
            |lab| {
                lab.run(10);
                lab.set_ready("a", 0, false);
                behave(lab, Behaviour::Hang, 10);
            },
            "FFT NotUp",
            "a/0 has not been up since 2027-01-15T08:00:10Z",
        ),
        (
            one("ready: Completed, restart: Temporary"),
            |lab| {
                lab.run(5);
                lab.kill("a", 0, 1);
                lab.run(5);
            },
            "FFT NotUp",
            "a/0 was to complete and has failed: container app ended with exit code 1 after 4 s; it is Temporary, so it is not run again: set `enabled: false` and then `true` to run it once more",
        ),
        (
            format!("{NO_RESTART}{}", many(3, 1)),
            |lab| {
                lab.run(10);
                lab.kill("a", 2, 1);
                lab.run(5);
            },
            "TFT SlotParked",
            "a/2: slot 2 of a died more than 0 times in 60 s; it is tried again at 2027-01-15T08:00:40Z",
        ),
        (
            stable(),
            |lab| {
                lab.run(10);
                lose(lab, "a", 0);
                lab.run(5);
            },
            "TFT WaitingForFence",
            "a/0: t-a-0 is lost with node node-b and not proven dead, so it is not replaced: bring the node back, delete the Node object, or taint it with node.kubernetes.io/out-of-service=nodeshutdown:NoExecute",
        ),
        (
            ONE.into(),
            |lab| {
                lab.run(10);
                lab.world.unseen = vec![Unseen {
                    kind: "Pod",
                    message: "pods is forbidden".into(),
                }];
                lab.settle();
            },
            "TFT WatchRefused",
            "Pods may not be watched, so what happens to them is not noticed until that is allowed again: pods is forbidden",
        ),
        (
            ONE.into(),
            |lab| {
                lab.run(10);
                lab.edit(|spec| spec.children[0].parent = Some("nobody".into()));
                lab.settle();
            },
            "FFT InvalidSpec",
            "the `parent` of child 'a' must name a supervisor declared earlier in `children`, but is 'nobody'. Nothing is changed until the spec is",
        ),
    ]
}

/// A worker that was proved good and is given a template with an image that does not exist.
fn bad_image(lab: &mut Lab) {
    lab.run(70);
    lab.behave("a@two", Behaviour::NoImage);
    lab.edit_template("a", "two");
}

/// New versions that stay or go back.
pub(super) fn rolled_out() -> Vec<Row> {
    vec![
        (
            // Whoever waits for Ready must not take a tree for upgraded of which one worker has not had its turn yet.
            [
                one("replicas: 3, update: {steps: [{updated: 1}, {pause: {}}]}"),
                worker("b", "", ""),
            ]
            .concat(),
            |lab| {
                lab.run(70);
                lab.edit_template("a", "two");
                lab.edit_template("b", "two");
                lab.run(30);
            },
            "FTF RolloutPaused",
            "a is at step 2 of 2 of its rollout: 1 updated, waits until `rollout.promote` names revision 2 and step 2 (`kubectl coppice promote`) (and 3 more)",
        ),
        (
            ONE.into(),
            |lab| {
                lab.edit(|spec| spec.rollout.paused = true);
                bad_image(lab);
                lab.run(30);
            },
            "FTF RolloutPaused",
            "the rollout is paused; set `rollout.paused: false` to go on (and 1 more)",
        ),
        (
            ONE.into(),
            |lab| {
                lab.edit(|spec| spec.rollout.on_failure = RolloutFailurePolicy::Pause);
                bad_image(lab);
                lab.run(30);
            },
            "FFT RolloutFailed",
            "the rollout of revision 2 has failed and stays where it is: a/1: the image of container app cannot be pulled: nope: not found; change a template, or set `rollout.retryAt` or `rollout.onFailure: RollBack`",
        ),
        (
            ONE.into(),
            |lab| {
                bad_image(lab);
                lab.run(30);
            },
            "FFT RolledBack",
            "revision 2 was taken back to revision 1: a/1: the image of container app cannot be pulled: nope: not found; it is not tried again until a template is changed, or `rollout.retryAt` says so",
        ),
    ]
}

/// What is as the spec asks.
pub(super) fn resting() -> Vec<Row> {
    vec![
        (
            ONE.into(),
            |lab| lab.run(10),
            "TFF AllUp",
            "its worker is up",
        ),
        (
            ordered(""),
            |lab| lab.run(10),
            "TFF AllUp",
            "all 2 workers are up",
        ),
        (
            [one("restart: Transient"), worker("b", "", "")].concat(),
            |lab| end(lab, "a", 0, 5),
            "TFF AllUp",
            "1 worker is up; a has ended",
        ),
        (
            one("restart: Transient"),
            |lab| end(lab, "a", 0, 5),
            "TFF Finished",
            "all children have ended as their types allow",
        ),
        (
            "children: []".into(),
            |lab| lab.run(1),
            "TFF NoChildren",
            "the tree has no workers",
        ),
        (
            ONE.into(),
            |lab| {
                lab.edit(|spec| spec.children[0].enabled = false);
                lab.run(5);
            },
            "TFF AllDisabled",
            "every worker is disabled and stopped",
        ),
        (
            ONE.into(),
            |lab| {
                lab.run(10);
                lab.edit(|spec| spec.suspend = true);
                lab.run(5);
            },
            "TFF Suspended",
            "the tree is suspended and stopped; set `suspend: false` to start it",
        ),
    ]
}
