//! One instance of a plugin in a store of its own, and the calls into it.
//!
//! Every call has a deadline; every store has bounds on memory, handles and the bytes that may
//! cross to the host. After a trap a store is dead and is thrown away by whoever owns it.

use std::time::Duration;

use wasmtime::component::{ComponentExportIndex, Func};
use wasmtime::{Store, Trap};
use wasmtime_wasi::I32Exit;

use super::Limits;
use super::bindings::{Error, Operator, OperatorPre, guest};
use super::engine::{Engine, TICK};
use super::error::{Fault, LoadError, one_line};
use super::host::{Host, Logger, MemoryLimit};
use super::plugin::Plugin;

/// Resource handles inside one component: standard streams and little else.
const MAX_COMPONENT_HANDLES: usize = 1024;
/// What crosses beside an answer: an error's message, a log line.
const CROSSING_BYTES: usize = 64 << 10;

/// A live instance.
pub(super) struct Instance {
    store: Store<Host>,
    operator: Operator,
    migrate: Option<Func>,
    limits: Limits,
}

impl Instance {
    /// Instantiates the plugin and calls `open`.
    pub(super) fn start(
        engine: &Engine,
        plugin: &Plugin,
        config: &[(String, String)],
        limits: &Limits,
        logger: Logger,
    ) -> Result<Self, Fault> {
        let mut instance = Self::new(engine, plugin.pre(), plugin.migrate(), limits, logger)?;
        instance.arm(limits.deadline);
        let config: Vec<(&str, &str)> = config.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        match instance.operator.millstream_operator_guest().call_open(&mut instance.store, &config) {
            Ok(Ok(())) => Ok(instance),
            Ok(Err(error)) => Err(Fault::Configuration(one_line(&error.message))),
            Err(error) => Err(instance.fault(&error, limits.deadline)),
        }
    }

    /// What a plugin says of itself, from an instance that is thrown away.
    pub(super) fn describe(
        engine: &Engine,
        pre: &OperatorPre<Host>,
        logger: Logger,
    ) -> Result<guest::Description, LoadError> {
        let limits = engine.limits();
        let mut instance = Self::new(engine, pre, None, limits, logger).map_err(LoadError::Describe)?;
        instance.arm(limits.deadline);
        let said = instance.operator.millstream_operator_guest().call_describe(&mut instance.store);
        said.map_err(|e| LoadError::Describe(instance.fault(&e, limits.deadline)))
    }

    fn new(
        engine: &Engine,
        pre: &OperatorPre<Host>,
        migrate: Option<&ComponentExportIndex>,
        limits: &Limits,
        logger: Logger,
    ) -> Result<Self, Fault> {
        let mut store = Store::new(engine.wasmtime(), Host::new(limits.memory_bytes, logger));
        store.limiter(|host| &mut host.limiter);
        store.set_max_component_handles(MAX_COMPONENT_HANDLES);
        store.set_hostcall_fuel(limits.max_answer_bytes.saturating_add(CROSSING_BYTES));
        // Instantiation may run code of the guest too.
        store.set_epoch_deadline(ticks(limits.deadline));
        let instantiated = (|| {
            let instance = pre.instance_pre().instantiate(&mut store)?;
            let operator = Operator::new(&mut store, &instance)?;
            let migrate = migrate.and_then(|index| instance.get_func(&mut store, index));
            Ok((operator, migrate))
        })();
        match instantiated {
            Ok((operator, migrate)) => Ok(Self { store, operator, migrate, limits: limits.clone() }),
            Err(error) => Err(fault(&store, limits, &error, limits.deadline)),
        }
    }

    /// One batch. `deadline` is at most the one of the limits.
    pub(super) fn process(&mut self, packed: &[u8], deadline: Duration) -> Result<Vec<u8>, Fault> {
        self.arm(deadline);
        match self.operator.millstream_operator_guest().call_process(&mut self.store, packed) {
            Ok(Ok(answer)) if answer.len() > self.limits.max_answer_bytes => {
                Err(Fault::AnswerTooLarge(self.limits.max_answer_bytes))
            }
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(returned(&error)),
            Err(error) => Err(self.fault(&error, deadline)),
        }
    }

