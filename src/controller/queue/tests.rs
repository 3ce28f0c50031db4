//! The queue, key by key.
//!
//! Rule: time stands still unless a test moves it.

use super::*;

struct Clock(Instant);

impl Clock {
    fn new() -> Self {
        Self(Instant::now())
    }

    fn at(&self, millis: u64) -> Instant {
        self.0 + Duration::from_millis(millis)
    }
}

fn take(queue: &mut Queue<&'static str>, now: Instant) -> Option<&'static str> {
    queue.take(now).map(|taken| taken.key)
}

#[test]
fn keys_run_in_the_order_they_came_and_wait_once() {
    let clock = Clock::new();
    let mut queue = Queue::new(2);
    assert!(queue.add("a", clock.at(0)));
    assert!(queue.add("b", clock.at(0)));
    assert!(!queue.add("a", clock.at(0)));
    assert!(queue.add("c", clock.at(0)));
    assert_eq!(queue.depth(), 3);
    assert_eq!(
        queue.take(clock.at(30)),
        Some(Taken {
            key: "a",
            waited: Duration::from_millis(30)
        })
    );
    assert_eq!(take(&mut queue, clock.at(30)), Some("b"));
    assert_eq!(take(&mut queue, clock.at(30)), None, "two run already");
    queue.done("a", Next::Wait, clock.at(40));
    assert_eq!(take(&mut queue, clock.at(40)), Some("c"));
    assert_eq!(take(&mut queue, clock.at(40)), None);
}

#[test]
fn a_change_during_a_run_brings_another_one_behind_the_others() {
    let clock = Clock::new();
    let mut queue = Queue::new(4);
    queue.add("a", clock.at(0));
    assert_eq!(take(&mut queue, clock.at(0)), Some("a"));
    assert!(queue.add("a", clock.at(1)));
    assert!(!queue.add("a", clock.at(2)));
    assert_eq!(take(&mut queue, clock.at(2)), None, "never twice at once");
    queue.add("b", clock.at(3));
    queue.done("a", Next::Wait, clock.at(4));
    assert_eq!(take(&mut queue, clock.at(4)), Some("b"));
    assert_eq!(take(&mut queue, clock.at(4)), Some("a"));
    queue.done("a", Next::Again, clock.at(5));
    assert_eq!(take(&mut queue, clock.at(5)), Some("a"));
}

#[test]
fn a_key_comes_back_when_it_is_due_and_not_twice() {
    let clock = Clock::new();
    let mut queue = Queue::new(4);
    queue.add("a", clock.at(0));
    take(&mut queue, clock.at(0));
    queue.done("a", Next::At(clock.at(500)), clock.at(0));
    assert_eq!(queue.next_due(), Some(clock.at(500)));
    assert_eq!(take(&mut queue, clock.at(499)), None);
    // A change comes first; the run that follows replaces the timer.
    queue.add("a", clock.at(300));
    assert_eq!(take(&mut queue, clock.at(300)), Some("a"));
    assert_eq!(queue.next_due(), None);
    queue.done("a", Next::At(clock.at(900)), clock.at(310));
    assert_eq!(take(&mut queue, clock.at(900)), Some("a"));
    queue.done("a", Next::Wait, clock.at(900));
    assert_eq!(queue.next_due(), None);
    assert!(queue.slots.is_empty(), "an idle key costs nothing");
}

#[test]
fn failures_wait_longer_each_time_and_a_success_forgets_them() {
    let clock = Clock::new();
    let mut queue = Queue::new(4);
    let mut now = clock.at(0);
    let mut delays = Vec::new();
    queue.add("a", now);
    for _ in 0..10 {
        assert_eq!(take(&mut queue, now), Some("a"));
        queue.done("a", Next::Failed, now);
        let due = queue.next_due().unwrap();
        delays.push((due - now).as_millis());
        now = due;
    }
    assert_eq!(
        delays,
        [
            200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000
        ]
    );
    assert_eq!(take(&mut queue, now), Some("a"));
    queue.done("a", Next::Again, now);
    take(&mut queue, now);
    queue.done("a", Next::Failed, now);
    assert_eq!(queue.next_due(), Some(now + FIRST_BACKOFF));
}

#[test]
fn a_change_shortens_the_delay_after_a_failure_but_never_to_nothing() {
    let clock = Clock::new();
    let mut queue = Queue::new(4);
    let mut now = clock.at(0);
    queue.add("a", now);
    for _ in 0..6 {
        take(&mut queue, now);
        queue.done("a", Next::Failed, now);
        now = queue.next_due().unwrap();
    }
    take(&mut queue, now);
    queue.done("a", Next::Failed, now);
    assert_eq!(queue.next_due(), Some(now + Duration::from_millis(12_800)));
    queue.add("a", now + Duration::from_millis(10));
    assert_eq!(queue.next_due(), Some(now + PATIENCE));
    assert_eq!(take(&mut queue, now + Duration::from_millis(20)), None);
    assert_eq!(take(&mut queue, now + PATIENCE), Some("a"));
}

#[test]
fn a_change_during_a_run_that_fails_is_not_lost() {
    let clock = Clock::new();
    let mut queue = Queue::new(1);
    queue.add("a", clock.at(0));
    take(&mut queue, clock.at(0));
    queue.add("a", clock.at(1));
    queue.done("a", Next::Failed, clock.at(2));
    assert_eq!(queue.next_due(), Some(clock.at(202)));
    assert_eq!(take(&mut queue, clock.at(202)), Some("a"));
}

#[test]
fn a_busy_key_does_not_keep_the_others_waiting() {
    let clock = Clock::new();
    let mut queue = Queue::new(1);
    for key in ["busy", "b", "c"] {
        queue.add(key, clock.at(0));
    }
    let mut order = Vec::new();
    for turn in 0..6 {
        let key = take(&mut queue, clock.at(turn)).unwrap();
        order.push(key);
        queue.done(
            key,
            if key == "busy" {
                Next::Again
            } else {
                Next::Wait
            },
            clock.at(turn),
        );
    }
    assert_eq!(order, ["busy", "b", "c", "busy", "busy", "busy"]);
}

#[test]
fn a_key_that_must_not_run_before_a_time_does_not() {
    let clock = Clock::new();
    let mut queue = Queue::new(1);
    queue.add("a", clock.at(0));
    assert_eq!(take(&mut queue, clock.at(0)), Some("a"));
    queue.add("a", clock.at(1));
    queue.done("a", Next::FailedUntil(clock.at(5000)), clock.at(2));
    queue.add("a", clock.at(3000));
    assert_eq!(take(&mut queue, clock.at(4999)), None);
    assert_eq!(queue.next_due(), Some(clock.at(5000)));
    assert_eq!(take(&mut queue, clock.at(5000)), Some("a"));
    queue.done("a", Next::FailedUntil(clock.at(5001)), clock.at(5001));
    assert_eq!(
        queue.next_due(),
        Some(clock.at(5401)),
        "its delay grows all the same"
    );
}

#[test]
fn a_slow_run_takes_nobodys_place_up_to_a_crowd() {
    let clock = Clock::new();
    let mut queue = Queue::new(1);
    for key in [
        "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q",
    ] {
        queue.add(key, clock.at(0));
    }
    assert_eq!(take(&mut queue, clock.at(0)), Some("a"));
    assert_eq!(take(&mut queue, clock.at(999)), None);
    assert_eq!(queue.next_place(clock.at(999)), Some(clock.at(1000)));
    assert_eq!(take(&mut queue, clock.at(1000)), Some("b"));
    assert_eq!(take(&mut queue, clock.at(1000)), None);
    let more = (2..16).filter_map(|second| take(&mut queue, clock.at(second * 1000)));
    assert_eq!(more.count(), 14);
    assert_eq!(take(&mut queue, clock.at(60_000)), None, "sixteen run");
    assert_eq!(queue.next_place(clock.at(60_000)), None);
    queue.done("a", Next::Wait, clock.at(60_000));
    assert_eq!(take(&mut queue, clock.at(60_000)), Some("q"));
}

#[test]
fn a_key_rests_whatever_happens_and_then_all_of_it_is_one_run() {
    let clock = Clock::new();
    let mut queue = Queue::new(2);
    let rest = Duration::from_millis(25);
    let rests = |next| Ran { next, rest };
    let far = Next::At(clock.at(500));
    for (next, changes) in [
        (Next::Again, false),
        (Next::At(clock.at(3)), false),
        (far, true),
    ] {
        queue.add("a", clock.at(0));
        assert_eq!(take(&mut queue, clock.at(0)), Some("a"));
        if changes {
            queue.add("a", clock.at(0));
        }
        queue.done("a", rests(next), clock.at(1));
        for millis in 2..25 {
            assert!(!queue.add("a", clock.at(millis)), "it waits already");
            assert_eq!(take(&mut queue, clock.at(millis)), None, "{next:?}");
        }
        assert_eq!(queue.next_due(), Some(clock.at(26)), "{next:?}");
        assert_eq!(take(&mut queue, clock.at(26)), Some("a"), "{next:?}");
        queue.done("a", Next::Wait, clock.at(27));
        assert_eq!(take(&mut queue, clock.at(100)), None, "{next:?}");
    }
    queue.add("a", clock.at(0));
    assert_eq!(take(&mut queue, clock.at(0)), Some("a"));
    queue.done("a", rests(far), clock.at(1));
    queue.add("b", clock.at(2));
    assert_eq!(
        take(&mut queue, clock.at(2)),
        Some("b"),
        "nobody waits for it"
    );
    assert_eq!(queue.next_due(), Some(clock.at(500)));
}
