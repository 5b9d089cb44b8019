//! What a pipeline says about a format.

/// How records are laid out in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// Comma-separated values, RFC 4180, with a header line.
    Csv,
}

/// How a byte stream is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// By the file's name (`.gz`, `.zst`), or by its first bytes when reading.
    #[default]
    Auto,
    /// Not compressed.
    None,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}
