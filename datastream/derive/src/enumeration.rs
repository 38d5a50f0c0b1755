//! Enums: text if no variant carries anything, else a tag and one nullable struct per payload.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote};
use syn::spanned::Spanned;
use syn::{DataEnum, DeriveInput, Error, Fields, Ident, Index, Member, Result, Type, Variant};

use crate::attributes::{TypeAttributes, parse_rename, plain, refuse_duplicates};
use crate::bounds::{of_record, with_bounds};

/// The column that names the variant.
const TAG: &str = "tag";

/// The code `u16::MAX` is taken by the library, for rows that do not count.
const VARIANTS_MAX: usize = u16::MAX as usize;

struct EnumVariant<'a> {
    ident: &'a Ident,
    name: String,
    name_span: Span,
    code: u16,
    fields: Vec<PayloadField<'a>>,
}

struct PayloadField<'a> {
    /// What it is called in Rust: a name or an index.
    member: Member,
    ty: &'a Type,
    column: String,
    column_span: Span,
    /// A name for it that is unique within the enum.
    unique: Ident,
}

pub fn expand(input: &DeriveInput, data: &DataEnum) -> Result<TokenStream> {
    let attributes = TypeAttributes::parse(&input.attrs)?;
    if let Some(span) = attributes.borrowed {
        return Err(Error::new(span, "`borrowed` works for structs only"));
    }
    if let Some(span) = attributes.no_column {
        return Err(Error::new(span, "an enum has no column constants to begin with"));
    }
    if data.variants.is_empty() {
        return Err(Error::new_spanned(&input.ident, "a record needs a value: the enum has no variants"));
    }
    if data.variants.len() > VARIANTS_MAX {
        return Err(Error::new_spanned(&input.ident, format!("more than {VARIANTS_MAX} variants")));
    }
    let mut variants = Vec::new();
    for (code, variant) in data.variants.iter().enumerate() {
        variants.push(parse_variant(variant, code as u16, &attributes)?);
    }
    let has_payload = variants.iter().any(|variant| !variant.fields.is_empty());
    let tag = has_payload.then_some((TAG, input.ident.span()));
    let names = variants.iter().map(|variant| (variant.name.as_str(), variant.name_span));
    refuse_duplicates(tag.into_iter().chain(names))?;

    Ok(if has_payload { expand_payloads(input, &variants) } else { expand_unit(input, &variants) })
}

fn parse_variant<'a>(variant: &'a Variant, code: u16, of_type: &TypeAttributes) -> Result<EnumVariant<'a>> {
    let rename = parse_rename(&variant.attrs, "a variant")?;
    let spelled = || {
        let name = plain(&variant.ident);
        of_type.rename_all.map_or(name.clone(), |case| case.apply(&name))
    };
    let mut fields = Vec::new();
    for (at, field) in variant.fields.iter().enumerate() {
        let rename = parse_rename(&field.attrs, "a variant's field")?;
        let (member, name) = match &field.ident {
            Some(ident) => (Member::Named(ident.clone()), plain(ident)),
            None => (Member::Unnamed(Index::from(at)), format!("f{at}")),
        };
        fields.push(PayloadField {
            member,
            ty: &field.ty,
            column_span: rename.as_ref().map_or(field.span(), |rename| rename.span()),
            column: rename.map_or(name, |rename| rename.value()),
            unique: format_ident!("v{}_f{}", code, at),
        });
    }
    refuse_duplicates(fields.iter().map(|field| (field.column.as_str(), field.column_span)))?;
    if fields.is_empty() && !matches!(variant.fields, Fields::Unit) {
        return Err(Error::new_spanned(variant, "write a variant that carries nothing without brackets"));
    }
    Ok(EnumVariant {
        ident: &variant.ident,
        name_span: rename.as_ref().map_or(variant.ident.span(), |rename| rename.span()),
        name: rename.map_or_else(spelled, |rename| rename.value()),
        code,
        fields,
    })
}

