//! The types that a state may hold, and their bytes.

use super::StateError;

/// A value that can stand in a state slot. Implemented by `#[derive(State)]` and for the types
/// that `state` lists.
pub trait StateField: Sized {
    /// Bytes that every value takes, where that is the same for all.
    const FIXED_SIZE: Option<usize>;

    /// Bytes that this value takes.
    fn size(&self) -> usize;

    /// Writes the value to the front of `out`, which has at least `size()` bytes, and returns what
    /// follows.
    fn write<'b>(&self, out: &'b mut [u8]) -> &'b mut [u8];

    /// Takes one value off the front of `bytes`.
    fn read(bytes: &mut &[u8]) -> Result<Self, StateError>;

    /// `read` over an existing value, which saves moving large ones. After an error it holds
    /// anything.
    #[inline]
    fn read_over(&mut self, bytes: &mut &[u8]) -> Result<(), StateError> {
        *self = Self::read(bytes)?;
        Ok(())
    }

    /// `write` for a run of values; numbers do it in one copy.
    #[inline]
    fn write_all<'b>(values: &[Self], mut out: &'b mut [u8]) -> &'b mut [u8] {
        for value in values {
            out = value.write(out);
        }
        out
    }

    /// `read` into a run of values; numbers do it in one copy.
    #[inline]
    fn read_all(values: &mut [Self], bytes: &mut &[u8]) -> Result<(), StateError> {
        for value in values {
            *value = Self::read(bytes)?;
        }
        Ok(())
    }
}

/// Sum of field sizes, while all are fixed: what the derive computes `FIXED_SIZE` with.
#[doc(hidden)]
pub const fn total_size(sizes: &[Option<usize>]) -> Option<usize> {
    let mut sum = 0;
    let mut at = 0;
    while at < sizes.len() {
        match sizes[at] {
            Some(size) => sum += size,
            None => return None,
        }
        at += 1;
    }
    Some(sum)
}

#[inline]
fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Result<&'a [u8], StateError> {
    let (head, tail) = bytes.split_at_checked(count).ok_or(StateError::TooShort)?;
    *bytes = tail;
    Ok(head)
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl StateField for $number {
            const FIXED_SIZE: Option<usize> = Some(size_of::<Self>());

            #[inline]
            fn size(&self) -> usize {
                size_of::<Self>()
            }

            #[inline]
            fn write<'b>(&self, out: &'b mut [u8]) -> &'b mut [u8] {
                let (head, tail) = out.split_at_mut(size_of::<Self>());
                head.copy_from_slice(&self.to_le_bytes());
                tail
            }

            #[inline]
            fn read(bytes: &mut &[u8]) -> Result<Self, StateError> {
                let (head, tail) = bytes.split_first_chunk().ok_or(StateError::TooShort)?;
                *bytes = tail;
                Ok(Self::from_le_bytes(*head))
            }

            #[inline]
            fn write_all<'b>(values: &[Self], out: &'b mut [u8]) -> &'b mut [u8] {
                let (head, tail) = out.split_at_mut(size_of_val(values));
                for (target, value) in head.chunks_exact_mut(size_of::<Self>()).zip(values) {
                    target.copy_from_slice(&value.to_le_bytes());
                }
                tail
            }

            #[inline]
            fn read_all(values: &mut [Self], bytes: &mut &[u8]) -> Result<(), StateError> {
                let (chunks, _) = take(bytes, size_of_val(values))?.as_chunks();
                for (value, chunk) in values.iter_mut().zip(chunks) {
                    *value = Self::from_le_bytes(*chunk);
                }
                Ok(())
            }
        }
    )*};
}

numbers!(u8, i8, u16, i16, u32, i32, u64, i64, f32, f64);

impl StateField for bool {
    const FIXED_SIZE: Option<usize> = Some(1);

    #[inline]
    fn size(&self) -> usize {
        1
    }

