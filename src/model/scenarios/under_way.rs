//! What befalls a supervisor that is in the middle of something: a child that has been moved to it dies, it gives up, it exits.
//!
//! Rule: whatever comes next, nothing that was to be started is forgotten, and nothing starts before its turn.

use super::{charges, supervisor, trace, worker};
use crate::model::lab::{Behaviour, Lab};

/// The supervisor `g` with these settings and these children, and `h`, whose child `e` runs.
fn lab(settings: &str, children: &[String]) -> Lab {
    let list = [
        supervisor("g", "", &format!("strategy: RestForOne, {settings}")),
        children.concat(),
        supervisor("h", "", "strategy: OneForAll"),
        worker("e", "h", ""),
    ];
    Lab::new(&format!("children:\n{}", list.concat()))
}

/// `e` is moved to the end of `g`, and dies there.
fn move_and_kill(lab: &mut Lab) {
    lab.edit(|spec| {
        let moved = spec.children.iter_mut().find(|child| child.name == "e");
        moved.expect("e is in the spec").parent = Some("g".into());
    });
    lab.run(1);
    lab.kill("e", 0, 1);
    lab.run(3);
}

fn workers(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| worker(name, "g", "")).collect()
}

/// A give-up ends the restart that is under way. What that had still to start is given up with the child that died, or it would
/// start without its turn while its supervisor gives up.
#[test]
fn a_give_up_takes_in_the_restart_that_is_under_way() {
    for startup in ["Ordered", "Parallel"] {
        let settings = format!(
            "startup: {startup}, onGiveUp: Retry, intensity: {{maxRestarts: 1, periodSeconds: 600}}"
        );
        let mut lab = lab(&settings, &workers(&["a", "b", "c"]));
        lab.stopping.insert("c".into(), 8);
        lab.run(20);
        let first = lab.pod_mut("a", 0).uid.clone();
        let mut since = lab.log.len();
        if startup == "Ordered" {
            lab.behave("b", Behaviour::Hang);
        }
        lab.kill("b", 0, 1);
        lab.run(2);
        if startup == "Ordered" {
            lab.run(10);
            assert_eq!((lab.live("b"), lab.live("c").len()), (vec![0], 0));
            since = lab.log.len();
        }
        move_and_kill(&mut lab);
        lab.behave("b", Behaviour::Healthy);
        lab.run(20);
        let down = ["b", "c", "e"].map(|child| lab.live(child).len());
        assert_eq!(down, [0, 0, 0], "{startup}: {}", lab.message());
        assert_eq!(lab.state(), "FFT GaveUp", "{startup}");
        let said = lab.message();
        let what = "g gave up on b and those after it: e: container app ended with exit code 1";
        assert!(said.starts_with(what), "{startup}: {said}");
        lab.run(30);
        let after = if startup == "Ordered" {
            "-b +b +c +e"
        } else {
            "-c +b +c +e"
        };
        assert_eq!(trace(&lab, since), after, "{startup}");
        assert_eq!(lab.pod_mut("a", 0).uid, first, "{startup}");
        assert_eq!(lab.charges("g"), charges(&[]), "{startup}");
    }
}

/// The start of `g` waits for `b`; `e`, which has moved there and is the last, dies. Those between them keep their turn, a
/// Temporary one among them, which was never stopped.
#[test]
fn a_death_beside_a_first_start_leaves_everybody_their_turn() {
    let mut children = workers(&["a", "b", "c"]);
    children.push(worker("d", "g", "restart: Temporary"));
    let mut lab = lab("", &children);
    lab.behave("b", Behaviour::Hang);
    lab.run(15);
    let since = lab.log.len();
    move_and_kill(&mut lab);
    lab.run(10);
    let live = ["a", "b", "c", "d", "e"].map(|child| lab.live(child).len());
    assert_eq!(live, [1, 1, 0, 0, 0], "{}", lab.message());
    lab.behave("b", Behaviour::Healthy);
    lab.run(30);
    assert_eq!(trace(&lab, since), "-b +b +c +d +e");
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
    assert_eq!(lab.charges("g"), charges(&[("e", 1)]));
}

/// A restart of the group forgets a Temporary child that it stops. One whose turn to start has not come yet is not stopped.
#[test]
fn a_temporary_child_has_its_turn_although_one_before_it_fails_at_first() {
    for strategy in ["OneForAll", "RestForOne"] {
        let children = [
            worker("a", "", ""),
            worker("b", "", ""),
            worker("c", "", "restart: Temporary"),
            supervisor("s", "", "restart: Temporary"),
            worker("x", "s", ""),
        ];
        let mut lab = Lab::new(&format!(
            "strategy: {strategy}\nchildren:\n{}",
            children.concat()
        ));
        lab.failing.insert("b".into(), vec![1]);
        lab.run(60);
        assert_eq!(lab.charges("(root)"), charges(&[("b", 1)]), "{strategy}");
        let expected = match strategy {
            "OneForAll" => "+a +b -a +a +b +c +x",
            _ => "+a +b +b +c +x",
        };
        assert_eq!(trace(&lab, 0), expected, "{strategy}");
        assert_eq!(lab.state(), "TFF AllUp", "{strategy}: {}", lab.message());
        // From now on they are stopped with their group, and not started with it again.
        let since = lab.log.len();
        lab.kill("b", 0, 1);
        lab.run(60);
        let expected = match strategy {
            "OneForAll" => "-x -c -a +a +b",
            _ => "-x -c +b",
        };
        assert_eq!(trace(&lab, since), expected, "{strategy}");
    }
}

/// `c` was given up and is to be tried again; before that, `s` ends, and with it `g`, which takes its time to stop `a`.
#[test]
fn a_wait_that_is_over_while_its_supervisor_exits_starts_nothing() {
    let children = [
        worker("a", "g", ""),
        worker("s", "g", "restart: Transient, significant: true"),
        worker("c", "g", ""),
    ];
    let settings = "onGiveUp: Retry, intensity: {maxRestarts: 0, periodSeconds: 60}, \
                    restart: Transient, autoShutdown: AnySignificant";
    let mut lab = lab(settings, &children);
    lab.stopping.insert("a".into(), 25);
    lab.run(20);
    lab.kill("c", 0, 1);
    lab.run(20);
    assert_eq!(lab.state(), "FFT GaveUp", "{}", lab.message());
    let since = lab.log.len();
    lab.kill("s", 0, 0);
    lab.run(60);
    assert_eq!(trace(&lab, since), "-a");
    let live = ["a", "s", "c", "e"].map(|child| lab.live(child).len());
    assert_eq!(live, [0, 0, 0, 1]);
    assert_eq!(lab.state(), "TFF AllUp", "{}", lab.message());
}
