//! The types of fields as records, and the bounds under which the derived type is one.

use proc_macro2::TokenStream;
use quote::quote_spanned;
use syn::spanned::Spanned;
use syn::{Generics, Type, parse_quote};

/// Adds what a record owes for itself to each type parameter, and `Record` to each field's type.
/// A type without type parameters needs neither: its fields are checked where they are used.
pub fn with_bounds<'a>(generics: &Generics, fields: impl Iterator<Item = &'a Type>) -> Generics {
    let mut bounded = generics.clone();
    let parameters: Vec<_> = generics.type_params().map(|parameter| parameter.ident.clone()).collect();
    if parameters.is_empty() {
        return bounded;
    }
    let clause = bounded.make_where_clause();
    for parameter in parameters {
        clause.predicates.push(parse_quote! {
            #parameter: ::core::clone::Clone + ::core::marker::Send + ::core::marker::Sync + 'static
        });
    }
    for field in fields {
        clause.predicates.push(parse_quote! { #field: ::pelton::record::Record });
    }
    bounded
}

/// `item` of the field's type as a record, an associated type or function. All of it is written at
/// the type's place, so that the compiler blames the type if it is no record.
pub fn of_record(ty: &Type, item: &str) -> TokenStream {
    let item = syn::Ident::new(item, ty.span());
    quote_spanned! { ty.span() => <#ty as ::pelton::record::Record>::#item }
}
