//! The engine in action: whole stories in virtual time, and a crash of the operator at every write. The folder has the
//! stories of one kind each.
//!
//! Rule: a story asserts the state of the world, not the calls that led to it.

use std::collections::BTreeMap;

use super::lab::{Behaviour, Lab};
use super::window::after;
use super::world::Unseen;

mod edits;
mod ends;
mod evidence;
mod exits;
mod fences;
pub(super) mod groups;
mod kinds;
mod random;
mod sizes;

const ONE: &str = "
children:
- {name: a, worker: {template: {spec: {containers: [{name: app, image: one}]}}}}
";

const NESTED: &str = "
startup: Ordered
intensity: {maxRestarts: 1, periodSeconds: 300}
children:
- {name: db, worker: {template: {spec: {containers: [{name: app, image: one}]}}}}
- name: web
  supervisor: {startup: Ordered, intensity: {maxRestarts: 1, periodSeconds: 300}}
- {name: api, parent: web, worker: {replicas: 3, quorum: 2, template: {spec: {containers: [{name: app, image: one}]}}}}
- {name: ui, parent: web, worker: {template: {spec: {containers: [{name: app, image: one}]}}}}
";

fn many(replicas: i32, quorum: i32) -> String {
    format!(
        "
children:
- name: a
  worker:
    replicas: {replicas}
    quorum: {quorum}
    template: {{spec: {{containers: [{{name: app, image: one}}]}}}}
"
    )
}

fn stable() -> String {
    many(2, 1).replace("replicas", "identity: Stable\n    replicas")
}

#[test]
fn a_tree_becomes_ready_and_then_nothing_is_written() {
    let mut lab = Lab::new(ONE);
    lab.settle();
    assert_eq!(lab.state(), "FTF Starting");
    lab.run(5);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    let writes = lab.writes;
    lab.run(900);
    assert_eq!(lab.writes, writes, "an idle tree costs no write");
}

#[test]
fn an_empty_tree_is_ready() {
    let mut lab = Lab::new("children: []");
    lab.run(1);
    assert_eq!(lab.state(), "TFF NoChildren");
}

#[test]
fn a_killed_container_is_restarted_by_the_kubelet_and_charged_once() {
    let mut lab = Lab::new(ONE);
    lab.run(5);
    let uid = lab.pod_mut("a", 0).uid.clone();
    lab.kill("a", 0, 1);
    lab.settle();
    assert_eq!(lab.state(), "FTF Restarting", "{}", lab.message());
    assert_eq!(lab.charges("(root)"), BTreeMap::from([("a".into(), 1)]));
    lab.run(60);
    assert_eq!(lab.pod_mut("a", 0).uid, uid, "the Pod is the same");
    assert_eq!(lab.state(), "TFF AllUp");
    assert_eq!(lab.charges("(root)"), BTreeMap::from([("a".into(), 1)]));
    assert_eq!(lab.world.tree.status.restarts, 1);
    lab.run(300);
    assert_eq!(
        lab.charges("(root)"),
        BTreeMap::new(),
        "the charge leaves the window"
    );
}

#[test]
fn a_deleted_pod_is_replaced_at_once_and_not_charged() {
    let mut lab = Lab::new(ONE);
    lab.run(5);
    lab.delete_by_hand("a", 0);
    lab.settle();
    assert_eq!(
        lab.live("a"),
        [0],
        "the successor exists beside the one that stops"
    );
    assert_eq!(lab.charges("(root)"), BTreeMap::new());
    lab.run(5);
    assert_eq!(lab.state(), "TFF AllUp");
    assert!(
        lab.events.contains(&"ChildPodDeleted".to_owned()),
        "{:?}",
        lab.events
    );
}

#[test]
fn repeated_uncharged_replacement_is_slowed() {
    let mut lab = Lab::new(ONE);
    lab.run(5);
    for _ in 0..4 {
        lab.delete_by_hand("a", 0);
        while lab.live("a").is_empty() {
            lab.run(1);
        }
    }
    let start = lab.now;
    lab.delete_by_hand("a", 0);
    while lab.live("a").is_empty() {
        lab.run(1);
    }
    assert!(
        lab.now >= after(start, 8),
        "the fifth replacement waits 8 s"
    );
}

