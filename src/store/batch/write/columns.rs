//! Lists of different lengths, one for each row. UNNEST would flatten an array
//! of arrays, so the lists travel end to end in one array, and each row takes
//! its slice: from..=to, counted from 1, empty where `to` < `from`.

/// Numbers of each row.
#[derive(Default)]
pub(super) struct Ragged {
    pub(super) values: Vec<i64>,
    pub(super) from: Vec<i32>,
    pub(super) to: Vec<i32>,
}

impl Ragged {
    pub(super) fn of<'p>(rows: impl Iterator<Item = &'p [i64]>) -> Self {
        let mut columns = Self::default();
        rows.for_each(|values| columns.push(values));
        columns
    }

    pub(super) fn push(&mut self, values: &[i64]) {
        self.from.push(position(self.values.len() + 1));
        self.values.extend_from_slice(values);
        self.to.push(position(self.values.len()));
    }
}

/// An array in Postgres has fewer elements than this can count.
fn position(index: usize) -> i32 {
    i32::try_from(index).unwrap_or(i32::MAX)
}
