use super::*;
use gds_core::counters::CounterSet;
use gds_core::replication::ReplicationCounters;
use tempfile::TempDir;

const WAIT: Duration = Duration::from_secs(20);

struct Bench {
    directory: TempDir,
    leadership: Arc<Leadership>,
    orders: Arc<SequencerOrders>,
    replication: Arc<ReplicationCounters>,
}

impl Bench {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().expect("a temporary folder can be made"),
            leadership: Arc::new(Leadership::following()),
            orders: Arc::default(),
            replication: Arc::default(),
        }
    }

    fn serve(&self) -> Control {
        let socket = ControlSocket::open(self.directory.path()).expect("nobody has it");
        let counters = vec![("replication".to_owned(), self.replication.clone() as Arc<dyn CounterSet>)];
        let node = Controlled {
            stream: Session::padded("STREAM1").expect("a name"),
            member: Some(NodeId(1)),
            leadership: self.leadership.clone(),
            orders: self.orders.clone(),
            counters,
            keeper: None,
        };
        Control::serve(socket, node).expect("a thread")
    }

    fn leads(&self, epoch: u64, in_sync: u64) {
        self.leadership.leads.set(1);
        self.replication.leads.set(1);
        self.replication.leader.set(1);
        self.replication.epoch.set(epoch);
        self.replication.in_sync.set(in_sync);
    }

    fn ask(&self, order: &Order) -> Result<Answer, ControlError> {
        ask(self.directory.path(), order, WAIT)
    }

    /// What comes back for a line as it stands.
    fn say(&self, line: &[u8]) -> String {
        let path = self.directory.path().join(NAME);
        let mut connection = UnixStream::connect(path).expect("it is served");
        connection.write_all(line).expect("it listens");
        let mut answer = String::new();
        connection.read_to_string(&mut answer).expect("it answers");
        answer
    }
}

#[test]
fn a_node_tells_how_it_stands() {
    let bench = Bench::new();
    let _control = bench.serve();
    bench.leads(4, 2);
    let Ok(Answer::Status(status)) = bench.ask(&Order::Status) else { panic!("a status") };
    assert_eq!(status.stream, "STREAM1");
    assert_eq!((status.standing.node, status.standing.epoch, status.standing.in_sync), (1, 4, 2));
    let mode = fs::metadata(bench.directory.path().join(NAME)).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_hand_over_waits_for_the_successor() {
    let bench = Bench::new();
    let _control = bench.serve();
    bench.leads(4, 2);
    let successor = || {
        while !bench.orders.hand_over.load(Ordering::Acquire) {
            thread::yield_now();
        }
        bench.leadership.leads.set(0);
        bench.replication.epoch.set(5);
        bench.replication.leader.set(2);
    };
    let answer = thread::scope(|scope| {
        scope.spawn(successor);
        bench.ask(&Order::HandOver { wait_ms: 20_000 })
    });
    let Ok(Answer::HandedOver(done)) = answer else { panic!("{answer:?}") };
    assert_eq!((done.leader, done.epoch), (2, 5));
    let refused = bench.ask(&Order::HandOver { wait_ms: 20_000 });
    assert!(matches!(&refused, Ok(Answer::Error(why)) if why.contains("node 2 does")), "{refused:?}");
}

#[test]
fn a_hand_over_that_nobody_takes_is_taken_back() {
    let bench = Bench::new();
    let _control = bench.serve();
    bench.leads(4, 1);
    let alone = bench.ask(&Order::HandOver { wait_ms: 20_000 });
    assert!(
        matches!(&alone, Ok(Answer::Error(why)) if why.contains("no other node is in sync")),
        "{alone:?}"
    );
    assert!(!bench.orders.hand_over.load(Ordering::Acquire));
    bench.leads(4, 2);
    let nobody = bench.ask(&Order::HandOver { wait_ms: 3 });
    assert!(matches!(&nobody, Ok(Answer::Error(why)) if why.contains("within 3 ms")), "{nobody:?}");
    assert!(!bench.orders.hand_over.load(Ordering::Acquire));
}

#[test]
fn what_is_no_order_is_told_so() {
    let bench = Bench::new();
    let control = bench.serve();
    for line in ["\n", "{}\n", "{\"order\":\"dance\"}\n", "{\"order\":\"hand_over\"}\n", "\0\n"] {
        let answer = bench.say(line.as_bytes());
        assert!(answer.starts_with("{\"error\":\"no order: ") && answer.ends_with("}\n"), "{answer}");
    }
    assert_eq!(bench.say(&vec![b'x'; LINE_BYTES_MAX as usize]), "", "longer lines are not taken");
    assert!(bench.ask(&Order::Status).is_ok(), "and it goes on");
    drop(control);
    assert!(matches!(bench.ask(&Order::Status), Err(ControlError::NotRunning(_))));
}

#[test]
fn a_directory_is_used_by_one_at_a_time_and_a_dead_process_leaves_it() {
    let bench = Bench::new();
    let first = bench.serve();
    let second = DirectoryLock::take(bench.directory.path(), Duration::ZERO).unwrap_err().0;
    assert!(second.contains("is in use") && second.contains("fuser"), "{second}");
    drop(first);
    // A socket that a killed process left.
    drop(UnixListener::bind(bench.directory.path().join(NAME)).expect("nobody has the name"));
    let dead = bench.ask(&Order::Status);
    assert!(matches!(dead, Err(ControlError::NotRunning(_))), "{dead:?}");
    let _second = bench.serve();
    assert!(bench.ask(&Order::Status).is_ok());
}

#[test]
fn a_directory_with_a_long_name_does() {
    let bench = Bench::new();
    let deep = bench.directory.path().join("x".repeat(200));
    fs::create_dir(&deep).expect("it can be made");
    let _socket = ControlSocket::open(&deep).expect("it is bound by a short path");
    // Bound, and nobody serves it yet: a node that is starting.
    let starting = ask(&deep, &Order::Status, Duration::from_millis(10));
    assert!(matches!(starting, Err(ControlError::Silent(_))), "{starting:?}");
}
