//! `ailurus-node check-config`: the settings, and whether the node would start with them.

use std::collections::BTreeMap;

use ailurus_node::{Checked, Config, Finding, Severity, check};
use serde::Serialize;
use serde_json::Value;

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
    settings: Value,
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
            settings: effective(config)
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
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

/// The settings as the file would say them, in its order.
fn effective(config: &Config) -> Vec<(&'static str, Value)> {
    let text = |value: &dyn ToString| Value::String(value.to_string());
    let advertise = config.advertise.as_ref().map(|(host, port)| {
        let host = if host.contains(':') {
            format!("[{host}]")
        } else {
            host.clone()
        };
        Value::String(format!("{host}:{port}"))
    });
    vec![
        ("data", text(&config.data.display())),
        ("listen", text(&config.listen)),
        ("advertise", advertise.unwrap_or(Value::Null)),
        (
            "metrics",
            config.metrics.map_or(Value::Null, |addr| text(&addr)),
        ),
        ("dht", text(&config.dht)),
        // Numbers only: this cannot fail.
        (
            "limits",
            serde_json::to_value(&config.limits).unwrap_or(Value::Null),
        ),
    ]
}

fn table(config: &Config, checked: &Checked, style: Style) -> String {
    let remarks = remarks(checked);
    let mut rows: Vec<[String; 3]> = Vec::new();
    let mut row = |key: &str, value: &Value| {
        let value = match value {
            Value::Null => "-".to_owned(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let remark = remarks.get(key).map_or("", |remark| *remark);
        rows.push([key.to_owned(), value, remark.to_owned()]);
    };
    for (name, value) in effective(config) {
        let Value::Object(limits) = value else {
            row(name, &value);
            continue;
        };
        for (limit, value) in &limits {
            row(&format!("{name}.{limit}"), value);
        }
    }
    let mut out = text::columns(&rows);
    if checked.running {
        out.push_str("\nA node runs with this directory, so its ports were not tried.\n");
    }
    if checked.is_ok() {
        let mark = style.green("✓");
        out.push_str(&format!(
            "\n{mark} the node would start with these settings\n"
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
