//! Why a command failed, and the exit code that says so. The one place that maps errors to codes.

use std::fmt::{self, Display, Formatter};
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::app;
use crate::config::Errors;

/// The codes, for `--help`.
pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0  done; also after SIGINT or SIGTERM, once everything in flight is written
  1  the command failed while it ran
  2  the command line is wrong
  3  the pipeline file is wrong, or its check failed
  4  a plugin or a model was refused when it was loaded
  5  another host with the same identity has taken over";

/// Exit codes of the program; 0 is success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Code {
    /// It failed while it ran.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The pipeline file is wrong, or its check failed.
    Configuration = 3,
    /// A plugin or a model was refused when it was loaded.
    Refused = 4,
    /// Another host with the same identity has taken over.
    Fenced = 5,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}

/// Why a command failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The command line is wrong.
    Usage(String),
    /// The pipeline is wrong.
    Configuration(Errors),
    /// A plugin or a model was refused.
    Refused(String),
    /// It failed while it ran.
    Failed(String),
    /// Another host has taken over.
    Fenced(String),
    /// What was looked for was found, and the result has said so: a damaged file.
    Found,
}

impl Failure {
    pub(super) fn code(&self) -> Code {
        match self {
            Self::Usage(_) => Code::Usage,
            Self::Configuration(_) => Code::Configuration,
            Self::Refused(_) => Code::Refused,
            Self::Failed(_) => Code::Failed,
            Self::Fenced(_) => Code::Fenced,
            Self::Found => Code::Failed,
        }
    }

    /// For `--json`: always a list of errors, each with a message.
    pub(super) fn to_json(&self) -> Value {
        let errors = match self {
            Self::Configuration(errors) => json!(errors.errors),
            Self::Usage(m) | Self::Refused(m) | Self::Failed(m) | Self::Fenced(m) => {
                json!([{ "severity": "error", "message": m }])
            }
            Self::Found => json!([]),
        };
        json!({ "ok": false, "exit_code": self.code() as u8, "errors": errors })
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configuration(errors) => errors.fmt(f),
            Self::Usage(m) | Self::Refused(m) | Self::Failed(m) | Self::Fenced(m) => f.write_str(m),
            Self::Found => Ok(()),
        }
    }
}

impl From<Errors> for Failure {
    fn from(errors: Errors) -> Self {
        Self::Configuration(errors)
    }
}

impl From<app::Error> for Failure {
    fn from(error: app::Error) -> Self {
        match error {
            app::Error::Check(errors) => Self::Configuration(errors),
            app::Error::Refused(message) => Self::Refused(message),
            app::Error::Failed(message) => Self::Failed(message),
            app::Error::Fenced(message) => Self::Fenced(message),
        }
    }
}
