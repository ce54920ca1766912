//! How clients are woken by push.

use super::Checked;
use crate::config::{Push, PushConfigError};

pub(super) fn check(push: &Push, checked: &mut Checked) {
    match push.check() {
        Ok(_) => {}
        Err(error @ PushConfigError::Contact(_)) => checked.error("push.contact", error),
        Err(error @ PushConfigError::Gateway(_)) => checked.error("push.gateway", error),
    }
    if push.requests_per_second_per_host == 0 {
        checked.warn(
            "push.requests_per_second_per_host",
            "0 counts as 1; set push.enabled to false to send none",
        );
    }
    if push.test_loopback {
        checked.warn(
            "push.test_loopback",
            "clients can make the node send requests to services of its own machine; leave it to tests",
        );
    }
    if push.test_ca.is_some() {
        checked.warn(
            "push.test_ca",
            "whoever has the key of this certificate can pose as a push service; leave it to tests",
        );
    }
    if !push.test_hosts.is_empty() {
        checked.warn(
            "push.test_hosts",
            "these names lead elsewhere than the rest of the world sees; leave it to tests",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        Severity,
        tests::{config, keys},
    };

    #[test]
    fn what_is_wrong_with_push_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut config = config(dir.path());
        config.push.contact = Some("mailto:operator@example.org".to_owned());
        config.push.gateway = Some("https://push.example.org/wake".to_owned());
        assert_eq!(keys(&config, Severity::Error), Vec::<&str>::new());
        for wrong in [
            "http://push.example.org",
            "push.example.org",
            "https://",
            "ftp://x",
        ] {
            config.push.gateway = Some(wrong.to_owned());
            assert_eq!(keys(&config, Severity::Error), ["push.gateway"], "{wrong}");
        }
        config.push.gateway = None;
        config.push.contact = Some("operator@example.org".to_owned());
        assert_eq!(keys(&config, Severity::Error), ["push.contact"]);
        config.push.contact = None;
        config.push.test_loopback = true;
        config.push.requests_per_second_per_host = 0;
        assert_eq!(
            keys(&config, Severity::Warning),
            ["push.requests_per_second_per_host", "push.test_loopback"]
        );
    }
}