#[test]
fn a_crash_loop_gives_up_at_the_fourth_death_and_is_tried_again() {
    let mut lab = Lab::new(ONE);
    lab.behave("a", Behaviour::Crash(1, 1));
    let start = lab.now;
    while lab.world.tree.status.restarts < 4 {
        lab.run(1);
        assert!(
            lab.now < after(start, 20),
            "gives up in time: {}",
            lab.message()
        );
    }
    lab.run(3);
    assert_eq!(lab.world.tree.status.restarts, 4);
    assert_eq!(lab.state(), "FFT GaveUp", "{}", lab.message());
    assert_eq!(lab.live("a"), [] as [i32; 0]);
    assert!(
        lab.message().contains("tried again at"),
        "{}",
        lab.message()
    );
    lab.behave("a", Behaviour::Healthy);
    lab.run(34);
    assert_eq!(lab.live("a"), [0], "the retry starts it after 30 s");
    assert_eq!(
        lab.state(),
        "FFT GaveUp",
        "a retry alone changes no condition"
    );
    lab.run(40);
    assert_eq!(lab.state(), "TFF AllUp");
}

#[test]
fn retries_of_a_hopeless_child_double() {
    let mut lab = Lab::new(ONE);
    lab.behave("a", Behaviour::Crash(1, 1));
    lab.run(900);
    let record = &lab.world.tree.status.supervisors[0];
    assert!(record.gave_up[0].delay_seconds >= 240, "{record:?}");
    assert_eq!(lab.state(), "FFT GaveUp");
}

#[test]
fn ten_restarts_in_ten_minutes_give_up_at_the_eleventh_death_within_four_minutes() {
    let mut lab = Lab::new(&format!(
        "intensity: {{maxRestarts: 10, periodSeconds: 600}}{ONE}"
    ));
    lab.behave("a", Behaviour::Crash(1, 1));
    lab.settle();
    lab.run_until("FFT GaveUp", 240);
    assert_eq!(lab.world.tree.status.restarts, 11);
}

#[test]
fn an_edit_of_the_template_ends_the_wait() {
    let mut lab = Lab::new(ONE);
    lab.behave("a", Behaviour::Crash(1, 1));
    lab.run(25);
    assert_eq!(lab.state(), "FFT GaveUp");
    lab.behave("a", Behaviour::Healthy);
    lab.edit_template("a", "two");
    lab.settle();
    assert_eq!(lab.state(), "FTF Starting", "{}", lab.message());
    lab.run(4);
    assert_eq!(lab.state(), "TFF AllUp");
}

#[test]
fn retry_at_ends_the_wait_once_and_leaves_the_fault_row() {
    let mut lab = Lab::new(ONE);
    lab.behave("a", Behaviour::Crash(1, 1));
    lab.run(25);
    assert_eq!(lab.state(), "FFT GaveUp");
    lab.behave("a", Behaviour::Healthy);
    let now = lab.now;
    lab.edit(|spec| spec.retry_at = Some(super::window::api_time(now)));
    lab.settle();
    assert_eq!(lab.state(), "FTF Starting", "{}", lab.message());
    lab.run(4);
    assert_eq!(lab.state(), "TFF AllUp");
}

#[test]
fn containers_that_fall_together_are_one_death() {
    let mut lab = Lab::new(ONE);
    lab.run(5);
    let now = lab.now;
    let pod = lab.pod_mut("a", 0);
    let second = pod.containers[0].clone();
    pod.containers.push(second);
    for container in &mut pod.containers {
        container.state = super::pod::ContainerState::Waiting {
            reason: "CrashLoopBackOff".into(),
            message: String::new(),
        };
        container.last = Some(super::pod::Termination {
            exit_code: 1,
            finished: Some(now),
            ..Default::default()
        });
    }
    lab.settle();
    assert_eq!(lab.world.tree.status.restarts, 1);
    assert_eq!(lab.charges("(root)"), BTreeMap::from([("a".into(), 1)]));
}

#[test]
fn scaling_down_and_up_again_at_once_makes_no_deaths() {
    let mut lab = Lab::new(&many(3, 1));
    lab.run(6);
    lab.kill("a", 2, 1);
    lab.run(40);
    let restarts = lab.world.tree.status.restarts;
    lab.edit(|spec| spec.children[0].worker.as_mut().unwrap().replicas = Some(1));
    lab.settle();
    lab.edit(|spec| spec.children[0].worker.as_mut().unwrap().replicas = Some(3));
    lab.run(10);
    assert_eq!(lab.live("a"), [0, 1, 2]);
    assert_eq!(lab.state(), "TFF AllUp");
    assert_eq!(lab.world.tree.status.restarts, restarts);
}

