//! From keys to dense slots: whole batches at a time, without an allocation for a key that is known.
//!
//! Owns the keys of one table and which slot each has; knows nothing of what is stored in the slots. A new key gets the
//! slot that was freed last, or the next one: an index from which nothing is removed numbers its keys in the order in
//! which they first appeared.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;
use hashbrown::HashTable;

use super::StateError;
use super::key_batch::{KeyBatch, KeyForm, Rows, is_word};
use super::key_codec::{decode_keys, fixed_array};
use super::key_hash::hash_word;
use super::key_order::order;
use crate::key_group::KeyGroup;

/// Number of a key in a table.
pub type Slot = u32;

/// No slot: the key is not in the table.
pub const NO_SLOT: Slot = Slot::MAX;

/// The keys of one table.
#[derive(Debug)]
pub struct KeyIndex {
    types: Arc<[DataType]>,
    keys: Keys,
    pool: SlotPool,
}

/// The slots that are to be given out next, and those that were last.
#[derive(Debug, Default)]
struct SlotPool {
    free: Vec<Slot>,
    fresh: Vec<Slot>,
}

#[derive(Debug)]
enum Keys {
    Words(WordKeys),
    Bytes(ByteKeys),
}

#[derive(Debug, Default)]
struct WordKeys {
    table: HashTable<(u64, Slot)>,
    words: Vec<u64>,
    null: Option<Slot>,
}

#[derive(Debug, Default)]
struct ByteKeys {
    table: HashTable<(u64, Slot)>,
    hashes: Vec<u64>,
    spans: Vec<(usize, u32)>,
    arena: Vec<u8>,
    garbage_bytes: usize,
}

/// Key groups take a hash's high bits, which are alike in one subtask; the table looks at others.
#[inline(always)]
const fn table_hash(hash: u64) -> u64 {
    hash.rotate_left(32)
}

/// Bytes that every key takes in an index: its entry in the hash table, of which a quarter is empty, its hash or word,
/// and where its bytes are.
pub(super) const SLOT_BYTES: usize = 24 + 8 + 16;

/// Bytes of a key that is a word: whether it is one, and the word; zeros for NULL.
const WORD_KEY_BYTES: usize = 9;

/// Garbage below this is not worth a compaction.
const MIN_GARBAGE_BYTES: usize = 64 * 1024;