    #[inline]
    fn write<'b>(&self, out: &'b mut [u8]) -> &'b mut [u8] {
        u8::from(*self).write(out)
    }

    #[inline]
    fn read(bytes: &mut &[u8]) -> Result<Self, StateError> {
        match u8::read(bytes)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(StateError::Malformed("a flag is neither 0 nor 1")),
        }
    }
}

impl<T: StateField> StateField for Option<T> {
    const FIXED_SIZE: Option<usize> = match T::FIXED_SIZE {
        Some(size) => Some(size + 1),
        None => None,
    };

    #[inline]
    fn size(&self) -> usize {
        Self::FIXED_SIZE.unwrap_or_else(|| 1 + self.as_ref().map_or(0, T::size))
    }

    #[inline]
    fn write<'b>(&self, out: &'b mut [u8]) -> &'b mut [u8] {
        let out = self.is_some().write(out);
        match (self, T::FIXED_SIZE) {
            (Some(value), _) => value.write(out),
            (None, Some(size)) => {
                let (head, tail) = out.split_at_mut(size);
                head.fill(0);
                tail
            }
            (None, None) => out,
        }
    }

    #[inline]
    fn read(bytes: &mut &[u8]) -> Result<Self, StateError> {
        match (bool::read(bytes)?, T::FIXED_SIZE) {
            (true, _) => T::read(bytes).map(Some),
            (false, Some(size)) => take(bytes, size).map(|_| None),
            (false, None) => Ok(None),
        }
    }
}

impl<T: StateField + Default + Copy, const N: usize> StateField for [T; N] {
    const FIXED_SIZE: Option<usize> = match T::FIXED_SIZE {
        Some(size) => Some(size * N),
        None => None,
    };

    #[inline]
    fn size(&self) -> usize {
        Self::FIXED_SIZE.unwrap_or_else(|| self.iter().map(T::size).sum())
    }

    #[inline]
    fn write<'b>(&self, out: &'b mut [u8]) -> &'b mut [u8] {
        T::write_all(self, out)
    }

    #[inline]
    fn read(bytes: &mut &[u8]) -> Result<Self, StateError> {
        let mut values = [T::default(); N];
        T::read_all(&mut values, bytes)?;
        Ok(values)
    }

    #[inline]
    fn read_over(&mut self, bytes: &mut &[u8]) -> Result<(), StateError> {
        T::read_all(self, bytes)
    }
}

impl<T: StateField> StateField for Vec<T> {
    const FIXED_SIZE: Option<usize> = None;

    fn size(&self) -> usize {
        4 + match T::FIXED_SIZE {
            Some(size) => self.len() * size,
            None => self.iter().map(T::size).sum(),
        }
    }

    fn write<'b>(&self, out: &'b mut [u8]) -> &'b mut [u8] {
        // A slot of 4 Gi elements does not fit the memory of a plugin.
        let out = (self.len() as u32).write(out);
        T::write_all(self, out)
    }

    fn read(bytes: &mut &[u8]) -> Result<Self, StateError> {
        let length = u32::read(bytes)? as usize;
        // The claim bounds no allocation: elements of at least one byte must really be there.
        if length > bytes.len() / T::FIXED_SIZE.unwrap_or(1).max(1) {
            return Err(StateError::TooShort);
        }
        let mut values = Self::with_capacity(length);
        for _ in 0..length {
            values.push(T::read(bytes)?);
        }
        Ok(values)
    }
}

impl StateField for String {
    const FIXED_SIZE: Option<usize> = None;

    fn size(&self) -> usize {
        4 + self.len()
    }

    fn write<'b>(&self, out: &'b mut [u8]) -> &'b mut [u8] {
        let out = (self.len() as u32).write(out);
        u8::write_all(self.as_bytes(), out)
    }

    fn read(bytes: &mut &[u8]) -> Result<Self, StateError> {
        let length = u32::read(bytes)? as usize;
        let text = std::str::from_utf8(take(bytes, length)?);
        text.map(Self::from).map_err(|_| StateError::Malformed("text is not UTF-8"))
    }
}
