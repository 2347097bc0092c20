//! A member's way into its cluster: the register is read before anything else (R10 of `docs/FAILOVER.md`), and names the stream.
//!
//! | register | journal | what happens |
//! | --- | --- | --- |
//! | never held anything | empty | this node names the stream; whoever asks first leads it |
//! | never held anything | has messages | a fault: whoever lost the register must say who leads (`gds force-lead`) |
//! | names a stream | of that stream, or empty | the node starts, and follows until it may lead |
//! | names a stream | of another one | a fault, by the start |
//! | does not answer | | asked again for a while, and then a fault: who does not know the epoch follows nobody |
use crate::config::Config;
use crate::settings;
use crate::step::{Step, Watcher};
use gds_core::agent::Fault;
use gds_core::label::SessionNames;
use gds_core::replication::{NodeId, RegisterState, RegisterValue, Set};
use gds_register::{Keeper, KeeperPort, Register, SwapAnswer};
use gds_wire::session::Session;
use std::time::{Duration, Instant};

/// How long a start asks a register that does not answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Between two attempts.
const AGAIN: Duration = Duration::from_millis(100);

/// What a member brings.
#[derive(Clone, Copy, Debug)]
pub struct Begins {
    /// The stream's name, where neither register nor configuration has one.
    pub new_stream: Session,
    /// It has no message of any stream.
    pub is_empty: bool,
    /// It was a member before.
    pub has_lived: bool,
}

/// The register of a member that is about to start.
pub struct Enrolment {
    register: Box<dyn Register + Send>,
    /// What it held.
    pub state: RegisterState,
    /// The value in it.
    pub value: RegisterValue,
}

impl Enrolment {
    /// Reads the register, and names the stream if nobody has. `watcher` is asked while the register does not answer.
    ///
    /// # Errors
    /// When it does not answer, or holds nothing and the node's journal does.
    pub fn of(
        config: &Config,
        Begins { new_stream, is_empty, has_lived }: Begins,
        watcher: &mut Watcher<'_>,
    ) -> Result<Self, Fault> {
        let asked = settings::register(config).expect("the check has seen it");
        let mut register = gds_register::open(&asked).map_err(Fault::from)?;
        let mut state = answer(watcher, || register.read())?;
        if state.value.is_none() {
            if !is_empty {
                return Err(unknown_leader(config));
            }
            let stream =
                Session::padded(&config.stream.session).filter(|name| !name.is_blank()).unwrap_or(new_stream);
            let (leader, set, sessions) = (NodeId(0), Set::default(), SessionNames::default());
            let value = RegisterValue { stream, epoch: 0, leader, set, sessions };
            state = match answer(watcher, || register.swap(state.revision, &value))? {
                SwapAnswer::Swapped(revision) => RegisterState { revision, value: Some(value) },
                SwapAnswer::Holds(state) => state,
            };
        }
        let value = state
            .value
            .clone()
            .ok_or_else(|| Fault("the register lost what it held while this node read it".into()))?;
        // A lone node's journal becomes no cluster's by itself: what may be missing in it nobody would be told.
        if value.epoch == 0 && !is_empty && !has_lived {
            return Err(unknown_leader(config));
        }
        Ok(Self { register, state, value })
    }

    /// From here the register is asked by a thread of its own.
    pub fn keep(self) -> Result<(Keeper, KeeperPort, RegisterState), Fault> {
        let (keeper, port) = Keeper::start_from(self.register, &self.state).map_err(Fault::from)?;
        Ok((keeper, port, self.state))
    }
}

/// Nobody has led yet, as far as the register knows, and there are messages.
fn unknown_leader(config: &Config) -> Fault {
    Fault(format!(
        "the register ({}) knows of nobody who led, and {} has messages: who leads cannot be known. If this node's journal is the one that counts, say so with \
         `gds force-lead --config node.toml`; if the register is the wrong one, mend cluster.register",
        config.cluster.register,
        config.stream.directory.display()
    ))
}

/// Asks until there is an answer, for a while, or until the start is to stop. A swap without an answer may have happened; asked for again it is refused, and what is held is told.
fn answer<T>(
    watcher: &mut Watcher<'_>,
    mut ask: impl FnMut() -> Result<T, gds_register::RegisterError>,
) -> Result<T, Fault> {
    let began = Instant::now();
    loop {
        match ask() {
            Ok(answer) => return Ok(answer),
            Err(error) if began.elapsed() >= ANSWER_MAX || watcher(Step::Wait).is_break() => {
                return Err(Fault::from(error));
            }
            Err(_) => std::thread::sleep(AGAIN),
        }
    }
}