#[test]
fn a_changed_identity_is_remove_and_add() {
    let mut lab = Lab::new(&many(2, 1));
    lab.run(6);
    lab.edit(|spec| {
        spec.children[0].worker.as_mut().unwrap().identity = crate::api::v1alpha1::Identity::Stable;
    });
    lab.run(10);
    let names: Vec<String> = lab.pods().map(|p| p.name.clone()).collect();
    assert_eq!(names, ["t-a-0", "t-a-1"]);
    assert_eq!(lab.world.tree.status.restarts, 0);
}

#[test]
fn a_parked_slot_that_stayed_up_is_parked_as_if_for_the_first_time() {
    let mut lab = Lab::new(&format!(
        "intensity: {{maxRestarts: 1, periodSeconds: 60}}{}",
        many(3, 1)
    ));
    lab.run(6);
    lab.kill("a", 2, 1);
    lab.run(5);
    lab.kill("a", 2, 1);
    lab.run(40);
    assert_eq!(lab.live("a"), [0, 1, 2]);
    lab.run(70);
    let parked = |lab: &Lab| {
        lab.world.workers["a"]
            .status
            .slots
            .iter()
            .any(|s| s.parked.is_some())
    };
    assert!(!parked(&lab), "the delay is forgotten");
}

#[test]
fn children_start_in_order_and_stop_in_reverse() {
    let mut lab = Lab::new(NESTED);
    lab.run(30);
    assert_eq!(lab.state(), "TFF AllUp");
    let creates: Vec<&String> = lab.log.iter().filter(|l| l.starts_with("create")).collect();
    assert_eq!(
        creates,
        [
            "create db/0",
            "create api/0",
            "create api/1",
            "create api/2",
            "create ui/0"
        ]
    );
    lab.log.clear();
    lab.tree_mut().deleting = true;
    lab.run(30);
    let stops: Vec<&str> = lab
        .log
        .iter()
        .map(|l| l.split(' ').nth(1).unwrap())
        .collect();
    assert_eq!(stops, ["ui/0", "api/0", "api/1", "api/2", "db/0", "off"]);
    assert!(lab.world.tree.finalizers.is_empty());
}

#[test]
fn an_ordered_start_waits_for_a_child_that_does_not_start() {
    let mut lab = Lab::new(NESTED);
    lab.behave("db", Behaviour::Hang);
    lab.run(60);
    assert_eq!(lab.live("api"), [] as [i32; 0]);
    assert_eq!(lab.state(), "FTF Starting");
    lab.behave("db", Behaviour::Healthy);
    lab.run(20);
    assert_eq!(lab.state(), "TFF AllUp");
}

#[test]
fn giving_up_escalates_and_siblings_of_the_root_stay() {
    let mut lab = Lab::new(NESTED);
    lab.run(30);
    let db = lab.pod_mut("db", 0).uid.clone();
    lab.behave("ui", Behaviour::Crash(1, 7));
    // 2 deaths of ui exceed web's window; twice that exceeds the root's.
    lab.run_until("FFT GaveUp", 60);
    assert_eq!(
        lab.pod_mut("db", 0).uid,
        db,
        "a sibling in the root is not touched"
    );
    assert_eq!(
        lab.live("api"),
        [] as [i32; 0],
        "the supervisor that gave up is stopped"
    );
    assert_eq!(
        lab.world.tree.status.restarts, 4,
        "two levels of one restart each: the fourth death gives up"
    );
    let told: Vec<&str> = lab.events.iter().map(String::as_str).collect();
    let of_a_death = [
        "ChildAppExitedNonZero",
        "ChildAppExitedNonZero",
        "SupervisorEscalated",
    ];
    let first = [&of_a_death[..], &["SupervisorExited"]].concat();
    let second = [&of_a_death[..], &["SupervisorExited", "ChildGivenUp"]].concat();
    assert_eq!(told, [first, second].concat(), "causes come first");
    lab.behave("ui", Behaviour::Healthy);
    lab.edit_template("ui", "two");
    lab.run(20);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    let web = lab
        .world
        .tree
        .status
        .supervisors
        .iter()
        .find(|s| s.name == "web")
        .unwrap();
    assert_eq!(
        web.incarnation, 3,
        "one restart by the root, one by the edit"
    );
}

#[test]
fn stop_stays_stopped_until_an_edit() {
    let mut lab = Lab::new(&format!(
        "onGiveUp: Stop\nintensity: {{maxRestarts: 1}}{ONE}"
    ));
    lab.behave("a", Behaviour::Crash(1, 1));
    lab.run(900);
    assert_eq!(lab.state(), "FFT GaveUp");
    assert_eq!(lab.live("a"), [] as [i32; 0]);
    lab.behave("a", Behaviour::Healthy);
    lab.edit_template("a", "two");
    lab.run(10);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
}