impl KeyIndex {
    /// An empty index of keys with columns of these types.
    pub fn new(types: impl Into<Arc<[DataType]>>) -> Self {
        let types = types.into();
        let keys = if is_word(&types) { Keys::Words(WordKeys::default()) } else { Keys::Bytes(ByteKeys::default()) };
        Self { types, keys, pool: SlotPool::default() }
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.slot_count() - self.pool.free.len()
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One more than the greatest slot ever given out.
    pub fn slot_count(&self) -> usize {
        match &self.keys {
            Keys::Words(keys) => keys.words.len(),
            Keys::Bytes(keys) => keys.hashes.len(),
        }
    }

    /// The slots that have keys, ascending.
    pub fn used_slots(&self) -> Vec<Slot> {
        self.used(0..self.slot_count() as Slot)
    }

    /// Those of `slots` that have keys, in their order.
    pub(super) fn used_among(&self, slots: &[Slot]) -> Vec<Slot> {
        self.used(slots.iter().copied())
    }

    fn used(&self, slots: impl Iterator<Item = Slot>) -> Vec<Slot> {
        if self.pool.free.is_empty() {
            return slots.collect();
        }
        let mut is_free = vec![false; self.slot_count()];
        self.pool.free.iter().for_each(|slot| is_free[*slot as usize] = true);
        slots.filter(|slot| !is_free[*slot as usize]).collect()
    }

    /// The types of the key's columns.
    pub fn types(&self) -> &Arc<[DataType]> {
        &self.types
    }

    /// Finds the slots of `rows` of `keys`, giving slots to new keys, into `slots` (cleared first).
    ///
    /// # Errors
    ///
    /// When the keys have other types than the index, or there are more than 2^32 - 2 keys.
    pub fn slots(&mut self, keys: &KeyBatch, rows: Rows<'_>, slots: &mut Vec<Slot>) -> Result<(), StateError> {
        self.check(keys)?;
        slots.clear();
        slots.reserve(rows.len());
        if self.slot_count() + rows.len() >= NO_SLOT as usize {
            return Err(StateError::TooManyKeys);
        }
        let free = &mut self.pool;
        free.fresh.clear();
        match (&mut self.keys, keys.form()) {
            (Keys::Words(index), KeyForm::Words { words, nulls }) => {
                let hashes = keys.hashes();
                match nulls {
                    None => each(rows, |row| slots.push(index.find_or_insert(words[row], hashes[row], free))),
                    Some(nulls) => each(rows, |row| {
                        slots.push(if nulls.is_null(row) {
                            index.null_slot(free)
                        } else {
                            index.find_or_insert(words[row], hashes[row], free)
                        });
                    }),
                }
            }
            (Keys::Bytes(index), KeyForm::Bytes(encoded)) => {
                let hashes = keys.hashes();
                each(rows, |row| slots.push(index.find_or_insert(encoded.get(row), hashes[row], free)));
            }
            _ => return Err(self.other_types(keys)),
        }
        Ok(())
    }

    /// Finds the slots of `rows` of `keys`, [`NO_SLOT`] for keys that are not there, into `slots` (cleared first).
    ///
    /// # Errors
    ///
    /// When the keys have other types than the index.
    pub fn find(&self, keys: &KeyBatch, rows: Rows<'_>, slots: &mut Vec<Slot>) -> Result<(), StateError> {
        self.check(keys)?;
        slots.clear();
        let hashes = keys.hashes();
        match (&self.keys, keys.form()) {
            (Keys::Words(index), KeyForm::Words { words, nulls }) => each(rows, |row| {
                let slot = if nulls.is_some_and(|nulls| nulls.is_null(row)) {
                    index.null
                } else {
                    index.find(words[row], hashes[row])
                };
                slots.push(slot.unwrap_or(NO_SLOT));
            }),
            (Keys::Bytes(index), KeyForm::Bytes(encoded)) => each(rows, |row| {
                slots.push(index.find(encoded.get(row), hashes[row]).unwrap_or(NO_SLOT));
            }),
            _ => return Err(self.other_types(keys)),
        }
        Ok(())
    }

    /// For every slot of `other`, the slot of the same key here, giving slots to new keys. For slots that are free
    /// in `other`, [`NO_SLOT`].
    ///
    /// # Errors
    ///
    /// When the other index has keys of other types.
    pub fn slots_of(&mut self, other: &Self, slots: &mut Vec<Slot>) -> Result<(), StateError> {
        if self.types != other.types {
            return Err(StateError::OtherKeyTypes { expected: self.types.to_vec(), found: other.types.to_vec() });
        }
        slots.clear();
        let mut is_free = vec![false; if other.pool.free.is_empty() { 0 } else { other.slot_count() }];
        other.pool.free.iter().for_each(|slot| is_free[*slot as usize] = true);
        let is_free = |slot: usize| is_free.get(slot).copied().unwrap_or(false);
        let free = &mut self.pool;
        free.fresh.clear();
        match (&mut self.keys, &other.keys) {
            (Keys::Words(index), Keys::Words(others)) => {
                slots.extend(others.words.iter().enumerate().map(|(slot, word)| {
                    if is_free(slot) {
                        NO_SLOT
                    } else if others.null == Some(slot as Slot) {
                        index.null_slot(free)
                    } else {
                        index.find_or_insert(*word, hash_word(*word), free)
                    }
                }));
            }
            (Keys::Bytes(index), Keys::Bytes(others)) => {
                slots.extend((0..others.hashes.len()).map(|slot| {
                    if is_free(slot) {
                        NO_SLOT
                    } else {
                        index.find_or_insert(others.key(slot as Slot), others.hashes[slot], free)
                    }
                }));
            }
            _ => {}
        }
        Ok(())
    }

    /// Forgets the keys in these slots, which must be in use, each named once; the slots will be given out again.
    pub fn remove(&mut self, slots: &[Slot]) {
        for &slot in slots {
            match &mut self.keys {
                Keys::Words(index) => index.remove(slot),
                Keys::Bytes(index) => index.remove(slot),
            }
            self.pool.free.push(slot);
        }
        if let Keys::Bytes(index) = &mut self.keys {
            index.compact_if_worthwhile();
        }
    }

    /// The slots of keys that were new to the last call of [`slots`](Self::slots) or [`slots_of`](Self::slots_of).
    pub fn fresh(&self) -> &[Slot] {
        &self.pool.fresh
    }

    /// Appends the bytes of a slot's key, which [`key_columns`] reads.
    #[inline]
    pub(super) fn append_key(&self, slot: Slot, bytes: &mut Vec<u8>) {
        match &self.keys {
            Keys::Bytes(index) => bytes.extend_from_slice(index.key(slot)),
            Keys::Words(index) if index.null == Some(slot) => bytes.extend_from_slice(&[0; WORD_KEY_BYTES]),
            Keys::Words(index) => {
                bytes.push(1);
                bytes.extend_from_slice(&index.words[slot as usize].to_be_bytes());
            }
        }
    }

    /// Bytes that a slot's key takes beside [`SLOT_BYTES`].
    #[inline]
    pub(super) fn key_bytes(&self, slot: Slot) -> usize {
        match &self.keys {
            Keys::Bytes(index) => index.spans[slot as usize].1 as usize,
            Keys::Words(_) => 0,
        }
    }

    /// The keys in these slots as columns.
    ///
    /// # Errors
    ///
    /// When Arrow cannot assemble them, for instance because they exceed 2 GiB.
    pub fn columns(&self, slots: &[Slot]) -> Result<Vec<ArrayRef>, StateError> {
        match &self.keys {
            Keys::Bytes(index) => decode_keys(&self.types, slots.iter().map(|slot| index.key(*slot)).collect()),
            Keys::Words(index) => {
                let nulls = index
                    .null
                    .filter(|null| slots.contains(null))
                    .map(|null| NullBuffer::from(slots.iter().map(|slot| *slot != null).collect::<Vec<_>>()));
                let words = slots.iter().map(|slot| index.words[*slot as usize]);
                Ok(vec![words_to_column(&self.types[0], words, nulls)?])
            }
        }
    }

    /// The key group of a slot's key.
    pub fn key_group(&self, slot: Slot, max_parallelism: u32) -> KeyGroup {
        let hash = match &self.keys {
            Keys::Words(index) if index.null == Some(slot) => super::key_hash::NULL_HASH,
            Keys::Words(index) => hash_word(index.words[slot as usize]),
            Keys::Bytes(index) => index.hashes[slot as usize],
        };
        KeyGroup::of_hash(hash, max_parallelism)
    }

    /// The slots in use and their key groups, in the order of the groups: how a snapshot walks through a table.
    pub fn by_key_group(&self, max_parallelism: u32) -> (Vec<Slot>, Vec<u32>) {
        self.in_groups(&self.used_slots(), max_parallelism)
    }

    /// Slots in use and their key groups, in the order of the groups.
    pub(super) fn in_groups(&self, slots: &[Slot], max_parallelism: u32) -> (Vec<Slot>, Vec<u32>) {
        let groups: Vec<u32> = slots.iter().map(|slot| self.key_group(*slot, max_parallelism).0).collect();
        let order = order(&groups, max_parallelism);
        let pick = |from: &[u32]| order.iter().map(|position| from[*position as usize]).collect();
        (pick(slots), pick(&groups))
    }

    fn check(&self, keys: &KeyBatch) -> Result<(), StateError> {
        if *self.types == *keys.types() { Ok(()) } else { Err(self.other_types(keys)) }
    }

    fn other_types(&self, keys: &KeyBatch) -> StateError {
        StateError::OtherKeyTypes { expected: self.types.to_vec(), found: keys.types().to_vec() }
    }
}

#[inline(always)]
fn each(rows: Rows<'_>, mut action: impl FnMut(usize)) {
    match rows {
        Rows::All(rows) => (0..rows).for_each(action),
        Rows::Picked(rows) => rows.iter().for_each(|row| action(*row as usize)),
    }
}

impl WordKeys {
    #[inline(always)]
    fn find(&self, word: u64, hash: u64) -> Option<Slot> {
        self.table.find(table_hash(hash), |entry| entry.0 == word).map(|entry| entry.1)
    }

