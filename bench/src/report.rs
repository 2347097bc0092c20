//! What a measurement looks like when it is done: one directory that tells everything.
//!
//! | file | holds |
//! | --- | --- |
//! | `index.html` | the page that joins all of it; needs nothing but a browser |
//! | `results.json` | the [`Results`] as they are |
//! | `*.hgrm` | a run's latencies, one file each, as HdrHistogram's plotters read them |
//! | `*.svg` | the pictures, by themselves |
//!
//! [`text`] is the same table of bounds for a terminal; [`environment::read`] says on what machine it all was.
pub mod environment;

mod axis;
mod canvas;
mod hgrm;
pub mod medians;
pub mod numbers;
mod page;
mod pictures;
mod series;
mod text;
mod verdict;

pub use text::text;

use crate::measurement::{Results, Run};
use std::fs;
use std::io;
use std::path::Path;

/// Writes the directory; what is in it already under the same names is replaced.
pub fn write(results: &Results, dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let pictures = pictures::all(results).map_err(io::Error::other)?;
    fs::write(dir.join("results.json"), serde_json::to_vec_pretty(results)?)?;
    for (number, run) in results.runs.iter().enumerate() {
        if let Some(latency) = &run.latency {
            fs::write(dir.join(hgrm_file(number, run)), hgrm::text(latency))?;
        }
    }
    for picture in &pictures {
        fs::write(dir.join(&picture.file), &picture.svg)?;
    }
    fs::write(dir.join("index.html"), page::html(results, &pictures))
}

/// The name of a run's file of latencies: its place among the runs, then what it is.
fn hgrm_file(number: usize, run: &Run) -> String {
    format!("{:03}-{}-{}.hgrm", number + 1, file_name(&run.experiment), file_name(&run.name))
}

/// Letters, digits and underscores only.
fn file_name(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect()
}
