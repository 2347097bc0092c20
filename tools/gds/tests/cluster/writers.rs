//! The load: several client sessions that submit at a steady rate and keep every acknowledgement.
use gds_client::{ListenerConfig, Network, Writer};
use gds_core::bus::{SubmitError, SubmitEvent, SubmitterConfig};
use gds_wire::acknowledgement::Outcome;
use gds_wire::session::Session;
use gds_wire::transaction::{Operation, OperationKind, TransactionBuilder};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Client sessions.
pub const WRITERS: usize = 3;
/// Transactions of one that may wait for their acknowledgement.
const WINDOW: usize = 4096;
/// The table that they write.
const TABLE: u16 = 1;
/// Keys of one writer: few, so that inserts find them and deletes do not.
const KEYS: u64 = 1_000;
/// How long nothing may be acknowledged at the end.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a writer was acknowledged: of number n at n - 1 the message's number, and the outcome.
pub type Acknowledged = Vec<(u64, Outcome)>;

/// The thread of the writers.
pub struct Writers {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Vec<Acknowledged>>>,
}

#[derive(Default)]
struct Shared {
    over: AtomicBool,
    acknowledged: AtomicU64,
}

/// The session of a writer.
fn session(writer: usize) -> Session {
    Session::padded(&name_of(writer)).expect("ten characters at most")
}

fn name_of(writer: usize) -> String {
    format!("WRITER{writer}")
}

/// The writer of a session.
pub fn writer(name: &[u8]) -> Option<usize> {
    (0..WRITERS).find(|writer| format!("{:<10}", name_of(*writer)).as_bytes() == name)
}

/// The block that a writer submits under this number: most change a record, whether it is there or not; every fourth may find it otherwise.
pub fn block(writer: usize, number: u64) -> Vec<u8> {
    let mut buffer = [0; 256];
    let mut builder = TransactionBuilder::new(&mut buffer);
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    let kind = match number % 8 {
        0 => OperationKind::Insert,
        4 => OperationKind::Delete,
        _ => OperationKind::Put,
    };
    let key = format!("{writer}/{}", mixed % KEYS);
    let value = format!("{writer} wrote {number}");
    let value = if kind == OperationKind::Delete { &[][..] } else { value.as_bytes() };
    let operation = Operation { kind, table: TABLE, key: key.as_bytes(), value, expected: None };
    builder.push(&operation).expect("it fits");
    let length = builder.finish();
    buffer[..length].to_vec()
}

/// Fills the store with so many records whose values have so many bytes, in a session of its own; waits until all are acknowledged.
pub fn fill(network: &Network, records: u64, value_bytes: usize) {
    let session = Session::padded("FILLER").expect("ten characters at most");
    let config = SubmitterConfig {
        window_messages: WINDOW,
        ..SubmitterConfig::new(session, network.addresses().ingress[0])
    };
    let listening = ListenerConfig { seed: 77, ..ListenerConfig::acknowledgements(network) };
    let mut writer = Writer::with(network, config, listening).unwrap_or_else(|error| panic!("{error}"));
    let value = vec![b'v'; value_bytes];
    let (mut submitted, mut acknowledged, began) = (0, 0, Instant::now());
    let mut buffer = vec![0; value_bytes + 100];
    while acknowledged < records {
        assert!(began.elapsed() < PATIENCE, "{acknowledged} of {records} records are acknowledged");
        let mut builder = TransactionBuilder::new(&mut buffer);
        let key = format!("filler/{submitted}");
        let (kind, key) = (OperationKind::Put, key.as_bytes());
        builder.push(&Operation { kind, table: TABLE, key, value: &value, expected: None }).expect("it fits");
        let length = builder.finish();
        // Full: some have to be acknowledged first.
        submitted += u64::from(submitted < records && writer.submit(&buffer[..length]).is_ok());
        let work = writer.poll(&mut |event| {
            acknowledged += u64::from(matches!(event, SubmitEvent::Acknowledged { .. }));
        });
        if work == 0 && submitted == records {
            std::thread::sleep(Duration::from_micros(100));
        }
    }
}

