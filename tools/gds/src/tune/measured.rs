//! What pinned threads were kept from running by.
use super::Subject;
use crate::exit::Failure;
use crate::progress::Progress;
use crate::text::{duration, grouped};
use gds_tuning::measure::{self, Measured};
use serde_json::{Value, json};
use std::time::Duration;

/// Longest that is measured, in seconds.
const SECONDS_MAX: f64 = 3_600.0;
/// Gaps are counted from one of these to the next, in nanoseconds.
const BANDS_NS: [(u64, u64, &str); 5] = [
    (1_000, 10_000, "1-10µs"),
    (10_000, 100_000, "10-100µs"),
    (100_000, 1_000_000, "0.1-1ms"),
    (1_000_000, 10_000_000, "1-10ms"),
    (10_000_000, u64::MAX, ">10ms"),
];

/// Measures each pinned processor, with a bar when it takes long.
pub fn measure(subject: &Subject, seconds: f64) -> Result<Vec<Measured>, Failure> {
    if !(0.01..=SECONDS_MAX).contains(&seconds) {
        return Err(Failure::usage(format!(
            "--measure {seconds}: a number of seconds of 0.01 to {SECONDS_MAX}"
        )));
    }
    if !subject.host.is_this() {
        return Err(Failure::usage("--measure: a tree (--root) has no processors to measure"));
    }
    if subject.wanted.cores.is_empty() {
        return Err(Failure::usage(
            "--measure: no processor is pinned; pin with [[core]] cpu, or name some with --cores",
        ));
    }
    let duration = Duration::from_secs_f64(seconds);
    let mut bar = Progress::new(Some(duration.as_millis() as u64), "ms measured");
    let measured = measure::measure(&subject.host, &subject.wanted.cores, duration, &mut |done| {
        bar.set(done.as_millis() as u64)
    });
    bar.finish();
    Ok(measured)
}

/// A table: one line for each processor, then what came to it.
pub fn as_text(measured: &[Measured]) -> String {
    let mut out = String::new();
    let Some(first) = measured.first() else { return out };
    out += &format!(
        "\nkept from running, of {}: times between two readings of the clock\n",
        duration(first.duration.as_nanos() as u64)
    );
    out += "core   taken      p50    p99.9   longest";
    for (_, _, name) in BANDS_NS {
        out += &format!("{name:>10}");
    }
    out += "  ticks\n";
    for core in measured {
        match &core.gaps {
            Err(why) => out += &format!("{:<4}{why}\n", core.core),
            Ok(gaps) => {
                let at = |share| duration(gaps.value_at_quantile(share));
                let (middle, high) = (at(0.5), at(0.999));
                out += &format!(
                    "{:<4}{:>6.2} %{middle:>9}{high:>9}{:>10}",
                    core.core,
                    core.taken() * 100.0,
                    duration(gaps.max())
                );
                for (low, high, _) in BANDS_NS {
                    out += &format!("{:>10}", grouped(core.gaps_between(low, high)));
                }
                out += &format!("{:>7}\n", grouped(core.timer()));
            }
        }
    }
    for core in measured.iter().filter(|core| core.other() > 0) {
        let mut others = core.interrupts.clone();
        others.sort_by_key(|(_, _, count)| std::cmp::Reverse(*count));
        let list: Vec<String> =
            others.iter().map(|(_, name, count)| format!("{} {name}", grouped(*count))).collect();
        for (position, line) in gds_tuning::plan::wrapped(&list.join(", "), 100 - 22).iter().enumerate() {
            let head = if position == 0 { format!("interrupts, core {}", core.core) } else { String::new() };
            out += &format!("{head:<22}{line}\n");
        }
    }
    out
}

/// The same for machines.
pub fn as_json(measured: &[Measured]) -> Value {
    let core = |core: &Measured| {
        let interrupts =
            core.interrupts.iter().map(|(id, name, count)| json!({ "id": id, "name": name, "count": count }));
        let mut value = json!({
            "core": core.core,
            "seconds": core.duration.as_secs_f64(),
            "timer_interrupts": core.timer(),
            "other_interrupts": core.other(),
            "interrupts": interrupts.collect::<Vec<_>>(),
        });
        match &core.gaps {
            Err(why) => value["error"] = json!(why),
            Ok(gaps) => {
                value["readings"] = json!(gaps.len());
                value["taken"] = json!(core.taken());
                value["longest_ns"] = json!(gaps.max());
                for (share, name) in
                    [(0.5, "p50_ns"), (0.99, "p99_ns"), (0.999, "p99_9_ns"), (0.9999, "p99_99_ns")]
                {
                    value[name] = json!(gaps.value_at_quantile(share));
                }
                let bands = BANDS_NS
                    .map(|(low, high, _)| json!({ "from_ns": low, "count": core.gaps_between(low, high) }));
                value["gaps"] = json!(bands);
            }
        }
        value
    };
    measured.iter().map(core).collect()
}