#[test]
fn no_restarts_allowed_means_that_the_first_death_gives_up() {
    let mut lab = Lab::new(&format!("intensity: {{maxRestarts: 0}}{ONE}"));
    lab.run(5);
    assert!(
        !lab.pod_mut("a", 0).kubelet_restarts(),
        "the kubelet must not restart what may not be restarted"
    );
    lab.kill("a", 0, 1);
    lab.run(2);
    assert_eq!(lab.state(), "FFT GaveUp", "{}", lab.message());
}

#[test]
fn a_death_that_leaves_a_quorum_is_charged_to_its_slot() {
    let mut lab = Lab::new(&many(3, 2));
    lab.run(6);
    lab.kill("a", 1, 1);
    lab.settle();
    assert_eq!(lab.charges("(root)"), BTreeMap::new());
    assert_eq!(
        lab.state(),
        "TTF Restarting",
        "a quorum is up, so the tree stays Ready"
    );
    let slot = lab.world.workers["a"]
        .status
        .slots
        .iter()
        .find(|s| s.slot == 1)
        .unwrap();
    assert_eq!(slot.charges.len(), 1);
}

#[test]
fn a_death_that_leaves_less_than_a_quorum_is_the_childs() {
    let mut lab = Lab::new(&many(3, 2));
    lab.run(6);
    lab.kill("a", 0, 1);
    lab.kill("a", 1, 1);
    lab.settle();
    assert_eq!(lab.charges("(root)"), BTreeMap::from([("a".into(), 1)]));
    assert_eq!(lab.state(), "FTF Restarting");
    lab.run(10);
    assert_eq!(lab.state(), "TFF AllUp");
}

#[test]
fn an_exhausted_slot_is_parked_and_does_not_take_the_worker_down() {
    let mut lab = Lab::new(&format!(
        "intensity: {{maxRestarts: 1, periodSeconds: 300}}{}",
        many(3, 1)
    ));
    lab.run(6);
    lab.kill("a", 2, 1);
    lab.run(5);
    lab.kill("a", 2, 1);
    lab.run(3);
    assert_eq!(lab.state(), "TFT SlotParked", "{}", lab.message());
    assert_eq!(lab.live("a"), [0, 1]);
    lab.run(70);
    assert_eq!(lab.live("a"), [0, 1, 2], "a parked slot is tried again");
    assert_eq!(lab.state(), "TFF AllUp");
}

#[test]
fn a_missing_image_is_held_and_charges_nothing() {
    let mut lab = Lab::new(ONE);
    lab.behave("a", Behaviour::NoImage);
    lab.run(10);
    assert_eq!(lab.state(), "FTF Held", "{}", lab.message());
    lab.run(60);
    assert_eq!(lab.state(), "FFT Held", "{}", lab.message());
    let writes = lab.writes;
    lab.run(3600);
    assert_eq!(lab.state(), "FFT Held", "{}", lab.message());
    assert_eq!(lab.writes, writes, "a hold that lasts is told once");
    assert_eq!(lab.world.tree.status.restarts, 0);
    let creates = lab.log.iter().filter(|l| l.starts_with("create")).count();
    assert_eq!(creates, 1, "the Pod is left alone");
    assert_eq!(
        lab.judged,
        [(super::fault::Verdict::Hold, None)],
        "it is counted once, and not as a restart"
    );
    lab.behave("a", Behaviour::Healthy);
    lab.edit_template("a", "two");
    lab.run(5);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
}

#[test]
fn missing_capacity_is_waited_for_without_a_charge() {
    let mut lab = Lab::new(ONE);
    lab.behave("a", Behaviour::NoCapacity);
    lab.run(60);
    assert_eq!(lab.state(), "FTF WaitingForCapacity", "{}", lab.message());
    lab.run(600);
    assert_eq!(lab.state(), "FFT NotUp", "{}", lab.message());
    assert!(
        lab.message().contains("Insufficient cpu"),
        "{}",
        lab.message()
    );
    lab.behave("a", Behaviour::Healthy);
    lab.run(5);
    assert_eq!(lab.state(), "TFF AllUp");
    assert_eq!(lab.world.tree.status.restarts, 0);
}

