//! What operators are given fits together: alerts, dashboard, metrics, runbook.

use std::{collections::BTreeSet, fs, path::Path};

use creditgate::telemetry::names::METRICS;
use serde_json::Value;

/// A file of `deploy/`.
fn deployed(path: &str) -> String {
    fs::read_to_string(Path::new("deploy").join(path)).unwrap()
}

fn yaml(text: &str) -> Value {
    serde_norway::from_str(text).unwrap()
}

/// All metrics of this service that a text names.
fn named(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("creditgate_") || word.starts_with("process_"))
        .collect()
}

/// Those of them that do not exist.
fn unknown(text: &str) -> Vec<&str> {
    let exists = |name: &str| {
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        METRICS.iter().any(|metric| metric.name == name || Some(metric.name) == base)
    };
    named(text).into_iter().filter(|name| !exists(name)).collect()
}

#[test]
fn an_alert_and_a_panel_ask_for_metrics_that_exist() {
    let dashboard: Value = serde_json::from_str(&deployed("grafana/creditgate.json")).unwrap();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            let asked = target["expr"].as_str().unwrap();
            assert_eq!(unknown(asked), Vec::<&str>::new(), "{asked}");
        }
    }
    assert_eq!(unknown(&deployed("prometheus/alerts.yaml")), Vec::<&str>::new());
    assert_eq!(unknown("rate(creditgate_nothing_total[1m])"), ["creditgate_nothing_total"]);
}

#[test]
fn each_alert_is_tried_and_has_its_paragraph_in_the_runbook() {
    let runbook = deployed("RUNBOOK.md");
    let tries = ["prometheus/alerts_test.yaml", "prometheus/alerts_week_test.yaml"].map(deployed);
    let tried: BTreeSet<String> = tries
        .iter()
        .flat_map(|text| yaml(text)["tests"].as_array().unwrap().clone())
        .map(|test| test["name"].as_str().unwrap().to_owned())
        .collect();
    let alerts = yaml(&deployed("prometheus/alerts.yaml"));
    let rules = alerts["groups"][0]["rules"].as_array().unwrap();
    assert!(rules.len() >= 18, "{}", rules.len());
    for rule in rules {
        let name = rule["alert"].as_str().unwrap();
        let paragraph = format!("\n## {}\n", rule["annotations"]["runbook"].as_str().unwrap());
        assert!(runbook.contains(&paragraph), "{name}: there is no{paragraph}");
        assert!(tried.contains(name), "{name} is tried by no test");
        let severity = rule["labels"]["severity"].as_str().unwrap();
        assert!(["page", "ticket"].contains(&severity), "{name}: {severity}");
    }
}

/// What would break the release before, which runs beside this one while an upgrade
/// rolls: its statements name these columns, and write rows without the new ones.
fn breaks_the_release_before(statement: &str) -> Option<&'static str> {
    let words = statement.to_ascii_uppercase();
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    if !words.starts_with("ALTER TABLE") {
        let drops = words.starts_with("DROP TABLE") || words.starts_with("DROP SCHEMA");
        return drops.then_some("it drops a table");
    }
    let parts: Vec<&str> = words.split(", ADD ").collect();
    let needs = |part: &&str| {
        part.contains("COLUMN") && part.contains("NOT NULL") && !part.contains("DEFAULT")
    };
    [
        (words.contains("DROP COLUMN"), "it drops a column"),
        (words.contains(" RENAME "), "it renames"),
        (words.contains("ALTER COLUMN") && words.contains(" TYPE "), "it changes a type"),
        (words.contains("SET NOT NULL"), "rows that the release before writes lack the column"),
        (parts.iter().any(needs), "the release before writes no such column"),
    ]
    .into_iter()
    .find_map(|(breaks, why)| breaks.then_some(why))
}

#[test]
fn a_migration_only_expands_the_schema() {
    for (statement, breaks) in [
        ("ALTER TABLE lots ADD COLUMN a uuid", false),
        ("ALTER TABLE lots ADD COLUMN a text NOT NULL DEFAULT ''", false),
        ("ALTER TABLE lots ADD COLUMN a text NOT NULL", true),
        ("ALTER TABLE lots ADD COLUMN a text DEFAULT '', ADD COLUMN b text NOT NULL", true),
        ("ALTER TABLE lots DROP COLUMN a", true),
        ("alter table lots\n  rename column a to b", true),
        ("ALTER TABLE lots ALTER COLUMN a TYPE bigint", true),
        ("ALTER TABLE lots ALTER COLUMN a SET NOT NULL", true),
        ("DROP TABLE lots", true),
        ("CREATE TABLE drop_table (a text NOT NULL)", false),
    ] {
        assert_eq!(breaks_the_release_before(statement).is_some(), breaks, "{statement}");
    }
    for room in ["migrations/public", "migrations/cell"] {
        for file in fs::read_dir(room).unwrap() {
            let path = file.unwrap().path();
            let text = fs::read_to_string(&path).unwrap();
            let code = text.lines().filter(|line| !line.trim_start().starts_with("--"));
            for statement in code.collect::<Vec<_>>().join("\n").split(';') {
                let why = breaks_the_release_before(statement.trim());
                assert_eq!(why, None, "{}: {statement}", path.display());
            }
        }
    }
}