impl Writers {
    /// Writers that submit so many messages a second in all, from this thread's host.
    pub fn open(network: &Network, rate: u64) -> Self {
        let shared = Arc::<Shared>::default();
        let sessions: Vec<One> = (0..WRITERS).map(|number| One::open(network, number)).collect();
        let of_thread = shared.clone();
        let thread = std::thread::spawn(move || write(sessions, rate, &of_thread));
        Self { shared, thread: Some(thread) }
    }

    /// How many transactions have been acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.shared.acknowledged.load(Ordering::Relaxed)
    }

    /// Fails the test if a writer found something wrong.
    pub fn check(&self) {
        assert!(
            self.thread.as_ref().is_some_and(|thread| !thread.is_finished()),
            "a writer has ended: see above"
        );
    }

    /// Submits nothing more, waits for all acknowledgements, and tells them, by writer.
    pub fn finish(&mut self) -> Vec<Acknowledged> {
        self.shared.over.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("it ends once");
        thread.join().expect("a writer found something wrong: see above")
    }
}

/// One client session.
struct One {
    number: usize,
    writer: Writer,
    submitted: u64,
    acknowledged: Acknowledged,
}

impl One {
    fn open(network: &Network, number: usize) -> Self {
        let config = SubmitterConfig {
            window_messages: WINDOW,
            ..SubmitterConfig::new(session(number), network.addresses().ingress[0])
        };
        let listening =
            ListenerConfig { seed: number as u64 + 1, ..ListenerConfig::acknowledgements(network) };
        let writer = Writer::with(network, config, listening).unwrap_or_else(|error| panic!("{error}"));
        Self { number, writer, submitted: 0, acknowledged: Vec::new() }
    }

    /// Submits as many as fit, at most `count`; how many.
    fn submit(&mut self, count: u64) -> u64 {
        for done in 0..count {
            match self.writer.submit(&block(self.number, self.submitted + 1)) {
                Ok(number) => assert_eq!(number, self.submitted + 1),
                Err(SubmitError::Full) => return done,
                Err(error) => panic!("writer {}: {error}", self.number),
            }
            self.submitted += 1;
        }
        count
    }

    fn poll(&mut self) -> usize {
        let Self { number, writer, acknowledged, .. } = self;
        writer.poll(&mut |event| match event {
            SubmitEvent::Acknowledged { client_sequence, sequence, outcome } => {
                acknowledged.push((sequence, outcome));
                assert_eq!(
                    client_sequence,
                    acknowledged.len() as u64,
                    "writer {number}: outcomes out of order"
                );
            }
            // The resend rules do the rest.
            SubmitEvent::Refused { .. } => {}
            other => panic!("writer {number}: {other:?}"),
        })
    }
}

fn write(mut sessions: Vec<One>, rate: u64, shared: &Shared) -> Vec<Acknowledged> {
    let each = rate as f64 / sessions.len() as f64;
    let (mut before, mut progress) = (Instant::now(), Instant::now());
    let mut due = vec![0.0; sessions.len()];
    loop {
        let over = shared.over.load(Ordering::Relaxed);
        let elapsed = before.elapsed();
        before += elapsed;
        let mut work = 0;
        for (one, due) in sessions.iter_mut().zip(&mut due) {
            // What is not taken while nobody leads is not made up for.
            *due = f64::min(*due + each * elapsed.as_secs_f64(), WINDOW as f64);
            if !over {
                *due -= one.submit(*due as u64) as f64;
            }
            work += one.poll();
        }
        let acknowledged: usize = sessions.iter().map(|one| one.acknowledged.len()).sum();
        if shared.acknowledged.swap(acknowledged as u64, Ordering::Relaxed) != acknowledged as u64 {
            progress = Instant::now();
        }
        let waiting: usize = sessions.iter().map(|one| one.writer.unacknowledged()).sum();
        if over && waiting == 0 {
            return sessions.into_iter().map(|one| one.acknowledged).collect();
        }
        assert!(
            !over || progress.elapsed() < PATIENCE,
            "{waiting} transactions are not acknowledged although the cluster is well"
        );
        if work == 0 {
            std::thread::sleep(Duration::from_micros(100));
        }
    }
}
