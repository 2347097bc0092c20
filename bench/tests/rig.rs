//! The rig against echoes whose faults are known: what it reports must be what was put in.
use gds_bench::echo::{Cast, Echo, EchoClient, EchoConfig, Faults};
use gds_bench::schedule::{Measured, Plan, closed_loop, open_loop, saturate};
use gds_nic::{IdleStrategy, Transport};
use std::time::Duration;

const MILLISECOND: Duration = Duration::from_millis(1);
const RATE: f64 = 2_000.0;

/// Yields when idle, so that the tests beside it get on; delays are of milliseconds, so that a busy machine does not matter.
fn echo(cast: Cast, faults: Faults) -> (Echo, EchoClient) {
    let config =
        EchoConfig { idle: IdleStrategy::Yield, faults, ..EchoConfig::new(Transport::Auto, cast, None) };
    let echo = Echo::start(config).unwrap();
    let client = EchoClient::open(&echo, 200).unwrap();
    (echo, client)
}

fn plan(milliseconds: u64) -> Plan {
    Plan { idle: IdleStrategy::Yield, ..Plan::new(MILLISECOND * milliseconds as u32) }
}

fn milliseconds(measured: &Measured, share: f64) -> f64 {
    measured.latency.value_at_quantile(share) as f64 / 1e6
}

/// What is put in; long beside the time for which a busy machine leaves a thread waiting.
const DELAY: Duration = Duration::from_millis(20);

/// Half of all operations may take this much longer than the delay. Never less: that would be a rig that tells too little.
const TOLERANCE_MS: f64 = 15.0;

/// A busy machine may spoil a measurement; it does not spoil all of them.
#[track_caller]
fn reported(measure: impl Fn() -> f64) {
    let delay_ms = DELAY.as_secs_f64() * 1e3;
    let mut seen = Vec::new();
    while seen.len() < 4 {
        let added_ms = measure();
        assert!(added_ms >= delay_ms - 1.0, "{delay_ms} ms put in, {added_ms} ms reported");
        if added_ms <= delay_ms + TOLERANCE_MS {
            return;
        }
        seen.push(added_ms);
    }
    panic!("{delay_ms} ms put in, {seen:?} ms reported");
}

#[test]
fn an_injected_delay_is_reported() {
    for cast in [Cast::Unicast, Cast::Multicast] {
        let (_bare, mut client) = echo(cast, Faults::default());
        let bare = closed_loop(&mut client, &plan(200));
        assert_eq!(bare.failed(), None);
        reported(|| {
            let (_slow, mut client) = echo(cast, Faults { delay: DELAY, ..Faults::default() });
            let slow = closed_loop(&mut client, &plan(500));
            assert_eq!(slow.failed(), None);
            milliseconds(&slow, 0.5) - milliseconds(&bare, 0.5).min(1.0)
        });
    }
}

#[test]
fn an_injected_delay_is_reported_at_a_rate_too() {
    reported(|| {
        let (_slow, mut client) = echo(Cast::Multicast, Faults { delay: DELAY, ..Faults::default() });
        let measured = open_loop(&mut client, &plan(800).at_rate(RATE));
        assert_eq!((measured.lost(), measured.sent), (0, 1_600), "{:?}", measured.failed());
        milliseconds(&measured, 0.5)
    });
}

/// Everything stops for 50 ms each half second: a tenth of all messages meet the stall, and wait 25 ms on average.
#[test]
fn a_stall_is_seen_in_open_loop_by_all_who_met_it() {
    let stall = Some((500 * MILLISECOND, 50 * MILLISECOND));
    let (_echo, mut client) = echo(Cast::Multicast, Faults { stall, ..Faults::default() });
    let open = open_loop(&mut client, &plan(2_500).at_rate(RATE));
    assert_eq!(open.lost(), 0);
    let (p95, p99, longest) =
        (milliseconds(&open, 0.95), milliseconds(&open, 0.99), open.latency.max() as f64 / 1e6);
    assert!(
        p95 >= 15.0 && p99 >= 35.0 && longest >= 45.0,
        "p95 {p95} ms, p99 {p99} ms, longest {longest} ms"
    );

    // Waiting for each answer before the next is begun, one operation meets each stall, where hundreds were due: what is not sent is not
    // missed. Counted are those that waited for half of it or more; a busy machine alone makes nothing wait so long.
    let closed = closed_loop(&mut client, &plan(2_500));
    let waited = |measured: &Measured| measured.latency.count_between(25_000_000, u64::MAX);
    assert!(
        waited(&closed) * 5 < waited(&open),
        "{} waited in closed loop, {} in open loop",
        waited(&closed),
        waited(&open)
    );
}

#[test]
fn a_run_that_lost_answers_has_failed() {
    let lossy = Faults { loss_per_mille: 20, ..Faults::default() };
    let (_echo, mut client) = echo(Cast::Multicast, lossy);
    let open = open_loop(&mut client, &plan(500).at_rate(RATE));
    let share = open.lost() as f64 / open.sent as f64;
    assert!((0.005..0.05).contains(&share), "lost {} of {}", open.lost(), open.sent);
    assert!(open.failed().unwrap().contains("lost"), "{:?}", open.failed());

    let closed = closed_loop(&mut client, &plan(500));
    assert_eq!(closed.lost(), 1, "the first loss ends a closed loop");
    assert!(closed.failed().is_some());
}

#[test]
fn a_run_that_did_not_reach_its_rate_has_failed() {
    // It stops before the schedule has ended and goes on long after it: every answer comes, and many too late.
    let stall = Some((400 * MILLISECOND, 1_000 * MILLISECOND));
    let (_echo, mut client) = echo(Cast::Multicast, Faults { stall, ..Faults::default() });
    let measured = open_loop(&mut client, &plan(500).at_rate(RATE));
    assert_eq!(measured.lost(), 0);
    assert!(measured.late > 0 && measured.failed().unwrap().contains("reached"), "{measured:?}");
}

#[test]
fn groups_are_due_together_and_all_count() {
    let (_echo, mut client) = echo(Cast::Multicast, Faults::default());
    let measured = open_loop(&mut client, &plan(500).at_rate(6_000.0).in_groups_of(6));
    assert_eq!((measured.sent, measured.lost(), measured.unexpected), (3_000, 0, 0));
    assert_eq!(measured.latency.len(), 3_000);
}

#[test]
fn saturation_counts_what_is_answered() {
    let delay = Faults { delay: 10 * MILLISECOND, ..Faults::default() };
    let (_echo, client) = echo(Cast::Unicast, delay);
    // One hundred under way, each for ten milliseconds: ten thousand a second.
    let mut windowed = Windowed { client, window: 100, open: 0 };
    let measured = saturate(&mut windowed, &plan(500));
    assert_eq!(measured.failed(), None);
    assert!((5_000.0..10_500.0).contains(&measured.rate), "{} a second", measured.rate);
}

/// A client with a window.
struct Windowed {
    client: EchoClient,
    window: u64,
    open: u64,
}

impl gds_bench::schedule::Target for Windowed {
    fn submit(&mut self, number: u64) -> bool {
        let room = self.open < self.window;
        self.open += u64::from(room && self.client.submit(number));
        room
    }

    fn poll(&mut self, now_ns: u64, answered: &mut dyn FnMut(u64)) -> usize {
        let open = &mut self.open;
        self.client.poll(now_ns, &mut |number| {
            *open -= 1;
            answered(number);
        })
    }
}
