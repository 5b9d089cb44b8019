//! `#[derive(State)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{DeriveInput, LitInt, LitStr, Path};

use crate::named_fields;

#[derive(Default)]
struct Options {
    version: Option<LitInt>,
    ttl_ms: Option<u64>,
    migrate: Option<Path>,
}

pub(crate) fn derive(input: &DeriveInput) -> syn::Result<TokenStream> {
    let fields = named_fields(input, "State")?;
    let options = options(input)?;
    let name = &input.ident;
    let (impl_generics, type_generics, where_clause) = input.generics.split_for_impl();
    let idents: Vec<_> = fields.iter().map(|field| &field.ident).collect();
    let types: Vec<_> = fields.iter().map(|field| &field.ty).collect();
    let version = options.version.map(|version| quote!(const VERSION: u32 = #version;));
    let ttl = options.ttl_ms.map(|ttl| quote!(const TTL_MS: u64 = #ttl;));
    let migrate = options.migrate.map(|function| {
        quote! {
            fn migrate(
                from: u32,
                slot: &[u8],
            ) -> ::core::result::Result<Self, ::millstream_sdk::state::StateError> {
                #function(from, slot)
            }
        }
    });
    Ok(quote! {
        #[automatically_derived]
        impl #impl_generics ::millstream_sdk::state::StateField for #name #type_generics #where_clause {
            const FIXED_SIZE: ::core::option::Option<usize> = ::millstream_sdk::state::total_size(&[
                #(<#types as ::millstream_sdk::state::StateField>::FIXED_SIZE,)*
            ]);

            #[inline]
            fn size(&self) -> usize {
                0 #(+ ::millstream_sdk::state::StateField::size(&self.#idents))*
            }

            #[inline]
            fn write<'slot>(&self, out: &'slot mut [u8]) -> &'slot mut [u8] {
                #(let out = ::millstream_sdk::state::StateField::write(&self.#idents, out);)*
                out
            }

            #[inline]
            fn read(slot: &mut &[u8]) -> ::core::result::Result<Self, ::millstream_sdk::state::StateError> {
                ::core::result::Result::Ok(Self {
                    #(#idents: ::millstream_sdk::state::StateField::read(slot)?,)*
                })
            }

            #[inline]
            fn read_over(
                &mut self,
                slot: &mut &[u8],
            ) -> ::core::result::Result<(), ::millstream_sdk::state::StateError> {
                #(::millstream_sdk::state::StateField::read_over(&mut self.#idents, slot)?;)*
                ::core::result::Result::Ok(())
            }
        }

        #[automatically_derived]
        impl #impl_generics ::millstream_sdk::state::State for #name #type_generics #where_clause {
            #version
            #ttl
            #migrate
        }
    })
}

fn options(input: &DeriveInput) -> syn::Result<Options> {
    let mut options = Options::default();
    for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("state")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("version") {
                let version: LitInt = meta.value()?.parse()?;
                if version.base10_parse::<u32>()? == 0 {
                    return Err(syn::Error::new_spanned(version, "state versions count from 1"));
                }
                options.version = Some(version);
            } else if meta.path.is_ident("ttl") {
                options.ttl_ms = Some(duration_ms(&meta.value()?.parse()?)?);
            } else if meta.path.is_ident("migrate") {
                options.migrate = Some(meta.value()?.parse()?);
            } else {
                return Err(meta.error("known are `version = 1`, `ttl = \"24h\"` and `migrate = path`"));
            }
            Ok(())
        })?;
    }
    Ok(options)
}

fn duration_ms(text: &LitStr) -> syn::Result<u64> {
    let value = text.value();
    let digits = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    let (number, unit) = value.split_at(digits);
    let factor: Option<u64> = match unit.trim() {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        "d" => Some(86_400_000),
        _ => None,
    };
    let millis = number.parse::<u64>().ok().zip(factor).and_then(|(number, factor)| number.checked_mul(factor));
    millis.ok_or_else(|| {
        syn::Error::new_spanned(
            text,
            "a duration is a whole number and a unit: \"500ms\", \"90s\", \"15m\", \"24h\", \"7d\"",
        )
    })
}
