//! The two formats of `/metrics`, read by a parser that knows what each of them demands, and by `promtool` where it is installed.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};

use townlet_wire::service::METRICS;

use super::client::Served;
use crate::kit::temp_home;

const OPEN_METRICS: &str = "accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5\r\n";

/// The samples of an exposition. Every sample must belong to the family declared above it, with help and type.
#[track_caller]
fn samples(text: &str, open_metrics: bool) -> BTreeSet<String> {
    let (mut family, mut kind, mut helped) = (String::new(), String::new(), BTreeSet::new());
    let (mut families, mut series, mut ended) = (BTreeSet::new(), BTreeSet::new(), false);
    for line in text.lines() {
        assert!(!ended, "nothing follows the end: {line}");
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words[..] {
            ["#", "EOF"] => ended = true,
            ["#", "HELP", name, help] if !help.is_empty() => drop(helped.insert(name.to_owned())),
            ["#", "TYPE", name, of @ ("counter" | "gauge")] => {
                (family, kind) = (name.to_owned(), of.to_owned());
                assert!(helped.contains(name) && families.insert(name.to_owned()), "{line}");
                assert_eq!(name.ends_with("_total"), of == "counter" && !open_metrics, "{line}");
            }
            _ => {
                let (name, value) = line.rsplit_once(' ').expect("a sample");
                let metric = name.split('{').next().unwrap_or_default();
                let suffix = if kind == "counter" && open_metrics { "_total" } else { "" };
                assert_eq!(metric, format!("{family}{suffix}"), "{line}");
                assert!(value.parse::<f64>().is_ok_and(f64::is_finite), "{line}");
                assert!(series.insert(name.to_owned()), "twice: {line}");
            }
        }
    }
    assert_eq!(ended, open_metrics);
    series
}

#[test]
fn each_client_gets_the_format_it_prefers() {
    let served = Served::start();
    // A refusal, so that the families of requests have rows.
    served.get("/nowhere", "");
    let mut all = Vec::new();
    for (accept, content_type, open_metrics) in [
        ("", "text/plain; version=0.0.4; charset=utf-8", false),
        ("accept: */*\r\n", "text/plain; version=0.0.4; charset=utf-8", false),
        ("accept: text/plain;version=0.0.4\r\n", "text/plain; version=0.0.4; charset=utf-8", false),
        (OPEN_METRICS, "application/openmetrics-text; version=1.0.0; charset=utf-8", true),
    ] {
        let reply = served.get(METRICS, accept);
        assert!(reply.head.contains(&format!("content-type: {content_type}")), "{accept}: {}", reply.head);
        assert!(reply.head.contains("vary: accept"), "{}", reply.head);
        all.push(samples(&reply.body, open_metrics));
    }
    assert!(all[0].iter().any(|name| name.starts_with("townlet_http_requests_total{")), "{:?}", all[0]);
    let names = |series: &BTreeSet<String>| -> BTreeSet<String> {
        series.iter().filter_map(|name| name.split('{').next()).map(str::to_owned).collect()
    };
    assert_eq!(names(&all[0]), names(&all[3]), "both formats have the same metrics");
    promtool_accepts(&served.get(METRICS, "").body, &served.get(METRICS, OPEN_METRICS).body);
}

/// `promtool` lints the text format, and reads `OpenMetrics` into blocks, for which each sample needs a time.
fn promtool_accepts(text: &str, open_metrics: &str) {
    let folder = temp_home();
    let timed = open_metrics.lines().map(|line| {
        let time = if line.starts_with('#') { "" } else { " 1700000000" };
        format!("{line}{time}\n")
    });
    let file = folder.path().join("metrics.txt");
    std::fs::write(&file, timed.collect::<String>()).expect("a file");
    let file = file.to_str().expect("UTF-8");
    let blocks = folder.path().join("blocks").to_str().expect("UTF-8").to_owned();
    for (arguments, input) in
        [(&["check", "metrics"][..], text), (&["tsdb", "create-blocks-from", "openmetrics", file, &blocks], "")]
    {
        let started = Command::new("promtool")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        // Not installed everywhere; the parser above runs in any case.
        if let Ok(mut child) = started {
            child.stdin.take().expect("its input").write_all(input.as_bytes()).expect("it reads");
            let output = child.wait_with_output().expect("its status");
            assert!(output.status.success(), "promtool {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
}
