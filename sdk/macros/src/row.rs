//! `#[derive(Row)]`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::visit_mut::VisitMut;
use syn::{DeriveInput, Error, Field, GenericParam, Index, Lifetime, LitStr, Type, parse_quote};

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

    /// What reads and writes the column of a field of type `ty`.
    fn codec(&self, ty: &Type) -> TokenStream {
        match self.meaning {
            Meaning::Plain => quote!(#ty),
            Meaning::Timestamp => quote_spanned!(ty.span() => <#ty as ::millstream_sdk::row::AsTimestamp>::Codec),
            Meaning::Date => quote_spanned!(ty.span() => <#ty as ::millstream_sdk::row::AsDate>::Codec),
        }
    }
}

/// Makes every lifetime `'static`: builders are the same whatever a row borrows from.
struct Static;

impl VisitMut for Static {
    fn visit_lifetime_mut(&mut self, lifetime: &mut Lifetime) {
        *lifetime = parse_quote!('static);
    }
}

pub(crate) fn derive(input: &DeriveInput) -> syn::Result<TokenStream> {
    let fields = named_fields(input, "Row")?;
    let columns = fields.into_iter().map(Column::parse).collect::<syn::Result<Vec<_>>>()?;
    if let Some(second) = columns.iter().filter(|column| column.event_time).nth(1) {
        return Err(Error::new_spanned(second.field, "a row has one event time"));
    }
    let mut read_generics = input.generics.clone();
    let lifetime: Lifetime = match input.generics.params.first() {
        Some(GenericParam::Lifetime(parameter)) => parameter.lifetime.clone(),
        // Rows that own their fields are read from a batch of any lifetime.
        _ => {
            read_generics.params.insert(0, parse_quote!('row));
            parse_quote!('row)
        }
    };
    let first_is_lifetime = matches!(input.generics.params.first(), None | Some(GenericParam::Lifetime(_)));
    if input.generics.params.len() > 1 || !first_is_lifetime {
        return Err(Error::new_spanned(
            &input.generics,
            "a row's columns are fixed, and it borrows from one batch: one lifetime, and no other parameters",
        ));
    }

    let name = &input.ident;
    let visibility = &input.vis;
    let builders = format_ident!("{name}Columns");
    let (generics, type_generics, _) = input.generics.split_for_impl();
    let (read_generics, _, _) = read_generics.split_for_impl();
    let idents: Vec<_> = columns.iter().map(|column| &column.field.ident).collect();
    let codecs: Vec<_> = columns.iter().map(|column| column.codec(&column.field.ty)).collect();
    let static_codecs = columns.iter().map(|column| {
        let mut ty = column.field.ty.clone();
        Static.visit_type_mut(&mut ty);
        column.codec(&ty)
    });
    let names: Vec<_> = columns.iter().map(|column| &column.name).collect();
    let indices: Vec<_> = (0..columns.len()).map(Index::from).collect();
    let positions: Vec<_> = (0..columns.len()).collect();
    let event_time = match columns.iter().find(|column| column.event_time) {
        Some(column) => {
            let ident = &column.field.ident;
            quote!(::core::convert::Into::into(self.#ident))
        }
        None => quote!(::core::option::Option::None),
    };

    Ok(quote! {
        const _: () = {
            #[doc(hidden)]
            #visibility struct #builders(#(<#static_codecs as ::millstream_sdk::row::RowField>::Builder,)*);

            #[automatically_derived]
            impl ::millstream_sdk::row::batch::Columns for #builders {
                fn each(&self, visit: &mut dyn ::core::ops::FnMut(&dyn ::millstream_sdk::row::ColumnBuilder)) {
                    #(visit(&self.#indices);)*
                }

                fn each_mut(
                    &mut self,
                    visit: &mut dyn ::core::ops::FnMut(&mut dyn ::millstream_sdk::row::ColumnBuilder),
                ) {
                    #(visit(&mut self.#indices);)*
                }
            }

            #[automatically_derived]
            impl #generics ::millstream_sdk::row::Row for #name #type_generics {
                type Builders = #builders;
                const FIELDS: &'static [::millstream_sdk::row::Field] = &[
                    #(::millstream_sdk::row::Field {
                        name: #names,
                        data_type: <#codecs as ::millstream_sdk::row::RowField>::TYPE,
                        nullable: <#codecs as ::millstream_sdk::row::RowField>::NULLABLE,
                    },)*
                ];

                fn builders() -> #builders {
                    #builders(#(<#codecs as ::millstream_sdk::row::RowField>::builder(),)*)
                }

                #[inline]
                fn write(self, builders: &mut #builders) {
                    #(<#codecs as ::millstream_sdk::row::RowField>::write(self.#idents, &mut builders.#indices);)*
                }

                #[inline]
                fn event_time(&self) -> ::core::option::Option<i64> {
                    #event_time
                }
            }

            #[automatically_derived]
            impl #read_generics ::millstream_sdk::row::ReadRow<#lifetime> for #name #type_generics {
                type Views = (#(<#codecs as ::millstream_sdk::row::ReadField<#lifetime>>::View,)*);

                fn bind(
                    column: impl ::core::ops::Fn(usize) -> ::core::result::Result<
                        ::millstream_sdk::row::batch::Column<#lifetime>,
                        ::millstream_sdk::row::batch::LayoutError,
                    >,
                ) -> ::core::result::Result<Self::Views, ::millstream_sdk::row::batch::LayoutError> {
                    ::core::result::Result::Ok((
                        #(<#codecs as ::millstream_sdk::row::ReadField<#lifetime>>::bind(
                            column(#positions)?,
                            #positions,
                        )?,)*
                    ))
                }

                #[inline]
                fn read(
                    views: &Self::Views,
                    row: usize,
                ) -> ::core::result::Result<Self, ::millstream_sdk::row::Missing> {
                    ::core::result::Result::Ok(Self {
                        #(#idents: match <#codecs as ::millstream_sdk::row::ReadField<#lifetime>>::read(
                            &views.#indices,
                            row,
                        ) {
                            ::core::option::Option::Some(value) => value,
                            ::core::option::Option::None => {
                                return ::core::result::Result::Err(::millstream_sdk::row::Missing { column: #names });
                            }
                        },)*
                    })
                }
            }

            #[automatically_derived]
            impl #generics ::millstream_sdk::output::PortSet for #name #type_generics {
                type Ports = ::millstream_sdk::output::Port<Self>;

                fn describe() -> ::std::vec::Vec<::millstream_sdk::output::PortDescription> {
                    ::std::vec![::millstream_sdk::output::Port::<Self>::describe("main")]
                }

                fn ports() -> Self::Ports {
                    ::core::default::Default::default()
                }

                #[inline]
                fn begin(ports: &mut Self::Ports, row: u32) {
                    ports.begin(row);
                }

                fn undo(ports: &mut Self::Ports) {
                    ports.undo();
                }

                fn list(ports: &mut Self::Ports) -> ::std::vec::Vec<&mut dyn ::millstream_sdk::row::batch::Port> {
                    ::std::vec![ports.builder()]
                }
            }
        };
    })
}
