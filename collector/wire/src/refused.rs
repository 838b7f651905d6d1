//! Which records of a request were refused singly. It does not know why.

/// A set of record numbers, one bit each, as it is stored beside a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refused(Vec<u8>);

impl Refused {
    /// Adds a record's number.
    pub fn insert(&mut self, record: u32) {
        let byte = record as usize / 8;
        if self.0.len() <= byte {
            self.0.resize(byte + 1, 0);
        }
        self.0[byte] |= 1 << (record % 8);
    }

    /// Whether the record was refused.
    #[must_use]
    pub fn contains(&self, record: u32) -> bool {
        self.0.get(record as usize / 8).is_some_and(|byte| byte >> (record % 8) & 1 == 1)
    }

    /// How many records were refused.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().map(|byte| byte.count_ones() as usize).sum()
    }

    /// Whether none was.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|byte| *byte == 0)
    }

    /// The stored form: bit `n % 8` of byte `n / 8` stands for record `n`.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<&[u8]> for Refused {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_records_survive_storage() {
        let mut refused = Refused::default();
        assert!(refused.is_empty());
        for record in [0, 7, 8, 511] {
            refused.insert(record);
        }
        let read = Refused::from(refused.as_bytes());
        assert_eq!((0..600).filter(|n| read.contains(*n)).collect::<Vec<_>>(), [0, 7, 8, 511]);
        assert_eq!(read.len(), 4);
    }
}
