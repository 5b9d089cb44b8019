//! The macros of `millstream-sdk`: `#[derive(Row)]`, `#[derive(State)]`, `#[derive(Ports)]` and
//! `#[operator]`. They are re-exported there, and documented there by example.
//!
//! The generated code names only `::millstream_sdk`, so that an operator's crate needs no other
//! dependency.

mod operator;
mod ports;
mod row;
mod state;

use proc_macro::TokenStream;
use syn::{DeriveInput, ItemImpl, parse_macro_input};

/// Reads and writes a struct as a row of a batch.
///
/// Field types: `bool`, `i32`, `i64`, `u32`, `u64`, `f32`, `f64`, `&str`, `String`, `&[u8]`,
/// `Vec<u8>`, `Floats` or `Vec<f32>` (a list of `f32`), `[f32; N]` (a list of exactly N), and
/// `Option` of each for a nullable column. The column has the name of the field.
///
/// Field attributes:
/// - `#[event_time]`: an `i64` column of type timestamp (milliseconds since the Unix epoch) that is
///   the event time of the row;
/// - `#[timestamp]`: an `i64` column of type timestamp; `#[date]`: an `i32` of days since the epoch;
/// - `#[column("name")]`: the column's name, where it differs from the field's.
#[proc_macro_derive(Row, attributes(event_time, timestamp, date, column))]
pub fn derive_row(input: TokenStream) -> TokenStream {
    expand(row::derive(&parse_macro_input!(input as DeriveInput)))
}

/// Keeps a struct as the state of a key.
///
/// `#[state(version = 1, ttl = "24h", migrate = path)]`, each optional: the layout's version (from
/// 1, raise it when the fields change), the time after the last write when the state expires (`ms`,
/// `s`, `m`, `h`, `d`), and a function `fn(from: u32, slot: &[u8]) -> Result<Self, StateError>`
/// that reads slots of other versions.
#[proc_macro_derive(State, attributes(state))]
pub fn derive_state(input: TokenStream) -> TokenStream {
    expand(state::derive(&parse_macro_input!(input as DeriveInput)))
}

/// Names the output ports of an operator: a struct whose fields are `Port<Row>`. The first one is
/// the main output, the others are side outputs, reachable in a pipeline as `operator.field`.
#[proc_macro_derive(Ports)]
pub fn derive_ports(input: TokenStream) -> TokenStream {
    expand(ports::derive(&parse_macro_input!(input as DeriveInput)))
}

/// Makes an `impl Operator for …` or `impl KeyedOperator for …` the plugin of its crate.
///
/// `#[operator(name = "…", version = "…", counters = ["large_amounts"])]`: name and version are
/// those of the crate unless given. Each counter becomes an associated constant
/// (`Self::LARGE_AMOUNTS`) for `Context::count`. Without an `open`, the operator starts from
/// `Default`.
#[proc_macro_attribute]
pub fn operator(attributes: TokenStream, item: TokenStream) -> TokenStream {
    let attributes = parse_macro_input!(attributes as operator::Attributes);
    expand(operator::expand(&attributes, parse_macro_input!(item as ItemImpl)))
}

fn expand(result: syn::Result<proc_macro2::TokenStream>) -> TokenStream {
    result.unwrap_or_else(|error| error.into_compile_error()).into()
}

/// The named fields of a struct, or an error that says what the derive wants.
fn named_fields<'a>(input: &'a DeriveInput, derive: &str) -> syn::Result<Vec<&'a syn::Field>> {
    match &input.data {
        syn::Data::Struct(syn::DataStruct { fields: syn::Fields::Named(fields), .. }) if !fields.named.is_empty() => {
            Ok(fields.named.iter().collect())
        }
        _ => Err(syn::Error::new_spanned(
            &input.ident,
            format!("#[derive({derive})] wants a struct with at least one named field"),
        )),
    }
}

/// The name that a field goes by outside of Rust.
fn plain_name(ident: &syn::Ident) -> String {
    let name = ident.to_string();
    name.strip_prefix("r#").map_or(name.clone(), str::to_owned)
}