#[test]
fn a_start_that_takes_too_long_is_a_failed_start() {
    let mut lab = Lab::new(&ONE.replace("worker: {", "worker: {startDeadlineSeconds: 20, "));
    lab.behave("a", Behaviour::Hang);
    lab.run(30);
    assert_eq!(lab.world.tree.status.restarts, 1);
    assert_eq!(
        lab.state(),
        "FFT StartDeadlineExceeded",
        "{}",
        lab.message()
    );
    assert_eq!(lab.live("a"), [0], "a new Pod tries again");
}

#[test]
fn unreadiness_after_the_start_is_no_death() {
    let mut lab = Lab::new(ONE);
    lab.run(5);
    lab.behave("a", Behaviour::Hang);
    let now = lab.now;
    let pod = lab.pod_mut("a", 0);
    pod.conditions[0].is_true = false;
    pod.conditions[0].changed = Some(now);
    lab.run(120);
    assert_eq!(lab.state(), "FTF NotUp", "{}", lab.message());
    assert_eq!(lab.world.tree.status.restarts, 0);
    lab.run(600);
    assert_eq!(
        lab.state(),
        "FFT NotUp",
        "after `startDeadlineSeconds` a person should look"
    );
    assert_eq!(
        lab.log.iter().filter(|l| l.starts_with("delete")).count(),
        0
    );
}

#[test]
fn scaling_drops_the_highest_and_adds_the_lowest_free() {
    let mut lab = Lab::new(&many(3, 1));
    lab.run(6);
    lab.edit(|spec| spec.children[0].worker.as_mut().unwrap().replicas = Some(1));
    lab.run(5);
    assert_eq!(lab.live("a"), [0]);
    assert_eq!(lab.state(), "TFF AllUp");
    lab.edit(|spec| spec.children[0].worker.as_mut().unwrap().replicas = Some(2));
    lab.run(6);
    assert_eq!(lab.live("a"), [0, 1]);
    lab.edit(|spec| spec.children[0].worker.as_mut().unwrap().replicas = Some(0));
    lab.run(6);
    assert_eq!(lab.live("a"), [] as [i32; 0]);
    assert_eq!(lab.state(), "TFF AllUp", "no replicas count as up");
    assert_eq!(lab.world.tree.status.restarts, 0);
}

#[test]
fn a_number_stated_in_the_tree_is_put_back_and_one_left_out_is_not() {
    let mut lab = Lab::new(&many(2, 1));
    lab.run(6);
    lab.world.workers.get_mut("a").unwrap().replicas = 5;
    lab.run(6);
    assert_eq!(lab.world.workers["a"].replicas, 2);
    assert!(lab.events.contains(&"ScaleOverridden".to_owned()));
    lab.edit(|spec| spec.children[0].worker.as_mut().unwrap().replicas = None);
    lab.run(6);
    assert_eq!(lab.live("a"), [0, 1], "removing the line keeps the number");
    lab.world.workers.get_mut("a").unwrap().replicas = 3;
    lab.run(6);
    assert_eq!(lab.live("a"), [0, 1, 2]);
}

#[test]
fn a_changed_template_replaces_pods_one_at_a_time() {
    let mut lab = Lab::new(&many(3, 2));
    lab.run(6);
    lab.edit_template("a", "two");
    let revision = super::names::revision(
        &lab.world.tree.spec.children[0]
            .worker
            .as_ref()
            .unwrap()
            .template
            .0,
    );
    for _ in 0..30 {
        lab.run(1);
        assert!(
            lab.pods()
                .filter(|p| p.is_ready() && !p.is_deleting())
                .count()
                >= 2,
            "the quorum is kept"
        );
    }
    assert!(lab.pods().all(|p| p.revision == revision));
    assert_eq!(lab.state(), "TFF AllUp");
    assert_eq!(lab.world.tree.status.restarts, 0);
}

#[test]
fn a_broken_template_stops_at_the_first_replica() {
    let mut lab = Lab::new(&many(3, 1));
    lab.run(6);
    lab.behave("a", Behaviour::NoImage);
    lab.edit_template("a", "two");
    lab.run(60);
    assert_eq!(lab.pods().filter(|p| p.is_ready()).count(), 2);
    lab.behave("a", Behaviour::Healthy);
    lab.edit_template("a", "three");
    lab.run(30);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
}

