//! The component's side: bindings of the contract, and the glue that `#[operator]` puts into a
//! plugin's crate. Compiled for WebAssembly only; natively an operator is an ordinary type.

// Generated code: the calls of the component model are C functions over raw memory.
#![allow(unsafe_code, missing_docs, unused_qualifications)]

use crate::context::{Host, Level};
use crate::plugin::Runner;
use crate::row::Field;

wit_bindgen::generate!({
    path: "../wit",
    world: "operator",
    pub_export_macro: true,
    export_macro_name: "__export_component",
    default_bindings_module: "millstream_sdk::export",
});

pub use exports::millstream::operator::guest::Guest;
use exports::millstream::operator::guest::{self as wit};
use millstream::operator::log;

/// The imports of a plugin.
#[derive(Clone, Copy, Debug)]
pub struct Imports;

impl Host for Imports {
    fn log(&self, level: Level, message: &str) {
        log::write(level as u32, message);
    }
}

/// The description of a plugin in the contract's words.
pub fn describe<R: Runner>() -> wit::Description {
    let description = R::describe();
    wit::Description {
        name: description.name.into(),
        version: description.version.into(),
        batch_format: description.batch_format,
        inputs: description.inputs.iter().map(field).collect(),
        outputs: description
            .outputs
            .into_iter()
            .map(|port| wit::Port { name: port.name.into(), fields: port.fields.iter().map(field).collect() })
            .collect(),
        state: description.state.map(|state| wit::State {
            version: state.version,
            ttl_ms: state.ttl_ms,
            fixed_size: state.fixed_size,
        }),
        timers: false,
        counters: description.counters.iter().map(|name| (*name).into()).collect(),
        capabilities: description.capabilities.iter().map(|name| (*name).into()).collect(),
    }
}

fn field(field: &Field) -> wit::Field {
    wit::Field { name: field.name.into(), data_type: field.data_type.to_string(), nullable: field.nullable }
}

/// An error of an operator in the contract's words.
pub fn error(error: crate::Error) -> millstream::operator::types::Error {
    millstream::operator::types::Error { code: error.kind() as u32, message: error.message().into() }
}

/// Opens an operator from the contract's configuration.
pub fn open<R: Runner>(config: Vec<(String, String)>) -> Result<R, millstream::operator::types::Error> {
    R::open(&crate::Config::new(config)).map_err(error)
}

/// Runs one batch.
pub fn process<R: Runner>(runner: Option<&mut R>, batch: &[u8]) -> Result<Vec<u8>, millstream::operator::types::Error> {
    match runner {
        Some(runner) => runner.process(batch, &Imports).map_err(error),
        None => Err(error(crate::Error::fatal("`process` was called before `open`"))),
    }
}

/// Exports an operator as the component's `guest` interface. Called by `#[operator]`.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_plugin {
    ($operator:ty) => {
        #[allow(unsafe_code)]
        mod __millstream_component {
            use super::*;
            use ::millstream_sdk::export as __sdk;

            type Runner = <$operator as ::millstream_sdk::plugin::Plugin>::Runner;

            ::std::thread_local! {
                // A component is single-threaded and holds one operator.
                static RUNNER: ::core::cell::RefCell<::core::option::Option<Runner>> =
                    const { ::core::cell::RefCell::new(::core::option::Option::None) };
            }

            struct Component;

            impl __sdk::Guest for Component {
                fn describe() -> __sdk::exports::millstream::operator::guest::Description {
                    __sdk::describe::<Runner>()
                }

                fn open(
                    config: ::std::vec::Vec<(::std::string::String, ::std::string::String)>,
                ) -> ::core::result::Result<(), __sdk::millstream::operator::types::Error> {
                    let runner = __sdk::open::<Runner>(config)?;
                    RUNNER.with_borrow_mut(|slot| *slot = ::core::option::Option::Some(runner));
                    ::core::result::Result::Ok(())
                }

                fn process(
                    batch: ::std::vec::Vec<u8>,
                ) -> ::core::result::Result<::std::vec::Vec<u8>, __sdk::millstream::operator::types::Error> {
                    RUNNER.with_borrow_mut(|slot| __sdk::process(slot.as_mut(), &batch))
                }
            }

            ::millstream_sdk::export::__export_component!(Component with_types_in ::millstream_sdk::export);
        }
    };
}
