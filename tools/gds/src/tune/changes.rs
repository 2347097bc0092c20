//! `gds tune apply` and `gds tune revert`: each step is told as the command that it equals.
use super::Subject;
use super::arguments::{Change, Revert};
use crate::exit::{Failure, Outcome};
use gds_tuning::Host;
use gds_tuning::apply::{self, Event, Foreign};
use gds_tuning::state::State;
use std::ops::ControlFlow;
use std::thread;
use std::time::Duration;

/// Changes what the profile lets it.
pub fn apply(subject: &Subject, change: &Change) -> Outcome {
    println!("{}", subject.about());
    let mut state =
        State::open(&change.state, &subject.host, &subject.profile.name).map_err(Failure::failed)?;
    if state.dropped_earlier() {
        println!("the host has been restarted since the last apply: its settings ended with it");
    }
    let tally = apply::apply(
        &subject.host,
        &subject.profile,
        &subject.wanted,
        &mut state,
        &mut watch(change.pause_ms),
    )
    .map_err(Failure::failed)?;
    let kept = change.state.display();
    match (tally.made, state.records().is_empty()) {
        (0, true) => println!("nothing to change on the running host"),
        (0, false) => {
            println!("nothing to change; what was there before is in {kept}: gds tune revert restores it")
        }
        (made, _) => println!("{made} set; what was there before is in {kept}: gds tune revert restores it"),
    }
    if tally.refused > 0 {
        return Err(Failure::failed(format!("{} settings were refused, as told above", tally.refused)));
    }
    Ok(())
}

/// Sets everything back.
pub fn revert(arguments: &Revert) -> Outcome {
    let host = arguments.root.as_deref().map_or_else(Host::this, Host::at);
    let change = &arguments.change;
    let state = State::open(&change.state, &host, "").map_err(Failure::failed)?;
    if state.dropped_earlier() {
        println!("the host has been restarted since the last apply: its settings ended with it");
    } else if state.records().is_empty() {
        println!("nothing to restore: {} has no changes", change.state.display());
    }
    let foreign = match (arguments.force, arguments.forget) {
        (true, _) => Foreign::Restore,
        (_, true) => Foreign::Forget,
        _ => Foreign::Keep,
    };
    let tally = apply::revert(&host, state, foreign, &mut watch(change.pause_ms)).map_err(Failure::failed)?;
    if tally.made > 0 {
        println!("{} restored", tally.made);
    }
    if tally.refused > 0 {
        return Err(Failure::failed(format!(
            "{} settings could not be restored, as told above; try again",
            tally.refused
        )));
    }
    if tally.foreign > 0 && !arguments.forget {
        return Err(Failure::failed(format!(
            "{} settings were changed by somebody else since: --force restores them, too; --forget leaves them so",
            tally.foreign
        )));
    }
    Ok(())
}

/// Tells each step, and waits between two if asked to.
fn watch(pause_ms: u64) -> impl FnMut(&Event<'_>) -> ControlFlow<()> {
    move |event| {
        match event {
            Event::Recorded(_) => {}
            Event::Made(setting) => {
                println!("  {}  # was {}", setting.knob.command(&setting.wanted), setting.now)
            }
            Event::Refused(setting, why) => println!("  refused: {}: {why}", setting.knob),
            Event::Foreign(setting) => println!(
                "  left alone: {} is {} by somebody else's doing; it was {}",
                setting.knob, setting.now, setting.wanted
            ),
            Event::Gone(knob) => println!("  {knob} is not there any more"),
        }
        thread::sleep(Duration::from_millis(pause_ms));
        ControlFlow::Continue(())
    }
}
