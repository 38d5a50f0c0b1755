//! Structs: one column per field.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote};
use syn::{DeriveInput, FieldsNamed, Ident, Result, Type, Visibility};

use crate::attributes::{FieldAttributes, TypeAttributes, plain, refuse_duplicates};
use crate::borrowed;
use crate::bounds::{of_record, with_bounds};

/// A field of the struct and its column.
pub struct StructField<'a> {
    pub ident: &'a Ident,
    pub visibility: &'a Visibility,
    pub ty: &'a Type,
    column: String,
    column_span: Span,
    default: bool,
    has_constant: bool,
}

pub fn expand(input: &DeriveInput, fields: &FieldsNamed) -> Result<TokenStream> {
    let attributes = TypeAttributes::parse(&input.attrs)?;
    let fields = parse_fields(fields, &attributes)?;
    let constants = column_constants(input, &fields);
    let implementation = implementation(input, &fields, attributes.borrowed.is_some());
    let borrowed = match attributes.borrowed {
        Some(span) => borrowed::expand(input, &fields, span)?,
        None => TokenStream::new(),
    };
    Ok(quote! { #constants #implementation #borrowed })
}

fn parse_fields<'a>(fields: &'a FieldsNamed, of_type: &TypeAttributes) -> Result<Vec<StructField<'a>>> {
    let mut parsed = Vec::new();
    for field in &fields.named {
        let Some(ident) = &field.ident else { continue };
        let attributes = FieldAttributes::parse(&field.attrs)?;
        let spelled = || of_type.rename_all.map_or(plain(ident), |case| case.apply(&plain(ident)));
        parsed.push(StructField {
            ident,
            visibility: &field.vis,
            ty: &field.ty,
            column: attributes.rename.as_ref().map_or_else(spelled, |name| name.value()),
            column_span: attributes.rename.as_ref().map_or(ident.span(), |name| name.span()),
            default: attributes.default.is_some(),
            has_constant: attributes.no_column.is_none() && of_type.no_column.is_none(),
        });
    }
    refuse_duplicates(parsed.iter().map(|field| (field.column.as_str(), field.column_span)))?;
    Ok(parsed)
}

