//! The `#[record(...)]` attributes, each accepted only where it means something.

use proc_macro2::Span;
use syn::meta::ParseNestedMeta;
use syn::spanned::Spanned;
use syn::{Attribute, Error, Ident, LitStr, Result};

use crate::rename::Case;

/// On a struct or an enum.
#[derive(Default)]
pub struct TypeAttributes {
    pub rename_all: Option<Case>,
    /// Where `borrowed` was asked for.
    pub borrowed: Option<Span>,
    /// Where `no_column` was asked for.
    pub no_column: Option<Span>,
}

impl TypeAttributes {
    pub fn parse(attributes: &[Attribute]) -> Result<Self> {
        let mut parsed = Self::default();
        each(attributes, |meta| match name(&meta).as_str() {
            "rename_all" => once(&meta, &mut parsed.rename_all, Case::parse(&meta.value()?.parse()?)?),
            "borrowed" => once(&meta, &mut parsed.borrowed, meta.path.span()),
            "no_column" => once(&meta, &mut parsed.no_column, meta.path.span()),
            _ => Err(unknown(&meta, "a type takes `rename_all = \"...\"`, `borrowed` and `no_column`")),
        })?;
        Ok(parsed)
    }
}

/// On a field of a struct.
#[derive(Default)]
pub struct FieldAttributes {
    pub rename: Option<LitStr>,
    pub default: Option<Span>,
    pub no_column: Option<Span>,
}

impl FieldAttributes {
    pub fn parse(attributes: &[Attribute]) -> Result<Self> {
        let mut parsed = Self::default();
        each(attributes, |meta| match name(&meta).as_str() {
            "rename" => once(&meta, &mut parsed.rename, column_name(&meta)?),
            "default" => once(&meta, &mut parsed.default, meta.path.span()),
            "no_column" => once(&meta, &mut parsed.no_column, meta.path.span()),
            _ => Err(unknown(&meta, "a field takes `rename = \"...\"`, `default` and `no_column`")),
        })?;
        Ok(parsed)
    }
}

/// The `rename` of a variant or of a variant's field, which take nothing else.
pub fn parse_rename(attributes: &[Attribute], place: &str) -> Result<Option<LitStr>> {
    let mut rename = None;
    each(attributes, |meta| match name(&meta).as_str() {
        "rename" => once(&meta, &mut rename, column_name(&meta)?),
        _ => Err(unknown(&meta, &format!("{place} takes only `rename = \"...\"`"))),
    })?;
    Ok(rename)
}

/// Fails at the second of two equal names.
pub fn refuse_duplicates<'a>(names: impl Iterator<Item = (&'a str, Span)>) -> Result<()> {
    let mut seen = std::collections::HashSet::new();
    for (name, span) in names {
        if !seen.insert(name) {
            return Err(Error::new(span, format!("there is another `{name}` in this record already")));
        }
    }
    Ok(())
}

/// The name without `r#`.
pub fn plain(ident: &Ident) -> String {
    let text = ident.to_string();
    text.strip_prefix("r#").map(str::to_owned).unwrap_or(text)
}

fn each(attributes: &[Attribute], mut parse: impl FnMut(ParseNestedMeta<'_>) -> Result<()>) -> Result<()> {
    let ours = attributes.iter().filter(|attribute| attribute.path().is_ident("record"));
    for attribute in ours {
        attribute.parse_nested_meta(&mut parse)?;
    }
    Ok(())
}

fn name(meta: &ParseNestedMeta<'_>) -> String {
    meta.path.get_ident().map(Ident::to_string).unwrap_or_default()
}

fn unknown(meta: &ParseNestedMeta<'_>, known: &str) -> Error {
    meta.error(format!("unknown attribute: {known}"))
}

fn once<T>(meta: &ParseNestedMeta<'_>, place: &mut Option<T>, value: T) -> Result<()> {
    match place.replace(value) {
        Some(_) => Err(meta.error("given twice")),
        None => Ok(()),
    }
}

fn column_name(meta: &ParseNestedMeta<'_>) -> Result<LitStr> {
    let name: LitStr = meta.value()?.parse()?;
    if name.value().is_empty() {
        return Err(Error::new_spanned(name, "a name cannot be empty"));
    }
    Ok(name)
}
