//! Whether a node would start with a configuration, and what its operator should know of it.

mod addresses;
mod limits;
mod push;

use std::{fmt, fs, io, path::Path};

use crate::{config::Config, identity::Files};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The node works, though perhaps not as meant.
    Warning,
    /// The node would not start, or would serve nobody.
    Error,
}

/// Something about a setting that its operator should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The key as it is called in the file, such as `limits.bytes`.
    pub key: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// One sentence that says what to do.
    pub text: String,
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// The worst first.
    pub findings: Vec<Finding>,
    /// A node runs with this data directory now, so its ports were not tried.
    pub running: bool,
    /// Bytes that this user may still write on the disk of the data directory, if the system says.
    pub disk_free: Option<u64>,
}

impl Checked {
    /// Whether the node would start.
    pub fn is_ok(&self) -> bool {
        self.findings
            .iter()
            .all(|finding| finding.severity != Severity::Error)
    }

    fn error(&mut self, key: &'static str, text: impl fmt::Display) {
        self.add(key, Severity::Error, text);
    }

    fn warn(&mut self, key: &'static str, text: impl fmt::Display) {
        self.add(key, Severity::Warning, text);
    }

    fn add(&mut self, key: &'static str, severity: Severity, text: impl fmt::Display) {
        self.findings.push(Finding {
            key,
            severity,
            text: text.to_string(),
        });
    }
}

/// Looks at every setting, at the data directory and whether the ports are free. Changes nothing: a directory that is
/// not there yet is not made.
pub fn check(config: &Config) -> Checked {
    let mut checked = Checked {
        running: Files(&config.data).in_use(),
        disk_free: disk_free(&config.data),
        ..Checked::default()
    };
    check_data(config, &mut checked);
    addresses::check(config, &mut checked);
    limits::check(&config.limits, &mut checked);
    push::check(&config.push, &mut checked);
    check_disk(config, &mut checked);
    checked
        .findings
        .sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    checked
}

/// Bytes that this user may still write beside `path`, which need not exist yet.
pub(crate) fn disk_free(path: &Path) -> Option<u64> {
    let there = path.ancestors().find(|path| path.exists());
    let there = there.unwrap_or_else(|| Path::new("."));
    let found = rustix::fs::statvfs(there).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

fn check_data(config: &Config, checked: &mut Checked) {
    let dir = &config.data;
    let shown = dir.display();
    if !dir.exists() {
        // Made at the first start, if the nearest directory that is there lets us.
        let parent = dir.ancestors().skip(1).find(|path| path.exists());
        let parent = parent.filter(|path| !path.as_os_str().is_empty());
        let parent = parent.unwrap_or_else(|| Path::new("."));
        if let Err(error) = writable(parent) {
            checked.error(
                "data",
                format_args!(
                    "{shown} cannot be made in {}: {error}; make it and give it to the node's user",
                    parent.display()
                ),
            );
        }
        return;
    }
    if !dir.is_dir() {
        checked.error(
            "data",
            format_args!("{shown} is no directory; choose another path"),
        );
        return;
    }
    if let Err(error) = writable(dir) {
        checked.error(
            "data",
            format_args!("{shown} cannot be written: {error}; give it to the node's user"),
        );
    }
    let files = Files(dir);
    match files.key() {
        Ok(Some(_)) => {}
        Ok(None) if files.database().exists() => checked.warn(
            "data",
            format_args!(
                "{shown} holds a database and no node key, so the node would get a new identity; restore its backup \
                 if it had another"
            ),
        ),
        Ok(None) => {}
        Err(error) => checked.error("data", error),
    }
    if let Err(error) = files.port() {
        checked.error("data", error);
    }
}

fn check_disk(config: &Config, checked: &mut Checked) {
    let Some(free) = checked.disk_free else {
        return;
    };
    let used = fs::metadata(Files(&config.data).database()).map_or(0, |found| found.len());
    let room = free.saturating_add(used);
    // The database is larger than what it keeps by about a third.
    let needed = config.limits.bytes.saturating_add(config.limits.bytes / 3);
    if room < needed {
        checked.warn(
            "limits.bytes",
            format_args!(
                "the database may grow to about {} MiB and has room for {} MiB; lower limits.bytes to {} or get a \
                 larger disk",
                needed >> 20,
                room >> 20,
                room / 4 * 3
            ),
        );
    }
}

/// Makes a file and takes it away again, which is the only test that file systems agree on.
fn writable(dir: &Path) -> io::Result<()> {
    let probe = dir.join(format!(".ailurus-node-check-{}", std::process::id()));
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&probe)?;
    fs::remove_file(&probe)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A configuration without fault, whose directory is not there yet.
    pub(super) fn config(dir: &Path) -> Config {
        let mut config = Config::new(dir.join("node"), "127.0.0.1:0".parse().expect("an address"));
        config.advertise = Some(("chat.example.org".to_owned(), 4433));
        // Whatever the disk of this machine is.
        config.limits.bytes = 1 << 20;
        config.limits.bytes_per_address = 1 << 20;
        config
    }

    pub(super) fn keys(config: &Config, severity: Severity) -> Vec<&'static str> {
        let findings = check(config).findings;
        let found = findings.iter().filter(|f| f.severity == severity);
        found.map(|finding| finding.key).collect()
    }

    #[test]
    fn a_plain_configuration_is_fine_and_nothing_is_made() {
        let dir = tempfile::tempdir().expect("a directory");
        let checked = check(&config(dir.path()));
        assert_eq!(checked.findings, []);
        assert!(checked.is_ok() && !checked.running);
        assert_eq!(fs::read_dir(dir.path()).expect("read").count(), 0);
    }
}