/// What both kinds of enums have.
fn expand_variants(input: &DeriveInput, variants: &[EnumVariant<'_>]) -> TokenStream {
    let name = &input.ident;
    let generics = with_bounds(input, payload_types(variants));
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    let names = variants.iter().map(|variant| variant.name.as_str());
    let idents = variants.iter().map(|variant| variant.ident);
    let codes = variants.iter().map(|variant| variant.code);
    quote! {
        #[automatically_derived]
        impl #impl_generics __record::Variants for #name #type_generics #where_clause {
            const NAMES: &'static [&'static str] = &[#(#names),*];
            #[inline]
            fn code(&self) -> u16 {
                match self {
                    #(Self::#idents { .. } => #codes,)*
                }
            }
        }

        #[automatically_derived]
        impl #impl_generics __record::ListItem for #name #type_generics #where_clause {}

        #[automatically_derived]
        impl #impl_generics __record::ToRecord<Self> for #name #type_generics #where_clause {
            #[inline]
            fn append_to(&self, builder: &mut <Self as __record::Record>::Builder) {
                builder.append(self);
            }
            #[inline]
            fn to_record(&self) -> Self {
                ::core::clone::Clone::clone(self)
            }
            #[inline]
            fn into_record(self) -> Self {
                self
            }
        }
    }
}

fn expand_unit(input: &DeriveInput, variants: &[EnumVariant<'_>]) -> TokenStream {
    let name = &input.ident;
    let generics = with_bounds(input, payload_types(variants));
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    let of_both_kinds = expand_variants(input, variants);
    let idents: Vec<_> = variants.iter().map(|variant| variant.ident).collect();
    let first = idents[0];
    // The last arm takes every other code, so that there is nothing to panic about.
    let codes = variants.iter().skip(1).map(|variant| variant.code);
    let others = &idents[1..];
    quote! {
        #[allow(private_bounds, private_interfaces)]
        const _: () = {
            use ::pelton::record as __record;
            use __record::ColumnBuilder as _;

            #of_both_kinds

            #[automatically_derived]
            impl #impl_generics __record::UnitVariants for #name #type_generics #where_clause {
                #[inline]
                fn from_code(code: u16) -> Self {
                    match code {
                        #(#codes => Self::#others,)*
                        _ => Self::#first,
                    }
                }
            }

            #[automatically_derived]
            impl #impl_generics __record::Record for #name #type_generics #where_clause {
                type Reader = __record::VariantReader<Self>;
                type Builder = __record::VariantBuilder<Self>;
                type Ref<'a> = &'a Self;

                fn data_type() -> __record::arrow::DataType {
                    __record::arrow::DataType::Utf8
                }
                #[inline]
                fn scratch() -> Self {
                    Self::#first
                }
            }
        };
    }
}

