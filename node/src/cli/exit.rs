//! How a command ends.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use ailurus_node::{ConfigError, NodeError, OperatorError};

/// Why a command failed, and with which exit code.
pub struct Failure {
    message: String,
    code: u8,
}

impl Failure {
    /// Something went wrong.
    pub fn failed(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            code: 1,
        }
    }

    /// The command line or the configuration is wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            code: 2,
        }
    }

    /// A setting without which the command cannot do its work.
    pub fn missing(what: &str) -> Self {
        Self::usage(format!(
            "{what} is not given, neither here nor with --config FILE; see ailurus-node --help"
        ))
    }

    /// Says it on stderr.
    pub fn report(self) -> ExitCode {
        // Nobody is left to tell if stderr is closed.
        let _ = writeln!(io::stderr(), "ailurus-node: {}", self.message);
        ExitCode::from(self.code)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<NodeError> for Failure {
    fn from(error: NodeError) -> Self {
        let message = error.to_string();
        if error.is_usage() {
            Self::usage(message)
        } else {
            Self::failed(message)
        }
    }
}

impl From<OperatorError> for Failure {
    fn from(error: OperatorError) -> Self {
        let message = error.to_string();
        if error.is_usage() {
            Self::usage(message)
        } else {
            Self::failed(message)
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::failed(format!(
            "standard output failed ({error}); try again with another pipe or file"
        ))
    }
}
