//! `#[record(borrowed)]`: `TripRef<'a>` beside `Trip`.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote};
use syn::{DeriveInput, Error, Ident, Result};

use crate::structure::StructField;

pub fn companion_name(name: &Ident) -> Ident {
    format_ident!("{}Ref", name)
}

pub fn expand(input: &DeriveInput, fields: &[StructField<'_>], asked: Span) -> Result<TokenStream> {
    if !input.generics.params.is_empty() {
        return Err(Error::new(asked, "`borrowed` does not work for generic structs"));
    }
    let (name, visibility) = (&input.ident, &input.vis);
    let companion = companion_name(name);
    let doc = format!(" Borrowed form of [`{name}`], to be collected in its place.");
    let declared = fields.iter().map(|field| {
        let StructField { ident, visibility, ty, .. } = field;
        let doc = format!(" See [`{name}`].");
        quote! { #[doc = #doc] #visibility #ident: <#ty as ::pelton::record::Record>::Ref<'a>, }
    });
    let idents: Vec<_> = fields.iter().map(|field| field.ident).collect();
    let types: Vec<_> = fields.iter().map(|field| field.ty).collect();
    Ok(quote! {
        #[doc = #doc]
        #[derive(Clone, Copy)]
        #[allow(dead_code)]
        #visibility struct #companion<'a> { #(#declared)* }

        #[automatically_derived]
        impl<'a> ::pelton::record::ToRecord<#name> for #companion<'a> {
            #[inline]
            fn append_to(&self, builder: &mut <#name as ::pelton::record::Record>::Builder) {
                let columns = ::pelton::record::StructBuilder::columns(builder);
                #(<_ as ::pelton::record::ToRecord<#types>>::append_to(&self.#idents, &mut columns.#idents);)*
            }
            #[inline]
            fn to_record(&self) -> #name {
                #name { #(#idents: <_ as ::pelton::record::ToRecord<#types>>::to_record(&self.#idents),)* }
            }
            #[inline]
            fn assign_to(&self, slot: &mut #name) {
                #(<_ as ::pelton::record::ToRecord<#types>>::assign_to(&self.#idents, &mut slot.#idents);)*
            }
            #[inline]
            fn assign_into(self, slot: &mut #name) {
                <Self as ::pelton::record::ToRecord<#name>>::assign_to(&self, slot);
            }
        }
    })
}
