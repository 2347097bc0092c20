//! Making the changes that the plan shows, and undoing them.
//!
//! Each change is made in three steps: what is there is read, put on disk ([`State::record`]), and only then changed. Whoever watches is
//! told after the second and the third, and may end it there; so may `kill -9`. [`revert`] undoes whatever was begun.
use crate::check::Report;
use crate::host::{Host, HostError};
use crate::item::{Judgement, Look, Setting};
use crate::knob::Knob;
use crate::profile::Profile;
use crate::state::{Record, State, StateError};
use crate::wanted::Wanted;
use std::ops::ControlFlow;

/// What happened to one setting.
#[derive(Debug)]
pub enum Event<'a> {
    /// It is on disk, and will be made now.
    Recorded(&'a Setting),
    /// It is made, or undone: the setting's `now` is what it was, `wanted` what it is.
    Made(&'a Setting),
    /// The kernel or the card refused, or made something else of it.
    Refused(&'a Setting, String),
    /// Somebody else has set it since: it was left alone. `now` is what they set it to, `wanted` what was there at first.
    Foreign(&'a Setting),
    /// It is not there any more: nothing to make or undo.
    Gone(&'a Knob),
}

/// Is told of every step, and says whether to go on.
pub type Watch<'a> = dyn FnMut(&Event<'_>) -> ControlFlow<()> + 'a;

/// What is to become of settings that somebody else has changed since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// They are told, and stay on record.
    Keep,
    /// They are set back like all others.
    Restore,
    /// They stay as they are, and the record goes.
    Forget,
}

/// How it ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Settings made or undone.
    pub made: usize,
    /// Settings refused.
    pub refused: usize,
    /// Settings that somebody else has changed.
    pub foreign: usize,
    /// Ended by whoever watched.
    pub stopped: bool,
}

/// Changes what the profile lets it, item by item: each is judged anew, for a change may have changed what comes after it.
pub fn apply(
    host: &Host,
    profile: &Profile,
    wanted: &Wanted,
    state: &mut State,
    watch: &mut Watch<'_>,
) -> Result<Tally, StateError> {
    let mut tally = Tally::default();
    for named in profile.items.iter().filter(|named| named.apply) {
        let look = Look { host, wanted, value: named.value.as_ref() };
        let judgement = (named.item.judge)(&look).unwrap_or_else(Judgement::bare);
        let report = Report { item: named.item, apply: named.apply, judgement };
        for setting in report.changes() {
            if change(host, setting, state, watch, &mut tally)?.is_break() {
                tally.stopped = true;
                return Ok(tally);
            }
        }
    }
    Ok(tally)
}

fn change(
    host: &Host,
    setting: &Setting,
    state: &mut State,
    watch: &mut Watch<'_>,
    tally: &mut Tally,
) -> Result<ControlFlow<()>, StateError> {
    // An earlier change of the same item may have changed it: what counts is what is there now.
    let now = match setting.knob.read(host) {
        Ok(now) => now,
        Err(error) if gone(&error) => return Ok(watch(&Event::Gone(&setting.knob))),
        Err(error) => {
            tally.refused += 1;
            return Ok(watch(&Event::Refused(setting, error.to_string())));
        }
    };
    let setting = Setting { now, ..setting.clone() };
    if setting.is_right() {
        return Ok(ControlFlow::Continue(()));
    }
    let record =
        Record { knob: setting.knob.clone(), before: setting.now.clone(), after: setting.wanted.clone() };
    state.record(record)?;
    if watch(&Event::Recorded(&setting)).is_break() {
        return Ok(ControlFlow::Break(()));
    }
    Ok(make(host, &setting, watch, tally))
}

/// Sets it, and tells what came of it.
fn make(host: &Host, setting: &Setting, watch: &mut Watch<'_>, tally: &mut Tally) -> ControlFlow<()> {
    match write(host, &setting.knob, &setting.wanted) {
        Ok(()) => {
            tally.made += 1;
            watch(&Event::Made(setting))
        }
        // A kernel thread may end at any time.
        Err(_) if setting.knob.read(host).is_err_and(|error| gone(&error)) => {
            watch(&Event::Gone(&setting.knob))
        }
        Err(why) => {
            tally.refused += 1;
            watch(&Event::Refused(setting, why))
        }
    }
}

/// Sets it, and looks whether it took.
fn write(host: &Host, knob: &Knob, value: &str) -> Result<(), String> {
    knob.write(host, value).map_err(|error| error.to_string())?;
    match knob.read(host) {
        Ok(now) if knob.took(host, value, &now) => Ok(()),
        Ok(now) => Err(format!("asked for {value}, got {now}")),
        Err(error) => Err(error.to_string()),
    }
}

/// A setting, its first value, and all that we have set it to.
struct Changed {
    knob: Knob,
    first: String,
    ours: Vec<String>,
}

fn changed(state: &State) -> Vec<Changed> {
    let mut all: Vec<Changed> = Vec::new();
    for Record { knob, before, after } in state.records() {
        match all.iter_mut().find(|changed| changed.knob == *knob) {
            Some(changed) => changed.ours.push(after.clone()),
            None => {
                all.push(Changed { knob: knob.clone(), first: before.clone(), ours: vec![after.clone()] });
            }
        }
    }
    all
}

/// Sets everything on record back to what was there at first, newest first, and takes the record away when nothing is left on it.
pub fn revert(
    host: &Host,
    state: State,
    foreign: Foreign,
    watch: &mut Watch<'_>,
) -> Result<Tally, StateError> {
    let mut tally = Tally::default();
    let changed = changed(&state);
    let mut restored = Vec::new();
    for changed in changed.iter().rev() {
        let now = match changed.knob.read(host) {
            Ok(now) => now,
            Err(error) if gone(&error) => {
                if watch(&Event::Gone(&changed.knob)).is_break() {
                    return Ok(Tally { stopped: true, ..tally });
                }
                continue;
            }
            Err(error) => {
                tally.refused += 1;
                let setting =
                    Setting { knob: changed.knob.clone(), now: String::new(), wanted: changed.first.clone() };
                if watch(&Event::Refused(&setting, error.to_string())).is_break() {
                    return Ok(Tally { stopped: true, ..tally });
                }
                continue;
            }
        };
        let setting = Setting { knob: changed.knob.clone(), now, wanted: changed.first.clone() };
        let ours = changed.ours.iter().any(|ours| setting.knob.same(ours, &setting.now));
        if !is_back(host, &setting) && !ours && foreign != Foreign::Restore {
            tally.foreign += 1;
            if watch(&Event::Foreign(&setting)).is_break() {
                return Ok(Tally { stopped: true, ..tally });
            }
            continue;
        }
        if undo(host, &setting, watch, &mut tally).is_break() {
            return Ok(Tally { stopped: true, ..tally });
        }
        restored.push(setting);
    }
    second_look(host, &restored, watch, &mut tally);
    if tally.refused == 0 && (tally.foreign == 0 || foreign == Foreign::Forget) {
        state.remove()?;
    }
    Ok(tally)
}

fn undo(host: &Host, setting: &Setting, watch: &mut Watch<'_>, tally: &mut Tally) -> ControlFlow<()> {
    if is_back(host, setting) { ControlFlow::Continue(()) } else { make(host, setting, watch, tally) }
}

/// Is it what it was at first, as far as the kernel gives it back?
fn is_back(host: &Host, setting: &Setting) -> bool {
    setting.knob.took(host, &setting.wanted, &setting.now)
}

/// Undoing one may have changed another that was undone before: a card that gets its ring back may put its interrupts elsewhere.
fn second_look(host: &Host, restored: &[Setting], watch: &mut Watch<'_>, tally: &mut Tally) {
    for setting in restored {
        let Ok(now) = setting.knob.read(host) else { continue };
        let again = Setting { now, ..setting.clone() };
        let _ = undo(host, &again, watch, &mut Tally::default());
        if setting.knob.read(host).is_ok_and(|now| !setting.knob.took(host, &setting.wanted, &now)) {
            tally.refused += 1;
        }
    }
}

/// The interface, the queue, the interrupt or the thread is not there any more.
fn gone(error: &HostError) -> bool {
    error.is_absent() || error.to_string().contains("No such device")
}
