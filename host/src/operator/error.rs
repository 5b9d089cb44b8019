//! Failures of plugins: one kind for a plugin that cannot be taken on, one for a call that went
//! wrong (the row is isolated), one that stops the pipeline.

use std::time::Duration;

/// Why a file is not taken on as a plugin. Nothing that runs is changed by it.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Larger than the setting allows.
    #[error("{bytes} bytes; a plugin may have {limit} (`plugins.max_component_bytes`)")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The setting.
        limit: u64,
    },
    /// Machine code, which the host would have to trust.
    #[error(
        "compiled machine code (`.cwasm`) is never loaded from a plugin folder, as it could do anything; put the `.wasm` component here"
    )]
    Precompiled,
    /// A core module.
    #[error("a core WebAssembly module, not a component; build it for the target wasm32-wasip2")]
    CoreModule,
    /// Something else.
    #[error("not a WebAssembly component: it begins with {0}")]
    NotWasm(String),
    /// The compiler refused it.
    #[error("not a valid component: {0}")]
    Invalid(String),
    /// It imports something that plugins do not get.
    #[error("imports `{interface}`: {why}")]
    Import {
        /// Interface as the component names it.
        interface: String,
        /// Why it is not linked.
        why: String,
    },
    /// Its imports or exports do not have the types of the contract.
    #[error("does not fit the contract millstream:operator@1.0.0: {0}")]
    Contract(String),
    /// `describe` failed.
    #[error("`describe` failed: {0}")]
    Describe(Fault),
    /// What `describe` said makes no sense.
    #[error("its description is refused: {0}")]
    Description(String),
}

/// What went wrong in a call of a plugin.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It did not come back in time.
    #[error("deadline of {} exceeded", seconds(*.0))]
    Deadline(Duration),
    /// It asked for more memory than it may have.
    #[error("memory limit of {} exceeded", mebibytes(*.0))]
    Memory(usize),
    /// It panicked.
    #[error("panic: {0}")]
    Panic(String),
    /// It trapped for another reason.
    #[error("trap: {0}")]
    Trap(String),
    /// The answer is larger than it may be.
    #[error("answer refused: more than {}", mebibytes(*.0))]
    AnswerTooLarge(usize),
    /// The answer is not what the contract says.
    #[error("answer refused: {0}")]
    Answer(String),
    /// The call returned an error of code 1, or of a code that this host does not know.
    #[error("{0}")]
    Rejected(String),
    /// The call returned an error of code 2.
    #[error("{0}")]
    Retry(String),
    /// The call returned an error of code 3.
    #[error("{0}")]
    Fatal(String),
    /// `open` returned an error.
    #[error("`open` refused its configuration: {0}")]
    Configuration(String),
    /// It could not be called at all.
    #[error("{0}")]
    Host(String),
}

/// An operator cannot be built, changed or gone on with.
#[derive(Debug, thiserror::Error)]
#[error("operator `{operator}` ({plugin}): {message}")]
pub struct Failure {
    /// Name in the pipeline.
    pub operator: String,
    /// Name, version and short SHA-256 of the plugin.
    pub plugin: String,
    /// What happened, and what to do.
    pub message: String,
}

/// Longest message in bytes that is taken over from a plugin.
const MAX_MESSAGE: usize = 500;

/// A plugin's text as one bounded line.
pub(super) fn one_line(text: &str) -> String {
    let bounded = text.get(..text.floor_char_boundary(MAX_MESSAGE)).unwrap_or(text);
    bounded.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn seconds(d: Duration) -> String {
    if d.subsec_millis() == 0 { format!("{} s", d.as_secs()) } else { format!("{} ms", d.as_millis()) }
}

fn mebibytes(bytes: usize) -> String {
    const MIB: usize = 1 << 20;
    if bytes >= MIB && bytes.is_multiple_of(MIB) { format!("{} MiB", bytes / MIB) } else { format!("{bytes} bytes") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_cut_at_a_character() {
        let cut = one_line(&"ä".repeat(400));
        assert!(cut.len() <= MAX_MESSAGE && cut.len() > MAX_MESSAGE - 2, "{}", cut.len());
    }

    #[test]
    fn limits_are_said_in_their_units() {
        assert_eq!(Fault::Deadline(Duration::from_secs(1)).to_string(), "deadline of 1 s exceeded");
        assert_eq!(Fault::Deadline(Duration::from_millis(250)).to_string(), "deadline of 250 ms exceeded");
        assert_eq!(Fault::Memory(64 << 20).to_string(), "memory limit of 64 MiB exceeded");
        assert_eq!(Fault::Memory(100).to_string(), "memory limit of 100 bytes exceeded");
    }
}
