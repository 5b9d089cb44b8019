//! Types of columns, their names in pipelines and plugins, and their tags in the layout.

use core::fmt;

/// Largest length of a fixed-size list; a row of 64 Ki floats is 256 KiB already.
const MAX_LIST: u32 = 65_536;

/// The type of a column. Every type may hold nulls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ColumnType {
    /// `bool`: one bit a row.
    Bool,
    /// `i32`
    I32,
    /// `i64`
    I64,
    /// `u32`
    U32,
    /// `u64`
    U64,
    /// `f32`
    F32,
    /// `f64`
    F64,
    /// `utf8`: text.
    Utf8,
    /// `binary`: bytes.
    Binary,
    /// `timestamp`: i64, milliseconds since the Unix epoch, UTC.
    Timestamp,
    /// `date`: i32, days since the Unix epoch.
    Date,
    /// `list<f32>`: any number of f32 a row.
    ListF32,
    /// `f32[N]`: exactly N f32 a row, 1 ≤ N ≤ 65,536.
    FixedF32(u32),
}

impl ColumnType {
    /// The type of this name, such as `f64` or `f32[128]`.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "bool" => Self::Bool,
            "i32" => Self::I32,
            "i64" => Self::I64,
            "u32" => Self::U32,
            "u64" => Self::U64,
            "f32" => Self::F32,
            "f64" => Self::F64,
            "utf8" => Self::Utf8,
            "binary" => Self::Binary,
            "timestamp" => Self::Timestamp,
            "date" => Self::Date,
            "list<f32>" => Self::ListF32,
            _ => Self::fixed(name.strip_prefix("f32[")?.strip_suffix(']')?.parse().ok()?)?,
        })
    }

    /// `f32[N]`, when N is within the limit.
    pub fn fixed(size: u32) -> Option<Self> {
        (1..=MAX_LIST).contains(&size).then_some(Self::FixedF32(size))
    }

    /// Tag in the column directory.
    pub(crate) fn tag(self) -> u8 {
        match self {
            Self::Bool => 1,
            Self::I32 => 2,
            Self::I64 => 3,
            Self::U32 => 4,
            Self::U64 => 5,
            Self::F32 => 6,
            Self::F64 => 7,
            Self::Utf8 => 8,
            Self::Binary => 9,
            Self::Timestamp => 10,
            Self::Date => 11,
            Self::ListF32 => 12,
            Self::FixedF32(_) => 13,
        }
    }

    /// List size in the column directory; 0 for all but `f32[N]`.
    pub(crate) fn list_size(self) -> u32 {
        match self {
            Self::FixedF32(size) => size,
            _ => 0,
        }
    }

    pub(crate) fn from_tag(tag: u8, list_size: u32) -> Option<Self> {
        let column_type = match tag {
            1 => Self::Bool,
            2 => Self::I32,
            3 => Self::I64,
            4 => Self::U32,
            5 => Self::U64,
            6 => Self::F32,
            7 => Self::F64,
            8 => Self::Utf8,
            9 => Self::Binary,
            10 => Self::Timestamp,
            11 => Self::Date,
            12 => Self::ListF32,
            13 => Self::fixed(list_size)?,
            _ => return None,
        };
        (column_type.list_size() == list_size).then_some(column_type)
    }

    /// Bytes of one row in the values section, for types of fixed width.
    pub(crate) fn width(self) -> Option<u64> {
        match self {
            Self::I32 | Self::U32 | Self::F32 | Self::Date => Some(4),
            Self::I64 | Self::U64 | Self::F64 | Self::Timestamp => Some(8),
            Self::FixedF32(size) => Some(u64::from(size) * 4),
            Self::Bool | Self::Utf8 | Self::Binary | Self::ListF32 => None,
        }
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bool => "bool",
            Self::I32 => "i32",
            Self::I64 => "i64",
            Self::U32 => "u32",
            Self::U64 => "u64",
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::Utf8 => "utf8",
            Self::Binary => "binary",
            Self::Timestamp => "timestamp",
            Self::Date => "date",
            Self::ListF32 => "list<f32>",
            Self::FixedF32(size) => return write!(f, "f32[{size}]"),
        })
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn every_name_reads_back_and_every_tag_too() {
        for name in [
            "bool",
            "i32",
            "i64",
            "u32",
            "u64",
            "f32",
            "f64",
            "utf8",
            "binary",
            "timestamp",
            "date",
            "list<f32>",
            "f32[128]",
        ] {
            let column_type = ColumnType::parse(name).unwrap();
            assert_eq!(column_type.to_string(), name);
            assert_eq!(ColumnType::from_tag(column_type.tag(), column_type.list_size()), Some(column_type));
        }
    }

    #[test]
    fn a_list_size_is_within_the_limit_and_only_on_a_fixed_list() {
        assert_eq!(ColumnType::parse("f32[65536]"), Some(ColumnType::FixedF32(65_536)));
        for name in ["f32[0]", "f32[65537]", "f32[]", "f32[-1]", "f32[99999999999]", "text"] {
            assert_eq!(ColumnType::parse(name), None, "{name}");
        }
        assert_eq!(ColumnType::from_tag(3, 1), None);
        assert_eq!(ColumnType::from_tag(13, 0), None);
        assert_eq!(ColumnType::from_tag(0, 0), None);
    }
}
