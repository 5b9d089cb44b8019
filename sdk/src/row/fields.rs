//! The types that a field of a row may have, each with its column type.
//!
//! | Rust | column |
//! | --- | --- |
//! | `bool`, `i32`, `i64`, `u32`, `u64`, `f32`, `f64` | the type of that name |
//! | `&str`, `String` | `utf8` |
//! | `&[u8]`, `Vec<u8>` | `binary` |
//! | `Floats`, `Vec<f32>` | `list<f32>` |
//! | `[f32; N]` | `f32[N]` |
//! | `Option<T>` | that of `T`, nullable |
//!
//! Prefer the borrowed types in input rows: the owned ones allocate for every row.

use millstream_batch::{
    BinaryBuilder, BinaryColumn, BoolBuilder, BoolColumn, Column, ColumnBuilder, ColumnType, ColumnView,
    FixedF32Builder, FixedF32Column, Floats, LayoutError, ListF32Builder, ListF32Column, PrimitiveBuilder,
    PrimitiveColumn, Utf8Builder, Utf8Column,
};

/// How values are written to a column.
pub trait RowField {
    /// What the struct's field holds.
    type Value;
    /// The column in the making.
    type Builder: ColumnBuilder;
    /// Type of the column.
    const TYPE: ColumnType;
    /// Whether values may be missing.
    const NULLABLE: bool = false;

    /// A column without rows.
    fn builder() -> Self::Builder;

    /// Adds a value.
    fn write(value: Self::Value, builder: &mut Self::Builder);
}

/// How values are read from a column.
pub trait ReadField<'a>: RowField {
    /// The view of the column.
    type View: ColumnView<'a>;

    /// Makes the view of the column at `index`.
    ///
    /// # Errors
    /// When the column is of another type, or broken.
    fn bind(column: Column<'a>, index: usize) -> Result<Self::View, LayoutError> {
        let _ = index;
        column.view()
    }

    /// The value of `row`; `None` where the column lacks one that the field needs.
    fn read(view: &Self::View, row: usize) -> Option<Self::Value>;
}

macro_rules! numbers {
    ($($number:ty, $codec:ty, $type:ident, $builder:ident;)*) => {$(
        impl RowField for $codec {
            type Value = $number;
            type Builder = PrimitiveBuilder<$number>;
            const TYPE: ColumnType = ColumnType::$type;

            fn builder() -> Self::Builder {
                PrimitiveBuilder::$builder()
            }

            #[inline]
            fn write(value: $number, builder: &mut Self::Builder) {
                builder.push(value);
            }
        }

        impl<'a> ReadField<'a> for $codec {
            type View = PrimitiveColumn<'a, $number>;

            #[inline]
            fn read(view: &Self::View, row: usize) -> Option<$number> {
                view.get(row)
            }
        }
    )*};
}

numbers! {
    i32, i32, I32, new;
    i64, i64, I64, new;
    u32, u32, U32, new;
    u64, u64, U64, new;
    f32, f32, F32, new;
    f64, f64, F64, new;
    i64, Timestamp, Timestamp, timestamp;
    i32, Date, Date, date;
}

/// An `i64` field as a column of type timestamp.
#[derive(Clone, Copy, Debug)]
pub enum Timestamp {}

/// An `i32` field as a column of type date.
#[derive(Clone, Copy, Debug)]
pub enum Date {}

/// What `#[timestamp]` and `#[event_time]` make of a field's type.
pub trait AsTimestamp {
    /// How the column is read and written.
    type Codec;
}

impl AsTimestamp for i64 {
    type Codec = Timestamp;
}

impl AsTimestamp for Option<i64> {
    type Codec = Option<Timestamp>;
}

/// What `#[date]` makes of a field's type.
pub trait AsDate {
    /// How the column is read and written.
    type Codec;
}

impl AsDate for i32 {
    type Codec = Date;
}

impl AsDate for Option<i32> {
    type Codec = Option<Date>;
}

