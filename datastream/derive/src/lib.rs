//! `#[derive(Record)]`: gives a struct or an enum its Arrow form.
//!
//! This crate only writes code against `pelton::record`; what records are, and how they map to
//! Arrow, is told there. The generated types live in an anonymous constant, so that nothing but the
//! column constants (and the borrowed companion, if asked for) is added to the user's names.
//!
//! Invariant: whatever is not supported is a compile error at the place that asks for it.

mod attributes;
mod borrowed;
mod bounds;
mod enumeration;
mod rename;
mod structure;

use proc_macro2::TokenStream;
use syn::{Data, DeriveInput, Error, Fields, GenericParam, Result, parse_macro_input};

/// Gives a struct or an enum its Arrow form, by implementing `pelton::record::Record`.
///
/// A struct with named fields becomes one column per field, in this order; every field's type has to
/// be a record itself. For each field `name` of type `F` the struct `R` gets a constant `R::name` of
/// type `Column<R, F>`, as visible as the field. The type has to be `Clone`.
///
/// An enum whose variants carry nothing becomes text. One with payloads becomes a struct: `tag`
/// names the variant and there is one nullable struct per variant that carries something, whose fields
/// are named as in the variant, or `f0`, `f1`, … if they have no names.
///
/// # Attributes
///
/// | where | attribute | effect |
/// |---|---|---|
/// | type | `#[record(rename_all = "...")]` | names of fields or variants are written as `lowercase`, `UPPERCASE`, `PascalCase`, `camelCase`, `snake_case`, `SCREAMING_SNAKE_CASE`, `kebab-case` or `SCREAMING-KEBAB-CASE` |
/// | field, variant | `#[record(rename = "...")]` | the name in Arrow, whatever `rename_all` says |
/// | field of a struct | `#[record(default)]` | if the batch lacks the column, the field is `None`, zero, empty, the epoch or the first variant |
/// | struct or its field | `#[record(no_column)]` | no constant, for when a method already has the name |
/// | struct | `#[record(borrowed)]` | also generates `{Name}Ref<'a>`, with `&'a str` in place of `String` and so on, which can be collected where the record belongs |
#[proc_macro_derive(Record, attributes(record))]
pub fn derive_record(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand(&input).unwrap_or_else(Error::into_compile_error).into()
}

fn expand(input: &DeriveInput) -> Result<TokenStream> {
    refuse_lifetimes(input)?;
    match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) if !fields.named.is_empty() => structure::expand(input, fields),
            Fields::Unnamed(_) => Err(Error::new_spanned(
                &input.ident,
                "a record's columns need names: give the struct named fields, or use a plain tuple, \
                 whose columns are `f0`, `f1`, ...",
            )),
            Fields::Named(_) | Fields::Unit => {
                Err(Error::new_spanned(&input.ident, "a record needs at least one field"))
            }
        },
        Data::Enum(data) => enumeration::expand(input, data),
        Data::Union(data) => Err(Error::new(
            data.union_token.span,
            "a union cannot be a record, because it does not know which of its fields is valid; \
             an enum does",
        )),
    }
}

fn refuse_lifetimes(input: &DeriveInput) -> Result<()> {
    let lifetime = input.generics.params.iter().find_map(|parameter| match parameter {
        GenericParam::Lifetime(lifetime) => Some(lifetime),
        _ => None,
    });
    match lifetime {
        Some(lifetime) => Err(Error::new_spanned(
            lifetime,
            "a record owns its data, because it outlives the batch it was read from; for a borrowed form \
             to collect from, put `#[record(borrowed)]` on the owned struct",
        )),
        None => Ok(()),
    }
}