    /// Carries a slot of an older state version over.
    pub(super) fn migrate(&mut self, from: u32, slot: &[u8]) -> Result<Vec<u8>, Fault> {
        let Some(migrate) = self.migrate else {
            return Err(Fault::Host(format!(
                "a slot has state version {from}, and the plugin does not export `migrate-state`"
            )));
        };
        self.arm(self.limits.deadline);
        let called = migrate
            .typed::<(u32, &[u8]), (Result<Vec<u8>, Error>,)>(&self.store)
            .and_then(|typed| typed.call(&mut self.store, (from, slot)));
        match called {
            Ok((Ok(slot),)) => Ok(slot),
            Ok((Err(error),)) => Err(Fault::Rejected(format!("state of version {from}: {}", one_line(&error.message)))),
            Err(error) => Err(self.fault(&error, self.limits.deadline)),
        }
    }

    /// Sets the time that the next calls see.
    pub(super) fn set_time(&self, processing_ms: i64, watermark_ms: i64) {
        self.store.data().set_time(processing_ms, watermark_ms);
    }

    /// Linear memory in bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.store.data().limiter.used()
    }

    fn arm(&mut self, deadline: Duration) {
        self.store.set_epoch_deadline(ticks(deadline));
    }

    fn fault(&self, error: &wasmtime::Error, deadline: Duration) -> Fault {
        fault(&self.store, &self.limits, error, deadline)
    }
}

/// Epochs from now until the deadline has surely passed: the current one is already under way.
fn ticks(deadline: Duration) -> u64 {
    u64::try_from(deadline.as_nanos().div_ceil(TICK.as_nanos())).unwrap_or(u64::MAX).saturating_add(1)
}

/// What an `error` of the contract means; codes that this host does not know count as 1.
fn returned(error: &Error) -> Fault {
    let message = one_line(&error.message);
    match error.code {
        2 => Fault::Retry(message),
        3 => Fault::Fatal(message),
        _ => Fault::Rejected(message),
    }
}

/// Why a call did not return.
fn fault(store: &Store<Host>, limits: &Limits, error: &wasmtime::Error, deadline: Duration) -> Fault {
    if let Some(MemoryLimit(limit)) = error.downcast_ref() {
        return Fault::Memory(*limit);
    }
    if error.downcast_ref::<I32Exit>().is_some() {
        return Fault::Trap("it called exit".into());
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => return Fault::Deadline(deadline),
        Some(Trap::UnreachableCodeReached) => {
            if let Some(text) = panic_text(&store.data().stderr()) {
                return Fault::Panic(text);
            }
        }
        Some(Trap::StackOverflow) => return Fault::Trap("stack overflow (endless recursion?)".into()),
        // The stack of a Rust guest lies at the bottom of its memory.
        Some(Trap::MemoryOutOfBounds) => {
            return Fault::Trap("memory access out of bounds (which is also how a stack overflow shows)".into());
        }
        _ => {}
    }
    let cause = error.root_cause().to_string();
    // wasmtime keeps the type of this error to itself.
    if cause.contains("fuel allocated for hostcalls") {
        return Fault::AnswerTooLarge(limits.max_answer_bytes);
    }
    Fault::Trap(one_line(&cause))
}

/// The last panic in the text of standard error, as one line: `message, at file:line:column`.
fn panic_text(stderr: &str) -> Option<String> {
    let (_, panic) = stderr.rsplit_once("panicked at ")?;
    let mut lines = panic.lines().take_while(|line| !line.starts_with("note: "));
    let place = lines.next().unwrap_or_default().trim_end_matches(':');
    let message = lines.collect::<Vec<_>>().join(" ");
    Some(one_line(&format!("{}, at {place}", message.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_one_line_with_message_and_place() {
        let stderr = "noise

thread '<unnamed>' (1) panicked at src/lib.rs:7:9:
no such
thing
note: run with
";
        assert_eq!(panic_text(stderr).as_deref(), Some("no such thing, at src/lib.rs:7:9"));
    }

    #[test]
    fn a_deadline_never_fires_early() {
        assert_eq!(ticks(Duration::from_millis(10)), 2);
        assert_eq!(ticks(Duration::from_millis(11)), 3);
        assert_eq!(ticks(Duration::from_secs(1)), 101);
    }
}