#[test]
fn disabled_children_stop_and_start_again_as_new() {
    let mut lab = Lab::new(NESTED);
    lab.run(30);
    lab.edit(|spec| spec.children[1].enabled = false);
    lab.run(10);
    assert_eq!(lab.live("api"), [] as [i32; 0]);
    assert_eq!(lab.live("db"), [0]);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    lab.edit(|spec| spec.children[1].enabled = true);
    lab.run(20);
    assert_eq!(lab.live("api"), [0, 1, 2]);
    assert_eq!(lab.state(), "TFF AllUp");
    assert_eq!(lab.world.tree.status.restarts, 0);
}

#[test]
fn removed_children_are_stopped_and_forgotten_and_added_ones_start() {
    let mut lab = Lab::new(NESTED);
    lab.run(30);
    let ui = lab.world.tree.spec.children[3].clone();
    lab.edit(|spec| {
        spec.children.remove(3);
    });
    lab.run(5);
    assert!(!lab.world.workers.contains_key("ui"));
    lab.edit(|spec| spec.children.push(ui));
    lab.run(6);
    assert_eq!(lab.live("ui"), [0]);
    assert_eq!(lab.state(), "TFF AllUp");
}

#[test]
fn a_move_to_another_parent_keeps_the_pods() {
    let mut lab = Lab::new(NESTED);
    lab.run(30);
    let uid = lab.pod_mut("ui", 0).uid.clone();
    lab.edit(|spec| spec.children[3].parent = None);
    lab.run(5);
    assert_eq!(lab.pod_mut("ui", 0).uid, uid);
    assert_eq!(lab.state(), "TFF AllUp");
}

#[test]
fn a_stable_pod_is_replaced_only_when_the_old_one_is_gone() {
    let mut lab = Lab::new(&stable());
    lab.run(6);
    let names: Vec<String> = lab.pods().map(|p| p.name.clone()).collect();
    assert_eq!(names, ["t-a-0", "t-a-1"]);
    lab.delete_by_hand("a", 0);
    lab.settle();
    assert_eq!(lab.live("a"), [1], "the old Pod is not gone yet");
    lab.run(6);
    assert_eq!(lab.live("a"), [0, 1]);
    assert_eq!(lab.charges("(root)"), BTreeMap::new());
}

#[test]
fn a_stable_pod_on_a_lost_node_waits_for_a_fence() {
    let mut lab = Lab::new(&stable());
    lab.run(6);
    let now = lab.now;
    let node = lab.world.nodes.as_mut().unwrap().get_mut("node-a").unwrap();
    node.not_ready_since = Some(now);
    node.unreachable = true;
    let forever = after(now, 10_000);
    lab.pod_mut("a", 0).deletion = Some(forever);
    lab.run(120);
    assert_eq!(lab.live("a"), [1], "never two of one name");
    assert_eq!(lab.state(), "FFT WaitingForFence", "{}", lab.message());
    lab.world
        .nodes
        .as_mut()
        .unwrap()
        .get_mut("node-a")
        .unwrap()
        .out_of_service = true;
    for worker in lab.world.workers.values_mut() {
        worker.pods.retain(|p| !p.is_deleting());
    }
    lab.world
        .nodes
        .as_mut()
        .unwrap()
        .insert("node-a".into(), super::lab::healthy_node());
    lab.run(10);
    assert_eq!(lab.live("a"), [0, 1]);
}

#[test]
fn deletion_does_not_wait_for_an_unreachable_node() {
    let mut lab = Lab::new(ONE);
    lab.run(5);
    let now = lab.now;
    let node = lab.world.nodes.as_mut().unwrap().get_mut("node-a").unwrap();
    node.not_ready_since = Some(now);
    node.unreachable = true;
    let forever = after(now, 10_000);
    lab.pod_mut("a", 0).deletion = Some(forever);
    lab.tree_mut().deleting = true;
    lab.run(3);
    assert!(lab.world.tree.finalizers.is_empty());
}

#[test]
fn an_orphaned_tree_stops_nothing() {
    let mut lab = Lab::new(ONE);
    lab.run(5);
    lab.tree_mut().deleting = true;
    lab.tree_mut().finalizers.push("orphan".into());
    lab.run(3);
    assert_eq!(lab.live("a"), [0]);
    lab.tree_mut().finalizers.retain(|f| f != "orphan");
    lab.world.workers.clear();
    lab.run(2);
    assert!(lab.world.tree.finalizers.is_empty());
}