    #[inline(always)]
    fn find_or_insert(&mut self, word: u64, hash: u64, free: &mut SlotPool) -> Slot {
        match self.find(word, hash) {
            Some(slot) => slot,
            None => self.insert(word, hash, free),
        }
    }

    #[cold]
    #[inline(never)]
    fn insert(&mut self, word: u64, hash: u64, free: &mut SlotPool) -> Slot {
        let slot = self.new_slot(word, free);
        self.table.insert_unique(table_hash(hash), (word, slot), |entry| table_hash(hash_word(entry.0)));
        slot
    }

    fn new_slot(&mut self, word: u64, free: &mut SlotPool) -> Slot {
        let slot = match free.free.pop() {
            Some(slot) => {
                self.words[slot as usize] = word;
                slot
            }
            None => {
                self.words.push(word);
                (self.words.len() - 1) as Slot
            }
        };
        free.fresh.push(slot);
        slot
    }

    fn null_slot(&mut self, free: &mut SlotPool) -> Slot {
        match self.null {
            Some(slot) => slot,
            None => {
                let slot = self.new_slot(0, free);
                self.null = Some(slot);
                slot
            }
        }
    }

    fn remove(&mut self, slot: Slot) {
        if self.null == Some(slot) {
            self.null = None;
            return;
        }
        let hash = hash_word(self.words[slot as usize]);
        if let Ok(entry) = self.table.find_entry(table_hash(hash), |entry| entry.1 == slot) {
            entry.remove();
        }
    }
}

impl ByteKeys {
    #[inline]
    fn key(&self, slot: Slot) -> &[u8] {
        let (start, length) = self.spans[slot as usize];
        &self.arena[start..start + length as usize]
    }