/// `Trip::driver` and so on.
fn column_constants(input: &DeriveInput, fields: &[StructField<'_>]) -> TokenStream {
    let name = &input.ident;
    let (impl_generics, type_generics, where_clause) = input.generics.split_for_impl();
    let constants = fields.iter().filter(|field| field.has_constant).map(|field| {
        let StructField { ident, visibility, ty, column, .. } = field;
        let doc = format!(" The column `{column}` of [`{name}`].");
        quote! {
            #[doc = #doc]
            #visibility const #ident: ::pelton::record::Column<Self, #ty> =
                ::pelton::record::Column::new(#column, |record| &record.#ident);
        }
    });
    quote! {
        #[allow(non_upper_case_globals, dead_code)]
        #[automatically_derived]
        impl #impl_generics #name #type_generics #where_clause {
            #(#constants)*
        }
    }
}

fn implementation(input: &DeriveInput, fields: &[StructField<'_>], has_borrowed: bool) -> TokenStream {
    // The generated types are as visible as the record, which is part of their interface.
    let (name, visibility) = (&input.ident, &input.vis);
    let record_name = plain(name);
    let generics = with_bounds(input, fields.iter().map(|field| field.ty));
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();

    let idents: Vec<_> = fields.iter().map(|field| field.ident).collect();
    let types: Vec<_> = fields.iter().map(|field| field.ty).collect();
    let columns: Vec<_> = fields.iter().map(|field| field.column.as_str()).collect();
    let open = fields.iter().map(|field| {
        let StructField { ident, column, .. } = field;
        let open = format_ident!("{}", if field.default { "child_or_default" } else { "child" });
        quote! { #ident: row.#open(#column)? }
    });
    let of_each = |item| types.iter().map(|ty| of_record(ty, item)).collect::<Vec<_>>();
    let (readers, builders) = (of_each("Reader"), of_each("Builder"));
    let keys = of_each("IS_KEY");
    let (arrow_fields, scratches) = (of_each("arrow_field"), of_each("scratch"));
    let first = &idents[0];
    let borrowed = match has_borrowed {
        true => {
            let companion = borrowed::companion_name(name);
            quote! { #companion<'a> }
        }
        false => quote! { &'a Self },
    };

    quote! {
        #[allow(private_bounds, private_interfaces)]
        const _: () = {
            use ::pelton::record as __record;
            use __record::{ColumnBuilder as _, ColumnReader as _};

            #[doc(hidden)]
            #visibility struct __Reader #impl_generics #where_clause {
                #(#idents: #readers,)*
            }

            #[automatically_derived]
            impl #impl_generics ::core::clone::Clone for __Reader #type_generics #where_clause {
                fn clone(&self) -> Self {
                    Self { #(#idents: ::core::clone::Clone::clone(&self.#idents),)* }
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
                    ::core::result::Result::Ok(Self { #(#open,)* })
                }

                #[inline]
                fn read(&self, row: usize) -> Self::Value {
                    #name { #(#idents: self.#idents.read(row),)* }
                }

                #[inline]
                fn read_into(&self, row: usize, value: &mut Self::Value) {
                    #(self.#idents.read_into(row, &mut value.#idents);)*
                }
            }

            #[doc(hidden)]
            #visibility struct __Builder #impl_generics #where_clause {
                fields: __record::arrow::Fields,
                columns: __Columns #type_generics,
            }

            #[doc(hidden)]
            #visibility struct __Columns #impl_generics #where_clause {
                #(#idents: #builders,)*
            }

            #[automatically_derived]
            impl #impl_generics ::core::default::Default for __Builder #type_generics #where_clause {
                fn default() -> Self {
                    Self {
                        fields: __record::struct_fields::<#name #type_generics>(),
                        columns: __Columns { #(#idents: ::core::default::Default::default(),)* },
                    }
                }
            }

            #[automatically_derived]
            impl #impl_generics __record::StructBuilder for __Builder #type_generics #where_clause {
                type Columns = __Columns #type_generics;
                #[inline]
                fn columns(&mut self) -> &mut Self::Columns {
                    &mut self.columns
                }
            }

            #[automatically_derived]
            impl #impl_generics __record::ColumnBuilder for __Builder #type_generics #where_clause {
                type Value = #name #type_generics;

                #[inline]
                fn append(&mut self, value: &Self::Value) {
                    #(self.columns.#idents.append(&value.#idents);)*
                }

                #[inline]
                fn append_filler(&mut self) {
                    #(self.columns.#idents.append_filler();)*
                }

                #[inline]
                fn len(&self) -> usize {
                    self.columns.#first.len()
                }

                #[inline]
                fn byte_len(&self) -> usize {
                    0 #(+ self.columns.#idents.byte_len())*
                }

                fn finish(
                    &mut self,
                    path: &__record::ColumnPath<'_>,
                    nulls: ::core::option::Option<__record::arrow::NullBuffer>,
                ) -> ::core::result::Result<__record::arrow::ArrayRef, __record::RecordError> {
                    let columns = ::std::vec![
                        #(self.columns.#idents.finish(&path.child(#columns), ::core::option::Option::None)?,)*
                    ];
                    __record::finish_struct(&self.fields, columns, path, nulls)
                }
            }

            #[automatically_derived]
            impl #impl_generics __record::Record for #name #type_generics #where_clause {
                type Reader = __Reader #type_generics;
                type Builder = __Builder #type_generics;
                type Ref<'a> = #borrowed;

                const ROW_SHAPE: __record::RowShape = __record::RowShape::ColumnPerField;
                const IS_KEY: bool = true #(&& #keys)*;

                fn data_type() -> __record::arrow::DataType {
                    __record::arrow::DataType::Struct(::core::iter::FromIterator::from_iter([
                        #(#arrow_fields(#columns),)*
                    ]))
                }

                #[inline]
                fn scratch() -> Self {
                    Self { #(#idents: #scratches(),)* }
                }

                #[inline]
                fn heap_bytes(&self) -> usize {
                    0 #(+ __record::Record::heap_bytes(&self.#idents))*
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
        };
    }
}
