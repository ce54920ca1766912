//! `ailurus-node check-config`: the settings, and whether the node would start with them.

use std::collections::BTreeMap;

use ailurus_node::{Checked, Config, Finding, Severity, check};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    exit::Failure,
    settings::Settings,
    text::{self, Style},
};

/// Prints the settings; fails if the node would not start.
pub fn run(settings: Settings, json: bool) -> Result<(), Failure> {
    let config = settings.config()?;
    let checked = check(&config);
    if json {
        text::json(&Report::of(&config, &checked))?;
    } else {
        text::print(&table(&config, &checked, Style::of_stdout()))?;
    }
    for finding in &checked.findings {
        tell(finding);
    }
    match checked
        .findings
        .iter()
        .filter(|f| f.severity == Severity::Error)
        .count()
    {
        0 => Ok(()),
        1 => Err(Failure::usage(
            "the node would not start: correct the error above",
        )),
        errors => Err(Failure::usage(format!(
            "the node would not start: correct the {errors} errors above"
        ))),
    }
}

#[derive(Serialize)]
struct Report {
    ok: bool,
    running: bool,
    disk_free_bytes: Option<u64>,
    settings: Map<String, Value>,
    findings: Vec<FindingRecord>,
}

#[derive(Serialize)]
struct FindingRecord {
    key: &'static str,
    severity: &'static str,
    text: String,
}

impl Report {
    fn of(config: &Config, checked: &Checked) -> Self {
        Self {
            ok: checked.is_ok(),
            running: checked.running,
            disk_free_bytes: checked.disk_free,
            settings: effective(config),
            findings: checked
                .findings
                .iter()
                .map(|finding| FindingRecord {
                    key: finding.key,
                    severity: severity(finding.severity),
                    text: finding.text.clone(),
                })
                .collect(),
        }
    }
}

/// The settings as the file would say them.
fn effective(config: &Config) -> Map<String, Value> {
    let text = |value: &dyn ToString| Value::String(value.to_string());
    let advertise = config.advertise.as_ref().map(|(host, port)| {
        let bracketed = host.contains(':');
        Value::String(if bracketed {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        })
    });
    let mut settings = Map::new();
    settings.insert("data".into(), text(&config.data.display()));
    settings.insert("listen".into(), text(&config.listen));
    settings.insert("advertise".into(), advertise.unwrap_or(Value::Null));
    let metrics = config.metrics.map(|addr| text(&addr));
    settings.insert("metrics".into(), metrics.unwrap_or(Value::Null));
    settings.insert("dht".into(), text(&config.dht));
    // Numbers and names: this cannot fail.
    let limits = serde_json::to_value(&config.limits).unwrap_or(Value::Null);
    settings.insert("limits".into(), limits);
    settings
}

fn table(config: &Config, checked: &Checked, style: Style) -> String {
    let remarks = remarks(checked);
    let mut rows: Vec<[String; 3]> = Vec::new();
    let mut row = |key: &str, name: &str, value: &Value| {
        let value = match value {
            Value::Null => "off".to_owned(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let remark = remarks.get(key).map_or("", |remark| *remark);
        rows.push([name.to_owned(), value, remark.to_owned()]);
    };
    let settings = effective(config);
    for (name, value) in &settings {
        let Value::Object(limits) = value else {
            row(name, name, value);
            continue;
        };
        for (limit, value) in limits {
            let key = format!("{name}.{limit}");
            row(&key, &key, value);
        }
    }
    let mut out = text::columns(&rows);
    if checked.running {
        out.push_str("\nA node runs with this directory, so its ports were not tried.\n");
    }
    if checked.is_ok() {
        let would = style.green("✓");
        out.push_str(&format!(
            "\n{would} the node would start with these settings\n"
        ));
    }
    out
}

/// A mark at each setting that something is to be said of.
fn remarks(checked: &Checked) -> BTreeMap<&'static str, &'static str> {
    let mut remarks = BTreeMap::new();
    // The worst come first.
    for finding in &checked.findings {
        remarks
            .entry(finding.key)
            .or_insert(match finding.severity {
                Severity::Error => "✗",
                Severity::Warning => "!",
            });
    }
    remarks
}

fn tell(finding: &Finding) {
    let style = Style::of_stderr();
    let word = severity(finding.severity);
    let word = match finding.severity {
        Severity::Error => style.red(word),
        Severity::Warning => style.yellow(word),
    };
    text::note(&format!("{word}: {}: {}", finding.key, finding.text));
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}