/// What is known is healed as ever; the conditions say that it may be old.
#[test]
fn a_kind_that_may_not_be_watched_is_told_and_the_rest_goes_on() {
    let mut lab = Lab::new(&many(2, 1));
    lab.run(10);
    lab.world.unseen = vec![Unseen {
        kind: "Pod",
        message: "pods is forbidden".into(),
    }];
    lab.edit(|spec| spec.children[0].worker.as_mut().unwrap().replicas = Some(3));
    lab.run(10);
    assert_eq!(lab.live("a"), [0, 1, 2]);
    assert_eq!(lab.state(), "TFT WatchRefused");
    let said = lab.message();
    assert!(
        said.starts_with("Pods may not be watched") && said.ends_with(": pods is forbidden"),
        "{said}"
    );
    lab.world.unseen.clear();
    lab.settle();
    assert_eq!(lab.state(), "TFF AllUp");
}

#[test]
fn a_refused_spec_changes_nothing_and_says_what_to_fix() {
    let mut lab = Lab::new(ONE);
    lab.run(5);
    let log = lab.log.len();
    lab.edit(|spec| spec.children[0].parent = Some("nobody".into()));
    lab.run(5);
    assert_eq!(lab.state(), "FFT InvalidSpec");
    assert!(lab.message().contains("'nobody'"), "{}", lab.message());
    assert_eq!(lab.log.len(), log, "nothing is touched");
    assert_eq!(lab.live("a"), [0]);
}

#[test]
fn a_back_off_that_cannot_fit_is_refused_with_the_numbers() {
    let mut lab = Lab::new(&format!(
        "intensity: {{maxRestarts: 10, periodSeconds: 60}}{ONE}"
    ));
    lab.run(1);
    assert_eq!(lab.state(), "FFT InvalidSpec");
    assert!(lab.message().contains("151 seconds"), "{}", lab.message());
}

#[test]
fn a_failed_init_container_is_a_failed_start() {
    let mut lab = Lab::new(&format!("intensity: {{maxRestarts: 1}}{ONE}"));
    lab.behave("a", Behaviour::NoImage);
    lab.run(2);
    lab.behave("a", Behaviour::Hang);
    let now = lab.now;
    let fail = |lab: &mut Lab, restarts| {
        let pod = lab.pod_mut("a", 0);
        pod.containers[0].state = super::pod::ContainerState::Waiting {
            reason: "PodInitializing".into(),
            message: String::new(),
        };
        pod.init_containers = vec![super::pod::ContainerView {
            name: "setup".into(),
            judged: true,
            state: super::pod::ContainerState::Waiting {
                reason: "CrashLoopBackOff".into(),
                message: String::new(),
            },
            last: Some(super::pod::Termination {
                exit_code: 2,
                started: Some(now),
                finished: Some(now),
                ..Default::default()
            }),
            restarts,
            ready: false,
        }];
        lab.settle();
    };
    fail(&mut lab, 0);
    assert_eq!(lab.charges("(root)"), BTreeMap::from([("a".into(), 1)]));
    assert_eq!(lab.world.tree.status.restarts, 1);
    let fault = &lab.world.tree.status.recent_faults[0];
    assert!(
        fault.message.starts_with("init container setup"),
        "{fault:?}"
    );
    assert_eq!(lab.live("a"), [0], "it is tried again");
    fail(&mut lab, 0);
    assert_eq!(lab.state(), "FFT GaveUp", "{}", lab.message());
}

#[test]
fn a_restart_by_the_kubelet_in_the_instant_of_the_replacement_is_the_restart() {
    let mut lab = Lab::new(ONE);
    lab.run(5);
    let uid = lab.pod_mut("a", 0).uid.clone();
    for _ in 0..2 {
        lab.kill("a", 0, 1);
        lab.settle();
    }
    lab.now = after(lab.now, 1);
    let now = lab.now;
    lab.decide_before(|lab| {
        let container = &mut lab.pod_mut("a", 0).containers[0];
        container.restarts += 1;
        container.state = super::pod::ContainerState::Running { since: Some(now) };
    });
    lab.run(10);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    assert_eq!(lab.pod_mut("a", 0).uid, uid, "the Pod is the same");
    assert_eq!(lab.world.tree.status.restarts, 2);
    lab.kill("a", 0, 1);
    lab.settle();
    assert_eq!(lab.world.tree.status.restarts, 3, "its next death counts");
}