    #[inline(always)]
    fn find(&self, key: &[u8], hash: u64) -> Option<Slot> {
        let same = |entry: &(u64, Slot)| entry.0 == hash && self.key(entry.1) == key;
        self.table.find(table_hash(hash), same).map(|entry| entry.1)
    }

    #[inline(always)]
    fn find_or_insert(&mut self, key: &[u8], hash: u64, free: &mut SlotPool) -> Slot {
        match self.find(key, hash) {
            Some(slot) => slot,
            None => self.insert(key, hash, free),
        }
    }

    #[cold]
    #[inline(never)]
    fn insert(&mut self, key: &[u8], hash: u64, free: &mut SlotPool) -> Slot {
        let span = (self.arena.len(), key.len() as u32);
        self.arena.extend_from_slice(key);
        let slot = match free.free.pop() {
            Some(slot) => {
                self.hashes[slot as usize] = hash;
                self.spans[slot as usize] = span;
                slot
            }
            None => {
                self.hashes.push(hash);
                self.spans.push(span);
                (self.hashes.len() - 1) as Slot
            }
        };
        free.fresh.push(slot);
        self.table.insert_unique(table_hash(hash), (hash, slot), |entry| table_hash(entry.0));
        slot
    }

    fn remove(&mut self, slot: Slot) {
        let hash = self.hashes[slot as usize];
        if let Ok(entry) = self.table.find_entry(table_hash(hash), |entry| entry.1 == slot) {
            entry.remove();
        }
        self.garbage_bytes += self.spans[slot as usize].1 as usize;
        self.spans[slot as usize] = (0, 0);
    }