macro_rules! borrowed {
    ($($own:ty, $value:ty, $type:ident, $builder:ident, $view:ident, $write:expr, $read:expr;)*) => {$(
        impl<'v> RowField for $own {
            type Value = $value;
            type Builder = $builder;
            const TYPE: ColumnType = ColumnType::$type;

            fn builder() -> $builder {
                $builder::new()
            }

            #[inline]
            fn write(value: $value, builder: &mut $builder) {
                let write: fn(&mut $builder, $value) = $write;
                write(builder, value);
            }
        }

        impl<'v> ReadField<'v> for $own {
            type View = $view<'v>;

            #[inline]
            fn read(view: &$view<'v>, row: usize) -> Option<$value> {
                view.get(row).map($read)
            }
        }
    )*};
}

borrowed! {
    &'v str, &'v str, Utf8, Utf8Builder, Utf8Column, |to, value| to.push(value), |value| value;
    &'v [u8], &'v [u8], Binary, BinaryBuilder, BinaryColumn, |to, value| to.push(value), |value| value;
    Floats<'v>, Floats<'v>, ListF32, ListF32Builder, ListF32Column, |to, value| to.push(&value.to_vec()), |value| value;
}

macro_rules! owned {
    ($($own:ty, $type:ident, $builder:ident, $view:ident, $write:expr, $read:expr;)*) => {$(
        impl RowField for $own {
            type Value = $own;
            type Builder = $builder;
            const TYPE: ColumnType = ColumnType::$type;

            fn builder() -> $builder {
                $builder::new()
            }

            #[inline]
            fn write(value: $own, builder: &mut $builder) {
                let write: fn(&mut $builder, $own) = $write;
                write(builder, value);
            }
        }

        impl<'a> ReadField<'a> for $own {
            type View = $view<'a>;

            #[inline]
            fn read(view: &$view<'a>, row: usize) -> Option<$own> {
                view.get(row).map($read)
            }
        }
    )*};
}

owned! {
    bool, Bool, BoolBuilder, BoolColumn, |to, value| to.push(value), |value| value;
    String, Utf8, Utf8Builder, Utf8Column, |to, value| to.push(&value), String::from;
    Vec<u8>, Binary, BinaryBuilder, BinaryColumn, |to, value| to.push(&value), <[u8]>::to_vec;
    Vec<f32>, ListF32, ListF32Builder, ListF32Column, |to, value| to.push(&value), |value| value.to_vec();
}

impl<const N: usize> RowField for [f32; N] {
    type Value = [f32; N];
    type Builder = FixedF32Builder;
    const TYPE: ColumnType = {
        assert!(N >= 1 && N <= 65_536, "a list column has 1 to 65,536 floats a row");
        ColumnType::FixedF32(N as u32)
    };

    fn builder() -> FixedF32Builder {
        FixedF32Builder::new(N as u32)
    }

    #[inline]
    fn write(value: [f32; N], builder: &mut FixedF32Builder) {
        builder.push(&value);
    }
}

impl<'a, const N: usize> ReadField<'a> for [f32; N] {
    type View = FixedF32Column<'a>;

    fn bind(column: Column<'a>, index: usize) -> Result<FixedF32Column<'a>, LayoutError> {
        let found = column.column_type();
        if found != Self::TYPE {
            return Err(LayoutError::Type { at: index, expected: Self::TYPE, found });
        }
        column.view()
    }

    #[inline]
    fn read(view: &FixedF32Column<'a>, row: usize) -> Option<[f32; N]> {
        view.get(row)?.to_array()
    }
}

impl<T: RowField> RowField for Option<T> {
    type Value = Option<T::Value>;
    type Builder = T::Builder;
    const TYPE: ColumnType = T::TYPE;
    const NULLABLE: bool = true;

    fn builder() -> T::Builder {
        T::builder()
    }

    #[inline]
    fn write(value: Option<T::Value>, builder: &mut T::Builder) {
        match value {
            Some(value) => T::write(value, builder),
            None => builder.push_null(),
        }
    }
}

impl<'a, T: ReadField<'a>> ReadField<'a> for Option<T> {
    type View = T::View;

    fn bind(column: Column<'a>, index: usize) -> Result<T::View, LayoutError> {
        T::bind(column, index)
    }

    #[inline]
    fn read(view: &T::View, row: usize) -> Option<Option<T::Value>> {
        Some(T::read(view, row))
    }
}
