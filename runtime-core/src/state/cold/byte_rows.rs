//! Many short byte strings in one buffer.

/// Byte strings, one after another.
#[derive(Debug, Clone, Default)]
pub struct ByteRows {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl ByteRows {
    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// Number of strings.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Length of all together.
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// Adds a string.
    #[inline]
    pub fn push(&mut self, row: &[u8]) {
        self.bytes.extend_from_slice(row);
        self.ends.push(self.bytes.len());
    }

    /// Adds a string that `write` appends to the buffer, which holds those before it.
    #[inline]
    pub fn push_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        self.ends.push(self.bytes.len());
    }

    /// The string at this position.
    #[inline]
    pub fn get(&self, position: usize) -> &[u8] {
        let start = if position == 0 { 0 } else { self.ends[position - 1] };
        &self.bytes[start..self.ends[position]]
    }

    /// All strings, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> + Clone {
        (0..self.len()).map(|position| self.get(position))
    }

    /// The last string.
    pub fn last(&self) -> Option<&[u8]> {
        self.len().checked_sub(1).map(|last| self.get(last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_keep_their_order_and_their_bounds() {
        let mut rows = ByteRows::default();
        rows.push(b"one");
        rows.push(b"");
        rows.push_with(|bytes| bytes.extend_from_slice(b"three"));
        assert_eq!(rows.iter().collect::<Vec<_>>(), [&b"one"[..], b"", b"three"]);
        assert_eq!((rows.last(), rows.byte_len()), (Some(&b"three"[..]), 8));
        rows.clear();
        assert_eq!((rows.len(), rows.last()), (0, None));
    }
}
