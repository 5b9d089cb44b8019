//! `#[operator]`.

use proc_macro2::{Ident, TokenStream};
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Error, ImplItem, ItemImpl, LitStr, Token, bracketed, parse_quote};

/// The arguments of `#[operator(…)]`.
#[derive(Default)]
pub(crate) struct Attributes {
    name: Option<LitStr>,
    version: Option<LitStr>,
    counters: Vec<LitStr>,
    capabilities: Vec<LitStr>,
}

impl Parse for Attributes {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut attributes = Self::default();
        while !input.is_empty() {
            let key: Ident = input.parse()?;
            input.parse::<Token![=]>()?;
            match key.to_string().as_str() {
                "name" => attributes.name = Some(input.parse()?),
                "version" => attributes.version = Some(input.parse()?),
                "counters" => attributes.counters = list(input)?,
                "capabilities" => attributes.capabilities = list(input)?,
                _ => return Err(Error::new_spanned(key, "known are `name`, `version`, `counters` and `capabilities`")),
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(attributes)
    }
}

fn list(input: ParseStream<'_>) -> syn::Result<Vec<LitStr>> {
    let content;
    bracketed!(content in input);
    Ok(Punctuated::<LitStr, Token![,]>::parse_terminated(&content)?.into_iter().collect())
}

pub(crate) fn expand(attributes: &Attributes, mut item: ItemImpl) -> syn::Result<TokenStream> {
    let wanted = "#[operator] wants `impl Operator for …` or `impl KeyedOperator for …`";
    let Some((_, path, _)) = &item.trait_ else { return Err(Error::new_spanned(&item.self_ty, wanted)) };
    let runner = match path.segments.last().map(|segment| segment.ident.to_string()).as_deref() {
        Some("KeyedOperator") => quote!(Keyed),
        Some("Operator") => quote!(Stateless),
        _ => return Err(Error::new_spanned(path, wanted)),
    };
    if let Some(parameter) = item.generics.params.first() {
        return Err(Error::new_spanned(parameter, "a plugin is one concrete operator: no generic parameters"));
    }
    let has_open = item.items.iter().any(|item| matches!(item, ImplItem::Fn(function) if function.sig.ident == "open"));
    if !has_open {
        item.items.push(parse_quote! {
            fn open(config: &::millstream_sdk::Config) -> ::millstream_sdk::Result<Self> {
                config.allow_only(&[])?;
                ::core::result::Result::Ok(<Self as ::core::default::Default>::default())
            }
        });
    }

    let operator = &item.self_ty;
    let name = match &attributes.name {
        Some(name) => quote!(#name),
        None => quote!(::core::env!("CARGO_PKG_NAME")),
    };
    let version = match &attributes.version {
        Some(version) => quote!(#version),
        None => quote!(::core::env!("CARGO_PKG_VERSION")),
    };
    let counters = &attributes.counters;
    let capabilities = &attributes.capabilities;
    let constants = counters.iter().map(constant).collect::<syn::Result<Vec<_>>>()?;
    let numbers = 0..counters.len();
    let docs = counters.iter().map(|counter| format!("The counter `{}`.", counter.value()));
    Ok(quote! {
        #item

        #[automatically_derived]
        impl ::millstream_sdk::plugin::Plugin for #operator {
            const NAME: &'static str = #name;
            const VERSION: &'static str = #version;
            const COUNTERS: &'static [&'static str] = &[#(#counters),*];
            const CAPABILITIES: &'static [&'static str] = &[#(#capabilities),*];
            type Runner = ::millstream_sdk::plugin::#runner<#operator>;
        }

        #[automatically_derived]
        impl #operator {
            #(
                #[doc = #docs]
                pub const #constants: ::millstream_sdk::Counter = ::millstream_sdk::Counter::numbered(#numbers);
            )*
        }

        #[cfg(target_family = "wasm")]
        ::millstream_sdk::__export_plugin!(#operator);
    })
}

/// `large-amounts` becomes `LARGE_AMOUNTS`.
fn constant(counter: &LitStr) -> syn::Result<Ident> {
    let name: String =
        counter.value().chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
    if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return Err(Error::new_spanned(counter, "a counter's name begins with a letter"));
    }
    Ok(Ident::new(&name, counter.span()))
}
