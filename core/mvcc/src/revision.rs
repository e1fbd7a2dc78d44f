//! A point in history: which change (main), and which row of it (sub).

/// Orders every row that was ever written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Revision {
    /// The store's revision after the command that wrote the row.
    pub main: i64,
    /// The row's place in that command, from 0.
    pub sub: u32,
}

/// Length of [`Revision::to_key`].
pub(crate) const KEY_LEN: usize = 16;

impl Revision {
    /// The first row of the command that made revision `main`.
    pub(crate) fn first(main: i64) -> Self {
        Revision { main, sub: 0 }
    }

    /// The row's key on disk: both parts as big-endian 64-bit numbers, so that byte order is history's order.
    pub(crate) fn to_key(self) -> [u8; KEY_LEN] {
        let mut key = [0; KEY_LEN];
        key[..8].copy_from_slice(&self.main.to_be_bytes());
        key[8..].copy_from_slice(&u64::from(self.sub).to_be_bytes());
        key
    }

    /// Reads [`Revision::to_key`]; `None` for a key that no row can have.
    pub(crate) fn from_key(key: &[u8; KEY_LEN]) -> Option<Self> {
        let (main, sub) = key.split_at(8);
        let main = i64::from_be_bytes(main.try_into().ok()?);
        let sub = u32::try_from(u64::from_be_bytes(sub.try_into().ok()?)).ok()?;
        (main > 0).then_some(Revision { main, sub })
    }
}
