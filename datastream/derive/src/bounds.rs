//! The types of fields as records, and the bounds under which the derived type is one.

use proc_macro2::TokenStream;
use quote::quote_spanned;
use syn::spanned::Spanned;
use syn::{DeriveInput, Generics, Type, parse_quote, parse_quote_spanned};

/// Adds what a record owes for itself to the type and its parameters, and `Record` to each field's type.
///
/// A type without parameters needs this only for its messages: what does not fulfil its bounds is
/// reported once, at the field's type, and not again at each use in the generated code.
pub fn with_bounds<'a>(input: &DeriveInput, fields: impl Iterator<Item = &'a Type>) -> Generics {
    let (name, (_, type_generics, _)) = (&input.ident, input.generics.split_for_impl());
    let mut bounded = input.generics.clone();
    let parameters: Vec<_> = input.generics.type_params().map(|parameter| parameter.ident.clone()).collect();
    let clause = bounded.make_where_clause();
    for parameter in parameters {
        clause.predicates.push(parse_quote! {
            #parameter: ::core::clone::Clone + ::core::marker::Send + ::core::marker::Sync + 'static
        });
    }
    clause.predicates.push(parse_quote_spanned! { name.span() => #name #type_generics: ::core::clone::Clone });
    for field in fields {
        clause.predicates.push(parse_quote_spanned! { field.span() => #field: ::pelton::record::Record });
    }
    bounded
}

/// `item` of the field's type as a record, an associated type or function. All of it is written at
/// the type's place, so that the compiler blames the type if it is no record.
pub fn of_record(ty: &Type, item: &str) -> TokenStream {
    let item = syn::Ident::new(item, ty.span());
    quote_spanned! { ty.span() => <#ty as ::pelton::record::Record>::#item }
}