    fn compact_if_worthwhile(&mut self) {
        if self.garbage_bytes < MIN_GARBAGE_BYTES || self.garbage_bytes * 2 < self.arena.len() {
            return;
        }
        let mut arena = Vec::with_capacity(self.arena.len() - self.garbage_bytes);
        for (start, length) in &mut self.spans {
            let key = &self.arena[*start..*start + *length as usize];
            *start = arena.len();
            arena.extend_from_slice(key);
        }
        self.arena = arena;
        self.garbage_bytes = 0;
    }
}

/// Key columns of `types` from the bytes of keys, as [`KeyIndex::append_key`] made them.
///
/// # Errors
///
/// When the bytes are not keys of these types.
pub(super) fn key_columns(types: &[DataType], keys: Vec<&[u8]>) -> Result<Vec<ArrayRef>, StateError> {
    if !is_word(types) {
        return decode_keys(types, keys);
    }
    let mut words = Vec::with_capacity(keys.len());
    let mut valid = Vec::with_capacity(keys.len());
    for key in keys {
        let (tag, word) = key.split_first().ok_or(StateError::CorruptKey)?;
        valid.push(*tag != 0);
        words.push(u64::from_be_bytes(word.try_into().map_err(|_| StateError::CorruptKey)?));
    }
    let nulls = Some(NullBuffer::from(valid)).filter(|nulls| nulls.null_count() > 0);
    Ok(vec![words_to_column(&types[0], words.into_iter(), nulls)?])
}

fn words_to_column(
    data_type: &DataType,
    words: impl Iterator<Item = u64>,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, StateError> {
    let bytes = match (data_type, data_type.primitive_width()) {
        (DataType::Boolean, _) => {
            return Ok(Arc::new(BooleanArray::new(words.map(|word| word != 0).collect(), nulls)));
        }
        (DataType::Float32, _) => words.flat_map(|word| (f64::from_bits(word) as f32).to_le_bytes()).collect(),
        (_, Some(8)) => words.flat_map(u64::to_le_bytes).collect(),
        (_, Some(4)) => words.flat_map(|word| (word as u32).to_le_bytes()).collect(),
        (_, Some(2)) => words.flat_map(|word| (word as u16).to_le_bytes()).collect(),
        _ => words.map(|word| word as u8).collect(),
    };
    fixed_array(data_type, bytes, nulls)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use arrow::array::{AsArray, Int32Array, Int64Array, StringArray};
    use arrow::datatypes::Int64Type;
    use proptest::prelude::*;

    use super::*;

    fn batch(columns: &[ArrayRef]) -> KeyBatch {
        let mut keys = KeyBatch::default();
        keys.read(columns, columns[0].len()).unwrap();
        keys
    }

    fn types(columns: &[ArrayRef]) -> Vec<DataType> {
        columns.iter().map(|column| column.data_type().clone()).collect()
    }

    /// Feeds `batches` of keys and removals and compares with a map.
    fn check(columns_of: impl Fn(&[Option<i16>]) -> Vec<ArrayRef>, steps: &[(Vec<Option<i16>>, bool)]) {
        let mut index = KeyIndex::new(types(&columns_of(&[])));
        let mut known: HashMap<Option<i16>, Slot> = HashMap::new();
        let mut slots = Vec::new();
        for (keys, remove) in steps {
            let keyed = batch(&columns_of(keys));
            index.slots(&keyed, Rows::All(keys.len()), &mut slots).unwrap();
            for (key, slot) in keys.iter().zip(&slots) {
                assert_eq!(known.entry(*key).or_insert(*slot), slot, "slot of a known key");
            }
            let mut distinct: Vec<Slot> = known.values().copied().collect();
            distinct.sort_unstable();
            distinct.dedup();
            assert_eq!(distinct.len(), known.len(), "slots are unique");
            assert_eq!(index.len(), known.len());
            let mut found = Vec::new();
            index.find(&keyed, Rows::All(keys.len()), &mut found).unwrap();
            assert_eq!(found, slots);
            assert_eq!(index.columns(&slots).unwrap(), columns_of(keys));
            if *remove {
                let mut gone = slots.clone();
                gone.sort_unstable();
                gone.dedup();
                index.remove(&gone);
                keys.iter().for_each(|key| {
                    known.remove(key);
                });
                index.find(&keyed, Rows::All(keys.len()), &mut found).unwrap();
                assert!(found.iter().all(|slot| *slot == NO_SLOT));
            }
        }
        let mut copy = KeyIndex::new(index.types().clone());
        copy.slots_of(&index, &mut slots).unwrap();
        assert_eq!(copy.len(), index.len());
    }

    fn steps() -> impl Strategy<Value = Vec<(Vec<Option<i16>>, bool)>> {
        prop::collection::vec(
            (prop::collection::vec(prop::option::weighted(0.9, -20i16..20), 1..30), any::<bool>()),
            1..8,
        )
    }

    proptest! {
        #[test]
        fn words_keep_their_slots_until_they_are_removed(steps in steps()) {
            check(|keys| vec![Arc::new(keys.iter().copied().collect::<arrow::array::Int16Array>())], &steps);
        }

        #[test]
        fn compound_keys_keep_their_slots_until_they_are_removed(steps in steps()) {
            check(
                |keys| {
                    let text = keys.iter().map(|key| key.map(|key| "k".repeat(key.unsigned_abs() as usize)));
                    vec![
                        Arc::new(text.collect::<StringArray>()),
                        Arc::new(keys.iter().map(|key| key.map(i32::from)).collect::<Int32Array>()),
                    ]
                },
                &steps,
            );
        }
    }

    #[test]
    fn a_key_space_without_end_needs_no_more_memory_than_the_keys_of_the_moment() {
        let mut index = KeyIndex::new(vec![DataType::Utf8]);
        let mut slots = Vec::new();
        for round in 0..200 {
            let keys: ArrayRef = Arc::new(
                (0..100).map(|key| Some(format!("user-{round}-{key}-{}", "x".repeat(50)))).collect::<StringArray>(),
            );
            index.slots(&batch(&[keys]), Rows::All(100), &mut slots).unwrap();
            index.remove(&slots);
        }
        assert_eq!(index.slot_count(), 100);
        let Keys::Bytes(keys) = &index.keys else { panic!("text is kept as bytes") };
        assert!(keys.arena.len() < 2 * MIN_GARBAGE_BYTES, "{} bytes", keys.arena.len());
    }

    #[test]
    fn a_snapshot_walks_in_the_order_of_key_groups() {
        let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(0..1000));
        let mut index = KeyIndex::new(vec![DataType::Int64]);
        let mut slots = Vec::new();
        index.slots(&batch(&[keys]), Rows::All(1000), &mut slots).unwrap();
        let (ordered, groups) = index.by_key_group(128);
        assert!(groups.is_sorted());
        assert_eq!(ordered.len(), 1000);
        assert!(ordered.iter().zip(&groups).all(|(slot, group)| index.key_group(*slot, 128) == KeyGroup(*group)));
        assert_eq!(index.columns(&[5]).unwrap()[0].as_primitive::<Int64Type>().value(0), 5);
    }

    #[test]
    fn keys_of_other_types_are_refused() {
        let mut index = KeyIndex::new(vec![DataType::Int64]);
        let keys: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
        let error = index.slots(&batch(&[keys]), Rows::All(1), &mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("Int64"), "{error}");
    }
}
