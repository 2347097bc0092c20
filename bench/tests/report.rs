//! The directory that a report is.
#[path = "../examples/made_up/mod.rs"]
mod made_up;

use gds_bench::measurement::Results;
use gds_bench::report;
use std::fs;

#[test]
fn a_report_has_a_page_pictures_histograms_and_the_results() {
    let dir = tempfile::tempdir().unwrap();
    let results = made_up::results();
    report::write(&results, dir.path()).unwrap();

    let kept: Results = serde_json::from_slice(&fs::read(dir.path().join("results.json")).unwrap()).unwrap();
    assert_eq!(kept.runs.len(), results.runs.len());
    assert_eq!(kept.runs[0].latency, results.runs[0].latency);

    let names: Vec<String> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let with_latency = results.runs.iter().filter(|run| run.latency.is_some()).count();
    assert_eq!(names.iter().filter(|name| name.ends_with(".hgrm")).count(), with_latency);
    for picture in [
        "acknowledgement_depth_1-percentiles.svg",
        "acknowledgement_depth_1-stages.svg",
        "acknowledgement_rates-rates.svg",
        "saturation-throughput.svg",
        "apply_growth-growth.svg",
    ] {
        assert!(names.iter().any(|name| name == picture), "{picture} of {names:?}");
    }

    let page = fs::read_to_string(dir.path().join("index.html")).unwrap();
    assert!(page.contains("MISSED") && page.contains("no verdict") && page.contains("</svg>"));
    assert!(!page.contains("<script") && !page.contains("src=\"http"));
    assert!(!page.contains("NaN"));
}

#[test]
fn histograms_are_in_the_format_of_their_plotters() {
    let dir = tempfile::tempdir().unwrap();
    report::write(&made_up::results(), dir.path()).unwrap();
    let text = fs::read_to_string(dir.path().join("001-acknowledgement_depth_1-gds.hgrm")).unwrap();
    let mut lines = text.lines();
    let head: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    assert_eq!(head, ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"]);
    let rows: Vec<Vec<f64>> = lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split_whitespace().map(|cell| cell.parse().unwrap()).collect())
        .collect();
    assert!(rows.windows(2).all(|pair| pair[0][0] <= pair[1][0] && pair[0][2] <= pair[1][2]));
    let last = rows.last().unwrap();
    assert_eq!((last[1], last[2]), (1.0, 20_000.0));
    assert!(text.contains("#[Max     ="));
}

#[test]
fn the_table_fits_a_terminal_and_tells_all() {
    let text = report::text(&made_up::results());
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    assert!(
        text.contains("MISSED")
            && text.contains("no verdict")
            && text.contains("5 of 7 bounds hold, 1 missed")
    );
    assert!(text.contains("skipped:") && text.contains("the disk was full"));
}

#[test]
fn a_report_of_nothing_is_still_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut results = made_up::results();
    for run in &mut results.runs {
        run.failed = Some("lost an answer".into());
    }
    report::write(&results, dir.path()).unwrap();
    report::write(&Results::default(), dir.path()).unwrap();
    assert!(report::text(&Results::default()).contains("0 of 0"));
}
