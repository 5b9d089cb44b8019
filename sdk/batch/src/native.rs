//! The numbers that columns hold, and their little-endian bytes.

use core::fmt::Debug;

use crate::ColumnType;

/// A number type of columns: `i32`, `i64`, `u32`, `u64`, `f32`, `f64`.
pub trait Native: Copy + Default + PartialEq + Debug + sealed::Sealed + 'static {
    /// Its bytes.
    type Bytes: Copy + Debug + 'static;
    /// The column type that holds it.
    const TYPE: ColumnType;
    /// A second column type that holds it: `timestamp` for `i64`, `date` for `i32`.
    const ALIAS: Option<ColumnType>;

    /// The number of its little-endian bytes.
    fn from_bytes(bytes: Self::Bytes) -> Self;
    /// Its little-endian bytes.
    fn to_bytes(self) -> Self::Bytes;
    /// The whole numbers in `bytes`.
    fn chunks(bytes: &[u8]) -> &[Self::Bytes];
    /// The whole numbers in `bytes`, to be written.
    fn chunks_mut(bytes: &mut [u8]) -> &mut [Self::Bytes];
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! native {
    ($($native:ty, $width:literal, $type:ident, $alias:expr;)*) => {$(
        impl sealed::Sealed for $native {}

        impl Native for $native {
            type Bytes = [u8; $width];
            const TYPE: ColumnType = ColumnType::$type;
            const ALIAS: Option<ColumnType> = $alias;

            #[inline]
            fn from_bytes(bytes: Self::Bytes) -> Self {
                Self::from_le_bytes(bytes)
            }

            #[inline]
            fn to_bytes(self) -> Self::Bytes {
                self.to_le_bytes()
            }

            #[inline]
            fn chunks(bytes: &[u8]) -> &[Self::Bytes] {
                bytes.as_chunks().0
            }

            #[inline]
            fn chunks_mut(bytes: &mut [u8]) -> &mut [Self::Bytes] {
                bytes.as_chunks_mut().0
            }
        }
    )*};
}

native! {
    i32, 4, I32, Some(ColumnType::Date);
    i64, 8, I64, Some(ColumnType::Timestamp);
    u32, 4, U32, None;
    u64, 8, U64, None;
    f32, 4, F32, None;
    f64, 8, F64, None;
}
