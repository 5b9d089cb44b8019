//! Keyed state as the plugin host sees it. Who keeps it is none of its business.

/// Slots of the distinct keys of the batch in hand, by their index in it.
pub trait Slots {
    /// The slot of a key and the version of its layout; `None` when the key has no state.
    fn get(&self, key_index: u32) -> Option<(u32, &[u8])>;

    /// The bytes of a key.
    fn key(&self, key_index: u32) -> &[u8];

    /// Writes the slot of a key.
    fn put(&mut self, key_index: u32, version: u32, slot: &[u8]);

    /// Deletes the slot of a key.
    fn delete(&mut self, key_index: u32);
}

/// The keys of a batch.
pub struct Keyed<'a, S> {
    /// The key index of each row, all below `keys`.
    pub rows: &'a [u32],
    /// Number of distinct keys.
    pub keys: u32,
    /// Their slots.
    pub slots: &'a mut S,
}

/// No state, for operators without a key.
#[derive(Clone, Copy, Debug)]
pub enum NoSlots {}

impl Slots for NoSlots {
    fn get(&self, _key_index: u32) -> Option<(u32, &[u8])> {
        match *self {}
    }

    fn key(&self, _key_index: u32) -> &[u8] {
        match *self {}
    }

    fn put(&mut self, _key_index: u32, _version: u32, _slot: &[u8]) {
        match *self {}
    }

    fn delete(&mut self, _key_index: u32) {
        match *self {}
    }
}