#[test]
fn deaths_that_nobody_saw_fill_the_window_but_do_not_give_up() {
    let mut lab = Lab::new(ONE);
    lab.run(5);
    // The operator was away while the kubelet restarted the container seven times.
    let now = lab.now;
    let pod = lab.pod_mut("a", 0);
    pod.containers[0].restarts = 7;
    pod.containers[0].last = Some(super::pod::Termination {
        exit_code: 1,
        started: Some(after(now, -10)),
        finished: Some(after(now, -3)),
        ..Default::default()
    });
    lab.settle();
    assert_eq!(lab.charges("(root)"), BTreeMap::from([("a".into(), 3)]));
    lab.run(10);
    assert_eq!(lab.state(), "TFF AllUp", "what runs again is left alone");
    assert_eq!(lab.world.tree.status.restarts, 7);
    lab.kill("a", 0, 1);
    lab.settle();
    assert_eq!(lab.state(), "FFT GaveUp", "a death that was seen gives up");
}

/// A name, a cluster, and what happens to it.
type Story = (&'static str, fn() -> Lab, fn(&mut Lab));

/// The stories whose every write is a point to crash at.
fn stories() -> Vec<Story> {
    vec![
        ("start", || Lab::new(NESTED), |lab| lab.run(60)),
        (
            "heal",
            || Lab::new(NESTED),
            |lab| {
                lab.run(40);
                lab.kill("db", 0, 1);
                lab.run(20);
                lab.delete_by_hand("api", 1);
                lab.run(60);
            },
        ),
        (
            "crash loop",
            || Lab::new(ONE),
            |lab| {
                lab.behave("a", Behaviour::Crash(1, 1));
                lab.run(30);
                lab.behave("a", Behaviour::Healthy);
                lab.run(90);
            },
        ),
        (
            "escalate",
            || Lab::new(NESTED),
            |lab| {
                lab.run(40);
                lab.behave("ui", Behaviour::Crash(1, 1));
                lab.run(40);
                lab.behave("ui", Behaviour::Healthy);
                lab.edit_template("ui", "two");
                lab.run(60);
            },
        ),
        (
            "park",
            || {
                Lab::new(&format!(
                    "intensity: {{maxRestarts: 1, periodSeconds: 300}}{}",
                    many(3, 1)
                ))
            },
            |lab| {
                lab.run(10);
                lab.kill("a", 2, 1);
                lab.run(10);
                lab.kill("a", 2, 1);
                lab.run(120);
            },
        ),
        (
            "lose the quorum",
            || Lab::new(&many(3, 2)),
            |lab| {
                lab.run(10);
                lab.kill("a", 0, 1);
                lab.kill("a", 1, 1);
                lab.run(60);
            },
        ),
        (
            "scale",
            || Lab::new(&many(4, 2)),
            |lab| {
                lab.run(10);
                lab.edit(|spec| spec.children[0].worker.as_mut().unwrap().replicas = Some(2));
                lab.run(20);
                lab.edit(|spec| spec.children[0].worker.as_mut().unwrap().replicas = Some(5));
                lab.run(40);
            },
        ),
        (
            "edit",
            || Lab::new(&many(3, 2)),
            |lab| {
                lab.run(10);
                lab.edit_template("a", "two");
                lab.run(90);
            },
        ),
        (
            "delete",
            || Lab::new(NESTED),
            |lab| {
                lab.run(40);
                lab.tree_mut().deleting = true;
                lab.run(40);
            },
        ),
    ]
}

/// What must be the same at the end, whatever crashed in between.
fn end_state(lab: &Lab) -> String {
    let state = lab.state();
    let mut live: Vec<(String, i32)> = lab
        .pods()
        .filter(|p| !p.is_deleting() && !p.is_terminal())
        .map(|p| (p.child.clone(), p.slot))
        .collect();
    live.sort();
    let charges: Vec<_> = lab
        .world
        .tree
        .status
        .supervisors
        .iter()
        .map(|s| lab.charges(&s.name))
        .collect();
    let incarnations: i64 = lab
        .world
        .tree
        .status
        .supervisors
        .iter()
        .map(|s| s.incarnation)
        .sum();
    format!("{state} {live:?} {charges:?} {incarnations}")
}

#[test]
fn a_crash_at_any_write_changes_nothing_in_the_end() {
    let mut runs = 0;
    for (name, lab, story) in stories() {
        let mut undisturbed = lab();
        story(&mut undisturbed);
        for crash in 0..undisturbed.writes {
            let mut disturbed = lab();
            disturbed.crash_in = Some(crash);
            story(&mut disturbed);
            assert_eq!(
                end_state(&disturbed),
                end_state(&undisturbed),
                "story {name}, crash before write {crash}"
            );
            runs += 1;
        }
    }
    println!("{runs} crashes");
    assert!(runs > 100, "{runs} runs");
}
