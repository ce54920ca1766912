//! What is shipped beside the program: that it fits the program, and passes the checks of what reads it.

use std::{collections::BTreeSet, fs, process::Command};

use crate::{
    common::daemon::{Daemon, free_address, http, needs, temp},
    run,
};

/// Names in a text that begin as our metrics do.
fn metric_names(text: &str) -> BTreeSet<String> {
    let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    let names = text
        .split(word)
        .filter(|word| word.starts_with("ailurus_node_"));
    names.map(str::to_owned).collect()
}

#[test]
fn dashboard_and_alerts_query_metrics_that_there_are() {
    let dir = temp();
    let address = free_address();
    let _daemon = Daemon::start(dir.path(), &["--metrics", &address.to_string()]);
    let (status, exported) = http(address, "/metrics");
    assert_eq!(status, 200);
    let exported = metric_names(&exported);

    let dashboard = include_str!("../../packaging/grafana-dashboard.json");
    let dashboard: serde_json::Value = serde_json::from_str(dashboard).expect("JSON");
    let mut queried = BTreeSet::new();
    for panel in dashboard["panels"].as_array().expect("panels") {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let query = target["expr"].as_str().expect("a query");
            let names = metric_names(query);
            assert!(!names.is_empty(), "{query}");
            queried.extend(names);
        }
    }
    assert!(queried.len() >= 15, "{queried:?}");
    let alerts = metric_names(include_str!("../../packaging/prometheus-alerts.yml"));
    assert!(!alerts.is_empty());
    let guide = metric_names(include_str!("../../../docs/OPERATING.md"));
    for name in queried.iter().chain(&alerts).chain(&guide) {
        assert!(exported.contains(name), "{name} is not exported");
    }
}

#[test]
fn the_systemd_unit_passes_systemds_own_check() {
    if Command::new("systemd-analyze")
        .arg("--version")
        .output()
        .is_err()
    {
        return needs("systemd-analyze");
    }
    let dir = temp();
    let unit = include_str!("../../packaging/ailurus-node.service");
    assert_eq!(unit.matches("/usr/local/bin/ailurus-node").count(), 2);
    // The check looks for the programs that the unit names.
    let unit = unit.replace(
        "/usr/local/bin/ailurus-node",
        env!("CARGO_BIN_EXE_ailurus-node"),
    );
    let path = dir.path().join("ailurus-node.service");
    fs::write(&path, unit).expect("written");
    let mut verify = Command::new("systemd-analyze");
    verify.arg("verify").arg(&path);
    let (code, out, error) = run(verify);
    assert_eq!((code, out.as_str(), error.as_str()), (Some(0), "", ""));
}

#[test]
fn the_container_names_files_and_settings_that_there_are() {
    let dockerfile = include_str!("../../packaging/Dockerfile");
    let dir = temp();
    // What it copies and how it starts the node; no daemon is here to build it.
    assert!(dockerfile.contains("COPY node/packaging/docker.toml /etc/ailurus-node.toml"));
    assert!(dockerfile.contains("USER ailurus-node") && dockerfile.contains("/health"));
    let config = include_str!("../../packaging/docker.toml");
    assert!(
        config.contains("metrics = \"127.0.0.1:9464\"")
            && dockerfile.contains("127.0.0.1:9464/health")
    );
    let data = format!("{:?}", dir.path().join("node"));
    let config = config
        .replace("\"/var/lib/ailurus-node\"", &data)
        .replace(":9464", ":0")
        .replace(":4433", ":0");
    let path = dir.path().join("docker.toml");
    fs::write(&path, config).expect("written");
    let mut check = Command::new(env!("CARGO_BIN_EXE_ailurus-node"));
    check.arg("check-config").env("AILURUS_NODE_CONFIG", &path);
    check.args(["--advertise", "chat.example.org:4433"]);
    let (code, out, error) = run(check);
    assert_eq!(code, Some(0), "{error}");
    assert!(
        out.contains("127.0.0.1:0"),
        "the file of the environment is read: {out}"
    );
}
