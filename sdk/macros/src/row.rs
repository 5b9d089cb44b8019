//! `#[derive(Row)]`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{DeriveInput, Field, GenericParam, Index, Lifetime, LitStr, Type, parse_quote};

use crate::{named_fields, plain_name};

/// How a field's Rust type stands for a column when the type alone does not say it.
#[derive(Clone, Copy, PartialEq)]
enum Meaning {
    Plain,
    Timestamp,
    Date,
}

struct Column<'a> {
    field: &'a Field,
    name: String,
    meaning: Meaning,
    event_time: bool,
}

impl<'a> Column<'a> {
    fn parse(field: &'a Field) -> syn::Result<Self> {
        let ident = field.ident.as_ref().map(plain_name).unwrap_or_default();
        let mut column = Self { field, name: ident, meaning: Meaning::Plain, event_time: false };
        for attribute in &field.attrs {
            if attribute.path().is_ident("event_time") {
                column.event_time = true;
                column.meaning = Meaning::Timestamp;
            } else if attribute.path().is_ident("timestamp") {
                column.meaning = Meaning::Timestamp;
            } else if attribute.path().is_ident("date") {
                column.meaning = Meaning::Date;
            } else if attribute.path().is_ident("column") {
                column.name = attribute.parse_args::<LitStr>()?.value();
            }
        }
        Ok(column)
    }

    /// The type whose `RowField` implementation reads and writes the column.
    fn codec(&self) -> TokenStream {
        let ty = &self.field.ty;
        match self.meaning {
            Meaning::Plain => quote!(#ty),
            Meaning::Timestamp => quote_spanned!(ty.span() => <#ty as ::millstream_sdk::row::AsTimestamp>::Codec),
            Meaning::Date => quote_spanned!(ty.span() => <#ty as ::millstream_sdk::row::AsDate>::Codec),
        }
    }
}

pub(crate) fn derive(input: &DeriveInput) -> syn::Result<TokenStream> {
    let fields = named_fields(input, "Row")?;
    let columns = fields.into_iter().map(Column::parse).collect::<syn::Result<Vec<_>>>()?;
    if let Some(second) = columns.iter().filter(|column| column.event_time).nth(1) {
        return Err(syn::Error::new_spanned(second.field, "a row has one event time"));
    }
    let lifetimes: Vec<_> = input.generics.lifetimes().collect();
    if let Some(second) = lifetimes.get(1) {
        return Err(syn::Error::new_spanned(second, "a row borrows from one batch: use one lifetime"));
    }
    if let Some(parameter) = input.generics.type_params().next() {
        return Err(syn::Error::new_spanned(parameter, "a row has no type parameters: its columns are fixed"));
    }

    let name = &input.ident;
    let (_, type_generics, where_clause) = input.generics.split_for_impl();
    // Rows that own their fields are read from a batch of any lifetime.
    let mut generics = input.generics.clone();
    let lifetime: Lifetime = match lifetimes.first() {
        Some(parameter) => parameter.lifetime.clone(),
        None => {
            generics.params.insert(0, parse_quote!('row));
            parse_quote!('row)
        }
    };
    let (read_generics, _, _) = generics.split_for_impl();
    let (own_generics, _, _) = input.generics.split_for_impl();
    let own_arguments = input.generics.params.iter().map(|parameter| match parameter {
        GenericParam::Lifetime(_) => quote!('static),
        GenericParam::Const(parameter) => {
            let ident = &parameter.ident;
            quote!(#ident)
        }
        GenericParam::Type(parameter) => {
            let ident = &parameter.ident;
            quote!(#ident)
        }
    });

    let idents: Vec<_> = columns.iter().map(|column| &column.field.ident).collect();
    let codecs: Vec<_> = columns.iter().map(Column::codec).collect();
    let names = columns.iter().map(|column| &column.name);
    let indices: Vec<_> = (0..columns.len()).map(Index::from).collect();
    let positions: Vec<_> = (0..columns.len()).collect();
    let event_time = match columns.iter().position(|column| column.event_time) {
        Some(at) => quote!(::core::option::Option::Some(#at)),
        None => quote!(::core::option::Option::None),
    };
    let static_codecs: Vec<Type> =
        codecs.iter().map(|codec| syn::parse2(codec.clone())).collect::<syn::Result<Vec<_>>>()?;

    Ok(quote! {
        #[automatically_derived]
        impl #own_generics ::millstream_sdk::row::Row for #name #type_generics #where_clause {
            type Static = #name <#(#own_arguments),*>;
            type Builders = (#(<#static_codecs as ::millstream_sdk::row::RowField>::Builder,)*);
            const FIELDS: &'static [::millstream_sdk::row::Field] = &[
                #(::millstream_sdk::row::Field {
                    name: #names,
                    data_type: <#codecs as ::millstream_sdk::row::RowField>::TYPE,
                    nullable: <#codecs as ::millstream_sdk::row::RowField>::NULLABLE,
                },)*
            ];
            const EVENT_TIME: ::core::option::Option<usize> = #event_time;

            fn builders() -> Self::Builders {
                (#(<#codecs as ::millstream_sdk::row::RowField>::builder(),)*)
            }

            #[inline]
            fn write(self, builders: &mut Self::Builders) {
                #(<#codecs as ::millstream_sdk::row::RowField>::write(self.#idents.into(), &mut builders.#indices);)*
            }

            fn truncate(builders: &mut Self::Builders, rows: usize) {
                #(::millstream_sdk::row::ColumnBuilder::truncate(&mut builders.#indices, rows);)*
            }

            fn finish(
                builders: &Self::Builders,
                sink: &mut impl ::millstream_sdk::row::ColumnSink,
            ) -> ::millstream_sdk::Result<()> {
                #(::millstream_sdk::row::ColumnSink::column(sink, #positions, &builders.#indices)?;)*
                ::core::result::Result::Ok(())
            }
        }

        #[automatically_derived]
        impl #read_generics ::millstream_sdk::row::ReadRow<#lifetime> for #name #type_generics #where_clause {
            type Columns = (#(<#codecs as ::millstream_sdk::row::ReadField<#lifetime>>::Column,)*);

            fn bind<S: ::millstream_sdk::row::ColumnSource<#lifetime>>(
                source: &S,
            ) -> ::millstream_sdk::Result<Self::Columns> {
                ::core::result::Result::Ok((
                    #(<#codecs as ::millstream_sdk::row::ReadField<#lifetime>>::bind(source, #positions)?,)*
                ))
            }

            #[inline]
            fn read(columns: &Self::Columns, row: usize) -> Self {
                Self {
                    #(#idents: <#codecs as ::millstream_sdk::row::ReadField<#lifetime>>::get(&columns.#indices, row)
                        .into(),)*
                }
            }
        }

        #[automatically_derived]
        impl #own_generics ::millstream_sdk::PortSet for #name #type_generics #where_clause {
            type Ports = ::millstream_sdk::Port<#name #type_generics>;
            fn ports() -> Self::Ports { ::core::default::Default::default() }
            fn main(ports: &Self::Ports) -> () {}
        }
    })
}
