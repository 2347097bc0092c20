//! `gds bench all` and `list`.
use super::table;
use crate::cores::Cores;
use crate::experiment::{self, Bench, Experiment, Extent};
use crate::measurement::Results;
use crate::peer::aeron;
use crate::report;
use crate::workload;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

/// `gds bench all`
#[derive(Args)]
#[command(
    after_help = "Every run on a node starts one of its own, in a temporary folder, and stops it: nothing that runs already is touched, but it disturbs \
the measurement. Leave the machine alone meanwhile; the report says what could be better about it.\n\n\
Examples:\n  gds bench all --out report            the whole table of bounds; takes about half an hour\n  \
gds bench all --out look --quick      a look: fewer and shorter runs\n  \
gds bench all --out one --only saturation,restart"
)]
pub struct All {
    /// Where the report goes: index.html, results.json, pictures. Its disk is the one measured
    #[arg(long, value_name = "DIR", default_value = "bench-report")]
    out: PathBuf,
    /// Two short repetitions of each instead of five
    #[arg(long)]
    quick: bool,
    /// Only these experiments, by name (see `gds bench list`)
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    only: Vec<String>,
    /// So many repetitions of each
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    repetitions: Option<u32>,
    /// The binary under test (default: this one)
    #[arg(long, value_name = "FILE")]
    gds: Option<PathBuf>,
    /// The program that measures Aeron, a peer (default: the one built in bench/aeron, seen from here)
    #[arg(long, value_name = "FILE", env = "GDS_BENCH_AERON")]
    aeron: Option<PathBuf>,
    /// Seed of the workloads
    #[arg(long, default_value_t = 7)]
    seed: u64,
}

/// Measures, and writes the report; after each experiment anew, so that nothing is lost when it is interrupted.
pub fn run(arguments: &All) -> Result<(), String> {
    let chosen: Vec<&Experiment> = if arguments.only.is_empty() {
        experiment::ALL.iter().collect()
    } else {
        arguments.only.iter().map(|name| experiment::named(name.trim())).collect::<Result<_, _>>()?
    };
    let gds = match &arguments.gds {
        Some(gds) => gds.clone(),
        None => std::env::current_exe().map_err(|error| format!("where is this binary? {error}"))?,
    };
    let shown = Shown::new(chosen.len());
    let tell = |what: &str| shown.tell(what);
    let bench = Bench {
        gds,
        cores: Cores::choose(),
        extent: if arguments.quick { Extent::Quick } else { Extent::Full },
        repetitions: arguments.repetitions,
        aeron: arguments.aeron.clone().or_else(aeron::built),
        disk: arguments.out.clone(),
        seed: arguments.seed,
        tell: &tell,
        workloads: RefCell::new(BTreeMap::new()),
    };
    let mut results = Results { environment: report::environment::read(&bench.gds), ..Results::default() };
    for experiment in chosen {
        shown.begin(experiment.name);
        let mut found = (experiment.run)(&bench);
        results.runs.append(&mut found.runs);
        results.rows.append(&mut found.rows);
        for line in found.skipped {
            if !results.skipped.contains(&line) {
                results.skipped.push(line);
            }
        }
        let written = report::write(&results, &arguments.out);
        written.map_err(|error| format!("{}: {error}", arguments.out.display()))?;
        if experiment::interrupted() {
            break;
        }
    }
    shown.finish();
    print!("{}", report::text(&results));
    let beside: Vec<Vec<String>> = report::medians::lines(&results).into_iter().map(Vec::from).collect();
    if !beside.is_empty() {
        print!("\n{}", table::text(&report::medians::HEAD, &beside));
    }
    println!("\n{}", arguments.out.join("index.html").display());
    Ok(())
}

/// Names what there is.
pub fn list() {
    println!("experiments (gds bench all --only …)");
    for experiment in experiment::ALL {
        println!("  {:<26} {}", experiment.name, experiment.what);
    }
    println!("\nworkloads (gds bench load --workload …)");
    for (name, what) in workload::NAMES {
        println!("  {name:<26} {what}");
    }
}

/// What is being done, on standard error: a bar for a person, a line for a log.
struct Shown {
    bar: ProgressBar,
    terminal: bool,
}

impl Shown {
    fn new(experiments: usize) -> Self {
        let bar = ProgressBar::new(experiments as u64);
        let style = ProgressStyle::with_template("{spinner} {pos} of {len} done, {elapsed}   {msg}");
        bar.set_style(style.expect("the template is right"));
        bar.enable_steady_tick(Duration::from_millis(500));
        Self { bar, terminal: std::io::stderr().is_terminal() }
    }

    fn begin(&self, name: &str) {
        self.bar.inc(u64::from(!self.bar.message().is_empty()));
        self.tell(name);
    }

    fn tell(&self, what: &str) {
        if self.terminal {
            self.bar.set_message(what.to_owned());
        } else {
            eprintln!("{what}");
            self.bar.set_message("…");
        }
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
