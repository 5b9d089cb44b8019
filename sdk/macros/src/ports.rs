//! `#[derive(Ports)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::DeriveInput;

use crate::{named_fields, plain_name};

pub(crate) fn derive(input: &DeriveInput) -> syn::Result<TokenStream> {
    let fields = named_fields(input, "Ports")?;
    let name = &input.ident;
    let (impl_generics, type_generics, where_clause) = input.generics.split_for_impl();
    let idents: Vec<_> = fields.iter().map(|field| &field.ident).collect();
    let types: Vec<_> = fields.iter().map(|field| &field.ty).collect();
    let names = fields.iter().map(|field| field.ident.as_ref().map(plain_name).unwrap_or_default());
    Ok(quote! {
        #[automatically_derived]
        impl #impl_generics ::millstream_sdk::output::PortSet for #name #type_generics #where_clause {
            type Ports = Self;

            fn describe() -> ::std::vec::Vec<::millstream_sdk::output::PortDescription> {
                ::std::vec![#(<#types>::describe(#names),)*]
            }

            fn ports() -> Self {
                Self { #(#idents: ::core::default::Default::default(),)* }
            }

            #[inline]
            fn begin(ports: &mut Self, row: u32) {
                #(ports.#idents.begin(row);)*
            }

            fn undo(ports: &mut Self) {
                #(ports.#idents.undo();)*
            }

            fn list(ports: &mut Self) -> ::std::vec::Vec<&mut dyn ::millstream_sdk::row::batch::Port> {
                ::std::vec![#(ports.#idents.builder(),)*]
            }
        }
    })
}