fn expand_payloads(input: &DeriveInput, variants: &[EnumVariant<'_>]) -> TokenStream {
    let name = &input.ident;
    let generics = with_bounds(input, payload_types(variants));
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    let of_both_kinds = expand_variants(input, variants);
    let reader = payload_reader(input, variants);
    let builder = payload_builder(input, variants);

    let payloads = variants.iter().filter(|variant| !variant.fields.is_empty()).map(|variant| {
        let columns = variant.fields.iter().map(|field| field.column.as_str());
        let arrow_fields = variant.fields.iter().map(|field| of_record(field.ty, "arrow_field"));
        let name = &variant.name;
        quote! {
            __record::arrow::Field::new(
                #name,
                __record::arrow::DataType::Struct(::core::iter::FromIterator::from_iter([
                    #(#arrow_fields(#columns),)*
                ])),
                true,
            )
        }
    });
    let heap_bytes = variants.iter().map(|variant| {
        let EnumVariant { ident, fields, .. } = variant;
        let members = fields.iter().map(|field| &field.member);
        let uniques: Vec<_> = fields.iter().map(|field| &field.unique).collect();
        quote! {
            #name::#ident { #(#members: #uniques),* } => 0 #(+ __record::Record::heap_bytes(#uniques))*,
        }
    });
    let first = &variants[0];
    let first_ident = first.ident;
    let first_members = first.fields.iter().map(|field| &field.member);
    let scratches = first.fields.iter().map(|field| of_record(field.ty, "scratch"));

    quote! {
        #[allow(private_bounds, private_interfaces)]
        const _: () = {
            use ::pelton::record as __record;
            use __record::{ColumnBuilder as _, ColumnReader as _, Variants as _};

            #of_both_kinds
            #reader
            #builder

            #[automatically_derived]
            impl #impl_generics __record::Record for #name #type_generics #where_clause {
                type Reader = __Reader #type_generics;
                type Builder = __Builder #type_generics;
                type Ref<'a> = &'a Self;

                const ROW_SHAPE: __record::RowShape = __record::RowShape::ColumnPerField;

                fn data_type() -> __record::arrow::DataType {
                    __record::arrow::DataType::Struct(::core::iter::FromIterator::from_iter([
                        <::std::string::String as __record::Record>::arrow_field(#TAG),
                        #(#payloads,)*
                    ]))
                }
                #[inline]
                fn scratch() -> Self {
                    Self::#first_ident { #(#first_members: #scratches(),)* }
                }
                fn heap_bytes(&self) -> usize {
                    match self {
                        #(#heap_bytes)*
                    }
                }
            }
        };
    }
}

fn payload_reader(input: &DeriveInput, variants: &[EnumVariant<'_>]) -> TokenStream {
    let (name, visibility) = (&input.ident, &input.vis);
    let record_name = plain(name);
    let generics = with_bounds(input, payload_types(variants));
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    let all = || variants.iter().flat_map(|variant| &variant.fields);
    let uniques: Vec<_> = all().map(|field| &field.unique).collect();
    let readers = all().map(|field| of_record(field.ty, "Reader"));

    let open = variants.iter().filter(|variant| !variant.fields.is_empty()).map(|variant| {
        let EnumVariant { name, code, fields, .. } = variant;
        let uniques = fields.iter().map(|field| &field.unique);
        let columns = fields.iter().map(|field| field.column.as_str());
        quote! {
            let payload = row.payload(#name, &codes, #code)?;
            #(let #uniques = payload.child(#columns)?;)*
        }
    });
    let read_arm = |pattern: TokenStream, variant: &EnumVariant<'_>| {
        let EnumVariant { ident, fields, .. } = variant;
        let members = fields.iter().map(|field| &field.member);
        let uniques = fields.iter().map(|field| &field.unique);
        quote! { #pattern => #name::#ident { #(#members: self.#uniques.read(row),)* } }
    };
    // The last arm takes every other code, so that there is nothing to panic about.
    let read_others = variants.iter().skip(1).map(|variant| {
        let code = variant.code;
        read_arm(quote! { #code }, variant)
    });
    let read_first = read_arm(quote! { _ }, &variants[0]);
    let reused = variants.iter().filter(|variant| !variant.fields.is_empty()).map(|variant| {
        let EnumVariant { ident, code, fields, .. } = variant;
        let members = fields.iter().map(|field| &field.member);
        let uniques: Vec<_> = fields.iter().map(|field| &field.unique).collect();
        quote! {
            (#code, #name::#ident { #(#members: #uniques),* }) => {
                #(self.#uniques.read_into(row, #uniques);)*
            }
        }
    });

    quote! {
        #[doc(hidden)]
        #visibility struct __Reader #impl_generics #where_clause {
            codes: __record::VariantCodes,
            #(#uniques: #readers,)*
        }

        #[automatically_derived]
        impl #impl_generics ::core::clone::Clone for __Reader #type_generics #where_clause {
            fn clone(&self) -> Self {
                Self {
                    codes: ::core::clone::Clone::clone(&self.codes),
                    #(#uniques: ::core::clone::Clone::clone(&self.#uniques),)*
                }
            }
        }

        #[automatically_derived]
        impl #impl_generics __record::ColumnReader for __Reader #type_generics #where_clause {
            type Value = #name #type_generics;

            fn open(
                array: &__record::arrow::ArrayRef,
                path: &__record::ColumnPath<'_>,
                relevant: ::core::option::Option<&__record::arrow::NullBuffer>,
            ) -> ::core::result::Result<Self, __record::RecordError> {
                let row = __record::StructColumn::open::<#name #type_generics>(
                    array, #record_name, path, relevant,
                )?;
                let codes = row.variants::<#name #type_generics>(#TAG)?;
                #(#open)*
                ::core::result::Result::Ok(Self { codes, #(#uniques,)* })
            }

            #[inline]
            fn read(&self, row: usize) -> Self::Value {
                match self.codes.code(row) {
                    #(#read_others,)*
                    #read_first,
                }
            }

            #[inline]
            fn read_into(&self, row: usize, value: &mut Self::Value) {
                match (self.codes.code(row), &mut *value) {
                    #(#reused)*
                    _ => *value = self.read(row),
                }
            }
        }
    }
}

fn payload_builder(input: &DeriveInput, variants: &[EnumVariant<'_>]) -> TokenStream {
    let (name, visibility) = (&input.ident, &input.vis);
    let generics = with_bounds(input, payload_types(variants));
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    let all = || variants.iter().flat_map(|variant| &variant.fields);
    let uniques: Vec<_> = all().map(|field| &field.unique).collect();
    let builders = all().map(|field| of_record(field.ty, "Builder"));

    let with_payload: Vec<_> = variants.iter().filter(|variant| !variant.fields.is_empty()).collect();
    let valid: Vec<_> = with_payload.iter().map(|variant| format_ident!("v{}_valid", variant.code)).collect();
    let append = variants.iter().map(|variant| {
        let EnumVariant { ident, fields, .. } = variant;
        let members = fields.iter().map(|field| &field.member);
        let uniques: Vec<_> = fields.iter().map(|field| &field.unique).collect();
        quote! {
            #name::#ident { #(#members: #uniques),* } => { #(self.#uniques.append(#uniques);)* }
        }
    });
    let fill_others = with_payload.iter().zip(&valid).map(|(variant, valid)| {
        let code = variant.code;
        let uniques = variant.fields.iter().map(|field| &field.unique);
        quote! {
            self.#valid.append(code == #code);
            if code != #code {
                #(self.#uniques.append_filler();)*
            }
        }
    });
    // The filler is the first variant, of fillers.
    let fill = with_payload.iter().zip(&valid).map(|(variant, valid)| {
        let is_first = variant.code == 0;
        let uniques = variant.fields.iter().map(|field| &field.unique);
        quote! {
            self.#valid.append(#is_first);
            #(self.#uniques.append_filler();)*
        }
    });
    let finish = with_payload.iter().zip(&valid).enumerate().map(|(at, (variant, valid))| {
        let EnumVariant { name, fields, .. } = variant;
        let uniques = fields.iter().map(|field| &field.unique);
        let columns = fields.iter().map(|field| field.column.as_str());
        let index = at + 1;
        quote! {{
            let path = path.child(#name);
            let columns = ::std::vec![
                #(self.#uniques.finish(&path.child(#columns), ::core::option::Option::None)?,)*
            ];
            let fields = __record::nested_fields(&self.fields, #index);
            __record::finish_struct(&fields, columns, &path, self.#valid.finish())?
        }}
    });

    quote! {
        #[doc(hidden)]
        #visibility struct __Builder #impl_generics #where_clause {
            fields: __record::arrow::Fields,
            tags: __record::VariantBuilder<#name #type_generics>,
            #(#valid: __record::arrow::NullBufferBuilder,)*
            #(#uniques: #builders,)*
        }

        #[automatically_derived]
        impl #impl_generics ::core::default::Default for __Builder #type_generics #where_clause {
            fn default() -> Self {
                Self {
                    fields: __record::struct_fields::<#name #type_generics>(),
                    tags: ::core::default::Default::default(),
                    #(#valid: __record::arrow::NullBufferBuilder::new(0),)*
                    #(#uniques: ::core::default::Default::default(),)*
                }
            }
        }

        #[automatically_derived]
        impl #impl_generics __record::ColumnBuilder for __Builder #type_generics #where_clause {
            type Value = #name #type_generics;

            #[inline]
            fn append(&mut self, value: &Self::Value) {
                let code = value.code();
                self.tags.append_code(code);
                match value {
                    #(#append)*
                }
                #(#fill_others)*
            }

            #[inline]
            fn append_filler(&mut self) {
                self.tags.append_code(0);
                #(#fill)*
            }

            #[inline]
            fn len(&self) -> usize {
                self.tags.num_names()
            }

            #[inline]
            fn byte_len(&self) -> usize {
                self.tags.num_bytes() #(+ self.#uniques.byte_len())*
            }

            fn finish(
                &mut self,
                path: &__record::ColumnPath<'_>,
                nulls: ::core::option::Option<__record::arrow::NullBuffer>,
            ) -> ::core::result::Result<__record::arrow::ArrayRef, __record::RecordError> {
                let columns = ::std::vec![
                    self.tags.finish_names(&path.child(#TAG), ::core::option::Option::None)?,
                    #(#finish,)*
                ];
                __record::finish_struct(&self.fields, columns, path, nulls)
            }
        }
    }
}

fn payload_types<'a>(variants: &'a [EnumVariant<'_>]) -> impl Iterator<Item = &'a Type> {
    variants.iter().flat_map(|variant| variant.fields.iter().map(|field| field.ty))
}
