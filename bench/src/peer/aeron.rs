//! Aeron's multicast: messages of as many bytes to another processor and back, or one way.
//!
//! Its driver in C wants tools to be built that GDS does not, so it is a program of its own, `bench/aeron`, which is run where it is built:
//! once for each run. It measures with the loops of [`schedule`](crate::schedule), and prints a [`Run`].
use super::{Asked, Pace};
use crate::cores::Cores;
use crate::guard::Guard;
use crate::measurement::Run;
use crate::node::MEMORY;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Its name in runs.
pub const NAME: &str = "aeron";
/// Where it is after it was built in a checkout, seen from there.
const BUILT: &str = "bench/aeron/target/release/gds-aeron";
/// What builds it.
const BUILD: &str = "cargo build --release --manifest-path bench/aeron/Cargo.toml";

/// The program, if it has been built in the checkout that this is the folder of.
pub fn built() -> Option<PathBuf> {
    Some(PathBuf::from(BUILT)).filter(|path| path.is_file())
}

/// One run of it.
///
/// # Errors
/// That it is not there, and how to build it.
pub fn measure(program: Option<&Path>, asked: &Asked<'_>, cores: Cores) -> Result<Run, String> {
    let program = program.ok_or_else(|| {
        format!("{NAME}: not built ({BUILD}, with cmake 3.30 or newer and libclang; or --aeron FILE)")
    })?;
    let run = printed(program, asked, cores).unwrap_or_else(|why| asked.draft(NAME).failed(why));
    let parameters = asked.parameters.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
    Ok(Run {
        experiment: asked.experiment.to_owned(),
        repetition: asked.repetition,
        parameters: parameters.collect(),
        ..run
    })
}

fn printed(program: &Path, asked: &Asked<'_>, cores: Cores) -> Result<Run, String> {
    let files = tempfile::Builder::new().prefix("gds-bench-").tempdir_in(MEMORY);
    let files = files.map_err(|error| format!("{MEMORY}: {error}"))?;
    let mut command = Command::new(program);
    match asked.pace {
        Pace::OneByOne => command.arg("depth1"),
        Pace::AtRate(rate) => command.args(["at-rate", "--rate"]).arg(rate.to_string()),
        Pace::AsFastAsItGoes => command.arg("saturating"),
        Pace::OneWay => command.arg("one-way"),
    };
    command.arg("--seconds").arg(asked.duration.as_secs_f64().to_string()).arg("--files").arg(files.path());
    for (end, core) in [("--far", cores.system), ("--near", cores.load)] {
        command.args(core.map(|core| [end.to_owned(), core.to_string()]).into_iter().flatten());
    }
    if asked.loss_per_mille > 0 {
        let rate = f64::from(asked.loss_per_mille) / 1000.0;
        command.env("AERON_UDP_CHANNEL_INCOMING_INTERCEPTORS", "loss");
        // All that comes in: data, setups, what receivers say. 0xF is what Aeron's own script for this has.
        let loss = format!("rate={rate}|seed=7|recv-msg-mask=0xF");
        command.env("AERON_UDP_CHANNEL_TRANSPORT_BINDINGS_LOSS_ARGS", loss);
    }
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", program.display());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().map_err(|error| failed(&error))?;
    let guard = Guard::over(&child, &[files.path().to_owned()]);
    let output = child.wait_with_output().map_err(|error| failed(&error))?;
    drop(guard);
    if !output.status.success() {
        return Err(failed(&String::from_utf8_lossy(&output.stderr).trim()));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| failed(&error))
}
