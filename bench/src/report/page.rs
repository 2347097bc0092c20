//! The page that joins it all: verdicts first, then pictures, then where and how it was measured. Nothing in it is fetched from elsewhere.
use super::hgrm_file;
use super::medians;
use super::numbers::{count, rate, time};
use super::pictures::Picture;
use super::verdict::{Cells, Verdict, summary};
use crate::measurement::{Environment, Results, Row, Run};
use std::fmt::Write as _;

const STYLE: &str = include_str!("page.css");

/// The page's text.
pub fn html(results: &Results, pictures: &[Picture]) -> String {
    let style = STYLE.lines().map(str::trim).collect::<Vec<_>>().join("\n");
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>GDS measured</title>\n<style>\n{style}\n</style>\n</head>\n<body>\n<h1>GDS measured</h1>\n"
    );
    let when = fact(&results.environment, "time");
    let commit = fact(&results.environment, "under test");
    let about = [commit, when].into_iter().flatten().collect::<Vec<_>>().join(", ");
    let _ = writeln!(
        out,
        "<p class=\"lead\">{}. <small>{}</small></p>",
        escaped(&summary(&results.rows)),
        escaped(&about)
    );
    table(&mut out, &results.rows);
    if !pictures.is_empty() {
        out.push_str("<h2>Pictures</h2>\n");
    }
    for picture in pictures {
        let (svg, file) = (&picture.svg, &picture.file);
        let caption = escaped(&picture.caption);
        let _ = writeln!(
            out,
            "<figure>\n{svg}<figcaption>{caption} <a href=\"{file}\">{file}</a></figcaption>\n</figure>"
        );
    }
    beside(&mut out, results);
    environment(&mut out, &results.environment);
    list(&mut out, "Skipped", "", &results.skipped);
    runs(&mut out, &results.runs);
    out.push_str("</body>\n</html>\n");
    out
}

fn table(out: &mut String, rows: &[Row]) {
    out.push_str(
        "<div class=\"scroll\"><table>\n<tr><th>what</th><th class=\"number\">bound</th><th class=\"number\">median</th>\
         <th class=\"number\">spread (pairs)</th><th>verdict</th></tr>\n",
    );
    for row in rows {
        let cells = Cells::of(row);
        let class = match cells.verdict {
            Verdict::Holds => "holds",
            Verdict::Missed => "missed",
            Verdict::None => "none",
        };
        let _ = writeln!(
            out,
            "<tr><td>{}<small>{}</small></td><td class=\"number\">{}</td><td class=\"number\">{}</td>\
             <td class=\"number\">{}</td><td class=\"verdict {class}\">{}</td></tr>",
            escaped(&cells.what),
            escaped(&cells.reason),
            escaped(&cells.bound),
            escaped(&cells.median),
            escaped(&cells.spread),
            cells.verdict.word()
        );
    }
    out.push_str("</table></div>\n");
}

fn beside(out: &mut String, results: &Results) {
    let lines = medians::lines(results);
    if lines.is_empty() {
        return;
    }
    let [_, rate, p50, p99, _] = medians::HEAD;
    let _ = writeln!(
        out,
        "<h2>Beside the table</h2>\n<p>Peers, floors and curves, as medians over the repetitions that count.</p>\n\
         <div class=\"scroll\"><table>\n<tr><th>what</th><th class=\"number\">{rate}</th>\
         <th class=\"number\">{p50}</th><th class=\"number\">{p99}</th><th></th></tr>"
    );
    for [what, figures @ .., verdict] in lines {
        let cells: String =
            figures.iter().map(|figure| format!("<td class=\"number\">{}</td>", escaped(figure))).collect();
        let _ = writeln!(out, "<tr><td>{}</td>{cells}<td>{verdict}</td></tr>", escaped(&what));
    }
    out.push_str("</table></div>\n");
}

fn environment(out: &mut String, environment: &Environment) {
    list(out, "Environment", "warnings", &environment.warnings);
    if environment.warnings.is_empty() {
        out.push_str("<h2>Environment</h2>\n");
    }
    out.push_str("<dl>\n");
    for (name, value) in &environment.facts {
        let _ = writeln!(out, "<dt>{}</dt><dd>{}</dd>", escaped(name), escaped(value));
    }
    out.push_str("</dl>\n");
}

fn list(out: &mut String, title: &str, class: &str, items: &[String]) {
    if items.is_empty() {
        return;
    }
    let _ = writeln!(out, "<h2>{title}</h2>\n<ul class=\"{class}\">");
    for item in items {
        let _ = writeln!(out, "<li>{}</li>", escaped(item));
    }
    out.push_str("</ul>\n");
}

fn runs(out: &mut String, runs: &[Run]) {
    let _ = writeln!(
        out,
        "<h2>All runs ({})</h2>\n<p>The same in <a href=\"results.json\">results.json</a>.</p>\n\
         <div class=\"scroll\"><table class=\"runs\">\n<tr><th>experiment</th><th>what</th><th class=\"number\">repetition</th>\
         <th class=\"number\">rate wanted</th><th class=\"number\">rate</th><th class=\"number\">sent</th>\
         <th class=\"number\">unanswered</th><th class=\"number\">p50</th><th class=\"number\">p99</th>\
         <th class=\"number\">p99.9</th><th></th></tr>",
        runs.len()
    );
    for (number, run) in runs.iter().enumerate() {
        line(out, number, run);
    }
    out.push_str("</table></div>\n");
}

fn line(out: &mut String, number: usize, run: &Run) {
    let parameters = run.parameters.iter().map(|(name, value)| format!("{name} {value}"));
    let figures = run.figures.iter().map(|(name, value)| format!("{name} {}", count(*value)));
    let workload = (!run.workload.is_empty()).then(|| run.workload.clone());
    let told: Vec<String> = workload.into_iter().chain(parameters).chain(figures).collect();
    let class = if run.failed.is_some() { " class=\"failed\"" } else { "" };
    let unanswered = run.sent.saturating_sub(run.answered);
    let late = if run.late > 0 { format!(" ({} late)", run.late) } else { String::new() };
    let _ = write!(
        out,
        "<tr{class}><td>{}</td><td>{}<small>{}</small></td><td class=\"number\">{}</td><td class=\"number\">{}</td>\
         <td class=\"number\">{}</td><td class=\"number\">{}</td><td class=\"number\">{unanswered}{late}</td>",
        escaped(&run.experiment),
        escaped(&run.name),
        escaped(&told.join(", ")),
        run.repetition,
        run.rate_wanted.map(rate).unwrap_or_default(),
        rate(run.rate),
        run.sent,
    );
    for share in [0.5, 0.99, 0.999] {
        let shown =
            run.latency.as_ref().map(|latency| time(latency.quantile_ns(share) as f64)).unwrap_or_default();
        let _ = write!(out, "<td class=\"number\">{shown}</td>");
    }
    let file = hgrm_file(number, run);
    let link = run.latency.as_ref().map(|_| format!("<a href=\"{file}\">hgrm</a>")).unwrap_or_default();
    let failed = run.failed.as_ref().map(|why| format!("FAILED: {} ", escaped(why))).unwrap_or_default();
    let _ = writeln!(out, "<td>{failed}{link}</td></tr>");
}

fn fact(environment: &Environment, name: &str) -> Option<String> {
    environment.facts.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
